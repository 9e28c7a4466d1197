package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// testName is Test, a subject, and a sentence about it.
var testName = regexp.MustCompile(`^Test([A-Z]\w*?)_[A-Z0-9]\w*$`)

// TestNames_BeginWithTheSubjectOfTheirFile: go test -run selects what tests a subject.
func TestNames_BeginWithTheSubjectOfTheirFile(t *testing.T) {
	t.Parallel()
	found := 0
	for _, path := range goFiles(t) {
		if !strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		require.NoError(t, err)
		subject := ""
		for _, declared := range file.Decls {
			f, ok := declared.(*ast.FuncDecl)
			if !ok || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Test") || f.Name.Name == "TestMain" {
				continue
			}
			found++
			parts := testName.FindStringSubmatch(f.Name.Name)
			if !assert.NotNil(t, parts, "%s: %s is not Test<Subject>_<Sentence>", path, f.Name.Name) {
				continue
			}
			if subject == "" {
				subject = parts[1]
			}
			assert.Equal(t, subject, parts[1], "%s: its tests have two subjects", path)
		}
	}
	require.Greater(t, found, 1000)
}
