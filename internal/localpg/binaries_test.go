package localpg

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBinaries_NewestIsChosen(t *testing.T) {
	t.Parallel()

	root := t.TempDir()
	for dir, programs := range map[string][]string{
		"postgresql/9.6/bin": {"initdb", "postgres"},
		"postgresql/15/bin":  {"initdb", "postgres"},
		"postgresql/17/bin":  {"initdb"}, // a client package
		"libexec/postgresql": {"initdb", "postgres"},
	} {
		for _, program := range programs {
			path := filepath.Join(root, dir, program)
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
			require.NoError(t, os.WriteFile(path, nil, 0o755))
		}
	}
	for _, tt := range []struct {
		name  string
		globs []string
		want  string
	}{
		{"highest complete version", []string{"libexec/postgresql*", "postgresql/*/bin"}, "postgresql/15/bin"},
		{"no version in the name", []string{"libexec/postgresql*"}, "libexec/postgresql"},
		{"nothing there", []string{"opt/*"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var globs []string
			for _, g := range tt.globs {
				globs = append(globs, filepath.Join(root, g))
			}
			got, ok := newestBinaries(globs)
			require.Equal(t, tt.want != "", ok)
			if ok {
				require.Equal(t, filepath.Join(root, tt.want), got)
			}
		})
	}
}
