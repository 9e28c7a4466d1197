package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
)

type cli struct {
	Serve struct {
		Config `embed:""`
	} `cmd:""`
}

func parse(t *testing.T, args ...string) (Config, error) {
	t.Helper()
	var c cli
	parser, err := kong.New(&c, IgnoreEmptyVariables(), kong.Exit(func(int) { t.Fatal("exit") }))
	require.NoError(t, err)
	_, err = parser.Parse(append([]string{"serve"}, args...))
	return c.Serve.Config, err
}

// clean unsets the variables of the environment that runs the tests, until the test ends.
func clean(t *testing.T) {
	t.Helper()
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, "POSTHORN_") || strings.HasPrefix(name, "OTEL_") {
			t.Setenv(name, value)
			require.NoError(t, os.Unsetenv(name))
		}
	}
}

func defaults() Config {
	return Config{
		Addr: "127.0.0.1:8080", MaxWebhooks: 10_000, MaxKeys: 1000, TaskQueue: "posthorn", GroupMax: 256, Workflows: "event", Timeout: 15 * time.Second,
		Retry:            Retry{Initial: 10 * time.Second, Backoff: 2, MaxInterval: 30 * time.Minute, Max: 10},
		FailureThreshold: 3000, Retention: Duration(14 * 24 * time.Hour), AuditRetention: Duration(400 * 24 * time.Hour), Reconcile: Reconcile{After: time.Minute, Every: 10 * time.Second},
		MailFrom: "Posthorn <posthorn@localhost>", LogLevel: slog.LevelInfo, LogFormat: "text",
	}
}

func TestConfig_Defaults(t *testing.T) {
	clean(t)
	got, err := parse(t)
	require.NoError(t, err)
	require.Equal(t, defaults(), got)
}

func TestConfig_Environment(t *testing.T) {
	clean(t)
	for name, value := range map[string]string{
		"POSTHORN_DATABASE_URL":       "postgres://u:hunter2@db/posthorn?sslmode=disable",
		"POSTHORN_ADDR":               ":9090",
		"POSTHORN_ADMIN_KEY":          longKey,
		"POSTHORN_ADMIN_KEYS":         "alice=" + otherKey,
		"POSTHORN_REQUEST_RATE":       "2.5",
		"POSTHORN_TRUSTED_PROXIES":    "10.0.0.0/8",
		"POSTHORN_CORS_ORIGINS":       "https://app.example.com",
		"POSTHORN_ENCRYPTION_KEYSET":  "keyset",
		"POSTHORN_ALLOW_HTTP":         "true",
		"POSTHORN_ALLOW_NETWORKS":     "10.0.0.0/8, 192.168.1.7,fd00::/8",
		"POSTHORN_RETRY_INITIAL":      "1s",
		"POSTHORN_RETRY_BACKOFF":      "1.5",
		"POSTHORN_RETRY_MAX_INTERVAL": "1m",
		"POSTHORN_RETRY_MAX":          "0",
		"POSTHORN_MAX_POSTS":          "99",
		"POSTHORN_MAX_WEBHOOKS":       "20000",
		"POSTHORN_MAX_KEYS":           "5",
		"POSTHORN_TIMEOUT":            "3s",
		"POSTHORN_FAILURE_THRESHOLD":  "7",
		"POSTHORN_RECONCILE_AFTER":    "20s",
		"POSTHORN_RECONCILE_EVERY":    "2s",
		"POSTHORN_SMTP_URL":           "smtps://u:hunter2@mail.example",
		"POSTHORN_MAIL_FROM":          "ops@example.com",
		"POSTHORN_GROUP_MAX":          "1",
		"POSTHORN_WORKFLOWS":          "retries",
		"POSTHORN_TASK_QUEUE":         "blue",
		"POSTHORN_DEPLOYMENT":         "prod/main-posthorn-worker",
		"POSTHORN_PUBLIC_URL":         "https://hooks.example.com/base/",
		"POSTHORN_TEMPORAL_UI_URL":    "http://127.0.0.1:8233",
		"POSTHORN_RETENTION":          "36h",
		"POSTHORN_AUDIT_RETENTION":    "90d",
		"POSTHORN_LOG_LEVEL":          "debug",
		"POSTHORN_LOG_FORMAT":         "json",
		"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",

		"POSTHORN_PORTAL_FRAME_ANCESTORS": "https://shop.example.com",
		"POSTHORN_PORTAL_LOGO_ORIGINS":    "https://cdn.example.com,https://img.example.com:8443",
	} {
		t.Setenv(name, value)
	}
	got, err := parse(t)
	require.NoError(t, err)
	require.Equal(t, Config{
		DatabaseURL: "postgres://u:hunter2@db/posthorn?sslmode=disable", Addr: ":9090", AdminKey: longKey, EncryptionKeyset: "keyset",
		AdminKeys: "alice=" + otherKey, RequestRate: 2.5, TrustedProxies: Networks{netip.MustParsePrefix("10.0.0.0/8")}, CORSOrigins: Origins{"https://app.example.com"}, PortalFrameAncestors: Origins{"https://shop.example.com"},
		PortalLogoOrigins: Origins{"https://cdn.example.com", "https://img.example.com:8443"},
		AllowHTTP:         true,
		AllowNetworks:     Networks{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.168.1.7/32"), netip.MustParsePrefix("fd00::/8")},
		Retry:             Retry{Initial: time.Second, Backoff: 1.5, MaxInterval: time.Minute},
		MaxWebhooks:       20_000,
		MaxKeys:           5,
		MaxPosts:          99,
		Timeout:           3 * time.Second, FailureThreshold: 7, Reconcile: Reconcile{After: 20 * time.Second, Every: 2 * time.Second},
		SMTPURL: "smtps://u:hunter2@mail.example", MailFrom: "ops@example.com",
		GroupMax: 1, Workflows: "retries", TaskQueue: "blue", Deployment: "prod/main-posthorn-worker", PublicURL: "https://hooks.example.com/base/", TemporalUIURL: "http://127.0.0.1:8233",
		Retention: Duration(36 * time.Hour), AuditRetention: Duration(90 * 24 * time.Hour), LogLevel: slog.LevelDebug, LogFormat: "json", OTLPEndpoint: "http://collector:4318",
	}, got)

	got, err = parse(t, "--addr=127.0.0.1:1", "--retry-max=3", "--retention=2d", "--allow-networks=")
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:1", got.Addr, "a flag goes before its variable")
	require.Equal(t, 3, got.Retry.Max)
	require.Equal(t, 48*time.Hour, got.Retention.Std())
	require.Empty(t, got.AllowNetworks)
}

// docker-compose sets a variable that the user left out to the empty string.
func TestConfig_EmptyVariablesAreUnset(t *testing.T) {
	clean(t)
	config := reflect.TypeFor[Config]()
	retry := reflect.TypeFor[Retry]()
	for _, fields := range []reflect.Type{config, retry, reflect.TypeFor[Reconcile]()} {
		for field := range fields.Fields() {
			if name := field.Tag.Get("env"); name != "" {
				t.Setenv(name, "")
			}
		}
	}
	got, err := parse(t)
	require.NoError(t, err)
	require.Equal(t, defaults(), got)
}

func TestConfig_ParseRefuses(t *testing.T) {
	clean(t)
	for flag, problem := range map[string]string{
		"--retention=soon":                 `"soon" is not a duration`,
		"--allow-networks=10.0.0.0/8,here": `"here" is not a network`,
		"--log-level=loud":                 "loud",
		"--log-format=xml":                 "text",
		"--group-max=257":                  "POSTHORN_GROUP_MAX must be 1 to 256",
		"--workflows=none":                 "retries",
	} {
		_, err := parse(t, flag)
		require.ErrorContains(t, err, problem)
	}
}

func TestConfig_Validate(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		change  func(*Config)
		problem string
	}{
		{"defaults", func(*Config) {}, ""},
		{"postgres", func(c *Config) { c.DatabaseURL = "postgres://db/posthorn" }, ""},
		{"postgresql", func(c *Config) { c.DatabaseURL = "postgresql:///posthorn?host=/run/postgresql" }, ""},
		{"sqlite", func(c *Config) { c.DatabaseURL = "sqlite:./data/posthorn.db" }, ""},
		{"sqlite without file", func(c *Config) { c.DatabaseURL = "sqlite:" }, "POSTHORN_DATABASE_URL names no file"},
		{"mysql", func(c *Config) { c.DatabaseURL = "mysql://u:hunter2@db" }, "POSTHORN_DATABASE_URL must be"},
		{"unparsable database", func(c *Config) { c.DatabaseURL = "postgres://u:hunter2@db:port" }, "POSTHORN_DATABASE_URL must be"},
		{"address without port", func(c *Config) { c.Addr = "localhost" }, "POSTHORN_ADDR must be host:port"},
		{"address with service name", func(c *Config) { c.Addr = ":http" }, "POSTHORN_ADDR must end in a port"},
		{"address with port 0", func(c *Config) { c.Addr = "127.0.0.1:0" }, ""},
		{"admin key with a blank", func(c *Config) { c.AdminKey = "hunter2 " }, "POSTHORN_ADMIN_KEY must be visible"},
		{"public URL without scheme", func(c *Config) { c.PublicURL = "hooks.example.com" }, "POSTHORN_PUBLIC_URL must be"},
		{"public URL with query", func(c *Config) { c.PublicURL = "https://hooks.example.com?a" }, "POSTHORN_PUBLIC_URL must not"},
		{"public URL with a quote in its host", func(c *Config) { c.PublicURL = "https://hooks'.example.com" }, "POSTHORN_PUBLIC_URL must have a host"},
		{"public URL with a semicolon in its host", func(c *Config) { c.PublicURL = "https://hooks.example.com;x" }, "POSTHORN_PUBLIC_URL must have a host"},
		{"public URL with a quote in its path", func(c *Config) { c.PublicURL = `https://hooks.example.com/"x` }, "POSTHORN_PUBLIC_URL must be"},
		{"public URL with a blank", func(c *Config) { c.PublicURL = "https://hooks.example.com/a b" }, "POSTHORN_PUBLIC_URL must be"},
		{"public URL by address", func(c *Config) { c.PublicURL = "http://[::1]:8080/hooks" }, ""},
		{"Web UI without host", func(c *Config) { c.TemporalUIURL = "http://:8233" }, "POSTHORN_TEMPORAL_UI_URL must have a host"},
		{"script as UI URL", func(c *Config) { c.TemporalUIURL = "javascript:alert(1)" }, "POSTHORN_TEMPORAL_UI_URL must be"},
		{"task queue with a blank", func(c *Config) { c.TaskQueue = "a b" }, "POSTHORN_TASK_QUEUE must be"},
		{"deployment with a dot", func(c *Config) { c.Deployment = "a.b" }, "POSTHORN_DEPLOYMENT must be"},
		{"no task queue", func(c *Config) { c.TaskQueue = "" }, "POSTHORN_TASK_QUEUE must be"},
		{"group of 0", func(c *Config) { c.GroupMax = 0 }, "POSTHORN_GROUP_MAX must be"},
		{"group of 257", func(c *Config) { c.GroupMax = MaxGroup + 1 }, "POSTHORN_GROUP_MAX must be"},
		{"workflows of retries", func(c *Config) { c.Workflows = WorkflowsOfRetries }, ""},
		{"workflows of nothing", func(c *Config) { c.Workflows = "none" }, "POSTHORN_WORKFLOWS must be event or retries"},
		{"default POSTs", func(c *Config) { c.MaxPosts = 0 }, ""},
		{"most POSTs", func(c *Config) { c.MaxPosts = MaxPosts }, ""},
		{"too many POSTs", func(c *Config) { c.MaxPosts = MaxPosts + 1 }, "POSTHORN_MAX_POSTS must be"},
		{"negative POSTs", func(c *Config) { c.MaxPosts = -1 }, "POSTHORN_MAX_POSTS must be"},
		{"no webhooks", func(c *Config) { c.MaxWebhooks = 0 }, "POSTHORN_MAX_WEBHOOKS must be"},
		{"most webhooks", func(c *Config) { c.MaxWebhooks = MostWebhooks }, ""},
		{"too many webhooks", func(c *Config) { c.MaxWebhooks = MostWebhooks + 1 }, "POSTHORN_MAX_WEBHOOKS must be"},
		{"no keys", func(c *Config) { c.MaxKeys = 0 }, "POSTHORN_MAX_KEYS must be"},
		{"too many keys", func(c *Config) { c.MaxKeys = MostKeys + 1 }, "POSTHORN_MAX_KEYS must be"},
		{"no timeout", func(c *Config) { c.Timeout = 0 }, "POSTHORN_TIMEOUT must be"},
		{"longest timeout", func(c *Config) { c.Timeout = MaxTimeout }, ""},
		{"longer timeout", func(c *Config) { c.Timeout = MaxTimeout + 1 }, "POSTHORN_TIMEOUT must be"},
		{"no first wait", func(c *Config) { c.Retry.Initial = 0 }, "POSTHORN_RETRY_INITIAL must be"},
		{"backoff below 1", func(c *Config) { c.Retry.Backoff = 0.9 }, "POSTHORN_RETRY_BACKOFF must be"},
		{"backoff not a number", func(c *Config) { c.Retry.Backoff = math.NaN() }, "POSTHORN_RETRY_BACKOFF must be"},
		{"endless backoff", func(c *Config) { c.Retry.Backoff = math.Inf(1) }, "POSTHORN_RETRY_BACKOFF must be"},
		{"cap below the first wait", func(c *Config) { c.Retry.MaxInterval = 9 * time.Second }, "POSTHORN_RETRY_MAX_INTERVAL must not"},
		{"no retries", func(c *Config) { c.Retry.Max = 0 }, ""},
		{"negative retries", func(c *Config) { c.Retry.Max = -1 }, "POSTHORN_RETRY_MAX must be"},
		{"too many retries", func(c *Config) { c.Retry.Max = MaxRetries + 1 }, "POSTHORN_RETRY_MAX must be"},
		{"threshold 0", func(c *Config) { c.FailureThreshold = 0 }, "POSTHORN_FAILURE_THRESHOLD must be"},
		{"reconciling at once", func(c *Config) { c.Reconcile.After = 0 }, "POSTHORN_RECONCILE_AFTER must be"},
		{"reconciling all the time", func(c *Config) { c.Reconcile.Every = 0 }, "POSTHORN_RECONCILE_EVERY must be"},
		{"no retention", func(c *Config) { c.Retention = 0 }, "POSTHORN_RETENTION must be"},
		{"no retention of the audit log", func(c *Config) { c.AuditRetention = 0 }, "POSTHORN_AUDIT_RETENTION must be"},
		{"mail server", func(c *Config) { c.SMTPURL = "smtp://127.0.0.1:1025" }, ""},
		{"mail server by http", func(c *Config) { c.SMTPURL = "http://u:hunter2@mail" }, "POSTHORN_SMTP_URL must be"},
		{"mail server without host", func(c *Config) { c.SMTPURL = "smtp://u:hunter2@:25" }, "POSTHORN_SMTP_URL must be"},
		{"sender without host", func(c *Config) { c.MailFrom = "posthorn" }, "POSTHORN_MAIL_FROM must be"},
		{"log format", func(c *Config) { c.LogFormat = "xml" }, "POSTHORN_LOG_FORMAT must be"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := defaults()
			tt.change(&c)
			err := c.Validate()
			if tt.problem == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.problem)
			require.NotContains(t, err.Error(), "\n", "one problem only")
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func TestConfig_ValidateNamesAllProblems(t *testing.T) {
	t.Parallel()
	err := Config{}.Validate()
	for _, name := range []string{"ADDR", "TASK_QUEUE", "GROUP_MAX", "WORKFLOWS", "TIMEOUT", "RETRY_INITIAL", "RETRY_BACKOFF", "FAILURE_THRESHOLD", "RETENTION", "LOG_FORMAT"} {
		require.ErrorContains(t, err, "POSTHORN_"+name+" ")
	}
}

func TestConfig_Require(t *testing.T) {
	t.Parallel()
	c := Config{DatabaseURL: "sqlite:x"}
	require.NoError(t, c.Require())
	require.NoError(t, c.Require(DatabaseURL))
	require.EqualError(t, c.Require(DatabaseURL, EncryptionKeyset, AdminKey), "POSTHORN_ENCRYPTION_KEYSET must be set\nPOSTHORN_ADMIN_KEY must be set")
}

func TestConfig_SecretsAreNotPrinted(t *testing.T) {
	t.Parallel()
	c := defaults()
	c.DatabaseURL, c.AdminKey, c.AdminKeys, c.EncryptionKeyset, c.SMTPURL = "hunter2", "hunter2", "a=hunter2", "hunter2", "hunter2"
	var out bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("start", "config", c, "pointer", &c, "key", c.AdminKey)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		_, _ = fmt.Fprintf(&out, format+format+format+"\n", c, &c, c.AdminKey)
	}
	require.NoError(t, json.NewEncoder(&out).Encode(c))
	require.Contains(t, out.String(), mask)
	require.NotContains(t, out.String(), "hunter2")

	require.Equal(t, "hunter2", c.AdminKey.Reveal())
	require.Empty(t, Secret("").String(), "it shows that nothing is set")
}

func TestConfig_HelpShowsNoSecret(t *testing.T) {
	clean(t)
	t.Setenv("POSTHORN_ADMIN_KEY", "hunter2")
	var c cli
	var out bytes.Buffer
	exited := false
	parser, err := kong.New(&c, kong.Writers(&out, io.Discard), kong.Exit(func(int) { exited = true }))
	require.NoError(t, err)
	_, _ = parser.Parse([]string{"serve", "--help"})
	require.True(t, exited)
	require.Contains(t, out.String(), "POSTHORN_ADMIN_KEY")
	require.NotContains(t, out.String(), "hunter2")
}

func TestConfig_Duration(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"14d": 14 * day, "0d": 0, "1d12h": 36 * time.Hour, "36h": 36 * time.Hour, "90s": 90 * time.Second, "0": 0, "1d0h1m": day + time.Minute,
	} {
		var d Duration
		require.NoError(t, d.UnmarshalText([]byte(text)), text)
		require.Equal(t, want, d.Std(), text)
		var again Duration
		require.NoError(t, again.UnmarshalText([]byte(d.String())))
		require.Equal(t, d, again)
	}
	for _, text := range []string{"", "d", "14", "14dd", "1.5d", "-1d", "1d-1h", "1d24h", "14 d", "999999d", "9999999999999999999d", "two days"} {
		var d Duration
		require.Error(t, d.UnmarshalText([]byte(text)), text)
	}
	require.Equal(t, "14d", Duration(14*day).String())
	require.Equal(t, "36h0m0s", Duration(36*time.Hour).String())
}

func TestConfig_Networks(t *testing.T) {
	t.Parallel()
	var n Networks
	require.NoError(t, n.UnmarshalText([]byte(" 10.1.2.3/8 ,, ::1,192.168.0.1")))
	require.Equal(t, Networks{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("192.168.0.1/32")}, n)
	require.NoError(t, n.UnmarshalText(nil))
	require.Empty(t, n)
	err := n.UnmarshalText([]byte("10.0.0.0/33,fe80::1%eth0,10.0.0.0/8"))
	require.ErrorContains(t, err, "10.0.0.0/33")
	require.ErrorContains(t, err, "fe80::1%eth0")
}

// Only an origin may stand in a Content-Security-Policy and in CORS headers, and nothing that could end a directive.
func TestConfig_AnOriginEndsNoDirective(t *testing.T) {
	t.Parallel()
	var o Origins
	require.NoError(t, o.UnmarshalText([]byte(" https://App.example.com ,, http://localhost:3000,https://a.example:443,http://10.0.0.1,https://[2001:db8::1]:8443,https://xn--hks-tna.example")))
	require.Equal(t, Origins{"https://app.example.com", "http://localhost:3000", "https://a.example", "http://10.0.0.1", "https://[2001:db8::1]:8443", "https://xn--hks-tna.example"}, o)
	for _, char := range " ;'\"`()<>{}|^!$&+=~%@#?\\*\x00\r\nö／" {
		for _, text := range []string{"https://a" + string(char) + "b.example", "https://b.example" + string(char), "https://b.example:80" + string(char)} {
			if strings.TrimSpace(text) == text {
				require.Error(t, o.UnmarshalText([]byte(text)), "%q", text)
			}
		}
	}
	for _, text := range []string{"*", "null", "'self'", "app.example.com", "ftp://a.example", "https://", "https://:443", "https://a.example/", "https://a.example/x", "https://a..example",
		"https://.example", "https://a.example:", "https://a.example:0", "https://a.example:65536", "https://[::1", "https://[fe80::1%25eth0]", "https://[10.0.0.1]", "https://u@a.example", "https://*.example"} {
		require.ErrorContains(t, o.UnmarshalText([]byte("https://fine.example,"+text)), text, text)
	}
	require.Len(t, o, 6, "a list with a mistake changes nothing")
}

// docs/configuration.md lists every variable, by its name.
func TestConfig_EveryVariableIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/configuration.md")
	require.NoError(t, err)
	var walk func(reflect.Type)
	walk = func(settings reflect.Type) {
		for field := range settings.Fields() {
			if variable := field.Tag.Get("env"); variable != "" {
				require.Contains(t, string(page), "`"+variable+"`")
			}
			if _, embedded := field.Tag.Lookup("embed"); embedded {
				walk(field.Type)
			}
		}
	}
	walk(reflect.TypeFor[Config]())
}
