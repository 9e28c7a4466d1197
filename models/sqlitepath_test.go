package models_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

func TestSQLitePath_ASQLiteFileMayHaveAnyName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"posthorn.db", "a#b.db", "a?b=c.db", "50%.db", "%41.db", "a b&c+d.db", "näme:x.db"} {
		path := filepath.Join(t.TempDir(), name)
		store, err := models.Open(t.Context(), "sqlite:"+path, models.Options{})
		require.NoError(t, err, name)
		require.NoError(t, store.Migrate(t.Context()), name)
		require.NoError(t, store.Close())
		_, err = os.Stat(path)
		require.NoError(t, err, "the file is where it was asked for")
		listed, err := os.ReadDir(filepath.Dir(path))
		require.NoError(t, err)
		require.Len(t, listed, 1, "and it is the only one")
	}
}
