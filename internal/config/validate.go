package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of the settings.
const (
	// MaxGroup is the most deliveries in one dispatch, and the default.
	MaxGroup = 256
	// MaxTimeout is the longest timeout of a receiver.
	MaxTimeout = time.Minute
	// MaxRetries is the most retries after a first attempt.
	MaxRetries = 1000
	// MaxRate is the highest rate of calls per second to which a key can be limited.
	MaxRate = 1_000_000
	// MostWebhooks and MostKeys are the largest values of MaxWebhooks and MaxKeys.
	MostWebhooks = 1_000_000
	MostKeys     = 100_000
)

// Names of variables that some commands require, for Require.
const (
	DatabaseURL      = "POSTHORN_DATABASE_URL"
	EncryptionKeyset = "POSTHORN_ENCRYPTION_KEYSET"
	AdminKey         = "POSTHORN_ADMIN_KEY"
)

// namePattern is the form of names of task queues and of admin keys.
var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// deploymentPattern excludes the dot and the colon, which separate a deployment's name from a build id. It allows the
// slash, which is in the names that the Temporal Worker Controller uses: a namespace and a name of Kubernetes, of up
// to 63 characters each.
var deploymentPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_/-]{0,126}$`)

// Validate checks every value that is set and returns all problems. Each problem names its variable, and none quotes a
// secret. An unset setting is not a problem: commands differ in their needs, and check them with Require. Kong calls
// Validate when it has parsed a command that embeds Config.
func (c Config) Validate() error {
	var p problems
	p.add(DatabaseURL, checkDatabaseURL(c.DatabaseURL.Reveal()))
	p.add("POSTHORN_ADDR", checkAddr(c.Addr))
	p.add(AdminKey, checkAdminKey(c.AdminKey.Reveal()))
	_, err := c.Admins()
	p.add("POSTHORN_ADMIN_KEYS", err)
	p.check("POSTHORN_REQUEST_RATE", c.RequestRate >= 0 && c.RequestRate <= MaxRate, fmt.Sprintf("must be 0 to %d calls a second", MaxRate))
	p.add("POSTHORN_PUBLIC_URL", checkBaseURL(c.PublicURL))
	p.add("POSTHORN_TEMPORAL_UI_URL", checkBaseURL(c.TemporalUIURL))
	p.check("POSTHORN_TASK_QUEUE", namePattern.MatchString(c.TaskQueue), "must be 1 to 64 letters, digits, dots, dashes or underscores, the first a letter or digit")
	p.check("POSTHORN_GROUP_MAX", c.GroupMax >= 1 && c.GroupMax <= MaxGroup, fmt.Sprintf("must be 1 to %d", MaxGroup))
	p.check("POSTHORN_WORKFLOWS", slices.Contains([]string{WorkflowsOfEvents, WorkflowsOfRetries}, c.Workflows), "must be event or retries")
	p.check("POSTHORN_DEPLOYMENT", c.Deployment == "" || deploymentPattern.MatchString(c.Deployment), "must be 1 to 127 letters, digits, dashes, underscores or slashes, the first a letter or digit")
	p.check("POSTHORN_MAX_POSTS", c.MaxPosts >= 0 && c.MaxPosts <= MaxPosts, fmt.Sprintf("must be 1 to %d, or 0 for the default", MaxPosts))
	p.check("POSTHORN_MAX_WEBHOOKS", c.MaxWebhooks >= 1 && c.MaxWebhooks <= MostWebhooks, fmt.Sprintf("must be 1 to %d", MostWebhooks))
	p.check("POSTHORN_MAX_KEYS", c.MaxKeys >= 1 && c.MaxKeys <= MostKeys, fmt.Sprintf("must be 1 to %d", MostKeys))
	p.check("POSTHORN_TIMEOUT", c.Timeout > 0 && c.Timeout <= MaxTimeout, fmt.Sprintf("must be more than 0 and at most %s", MaxTimeout))
	p.check("POSTHORN_RETRY_INITIAL", c.Retry.Initial > 0, "must be more than 0")
	p.check("POSTHORN_RETRY_BACKOFF", c.Retry.Backoff >= 1 && !math.IsInf(c.Retry.Backoff, 0), "must be at least 1")
	p.check("POSTHORN_RETRY_MAX_INTERVAL", c.Retry.MaxInterval >= c.Retry.Initial, "must not be less than POSTHORN_RETRY_INITIAL")
	p.check("POSTHORN_RETRY_MAX", c.Retry.Max >= 0 && c.Retry.Max <= MaxRetries, fmt.Sprintf("must be 0 to %d", MaxRetries))
	p.check("POSTHORN_FAILURE_THRESHOLD", c.FailureThreshold >= 1, "must be at least 1")
	p.check("POSTHORN_RECONCILE_AFTER", c.Reconcile.After > 0, "must be more than 0")
	p.check("POSTHORN_RECONCILE_EVERY", c.Reconcile.Every > 0, "must be more than 0")
	p.check("POSTHORN_RETENTION", c.Retention > 0, "must be more than 0")
	p.check("POSTHORN_AUDIT_RETENTION", c.AuditRetention > 0, "must be more than 0")
	p.add("POSTHORN_SMTP_URL", checkSMTPURL(c.SMTPURL.Reveal()))
	p.add("POSTHORN_MAIL_FROM", checkMailFrom(c.MailFrom))
	p.check("POSTHORN_LOG_FORMAT", slices.Contains([]string{"text", "json"}, c.LogFormat), "must be text or json")
	return errors.Join(p...)
}

// Require returns an error that names every unset one of the given variables (DatabaseURL, EncryptionKeyset,
// AdminKey).
func (c Config) Require(variables ...string) error {
	values := map[string]Secret{DatabaseURL: c.DatabaseURL, EncryptionKeyset: c.EncryptionKeyset, AdminKey: c.AdminKey}
	var p problems
	for _, variable := range variables {
		p.check(variable, values[variable] != "", "must be set")
	}
	return errors.Join(p...)
}

// CheckVersion refuses a build without a version if workers are versioned by it.
func (c Config) CheckVersion(version string) error {
	if c.Deployment != "" && (version == "" || version == "dev") {
		return errors.New("POSTHORN_DEPLOYMENT needs a build with a version (-ldflags '-X main.version=…'), as it is the build id")
	}
	return nil
}

type problems []error

func (p *problems) add(variable string, err error) {
	if err != nil {
		*p = append(*p, fmt.Errorf("%s %w", variable, err))
	}
}

func (p *problems) check(variable string, ok bool, rule string) {
	if !ok {
		*p = append(*p, errors.New(variable+" "+rule))
	}
}

func checkDatabaseURL(value string) error {
	if value == "" {
		return nil
	}
	if path, ok := strings.CutPrefix(value, "sqlite:"); ok {
		if path == "" {
			return errors.New("names no file: it must be sqlite:<path>")
		}
		return nil
	}
	u, err := url.Parse(value) // the error would quote the password
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		return errors.New("must be postgres://… or sqlite:<path>")
	}
	return nil
}

func checkAddr(value string) error {
	_, port, err := net.SplitHostPort(value)
	if err != nil {
		return errors.New("must be host:port")
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return errors.New("must end in a port from 0 to 65535")
	}
	return nil
}

func checkBaseURL(value string) error {
	if value == "" {
		return nil
	}
	u, err := url.Parse(value)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return errors.New("must be an http or https URL")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("must not have credentials, a query or a fragment")
	}
	if !isHost(u) {
		return errors.New("must have a host of letters, digits, dots and dashes, or an address; write other letters as xn--…")
	}
	if strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("\"<>\\^`{|}?#", r) }) {
		return errors.New("must be percent-encoded, because it is used in headers and pages")
	}
	return nil
}

func checkSMTPURL(value string) error {
	if value == "" {
		return nil
	}
	u, err := url.Parse(value) // the error would quote the password
	if err != nil || (u.Scheme != "smtp" && u.Scheme != "smtps") || u.Hostname() == "" {
		return errors.New("must be smtp[s]://user:pass@host:port")
	}
	return nil
}

func checkMailFrom(value string) error {
	if value == "" {
		return nil
	}
	if _, err := mail.ParseAddress(value); err != nil {
		return errors.New("must be an e-mail address")
	}
	return nil
}
