package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/posthorn/posthorn/client"
	"github.com/posthorn/posthorn/internal/config"
)

// WebhooksCommand is `posthorn webhooks`.
type WebhooksCommand struct {
	List    WebhooksListCommand    `cmd:"" help:"List webhooks, oldest first."`
	Get     WebhooksGetCommand     `cmd:"" help:"Show a webhook."`
	Create  WebhooksCreateCommand  `cmd:"" help:"Register a webhook. Its secret is shown only once."`
	Delete  WebhooksDeleteCommand  `cmd:"" help:"Delete a webhook. Its unfinished deliveries are canceled."`
	Enable  WebhooksEnableCommand  `cmd:"" help:"Make a webhook active, and set its failure count to 0."`
	Disable WebhooksDisableCommand `cmd:"" help:"Disable a webhook. Deliveries that become due are held."`
	Pause   WebhooksPauseCommand   `cmd:"" help:"Pause a webhook. Deliveries that become due are held until it is resumed."`
	Resume  WebhooksResumeCommand  `cmd:"" help:"Resume a paused webhook, and release the deliveries that the pause held."`
	Test    WebhooksTestCommand    `cmd:"" help:"POST an example of every event type to a webhook, now. Fails if one was not received."`
	Recover WebhooksRecoverCommand `cmd:"" help:"Send a webhook's held, failed, delivered or canceled deliveries again, or events that it has missed."`
}

// WebhooksListCommand is `posthorn webhooks list`.
type WebhooksListCommand struct {
	OfTenant
	Page
	To        string `placeholder:"URL" help:"Only webhooks with this URL." group:"List"`
	EventType string `placeholder:"TYPE" help:"Only webhooks that would get events of this type." group:"List"`
	Status    string `enum:",active,paused,deactivated,disabled" default:"" help:"Only webhooks in this status: active, paused, deactivated or disabled." group:"List"`
	Profile   string `help:"Only webhooks with this profile." group:"List"`
}

// Help has the examples.
func (*WebhooksListCommand) Help() string {
	return `Examples:
  posthorn webhooks list --status deactivated
  posthorn webhooks list --event-type order.created -o json | jq -r '.data[].url'`
}

// Run lists.
func (c *WebhooksListCommand) Run(ctx context.Context, env Environment) error {
	answer, err := pages(&c.Remote, c.Page, func(api *client.ClientWithResponses, limit *int64, after *string) (*client.ListWebhooksResponse, error) {
		return api.ListWebhooksWithResponse(ctx, c.Tenant, &client.ListWebhooksParams{Limit: limit, After: after, URL: given(c.To),
			EventType: given(c.EventType), Status: given(c.Status), Profile: given(c.Profile)})
	})
	if err != nil {
		return err
	}
	return show(&c.Remote, env, answer, rows("id,name,status,failed,types,url", func(w client.Webhook) []any {
		return []any{w.ID, w.Name, w.Status, w.FailedAttempts, typesOf(w.EventTypes), w.URL}
	}))
}

func typesOf(types []string) any {
	if len(types) == 0 {
		return "all"
	}
	return types
}

// pairsOf returns the entries of a map as name=value, in order.
func pairsOf(of map[string]string) []string {
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(of)) {
		pairs = append(pairs, name+"="+of[name])
	}
	return pairs
}

// OneWebhook is a command about one webhook.
type OneWebhook struct {
	OfTenant
	ID string `arg:"" help:"The webhook's id, or its uid."`
}

func (c *OneWebhook) show(env Environment, answer []byte, err error) error {
	if err != nil {
		return err
	}
	return show(&c.Remote, env, answer, drawWebhook)
}

func drawWebhook(p *printer, w client.Webhook) {
	p.fields("webhook", w.ID, "uid", w.UID, "url", w.URL, "name", w.Name, "description", w.Description, "event types", typesOf(w.EventTypes),
		"channels", typesOf(w.Channels), "metadata", pairsOf(w.Metadata), "status", w.Status,
		"reason", w.StatusReason, "failed attempts", w.FailedAttempts, "last success", w.LastSuccessAt)
	if f := w.LastFailure; f != nil {
		p.fields("last failure", moment(f.At)+", "+f.Error)
	}
	p.fields("retries", fmt.Sprintf("%d: after %s, each wait %v times the one before, %s at most", w.Retry.Max, w.Retry.Initial, w.Retry.Backoff, w.Retry.MaxInterval),
		"timeout", w.Timeout, "max in flight", w.MaxInFlight, "rate limit", w.RateLimit, "profile", w.Profile,
		"created", moment(w.CreatedAt)+" by "+w.CreatedBy, "updated", moment(w.UpdatedAt)+" by "+w.UpdatedBy)
}

// WebhooksGetCommand is `posthorn webhooks get`.
type WebhooksGetCommand struct{ OneWebhook }

// Help has the examples.
func (*WebhooksGetCommand) Help() string {
	return `Example:
  posthorn webhooks get wh_0198c0de-0000-7000-8000-000000000002`
}

// Run shows the webhook.
func (c *WebhooksGetCommand) Run(ctx context.Context, env Environment) error {
	answer, err := call(&c.Remote, func(api *client.ClientWithResponses) (*client.GetWebhookResponse, error) {
		return api.GetWebhookWithResponse(ctx, c.Tenant, c.ID)
	})
	return c.show(env, answer, err)
}

// WebhooksCreateCommand is `posthorn webhooks create`.
type WebhooksCreateCommand struct {
	OfTenant
	To          string            `arg:"" name:"target" help:"The URL to POST to."`
	EventType   []string          `placeholder:"TYPE" help:"A type to send, or a wildcard such as order.*; repeatable. Default: all." group:"Webhook"`
	Name        string            `help:"Its name." group:"Webhook"`
	Description string            `help:"What it is for." group:"Webhook"`
	UID         string            `name:"uid" help:"Your own name for it, which can be used wherever its id can." group:"Webhook"`
	Channel     []string          `sep:"none" placeholder:"CHANNEL" help:"Send only events that have one of these channels; repeatable. Default: all events." group:"Webhook"`
	Metadata    map[string]string `mapsep:"none" placeholder:"NAME=VALUE" help:"Your own note; repeatable." group:"Webhook"`
	Secret      config.Secret     `env:"POSTHORN_WEBHOOK_SECRET" placeholder:"WHSEC" help:"The signing secret. Default: a generated one." group:"Webhook"`
	Header      map[string]string `mapsep:"none" placeholder:"NAME=VALUE" help:"A header to send with every POST; repeatable." group:"Webhook"`
	Disabled    bool              `help:"Create it as disabled." group:"Webhook"`
	Timeout     time.Duration     `help:"How long the receiver has to answer. Default: the installation's." group:"Webhook"`
	MaxInFlight int64             `help:"The most POSTs at once." group:"Webhook"`
	RateLimit   float64           `help:"The most deliveries per second." group:"Webhook"`
	Profile     string            `help:"How deliveries look on the wire. Default: standard." group:"Webhook"`
}

// Help has the examples.
func (*WebhooksCreateCommand) Help() string {
	return `Examples:
  posthorn webhooks create https://shop.example/hooks
  posthorn webhooks create https://shop.example/hooks --event-type 'order.*' --name Shop --rate-limit 50
  posthorn webhooks create https://shop.example/hooks --uid shop-main --channel shop-1 --metadata owner=billing
  posthorn webhooks create https://shop.example/hooks -o json | jq -r .secret`
}

// Run registers.
func (c *WebhooksCreateCommand) Run(ctx context.Context, env Environment) error {
	in := client.WebhookInput{URL: c.To, Name: given(c.Name), Description: given(c.Description), Secret: given(c.Secret.Reveal()),
		MaxInFlight: given(c.MaxInFlight), RateLimit: given(c.RateLimit), Profile: given(c.Profile), UID: given(c.UID)}
	if len(c.Channel) > 0 {
		in.Channels = &c.Channel
	}
	if len(c.Metadata) > 0 {
		in.Metadata = &c.Metadata
	}
	if len(c.EventType) > 0 {
		in.EventTypes = &c.EventType
	}
	if len(c.Header) > 0 {
		in.Headers = &c.Header
	}
	if c.Disabled {
		in.Active = new(false)
	}
	if c.Timeout != 0 {
		in.Timeout = new(c.Timeout.String())
	}
	answer, err := call(&c.Remote, func(api *client.ClientWithResponses) (*client.CreateWebhookResponse, error) {
		return api.CreateWebhookWithResponse(ctx, c.Tenant, in)
	})
	if err != nil {
		return err
	}
	return show(&c.Remote, env, answer, func(p *printer, w client.NewWebhook) {
		p.fields("webhook", w.ID, "uid", w.UID, "url", w.URL, "event types", typesOf(w.EventTypes), "channels", typesOf(w.Channels),
			"status", w.Status, "secret", w.Secret)
	})
}

// WebhooksDeleteCommand is `posthorn webhooks delete`.
type WebhooksDeleteCommand struct{ OneWebhook }

// Help has the examples.
func (*WebhooksDeleteCommand) Help() string {
	return `Example:
  posthorn webhooks delete wh_0198c0de-0000-7000-8000-000000000002`
}

// Run deletes.
func (c *WebhooksDeleteCommand) Run(ctx context.Context, env Environment) error {
	_, err := call(&c.Remote, func(api *client.ClientWithResponses) (*client.DeleteWebhookResponse, error) {
		return api.DeleteWebhookWithResponse(ctx, c.Tenant, c.ID)
	})
	return c.deleted(env, "webhook "+c.ID, err)
}

// deleted prints for people that a thing was deleted.
func (r *Remote) deleted(env Environment, what string, err error) error {
	if err != nil || r.Output == "json" {
		return err
	}
	_, err = fmt.Fprintf(env.Out, "the %s was deleted\n", harmless(what))
	return err
}

// WebhooksEnableCommand is `posthorn webhooks enable`.
type WebhooksEnableCommand struct {
	OneWebhook
	Recover bool `help:"Also send held and failed deliveries again." group:"Enable"`
}

// Help has the examples.
func (*WebhooksEnableCommand) Help() string {
	return `Example:
  posthorn webhooks enable wh_0198c0de-0000-7000-8000-000000000002 --recover`
}

// Run enables.
func (c *WebhooksEnableCommand) Run(ctx context.Context, env Environment) error {
	answer, err := call(&c.Remote, func(api *client.ClientWithResponses) (*client.EnableWebhookResponse, error) {
		return api.EnableWebhookWithResponse(ctx, c.Tenant, c.ID, client.EnableInput{Recover: given(c.Recover)})
	})
	return c.show(env, answer, err)
}

// WebhooksDisableCommand is `posthorn webhooks disable`.
type WebhooksDisableCommand struct {
	OneWebhook
	Reason string `help:"The reason, shown as the webhook's status_reason." group:"Disable"`
}

// Help has the examples.
func (*WebhooksDisableCommand) Help() string {
	return `Example:
  posthorn webhooks disable wh_0198c0de-0000-7000-8000-000000000002 --reason 'moves to another host'`
}

// Run disables.
func (c *WebhooksDisableCommand) Run(ctx context.Context, env Environment) error {
	answer, err := call(&c.Remote, func(api *client.ClientWithResponses) (*client.DisableWebhookResponse, error) {
		return api.DisableWebhookWithResponse(ctx, c.Tenant, c.ID, client.DisableInput{Reason: given(c.Reason)})
	})
	return c.show(env, answer, err)
}

// WebhooksPauseCommand is `posthorn webhooks pause`.
type WebhooksPauseCommand struct{ OneWebhook }

// Help has the examples.
func (*WebhooksPauseCommand) Help() string {
	return `Example:
  posthorn webhooks pause wh_0198c0de-0000-7000-8000-000000000002`
}

// Run pauses.
func (c *WebhooksPauseCommand) Run(ctx context.Context, env Environment) error {
	answer, err := call(&c.Remote, func(api *client.ClientWithResponses) (*client.PauseWebhookResponse, error) {
		return api.PauseWebhookWithResponse(ctx, c.Tenant, c.ID)
	})
	return c.show(env, answer, err)
}

// WebhooksResumeCommand is `posthorn webhooks resume`.
type WebhooksResumeCommand struct{ OneWebhook }

// Help has the examples.
func (*WebhooksResumeCommand) Help() string {
	return `Example:
  posthorn webhooks resume wh_0198c0de-0000-7000-8000-000000000002`
}

// Run resumes.
func (c *WebhooksResumeCommand) Run(ctx context.Context, env Environment) error {
	answer, err := call(&c.Remote, func(api *client.ClientWithResponses) (*client.ResumeWebhookResponse, error) {
		return api.ResumeWebhookWithResponse(ctx, c.Tenant, c.ID)
	})
	return c.show(env, answer, err)
}

// WebhooksTestCommand is `posthorn webhooks test`.
type WebhooksTestCommand struct {
	OneWebhook
	EventType string `placeholder:"TYPE" help:"Only this type. Default: every type that it is registered for, at most 20." group:"Test"`
}

// Help has the examples.
func (*WebhooksTestCommand) Help() string {
	return `Example:
  posthorn webhooks test wh_0198c0de-0000-7000-8000-000000000002 --event-type order.created`
}

// Run tests. It fails if a test was not received.
func (c *WebhooksTestCommand) Run(ctx context.Context, env Environment) error {
	answer, err := call(&c.Remote, func(api *client.ClientWithResponses) (*client.TestWebhookResponse, error) {
		return api.TestWebhookWithResponse(ctx, c.Tenant, c.ID, client.TestInput{EventType: given(c.EventType)})
	})
	if err != nil {
		return err
	}
	if err := show(&c.Remote, env, answer, func(p *printer, r client.TestReport) {
		p.header("type", "received", "status", "took", "error")
		for i := range r.Tests {
			t := &r.Tests[i]
			received := "no"
			if t.Received {
				received = "yes"
			}
			p.row(t.EventType, received, t.StatusCode, span(time.Duration(t.DurationMs)*time.Millisecond), t.Error)
		}
	}); err != nil {
		return err
	}
	return failedTests(answer)
}

// failedTests returns the error of a report in which a test was not received.
func failedTests(answer []byte) error {
	var r client.TestReport
	if err := json.Unmarshal(answer, &r); err != nil {
		return err
	}
	if r.TestsFailed > 0 {
		return fmt.Errorf("%d of %d tests were not received", r.TestsFailed, r.TestsRun)
	}
	return nil
}

// WebhooksRecoverCommand is `posthorn webhooks recover`.
type WebhooksRecoverCommand struct {
	OneWebhook
	Since       *Moment  `placeholder:"TIME" help:"Only deliveries made and events accepted at or after this time: RFC 3339, or how long ago (90m). Default: as far back as the retention; held deliveries are included however old they are." group:"Recover"`
	Until       *Moment  `placeholder:"TIME" help:"Only deliveries made before this time. Default: now." group:"Recover"`
	Status      []string `enum:"held,failed,delivered,canceled" placeholder:"STATUS" help:"Only deliveries in this status: held, failed, delivered or canceled; repeatable. Default: held and failed; with --missed, none." group:"Recover"`
	EventType   []string `placeholder:"TYPE" help:"Only this type, or a wildcard such as order.*; repeatable. Default: all." group:"Recover"`
	Channel     string   `help:"Only of events with this channel." group:"Recover"`
	Tag         string   `help:"Only of events with this tag." group:"Recover"`
	StatusClass *int     `placeholder:"N" help:"Only deliveries whose last answer is of this class: 4 = 400 to 499, 0 = no answer." group:"Recover"`
	Missed      bool     `help:"Also create deliveries of events that match the webhook and have no delivery to it, because it was created later or its types were widened. Without --status, only these." group:"Recover"`
	Rate        float64  `help:"The most deliveries to release per second. Default: no limit." group:"Recover"`
}

// Help has the examples.
func (*WebhooksRecoverCommand) Help() string {
	return `It runs in the background: posthorn recoveries get shows its progress.

Examples:
  posthorn webhooks recover wh_0198c0de-0000-7000-8000-000000000002 --since 24h
  posthorn webhooks recover wh_0198c0de-0000-7000-8000-000000000002 --status held --rate 20
  posthorn webhooks recover wh_0198c0de-0000-7000-8000-000000000002 --status delivered --event-type 'order.*' --since 3h
  posthorn webhooks recover wh_0198c0de-0000-7000-8000-000000000002 --missed --since 72h`
}

// Run starts a recovery.
func (c *WebhooksRecoverCommand) Run(ctx context.Context, env Environment) error {
	in := client.RecoveryInput{Since: c.Since.when(), Until: c.Until.when(), Missed: given(c.Missed), Rate: given(c.Rate), Channel: given(c.Channel), Tag: given(c.Tag)}
	if c.StatusClass != nil {
		in.StatusClass = new(int64(*c.StatusClass))
	}
	if len(c.Status) > 0 {
		in.Statuses = &c.Status
	}
	if len(c.EventType) > 0 {
		in.EventTypes = &c.EventType
	}
	answer, err := call(&c.Remote, func(api *client.ClientWithResponses) (*client.RecoverWebhookResponse, error) {
		return api.RecoverWebhookWithResponse(ctx, c.Tenant, c.ID, in)
	})
	if err != nil {
		return err
	}
	return show(&c.Remote, env, answer, drawRecovery)
}
