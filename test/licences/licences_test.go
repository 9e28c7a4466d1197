// Package licences checks that everything that is linked into the binaries may be distributed with an Apache-2.0 program. It
// reads the licences in the module cache, where the build has put the modules: it needs nothing but Go.
package licences

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/licensecheck"
	"github.com/stretchr/testify/require"
)

// allowed are the licences that ask for no more than their text, and the MPL-2.0, which covers its own files only. Another
// one is added with a line in docs/dependencies.md.
var allowed = []string{"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-2-Clause-Views", "BSD-3-Clause", "BlueOak-1.0.0", "CC0-1.0", "ISC", "MIT", "MIT-0", "MPL-2.0", "Unlicense"}

// exceptions are modules whose licence is not found by its text, with what was read in them.
var exceptions = map[string]string{
	"github.com/cactus/go-statsd-client/statsd":    "MIT: its files say so, the text is at the top of its repository and not in the module",
	"github.com/nexus-rpc/nexus-proto-annotations": "one generated file without a licence of its own; Temporal's own project, required by its API, which is MIT",
	"modernc.org/memory":                           "BSD-3-Clause, in three files; a fourth, about a logo, is not a licence",
}

// files are where a module's licence is.
var files = regexp.MustCompile(`(?i)^(licen[cs]es?|copying|unlicense)([-._].*)?$`)

// module is a part of what `go list -m` says of a module.
type module struct {
	Path, Version, Dir string
	Main               bool
	Replace            *module
}

// linked lists the modules that programs are built from.
func linked(t *testing.T, dir string, programs ...string) []module {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", append([]string{"list", "-deps", "-json=Module"}, programs...)...)
	list.Dir = dir
	list.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOOS=linux")
	var failure bytes.Buffer
	list.Stderr = &failure
	out, err := list.Output()
	require.NoError(t, err, failure.String())
	byPath := map[string]module{}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct{ Module *module }
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if m := p.Module; m != nil && !m.Main && (m.Replace == nil || m.Replace.Version != "") { // else it is ours
			byPath[m.Path] = *m
		}
	}
	return slices.SortedFunc(maps.Values(byPath), func(a, b module) int { return strings.Compare(a.Path, b.Path) })
}

// licencesOf reads the licences in a directory. covered is the smallest part, in percent, of a file that is a known licence.
func licencesOf(t *testing.T, dir string) (ids []string, covered float64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	covered = 100
	for _, entry := range entries {
		if entry.IsDir() || !files.MatchString(entry.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		require.NoError(t, err)
		found := licensecheck.Scan(text)
		covered = min(covered, found.Percent)
		for _, match := range found.Match {
			ids = append(ids, match.ID)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), covered
}

func TestLicences_AllowWhatIsLinked(t *testing.T) {
	t.Parallel()
	for name, binary := range map[string]struct {
		dir      string
		programs []string
	}{
		"main":      {"../..", []string{"./cmd/posthorn"}},
		"devserver": {"../../devserver", []string{"-tags=disable_grpc_modules", "./cmd/posthorn", "./cmd/temporal"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			modules := linked(t, binary.dir, binary.programs...)
			require.Greater(t, len(modules), 20, "the list is that of a program")
			for _, m := range modules {
				if _, ok := exceptions[m.Path]; ok {
					continue
				}
				ids, covered := licencesOf(t, m.Dir)
				if len(ids) == 0 || covered < 50 {
					t.Errorf("%s %s: no known licence in %s (%.0f %% of its text is one): read it, and add it to the exceptions if it is allowed", m.Path, m.Version, m.Dir, covered)
				}
				for _, id := range ids {
					if !slices.Contains(allowed, id) {
						t.Errorf("%s %s has the licence %s, which is not allowed", m.Path, m.Version, id)
					}
				}
			}
		})
	}
}

// The check finds what it is for.
func TestLicences_ForbiddenLicencesAreFound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ids, _ := licencesOf(t, dir)
	require.Empty(t, ids)
	const gpl = `This program is free software: you can redistribute it and/or modify it under the terms of the GNU General Public License
as published by the Free Software Foundation, either version 3 of the License, or (at your option) any later version.`
	require.NoError(t, os.WriteFile(filepath.Join(dir, "COPYING"), []byte(gpl), 0o600))
	ids, _ = licencesOf(t, dir)
	require.NotEmpty(t, ids)
	for _, id := range ids {
		require.NotContains(t, allowed, id)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "LICENSE.md"), []byte("You may do whatever I say."), 0o600))
	_, covered := licencesOf(t, dir)
	require.Less(t, covered, 50.0)
}
