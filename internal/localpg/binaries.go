package localpg

import (
	"cmp"
	"errors"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// ErrNoBinaries says that no PostgreSQL server is installed in the known places.
var ErrNoBinaries = errors.New("no PostgreSQL server found (initdb and postgres); `make test` installs it, or install your distribution's postgresql")

// binaryGlobs are the directories with server programs that distributions keep out of PATH.
var binaryGlobs = []string{
	"/usr/lib/postgresql/*/bin",          // Debian, Ubuntu
	"/usr/pgsql-*/bin",                   // PostgreSQL's own packages for Red Hat and similar
	"/usr/libexec/postgresql*",           // Alpine
	"/usr/local/pgsql*/bin",              // built from source
	"/usr/local/bin",                     // official container image
	"/opt/homebrew/opt/postgresql@*/bin", // Homebrew
	"/usr/local/opt/postgresql@*/bin",
}

// FindBinaries returns the directory with initdb and postgres: the newest in the usual places, or else the one in
// PATH.
func FindBinaries() (string, error) {
	if dir, ok := newestBinaries(binaryGlobs); ok {
		return dir, nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", ErrNoBinaries
	}
	// Programs in PATH are often links to a directory that has both.
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	if dir := filepath.Dir(path); hasBinaries(dir) {
		return dir, nil
	}
	return "", ErrNoBinaries
}

// newestBinaries returns the directory with the highest version in its name.
func newestBinaries(globs []string) (string, bool) {
	var dirs []string
	for _, glob := range globs {
		found, _ := filepath.Glob(glob) // fails on a malformed pattern only
		dirs = append(dirs, slices.DeleteFunc(found, func(dir string) bool { return !hasBinaries(dir) })...)
	}
	if len(dirs) == 0 {
		return "", false
	}
	return slices.MaxFunc(dirs, func(a, b string) int { return cmp.Compare(version(a), version(b)) }), true
}

func hasBinaries(dir string) bool {
	for _, name := range []string{"initdb", "postgres"} {
		if _, err := exec.LookPath(filepath.Join(dir, name)); err != nil {
			return false
		}
	}
	return true
}

// versions matches the numbers in a path: 9.6 or 15.
var versions = regexp.MustCompile(`\d+(\.\d+)?`)

// version returns the last number in the directory's path, and 0 if there is none.
func version(dir string) float64 {
	numbers := versions.FindAllString(dir, -1)
	if len(numbers) == 0 {
		return 0
	}
	v, _ := strconv.ParseFloat(numbers[len(numbers)-1], 64) // the pattern matches only numbers
	return v
}
