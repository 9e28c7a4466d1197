package chroot

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/stretchr/testify/require"
)

const root = "../../../"

// recipe holds the contents of the Dockerfile.
type recipe struct {
	build    string // the command that builds the program
	binary   string // where the image has it
	config   v1.Config
	uid, gid uint32
}

func dockerfile(t *testing.T) recipe {
	t.Helper()
	text, err := os.ReadFile(root + "Dockerfile")
	require.NoError(t, err)
	parsed, err := parser.Parse(bytes.NewReader(text))
	require.NoError(t, err)
	stages, _, err := instructions.Parse(parsed.AST, nil)
	require.NoError(t, err)
	require.Len(t, stages, 2)
	var r recipe
	for _, command := range stages[0].Commands {
		if run, ok := command.(*instructions.RunCommand); ok {
			r.build = strings.Join(run.CmdLine, " ")
		}
	}
	for _, command := range stages[1].Commands {
		switch c := command.(type) {
		case *instructions.CopyCommand:
			require.Equal(t, "build", c.From)
			r.binary = c.DestPath
		case *instructions.UserCommand:
			r.config.User = c.User
			_, err := fmt.Sscanf(c.User, "%d:%d", &r.uid, &r.gid)
			require.NoError(t, err)
		case *instructions.EnvCommand:
			for _, pair := range c.Env {
				r.config.Env = append(r.config.Env, pair.Key+"="+pair.Value)
			}
		case *instructions.ExposeCommand:
			r.config.ExposedPorts = map[string]struct{}{c.Ports[0] + "/tcp": {}}
		case *instructions.HealthCheckCommand:
			r.config.Healthcheck = &v1.HealthConfig{Test: c.Health.Test, Interval: c.Health.Interval, Timeout: c.Health.Timeout,
				StartPeriod: c.Health.StartPeriod, Retries: c.Health.Retries}
		case *instructions.EntrypointCommand:
			r.config.Entrypoint = c.CmdLine
		case *instructions.CmdCommand:
			r.config.Cmd = c.CmdLine
		default:
			t.Fatalf("the test does not know what %T does", command)
		}
	}
	r.config.Env = append(r.config.Env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt") // the base image's
	return r
}

// build runs the Dockerfile's own command, in the context that .dockerignore leaves.
func (r recipe) run(t *testing.T) (program []byte) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "posthorn")
	line := strings.NewReplacer("-o /posthorn", "-o "+out, "$TARGETOS", runtime.GOOS, "$TARGETARCH", runtime.GOARCH, "$VERSION", "1.2.3").Replace(r.build)
	cmd := exec.CommandContext(t.Context(), "sh", "-euc", line)
	cmd.Dir = root
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", text)
	program, err = os.ReadFile(out)
	require.NoError(t, err)
	return program
}

// image puts the program on the contents of the base image: root certificates, a user, a place for temporary files. No
// shell.
func (r recipe) image(t *testing.T, program []byte) v1.Image {
	t.Helper()
	certificates, err := os.ReadFile("/etc/ssl/certs/ca-certificates.crt")
	require.NoError(t, err, "install ca-certificates")
	base := layer(t, map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n",
		"etc/group":  "root:x:0:\nnonroot:x:65532:\n", "etc/nsswitch.conf": "hosts: files dns\n", "etc/ssl/certs/ca-certificates.crt": string(certificates),
	})
	oci := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.AppendLayers(oci, base, layer(t, map[string]string{strings.TrimPrefix(r.binary, "/"): string(program)}))
	require.NoError(t, err)
	file, err := image.ConfigFile()
	require.NoError(t, err)
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Config = "linux", runtime.GOARCH, r.config
	image, err = mutate.ConfigFile(image, file)
	require.NoError(t, err)
	return image
}

func layer(t *testing.T, files map[string]string) v1.Layer {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	require.NoError(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777}))
	for name, text := range files {
		mode := int64(0o644)
		if strings.Contains(name, "bin/") {
			mode = 0o755
		}
		require.NoError(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(text))}))
		_, err := w.Write([]byte(text))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive.Bytes())), nil }, tarball.WithMediaType(types.OCILayer))
	require.NoError(t, err)
	return l
}

// unpack lays an image out as a root directory.
func unpack(t *testing.T, image v1.Image) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o755))
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	reader := tar.NewReader(mutate.Extract(image))
	for {
		h, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		require.NoError(t, err)
		path := filepath.Join(dir, filepath.Clean("/"+h.Name))
		if h.Typeflag == tar.TypeDir {
			require.NoError(t, os.MkdirAll(path, 0o755))
			require.NoError(t, os.Chmod(path, os.FileMode(h.Mode&0o777)|os.ModeSticky))
			continue
		}
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		data, err := io.ReadAll(reader)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, data, os.FileMode(h.Mode&0o777)))
		require.NoError(t, os.Chmod(path, os.FileMode(h.Mode&0o777)))
	}
}

// container runs programs of an image as its user, within its files.
type container struct {
	dir    string
	recipe recipe
	env    []string
}

// command is the image's entrypoint with arguments; without any, with its own.
func (c container) command(ctx context.Context, args ...string) *exec.Cmd {
	words := append(append([]string{}, c.recipe.config.Entrypoint...), args...)
	if len(args) == 0 {
		words = append(words, c.recipe.config.Cmd...)
	}
	return c.exec(ctx, words...)
}

func (c container) exec(ctx context.Context, words ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.recipe.binary, words[1:]...)
	cmd.Err = nil // it is looked for within the root directory
	cmd.Path, cmd.Dir = c.recipe.binary, "/"
	cmd.Env = append(append([]string{}, c.recipe.config.Env...), c.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: c.dir, Credential: &syscall.Credential{Uid: c.recipe.uid, Gid: c.recipe.gid}}
	return cmd
}

func (c container) output(t *testing.T, words ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := c.command(ctx, words...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// The image of the Dockerfile is well formed, and each of its command lines works as its user.
func TestImage_Runs(t *testing.T) {
	require.Zero(t, os.Getuid(), "chroot needs root")
	r := dockerfile(t)
	image := r.image(t, r.run(t))
	path, err := layout.Write(t.TempDir(), empty.Index)
	require.NoError(t, err)
	require.NoError(t, path.AppendImage(image))
	index, err := path.ImageIndex()
	require.NoError(t, err)
	require.NoError(t, validate.Index(index))
	manifest, err := index.IndexManifest()
	require.NoError(t, err)
	image, err = index.Image(manifest.Manifests[0].Digest)
	require.NoError(t, err)
	require.NoError(t, validate.Image(image))

	port := free(t)
	c := container{dir: unpack(t, image), recipe: r}
	version, err := c.output(t, "--version")
	require.NoError(t, err, version)
	require.Equal(t, "1.2.3", version)
	keyset, err := c.output(t, "keyset", "new")
	require.NoError(t, err, keyset)
	require.Regexp(t, `^[A-Za-z0-9+/]+=*$`, keyset)

	c.env = []string{"POSTHORN_DATABASE_URL=sqlite:/tmp/posthorn.db", "POSTHORN_ENCRYPTION_KEYSET=" + keyset, "POSTHORN_ADMIN_KEY=0123456789abcdef01234567",
		"TEMPORAL_ADDRESS=127.0.0.1:1", "POSTHORN_ADDR=127.0.0.1:" + port}
	said, err := c.output(t, "migrate")
	require.NoError(t, err, said)
	require.Equal(t, "the schema is up to date", said)

	check := append(append([]string{}, r.config.Healthcheck.Test[1:]...), "http://127.0.0.1:"+port+"/readyz")
	require.Equal(t, "CMD", r.config.Healthcheck.Test[0])
	healthy := func() error { return c.exec(t.Context(), check...).Run() }
	require.Error(t, healthy(), "nothing runs")
	for _, tt := range []struct {
		args  []string
		ready bool // without Temporal
	}{{[]string{"api"}, true}, {[]string{"worker"}, false}, {nil, false}} {
		process := c.command(t.Context(), tt.args...)
		var log bytes.Buffer
		process.Stderr = &log
		require.NoError(t, process.Start())
		require.Eventually(t, func() bool { return status(port, "/healthz") == http.StatusOK }, time.Minute, 50*time.Millisecond, "%v: %s", tt.args, &log)
		if tt.ready {
			require.NoError(t, healthy())
		} else {
			require.Equal(t, http.StatusServiceUnavailable, status(port, "/readyz"))
			require.Error(t, healthy())
		}
		require.Equal(t, http.StatusOK, status(port, "/metrics"))
		begun := time.Now()
		require.NoError(t, process.Process.Signal(syscall.SIGTERM))
		require.NoError(t, process.Wait(), "%v: %s", tt.args, &log)
		require.Less(t, time.Since(begun), 45*time.Second)
	}
}

// The image's default port is the port of its health check and its exposed port.
func TestImage_PortsAgree(t *testing.T) {
	r := dockerfile(t)
	require.Contains(t, r.config.Env, "POSTHORN_ADDR=:8080")
	require.Contains(t, r.config.ExposedPorts, "8080/tcp")
	require.Equal(t, []string{"CMD", "posthorn", "healthcheck"}, r.config.Healthcheck.Test)
	help, err := os.ReadFile(root + "internal/cli/healthcheck.go")
	require.NoError(t, err)
	require.Contains(t, string(help), `default:"http://127.0.0.1:8080/readyz"`)
	text, err := json.Marshal(r.config)
	require.NoError(t, err)
	require.Contains(t, string(text), `"User":"65532:65532"`)
}

func free(t *testing.T) string {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func status(port, path string) int {
	response, err := http.Get("http://127.0.0.1:" + port + path)
	if err != nil {
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}
