package models_test

import (
	"context"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

func TestOpen_ANewSQLiteFileManyTimesAtOnce(t *testing.T) {
	t.Parallel()
	for range 20 {
		url := "sqlite:" + filepath.Join(t.TempDir(), "posthorn.db")
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				s, err := models.Open(t.Context(), url, models.Options{})
				if err != nil {
					t.Error(err)
					return
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
}

func TestOpen_DoesNotWaitForAFileThatCannotBe(t *testing.T) {
	t.Parallel()
	_, err := models.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "missing", "posthorn.db"), models.Options{})
	require.Error(t, err)
}

func TestOpen_AServerThatDoesNotAnswerIsNotWaitedForLong(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]time.Duration{
		"postgres://10.0.0.1/posthorn?sslmode=disable":                   5 * time.Second,
		"postgres://10.0.0.1/posthorn?sslmode=disable&connect_timeout=7": 7 * time.Second,
	} {
		synctest.Test(t, func(t *testing.T) {
			config, err := models.PostgresConfig(url)
			require.NoError(t, err)
			config.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			started := time.Now()
			_, err = pgx.ConnectConfig(t.Context(), config)
			require.True(t, models.IsOutage(err), err)
			require.Equal(t, want, time.Since(started))
		})
	}
}
