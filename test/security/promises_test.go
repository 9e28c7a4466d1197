package security_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

const (
	root         = "../.."
	documentPath = root + "/docs/security.md"
)

func document(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(documentPath)
	require.NoError(t, err)
	return string(text)
}

// named is a test as docs/security.md names it: `package/TestName`.
var named = regexp.MustCompile("`([a-z0-9/]+)/((?:Test|Fuzz)\\w+)`")

// TestPromises_EveryTestThatThePromisesNameExists: a promise whose test is renamed or removed does not stand without one.
func TestPromises_EveryTestThatThePromisesNameExists(t *testing.T) {
	t.Parallel()
	found := named.FindAllStringSubmatch(document(t), -1)
	require.Greater(t, len(found), 30)
	for _, m := range found {
		files, err := filepath.Glob(filepath.Join(root, m[1], "*_test.go"))
		require.NoError(t, err)
		exists := false
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			exists = exists || strings.Contains(string(text), "\nfunc "+m[2]+"(")
		}
		require.True(t, exists, "docs/security.md names %s, which does not exist", m[0])
	}
}

// TestPromises_EveryRowOfPromisesNamesATest: each line of the tables under "Promises" ends with a test.
func TestPromises_EveryRowOfPromisesNamesATest(t *testing.T) {
	t.Parallel()
	rows := 0
	in := false
	for line := range strings.Lines(document(t)) {
		line = strings.TrimSpace(line)
		if line == "| promise | test |" {
			in = true
			continue
		}
		if !strings.HasPrefix(line, "|") {
			in = false
		}
		if !in || strings.HasPrefix(line, "|---") {
			continue
		}
		rows++
		require.Regexp(t, named, line)
	}
	require.Greater(t, rows, 20)
}

// TestPromises_TheDocumentListsTheActions: the vocabulary of the audit log is the one in docs/security.md.
func TestPromises_TheDocumentListsTheActions(t *testing.T) {
	t.Parallel()
	var listed []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+\\.[a-z_]+)` \\|").FindAllStringSubmatch(document(t), -1) {
		listed = append(listed, m[1])
	}
	var actions []string
	for _, action := range models.AuditActions {
		actions = append(actions, string(action))
	}
	require.Equal(t, actions, listed)
}
