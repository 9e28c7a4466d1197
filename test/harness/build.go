package harness

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// serverTag is Temporal's own tag. It leaves out the gRPC variants of Google's storage client.
const serverTag = "disable_grpc_modules"

// sideBySide is the least number of tests that run at once: most of the time they wait for processes and timers.
const sideBySide = "6"

// Programs are the paths of the real programs.
type Programs struct {
	Posthorn string // all-in-one: the one with dev
	Lean     string // the production build
	Temporal string // the embedded Temporal server as a separate process
}

// Main is the TestMain of a package of end-to-end tests. It builds the programs with further build tags, runs the
// tests, and returns the exit code.
func Main(m *testing.M, programs *Programs, tags ...string) int {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = f.Value.Set(sideBySide)
	}
	dir, err := programs.build(tags)
	if err != nil {
		fmt.Fprintln(os.Stderr, "build the programs under test:", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	// Packages are tested side by side, and these would slow each other down.
	unlock, err := lock(filepath.Join(filepath.Dir(dir), "turn.lock"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "wait for our turn:", err)
		return 1
	}
	defer unlock()
	return m.Run()
}

// build builds the programs and returns their directory, which belongs to this run only. Go keeps linked programs in
// the repository's cache, so that an unchanged program is not linked again.
func (p *Programs) build(tags []string) (dir string, err error) {
	root, err := filepath.Abs("../..")
	if err != nil {
		return "", err
	}
	if err := dependOnSources(root); err != nil {
		return "", err
	}
	kept := filepath.Join(root, ".cache", "test", strings.Join(append([]string{"bin"}, tags...), "-"))
	if err := os.MkdirAll(kept, 0o750); err != nil {
		return "", err
	}
	unlock, err := lock(kept + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	for _, command := range []struct{ dir, output, packages string }{
		{"devserver", kept + "/", "./cmd/..."},
		{".", kept + "/posthorn-lean", "./cmd/posthorn"},
	} {
		if err := compile(filepath.Join(root, command.dir), "under-test", command.output, command.packages, tags); err != nil {
			return "", err
		}
	}
	// The next run may link again while this one still starts processes.
	if dir, err = os.MkdirTemp(filepath.Dir(kept), "run-"); err != nil {
		return "", err
	}
	for name, path := range map[string]*string{"posthorn": &p.Posthorn, "posthorn-lean": &p.Lean, "temporal": &p.Temporal} {
		*path = filepath.Join(dir, name)
		if err := os.Link(filepath.Join(kept, name), *path); err != nil {
			return dir, err
		}
	}
	return dir, nil
}

func compile(dir, version, output, packages string, tags []string) error {
	c := exec.CommandContext(context.Background(), "go", "build", "-buildvcs=false", "-tags", strings.Join(append(slices.Clip(tags), serverTag), ","),
		"-ldflags", "-s -w -X main.version="+version, "-o", output, packages)
	c.Dir = dir
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", c, err, out)
	}
	return nil
}

// Variant builds another version of the production build, with build tags, and returns its path.
func (p *Programs) Variant(tb testing.TB, version string, tags ...string) string {
	tb.Helper()
	path := p.Lean + "-" + version
	if err := compile("../..", version, path, "./cmd/posthorn", tags); err != nil {
		tb.Fatal(err)
	}
	return path
}

// dependOnSources opens every directory of the module. Go notes the files that a test opens. So it does not reuse a
// cached result after a source file has changed, although the test imports no program under test.
func dependOnSources(root string) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		switch name := entry.Name(); {
		case strings.HasPrefix(name, ".") && path != root, path == filepath.Join(root, "bin"), path == filepath.Join(root, "data"):
			return fs.SkipDir
		}
		return nil
	})
}

// lock waits until no other process has the lock.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, err
	}
	return func() { _ = f.Close() }, nil
}
