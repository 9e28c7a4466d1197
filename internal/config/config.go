// Package config turns the environment and the command line into one validated struct.
//
// It owns every POSTHORN_ variable of an ordinary build; internal/fault reads those of builds for fault injection. The
// libraries of Temporal and OpenTelemetry read their TEMPORAL_ and OTEL_ variables. It must not import anything of this module.
package config

import (
	"log/slog"
	"time"
)

// DefaultThreshold is the default of FailureThreshold.
const DefaultThreshold = 3000

// Config holds all settings of Posthorn, with kong's tags: commands embed it. A flag takes precedence over its
// variable, and a variable over the default. Fields whose zero value is legal say what it means.
type Config struct {
	DatabaseURL      Secret `name:"database-url" env:"POSTHORN_DATABASE_URL" help:"Database: postgres://… or sqlite:<path>. Required, except in dev." group:"Stores"`
	EncryptionKeyset Secret `name:"encryption-keyset" env:"POSTHORN_ENCRYPTION_KEYSET" help:"Keyset that encrypts secrets at rest; \"posthorn keyset new\" prints one. Required, except in dev." group:"Stores"`

	Addr      string `name:"addr" env:"POSTHORN_ADDR" default:"127.0.0.1:8080" help:"Address to listen on, as host:port; \":8080\" is every interface. Default ${default}." group:"HTTP"`
	AdminKey  Secret `name:"admin-key" env:"POSTHORN_ADMIN_KEY" help:"API key for every tenant, at least 24 characters." group:"HTTP"`
	PublicURL string `name:"public-url" env:"POSTHORN_PUBLIC_URL" help:"Base URL of this installation, for links in answers and mails. Empty: mails have no links." group:"HTTP"`
	// AdminKeys are additional admin keys, in the form that Admins reads.
	AdminKeys Secret `name:"admin-keys" env:"POSTHORN_ADMIN_KEYS" placeholder:"NAME=KEY,…" help:"Additional admin keys, each with the name shown as its actor." group:"HTTP"`
	// RequestRate is in calls per second. 0 means no limit.
	RequestRate float64 `name:"request-rate" env:"POSTHORN_REQUEST_RATE" default:"0" placeholder:"N" help:"Calls per second allowed for each key, and ten times as many for each tenant, in this process; bursts of twice that. Default: no limit." group:"HTTP"`
	// TrustedProxies: if empty, no X-Forwarded-For and X-Forwarded-Proto is read.
	TrustedProxies Networks `name:"trusted-proxies" env:"POSTHORN_TRUSTED_PROXIES" placeholder:"CIDR,…" help:"Networks of the proxies whose X-Forwarded-For and X-Forwarded-Proto are trusted. Empty: none." group:"HTTP"`
	// CORSOrigins: if empty, CORS is off.
	CORSOrigins Origins `name:"cors-origins" env:"POSTHORN_CORS_ORIGINS" placeholder:"ORIGIN,…" help:"Origins whose pages may call the API from a browser, such as https://app.example.com. Empty: none." group:"HTTP"`
	// PortalFrameAncestors: if empty, no page may embed the portal.
	PortalFrameAncestors Origins `name:"portal-frame-ancestors" env:"POSTHORN_PORTAL_FRAME_ANCESTORS" placeholder:"ORIGIN,…" help:"Origins whose pages may embed the portal, such as https://app.example.com. Empty: none." group:"HTTP"`
	// PortalLogoOrigins: if empty, no theme has a logo.
	PortalLogoOrigins Origins `name:"portal-logo-origins" env:"POSTHORN_PORTAL_LOGO_ORIGINS" placeholder:"ORIGIN,…" help:"Origins from which a portal theme's logo may be loaded, such as https://cdn.example.com. Empty: none." group:"HTTP"`
	// MaxWebhooks and MaxKeys are the limits of a tenant that has none of its own: 1 to MostWebhooks and MostKeys.
	MaxWebhooks int `name:"max-webhooks" env:"POSTHORN_MAX_WEBHOOKS" default:"10000" placeholder:"N" help:"Most webhooks of a tenant that has no limit of its own. Default ${default}." group:"HTTP"`
	MaxKeys     int `name:"max-keys" env:"POSTHORN_MAX_KEYS" default:"1000" placeholder:"N" help:"Most keys in force of a tenant that has no limit of its own. Default ${default}." group:"HTTP"`

	// TaskQueue is the prefix of all task queue names.
	TaskQueue string `name:"task-queue" env:"POSTHORN_TASK_QUEUE" default:"posthorn" help:"Prefix of the task queues, so that two installations can share a namespace. Default ${default}." group:"Temporal"`
	// GroupMax is the most deliveries in one dispatch, 1 to MaxGroup.
	GroupMax int `name:"group-max" env:"POSTHORN_GROUP_MAX" default:"256" help:"Most deliveries in one dispatch; 1 gives every event its own workflow. Default ${default}." group:"Temporal"`
	// Workflows is WorkflowsOfEvents or WorkflowsOfRetries.
	Workflows string `name:"workflows" env:"POSTHORN_WORKFLOWS" default:"event" enum:"event,retries" help:"What gets a workflow: every event, or only deliveries whose first attempt failed (${enum}). Default ${default}." group:"Temporal"`
	// Deployment: if empty, workers are not versioned.
	Deployment    string `name:"deployment" env:"POSTHORN_DEPLOYMENT" placeholder:"NAME" help:"Temporal Worker Deployment of the workers. Their build's version is the deployment version. Empty: workers are not versioned." group:"Temporal"`
	TemporalUIURL string `name:"temporal-ui-url" env:"POSTHORN_TEMPORAL_UI_URL" help:"Base of the links to the Temporal Web UI. Empty: no links." group:"Temporal"`

	AllowHTTP     bool     `name:"allow-http" env:"POSTHORN_ALLOW_HTTP" help:"Allow receivers on plain http." group:"Delivery"`
	AllowNetworks Networks `name:"allow-networks" env:"POSTHORN_ALLOW_NETWORKS" placeholder:"CIDR,…" help:"Non-public networks that the destination guard allows." group:"Delivery"`
	// MaxPosts is the most POSTs in flight in this process. 0 means PostLimit's default.
	MaxPosts int           `name:"max-posts" env:"POSTHORN_MAX_POSTS" placeholder:"N" help:"Most POSTs in flight in this process, 1 to 4096. Default: a quarter of its file descriptors beyond the first 128, within 16 to 4096." group:"Delivery"`
	Timeout  time.Duration `name:"timeout" env:"POSTHORN_TIMEOUT" default:"15s" help:"How long a receiver has to answer. Default ${default}." group:"Delivery"`
	Retry    Retry         `embed:"" prefix:"retry-" group:"Delivery"`
	// FailureThreshold is how many failed receptions deactivate a webhook; default DefaultThreshold.
	FailureThreshold int       `name:"failure-threshold" env:"POSTHORN_FAILURE_THRESHOLD" default:"3000" help:"Failed receptions after which a webhook is deactivated. Default ${default}." group:"Delivery"`
	Reconcile        Reconcile `embed:"" prefix:"reconcile-" group:"Delivery"`
	Retention        Duration  `name:"retention" env:"POSTHORN_RETENTION" default:"14d" help:"How long finished events, deliveries and attempts are kept; pending and held ones stay. Default ${default}." group:"Stores"`
	AuditRetention   Duration  `name:"audit-retention" env:"POSTHORN_AUDIT_RETENTION" default:"400d" help:"How long entries of the audit log are kept. Default ${default}." group:"Stores"`

	// SMTPURL: if empty, no mail is sent.
	SMTPURL  Secret `name:"smtp-url" env:"POSTHORN_SMTP_URL" help:"Mail server for notifications: smtp[s]://user:pass@host:port. Empty: no mail." group:"Mail"`
	MailFrom string `name:"mail-from" env:"POSTHORN_MAIL_FROM" default:"Posthorn <posthorn@localhost>" help:"Sender of notifications. Default ${default}." group:"Mail"`

	LogLevel  slog.Level `name:"log-level" env:"POSTHORN_LOG_LEVEL" default:"info" help:"Lowest level to log: debug, info, warn or error. Default ${default}." group:"Observability"`
	LogFormat string     `name:"log-format" env:"POSTHORN_LOG_FORMAT" default:"text" enum:"text,json" help:"Form of the log on standard error: ${enum}. Default ${default}." group:"Observability"`
	// OTLPEndpoint switches tracing on. OpenTelemetry's exporter reads it, and its other OTEL_ variables, by itself.
	OTLPEndpoint string `name:"otlp-endpoint" env:"OTEL_EXPORTER_OTLP_ENDPOINT" help:"OpenTelemetry collector to send traces to. Empty: no tracing." group:"Observability"`
}

// The values of Config.Workflows.
const (
	WorkflowsOfEvents  = "event"
	WorkflowsOfRetries = "retries"
)

// Retry is the default schedule of retries after a failed first attempt. Each webhook can override it.
type Retry struct {
	// Initial is the wait before the first retry; each further wait is Backoff times the one before, at most MaxInterval.
	Initial     time.Duration `name:"initial" env:"POSTHORN_RETRY_INITIAL" default:"10s" help:"Wait before the first retry. Default ${default}."`
	Backoff     float64       `name:"backoff" env:"POSTHORN_RETRY_BACKOFF" default:"2" help:"Factor from one wait to the next. Default ${default}."`
	MaxInterval time.Duration `name:"max-interval" env:"POSTHORN_RETRY_MAX_INTERVAL" default:"30m" help:"Longest wait. Default ${default}."`
	// Max is how many retries follow the first attempt. 0 means none.
	Max int `name:"max" env:"POSTHORN_RETRY_MAX" default:"10" help:"Retries after the first attempt; 0 is none. Default ${default}."`
}

// Reconcile says when a worker looks for accepted deliveries that nothing drives.
type Reconcile struct {
	// After is how long a delivery must have been due before its workflow is checked. Posthorn keeps newly accepted
	// deliveries in memory for 10 s: with less than that a delivery whose start is slow may be sent twice.
	After time.Duration `name:"after" env:"POSTHORN_RECONCILE_AFTER" default:"1m" help:"How long a delivery must be overdue before the reconciler checks it. Default ${default}."`
	// Every is the time between two rounds.
	Every time.Duration `name:"every" env:"POSTHORN_RECONCILE_EVERY" default:"10s" help:"How often each worker looks for deliveries that nothing drives. Default ${default}."`
}
