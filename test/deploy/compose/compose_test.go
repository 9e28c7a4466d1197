package compose

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/stretchr/testify/require"
)

const root = "../../../"

// stopsWithin is how long a process takes to stop, as docs/operations.md says.
const stopsWithin = 45 * time.Second

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	require.NoError(t, err)
	return string(text)
}

// load reads docker-compose.yml as `docker compose` does, with a file .env.
func load(t *testing.T, dotenv string) (*types.Project, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), ".env")
	require.NoError(t, os.WriteFile(file, []byte(dotenv), 0o600))
	options, err := cli.NewProjectOptions([]string{root + "docker-compose.yml"}, cli.WithEnvFiles(file), cli.WithDotEnv)
	require.NoError(t, err)
	return options.LoadProject(t.Context())
}

// The file fits the schema, requires the necessary variables, and passes on those of .env.
func TestCompose_FileIsValid(t *testing.T) {
	t.Parallel()
	for missing, dotenv := range map[string]string{
		"POSTHORN_ENCRYPTION_KEYSET": "POSTHORN_ADMIN_KEY=0123456789abcdef01234567\n",
		"POSTHORN_ADMIN_KEY":         "POSTHORN_ENCRYPTION_KEYSET=CK/a+b==\n",
	} {
		_, err := load(t, dotenv)
		require.ErrorContains(t, err, missing)
	}
	p, err := load(t, "POSTHORN_ENCRYPTION_KEYSET=CK/a+b==\nPOSTHORN_ADMIN_KEY=0123456789abcdef01234567\nPOSTGRES_PASSWORD=other\n")
	require.NoError(t, err)
	api := p.Services["api"].Environment
	require.Equal(t, "CK/a+b==", *api["POSTHORN_ENCRYPTION_KEYSET"], "a keyset is base64: nothing in it may be taken for a variable or a comment")
	require.Contains(t, *api["POSTHORN_DATABASE_URL"], "posthorn:other@postgres:5432")
	require.Equal(t, "other", *p.Services["postgres"].Environment["POSTGRES_PASSWORD"])
	require.Equal(t, "other", *p.Services["temporal-schema"].Environment["SQL_PASSWORD"])
	require.Equal(t, "other", *p.Services["temporal"].Environment["POSTGRES_PWD"])
}

func project(t *testing.T) *types.Project {
	t.Helper()
	p, err := load(t, "POSTHORN_ENCRYPTION_KEYSET=x\nPOSTHORN_ADMIN_KEY=0123456789abcdef01234567\n")
	require.NoError(t, err)
	return p
}

// settings lists what internal/config reads.
func settings(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, found := range regexp.MustCompile(`env:"(POSTHORN_[A-Z_]+)"`).FindAllStringSubmatch(read(t, "internal/config/config.go"), -1) {
		all = append(all, found[1])
	}
	require.NotEmpty(t, all)
	return all
}

// Each service waits only for services that allow it: `up --wait` fails if it waits for a service without a health
// check, or for one that never ends.
func TestCompose_ServicesWaitForWhatCanBeWaitedFor(t *testing.T) {
	t.Parallel()
	p := project(t)
	image := stage(t, "Dockerfile")
	require.NotEmpty(t, image["HEALTHCHECK"])
	for name, s := range p.Services {
		ours := s.Image == "posthorn"
		if ours {
			for variable := range s.Environment {
				if strings.HasPrefix(variable, "POSTHORN_") {
					require.Contains(t, settings(t), variable, name)
				}
			}
			require.Greater(t, time.Duration(*s.StopGracePeriod), stopsWithin, name)
		}
		for other, on := range s.DependsOn {
			target, ok := p.Services[other]
			require.True(t, ok, "%s waits for %s", name, other)
			switch on.Condition {
			case types.ServiceConditionHealthy:
				require.NotNil(t, target.HealthCheck, "%s waits for the health of %s", name, other)
			case types.ServiceConditionCompletedSuccessfully:
				require.True(t, strings.HasPrefix(target.Restart, types.RestartPolicyOnFailure), "%s waits for the end of %s", name, other)
				require.False(t, target.HealthCheck != nil && !target.HealthCheck.Disable, other)
			default:
				t.Errorf("%s waits for %s: %s", name, other, on.Condition)
			}
		}
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeBind {
				require.DirExists(t, v.Source, name)
			}
		}
		for _, port := range s.Ports {
			require.Equal(t, "127.0.0.1", port.HostIP, "%s is open to the network", name)
		}
	}
}

// stage returns the instructions of a Dockerfile's last stage, each with its words; the last of a kind counts.
func stage(t *testing.T, path string) map[string][]string {
	t.Helper()
	file, err := os.Open(filepath.Join(root, path))
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	result, err := parser.Parse(file)
	require.NoError(t, err)
	require.Empty(t, result.Warnings)
	var last map[string][]string
	for _, node := range result.AST.Children {
		name := strings.ToUpper(node.Value)
		if name == "FROM" {
			last = map[string][]string{}
		}
		if last == nil { // an ARG before the first stage
			continue
		}
		words := slices.Clone(node.Flags)
		for n := node.Next; n != nil; n = n.Next {
			words = append(words, n.Value)
		}
		last[name] = words
	}
	return last
}

// The image of a release is the same as the Dockerfile's, and starts as expected.
func TestCompose_BothImagesAreTheSame(t *testing.T) {
	t.Parallel()
	built, released := stage(t, "Dockerfile"), stage(t, "deploy/release.Dockerfile")
	require.Equal(t, []string{"posthorn"}, built["ENTRYPOINT"])
	require.Equal(t, []string{"serve"}, built["CMD"])
	require.Equal(t, []string{"65532:65532"}, built["USER"])
	for _, s := range []map[string][]string{built, released} {
		require.Equal(t, "/usr/local/bin/posthorn", s["COPY"][len(s["COPY"])-1])
		delete(s, "COPY")
		delete(s, "ARG")
	}
	require.Equal(t, built, released)
}

// The unit gives a process enough time to stop, and its file of settings has real settings.
func TestCompose_UnitRunsPosthorn(t *testing.T) {
	t.Parallel()
	unit := read(t, "deploy/systemd/posthorn.service")
	grace, err := time.ParseDuration(regexp.MustCompile(`(?m)^TimeoutStopSec=(\d+)$`).FindStringSubmatch(unit)[1] + "s")
	require.NoError(t, err)
	require.Greater(t, grace, stopsWithin)
	require.Contains(t, unit, "ExecStartPre=/usr/bin/posthorn migrate\nExecStart=/usr/bin/posthorn serve\n")
	names := regexp.MustCompile(`(?m)^#?(POSTHORN_[A-Z_]+)="`).FindAllStringSubmatch(read(t, "deploy/systemd/posthorn.env"), -1)
	require.NotEmpty(t, names)
	for _, name := range names {
		require.Contains(t, settings(t), name[1])
	}
	release := read(t, ".goreleaser.yaml")
	for _, path := range []string{"src: deploy/systemd/posthorn.service", "src: deploy/systemd/posthorn.env", "dockerfile: deploy/release.Dockerfile"} {
		require.Contains(t, release, path)
	}
}
