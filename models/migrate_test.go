package models_test

import (
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/test/pgtest"
)

func TestMigrations_Migrate(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]func(*testing.T) string{
		"sqlite":   func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "posthorn.db") },
		"postgres": func(t *testing.T) string { return pgtest.URL(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			t.Run("again", func(t *testing.T) {
				t.Parallel()
				s := &database{URL: url(t), Clock: newClock()}
				s.Store = s.Open(t)
				require.Error(t, s.Migrated(t.Context()), "before")
				for range 2 {
					require.NoError(t, s.Migrate(t.Context()))
					require.NoError(t, s.Migrated(t.Context()))
				}
				s.Tenant(t, "acme")
				require.NoError(t, s.Migrate(t.Context()))
				require.Equal(t, 1, s.Count(t, "tenants"))

				require.NoError(t, s.DB().Exec("DELETE FROM migrations WHERE id = '0003_retention'").Error)
				require.ErrorContains(t, s.Migrated(t.Context()), "posthorn migrate")
			})
			t.Run("from several places at once", func(t *testing.T) {
				t.Parallel()
				s := &database{URL: url(t), Clock: newClock()}
				both := []*models.Store{s.Open(t), s.Open(t)}
				var wg sync.WaitGroup
				for i := range 8 {
					wg.Go(func() {
						if err := both[i%2].Migrate(t.Context()); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				require.NoError(t, both[0].Migrated(t.Context()))
			})
			t.Run("on one connection", func(t *testing.T) {
				t.Parallel()
				s, err := models.Open(t.Context(), url(t), models.Options{MaxConns: 1})
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, s.Close()) })
				require.NoError(t, s.Migrate(t.Context()))
				require.NoError(t, s.Migrated(t.Context()))
			})
		})
	}
}

// A file that is not in the list is never applied.
func TestMigrations_EveryMigrationIsListed(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("migrations/*.sql")
	require.NoError(t, err)
	for i, file := range files {
		files[i] = strings.TrimSuffix(filepath.Base(file), ".sql")
	}
	listed := slices.DeleteFunc(slices.Clone(models.Migrations), func(id string) bool { return strings.HasPrefix(id, "9") }) // of test builds
	require.Equal(t, files, listed)
}
