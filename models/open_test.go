package models_test

import (
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

func TestOpenANewSQLiteFileManyTimesAtOnce(t *testing.T) {
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

func TestOpenDoesNotWaitForAFileThatCannotBe(t *testing.T) {
	t.Parallel()
	_, err := models.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "missing", "posthorn.db"), models.Options{})
	require.Error(t, err)
}
