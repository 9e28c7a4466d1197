package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const root = "../.."

var (
	fence     = regexp.MustCompile("(?ms)^```.*?^```")
	link      = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading   = regexp.MustCompile(`(?m)^#+ (.*)$`)
	linkText  = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	notAnchor = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// TestDocs_LinksLeadSomewhere: each relative link of a page leads to a file or folder, and to a heading if it names one.
func TestDocs_LinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob(root + "/*.md")
	require.NoError(t, err)
	pages = append(pages, slices.Concat(files(t, "docs", ".md"), files(t, ".github", ".md"))...)
	require.Greater(t, len(pages), 20)
	for _, page := range pages {
		for _, found := range link.FindAllStringSubmatch(prose(t, page), -1) {
			path, anchor, _ := strings.Cut(found[1], "#")
			if strings.Contains(path, ":") {
				continue // an address elsewhere
			}
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), path)
			}
			if _, err := os.Stat(target); !assert.NoError(t, err, "%s links to %s", page, found[1]) || anchor == "" {
				continue
			}
			assert.Contains(t, anchors(t, target), anchor, "%s links to %s", page, found[1])
		}
	}
}

var (
	variable = regexp.MustCompile(`\bPOSTHORN_[A-Z_]*[A-Z]\b`)
	setting  = regexp.MustCompile(`(env:)?"(POSTHORN_[A-Z_]+)"`)
)

// TestDocs_VariablesExist: a program reads every variable that documentation, deployment or GitHub workflows name. And every
// variable of a flag is explained.
func TestDocs_VariablesExist(t *testing.T) {
	t.Parallel()
	explained := ""
	for _, page := range []string{"configuration.md", "cli.md"} {
		text, err := os.ReadFile(root + "/docs/" + page)
		require.NoError(t, err)
		explained += string(text)
	}
	read := map[string]bool{}
	for _, folder := range []string{"internal", "devserver", "cmd", "test"} {
		for _, path := range files(t, folder, ".go") {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			for _, found := range setting.FindAllStringSubmatch(string(text), -1) {
				read[found[2]] = true
				assert.True(t, found[1] == "" || strings.Contains(explained, "`"+found[2]+"`"), "no page explains %s", found[2])
			}
		}
	}
	require.Greater(t, len(read), 30)
	read["POSTHORN_PORT"] = true // the chart's comment says why Kubernetes does not set it
	pages := []string{root + "/README.md", root + "/CHANGELOG.md", root + "/CONTRIBUTING.md", root + "/SECURITY.md", root + "/docker-compose.yml", root + "/Dockerfile", root + "/Makefile"}
	for _, folder := range []string{"docs", "deploy", ".github"} {
		pages = append(pages, files(t, folder, "")...)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, name := range variable.FindAllString(string(text), -1) {
			assert.True(t, read[name], "%s names %s, and nothing reads it", page, name)
		}
	}
}

// files lists the files below a folder of the repository: those that end in ext, or all.
func files(t *testing.T, folder, ext string) []string {
	t.Helper()
	var found []string
	require.NoError(t, filepath.WalkDir(root+"/"+folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() && strings.HasSuffix(path, ext) {
			found = append(found, path)
		}
		return err
	}))
	return found
}

// prose returns a page without its blocks of code.
func prose(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	return fence.ReplaceAllString(string(text), "")
}

// anchors returns the anchors that GitHub gives a page's headings.
func anchors(t *testing.T, page string) []string {
	t.Helper()
	var all []string
	for _, found := range heading.FindAllStringSubmatch(prose(t, page), -1) {
		text := strings.ToLower(linkText.ReplaceAllString(found[1], "$1"))
		all = append(all, strings.ReplaceAll(notAnchor.ReplaceAllString(text, ""), " ", "-"))
	}
	return all
}
