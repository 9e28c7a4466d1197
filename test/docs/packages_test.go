package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const module = "github.com/posthorn/posthorn/"

// alone may import these packages of Posthorn, and no others.
var alone = map[string][]string{
	"client":                 {},
	"cmd/posthorn":           {"internal/cli"},
	"console":                {"internal/callers", "internal/catalog", "internal/service", "models"},
	"devserver":              {"internal/callers", "internal/temporalstore"},
	"internal/backoff":       {},
	"internal/bench":         {},
	"internal/callers":       {"internal/cut"},
	"internal/catalog":       {},
	"internal/chaos":         {"internal/bench", "internal/freeport", "internal/localpg"},
	"internal/config":        {},
	"internal/cores":         {"internal/pause"},
	"internal/cut":           {},
	"internal/egress":        {},
	"internal/fairqueue":     {},
	"internal/freeport":      {},
	"internal/groupcommit":   {"internal/fairqueue"},
	"internal/handoff":       {"models"},
	"internal/hostname":      {},
	"internal/jsonschema":    {},
	"internal/lately":        {},
	"internal/localpg":       {},
	"internal/metrics":       {},
	"internal/notify":        {"internal/cut", "internal/hostname"},
	"internal/panics":        {"internal/metrics"},
	"internal/pause":         {},
	"internal/rawjson":       {},
	"internal/secrets":       {},
	"internal/sender":        {"internal/hostname", "internal/panics"},
	"internal/slots":         {},
	"internal/temporalstore": {"internal/pause"},
	"internal/typedoc":       {},
	"internal/wire":          {"internal/rawjson"},
	"models":                 {"internal/fault", "internal/pause"},
	"test/deploy/chart":      {},
	"test/deploy/chroot":     {},
	"test/deploy/compose":    {},
	"test/deploy/observe":    {},
	"test/deploy/values":     {},
	"test/harness":           {"internal/freeport", "workflows"},
	"test/pgtest":            {"internal/localpg"},
	"workflows":              {"internal/cut"},
}

const (
	temporal = "go.temporal.io"
	gin      = "github.com/gin-gonic/gin"
	huma     = "github.com/danielgtaylor/huma"
)

// never lists what a package must not import, nor the packages below it: packages of Posthorn, other modules, or packages of the
// standard library, each with everything below.
var never = map[string][]string{
	"activities":           {"api", "worker", "console"},
	"api":                  {"activities", "worker", "workflows", "internal/engine", "internal/delivery", temporal, "database", "gorm.io"},
	"console":              {temporal, gin, huma, "database", "gorm.io"},
	"internal/bodyroom":    {"api", "console"},
	"internal/catalog":     {"database", "gorm.io", "net/http"},
	"internal/delivery":    {temporal, "workflows", "worker", "api"},
	"internal/engine":      {"net/http", "api", "worker", "console"},
	"internal/service":     {temporal, gin, huma, "net/http", "api", "worker", "workflows", "activities", "internal/engine", "internal/delivery"},
	"internal/servicetest": {"api", "console"},
	"internal/jsonschema": {
		"database", "net/http",
	},
	"internal/notify": {"database", "gorm.io", temporal},
	"internal/sender": {"database", "gorm.io", temporal},
	"internal/wire":   {"database", temporal},
	"models":          {temporal, gin, huma},
	"worker":          {"api", "console"},
	"workflows":       {"net", "os", "database"},
}

// source is a Go package of the repository without its tests.
type source struct {
	comment string // the package's, in one line; "" = it has none in the form of Go
	imports []string
}

// goFiles lists the repository's Go files, tests included.
func goFiles(t *testing.T) []string {
	t.Helper()
	var found []string
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			if name := entry.Name(); path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "data" || name == "bin") {
				return filepath.SkipDir
			}
		case filepath.Ext(path) == ".go":
			found = append(found, path)
		}
		return nil
	}))
	return found
}

// packages reads the import clauses and package comments of the whole repository, by folder.
func packages(t *testing.T) map[string]*source {
	t.Helper()
	found := map[string]*source{}
	for _, path := range goFiles(t) {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly|parser.ParseComments)
		require.NoError(t, err)
		name, err := filepath.Rel(root, filepath.Dir(path))
		require.NoError(t, err)
		name = filepath.ToSlash(name)
		if found[name] == nil {
			found[name] = &source{}
		}
		if documents(file) {
			found[name].comment = strings.Join(strings.Fields(file.Doc.Text()), " ")
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			require.NoError(t, err)
			found[name].imports = append(found[name].imports, imported)
		}
	}
	require.Greater(t, len(found), 50)
	return found
}

// documents reports whether a file has its package's comment, in the form of Go: Package x …, or Command x … of a program.
func documents(file *ast.File) bool {
	want := "Package " + file.Name.Name + " "
	if file.Name.Name == "main" {
		want = "Command "
	}
	return strings.HasPrefix(file.Doc.Text(), want)
}

func TestPackages_EveryPackageHasAComment(t *testing.T) {
	t.Parallel()
	for name, p := range packages(t) {
		assert.NotEmpty(t, p.comment, "%s has no comment that begins with Package or Command and its name", name)
	}
}

// TestPackages_EveryRuleOfACommentIsChecked: a comment that forbids imports has its rule in alone or never.
func TestPackages_EveryRuleOfACommentIsChecked(t *testing.T) {
	t.Parallel()
	for name, p := range packages(t) {
		if !strings.Contains(p.comment, "must not import") || strings.HasPrefix(name, "api/") { // of the systems each is checked below
			continue
		}
		_, listed := alone[name]
		for above := range never {
			listed = listed || within(name, above)
		}
		assert.True(t, listed, "%s must not import something, and nothing checks that", name)
	}
}

// TestPackages_ImportWhatTheirCommentsAllow: the arrows of docs/architecture.md run one way.
func TestPackages_ImportWhatTheirCommentsAllow(t *testing.T) {
	t.Parallel()
	all := packages(t)
	for name, allowed := range alone {
		require.Contains(t, all, name)
		for _, imported := range all[name].imports {
			if ours, ok := strings.CutPrefix(imported, module); ok {
				assert.Contains(t, allowed, ours, "%s imports it", name)
			}
		}
	}
	for above, forbidden := range never {
		require.Contains(t, all, above)
		for name, p := range all {
			if !within(name, above) {
				continue
			}
			for _, imported := range p.imports {
				imported = strings.TrimPrefix(imported, module)
				assert.False(t, slices.ContainsFunc(forbidden, func(f string) bool { return within(imported, f) && !within(imported, above) }),
					"%s imports %s", name, imported)
			}
		}
	}
	forTests := []string{"internal/notify/smtptest", "internal/servicetest", "models/modelstest", "test"}
	wiring := []string{"internal/cli", "devserver/cmd/histories", "devserver/cmd/posthorn"}
	for name, p := range all {
		if slices.Contains(p.imports, module+"internal/app") {
			assert.Contains(t, wiring, name, "it imports internal/app")
		}
		for _, imported := range p.imports {
			ours, _ := strings.CutPrefix(imported, module)
			test := within(name, "test") || strings.HasSuffix(name, "test")
			assert.False(t, !test && slices.ContainsFunc(forTests, func(f string) bool { return within(ours, f) }), "%s imports %s, which is for tests", name, imported)
		}
		if !within(name, "api/systems") && strings.HasPrefix(name, "api/") {
			for _, imported := range p.imports { // a system knows neither /v1 nor another system
				ours := strings.TrimPrefix(imported, module)
				assert.False(t, within(ours, "api") && ours != "api/systems", "%s imports %s", name, imported)
			}
		}
	}
}

// within reports whether a package is that of a path, or below it.
func within(name, path string) bool {
	return name == path || strings.HasPrefix(name, path+"/")
}

// TestPackages_EveryFolderIsExplained: docs/architecture.md names each package of internal and each folder above it.
func TestPackages_EveryFolderIsExplained(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(root + "/docs/architecture.md")
	require.NoError(t, err)
	_, text, ok := strings.Cut(string(page), "### The folders")
	require.True(t, ok)
	text, _, ok = strings.Cut(text, "\n## ")
	require.True(t, ok)
	words := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \n,:()", r) })
	for name := range packages(t) {
		parts := strings.Split(name, "/")
		switch {
		case parts[0] != "internal":
			assert.True(t, slices.ContainsFunc(words, func(word string) bool { return strings.HasPrefix(word, parts[0]+"/") }), "the folder of %s is not explained", name)
		case len(parts) == 2:
			assert.True(t, slices.Contains(words, name) || slices.Contains(words, parts[1]), "%s is not explained", name)
		}
	}
}
