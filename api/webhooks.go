package api

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

const (
	webhooksPath = "/v1/tenants/{tenant}/webhooks"
	webhookPath  = webhooksPath + "/{id}"
)

// WebhookInput describes a webhook to create. An absent or null field gets its default.
type WebhookInput struct {
	URL         string             `json:"url" doc:"The URL to POST to. It must be https, unless this installation allows http, without credentials, and not at a private address. It is stored in its canonical form." example:"https://shop.example/hooks"`
	EventTypes  *[]string          `json:"event_types,omitempty" doc:"The types to send. Wildcards such as order.* work. Empty = all except Posthorn's own." example:"order.*"`
	Name        *string            `json:"name,omitempty" doc:"At most 200 characters." example:"Shop"`
	Description *string            `json:"description,omitempty" doc:"At most 2000 characters."`
	UID         *string            `json:"uid,omitempty" doc:"The caller's own name for it, unique among the tenant's webhooks. It can be used wherever its id can. 1 to 256 letters, digits, dots, dashes or underscores."`
	Channels    *[]string          `json:"channels,omitempty" doc:"At most 10. With channels it gets only events that share one; empty = all events." example:"project-1"`
	Metadata    *map[string]string `json:"metadata,omitempty" doc:"The caller's own notes: at most 50, of names up to 100 characters and values up to 1000."`
	Secret      *string            `json:"secret,omitempty" doc:"The signing secret. Default: a generated one."`
	Headers     *map[string]string `json:"headers,omitempty" doc:"Headers to send with every POST."`
	Active      *bool              `json:"active,omitempty" doc:"false = disabled until it is enabled." default:"true"`
	Retry       *RetryInput        `json:"retry,omitempty"`
	Timeout     *duration          `json:"timeout,omitempty" doc:"How long the receiver has to answer, 100ms to 1m. Default: the installation's, 15s."`
	MaxInFlight *int               `json:"max_in_flight,omitempty" minimum:"0" maximum:"1000" doc:"The most POSTs to it at once, over all workers. 0 = only the workers' own limits apply."`
	RateLimit   *float64           `json:"rate_limit,omitempty" minimum:"0" maximum:"10000" doc:"The most deliveries per second; 0 = no limit."`
	Profile     string             `json:"profile,omitempty" doc:"How deliveries look on the wire: standard, im4, phrase, languageweaver, ewarehousing, up42 or svix." default:"standard"`
}

// WebhookPatch is a change of a webhook. An absent or null field stays as it is, but null unsets the uid.
type WebhookPatch struct {
	WebhookReadOnly
	URL         *string            `json:"url,omitempty" doc:"As for a new webhook."`
	EventTypes  *[]string          `json:"event_types,omitempty" doc:"Replaces the types as a whole."`
	Name        *string            `json:"name,omitempty"`
	Description *string            `json:"description,omitempty"`
	UID         optional[string]   `json:"uid,omitzero" doc:"As for a new webhook; null unsets it."`
	Channels    *[]string          `json:"channels,omitempty" doc:"Replaces the channels as a whole; [] = all events. Deliveries that exist stay."`
	Metadata    *map[string]string `json:"metadata,omitempty" doc:"Replaces the metadata as a whole."`
	Headers     *map[string]string `json:"headers,omitempty" doc:"Replaces the headers as a whole. A masked value keeps the header's current value."`
	Active      *bool              `json:"active,omitempty" doc:"true enables, false disables."`
	Retry       *RetryInput        `json:"retry,omitempty" doc:"Replaces the schedule as a whole; {} restores the installation's."`
	Timeout     *duration          `json:"timeout,omitempty" doc:"0 restores the installation's."`
	MaxInFlight *int               `json:"max_in_flight,omitempty" minimum:"0" maximum:"1000" doc:"0 = no limit of its own."`
	RateLimit   *float64           `json:"rate_limit,omitempty" minimum:"0" maximum:"10000" doc:"0 = no limit."`
}

// RetryInput is a retry schedule. A field that is absent takes the installation's value, and so does one that is 0,
// except max.
type RetryInput struct {
	Initial     *duration `json:"initial,omitempty" doc:"The wait before the first retry, at most 24h."`
	Backoff     *float64  `json:"backoff,omitempty" doc:"The factor by which each wait is longer than the one before, 1 to 10." example:"2"`
	MaxInterval *duration `json:"max_interval,omitempty" doc:"The longest wait, at most 24h."`
	Max         *int      `json:"max,omitempty" doc:"Retries after the first attempt, 0 to 100; 0 = none." example:"10"`
}

func (r *RetryInput) retry() *models.Retry {
	if r == nil {
		return nil
	}
	out := &models.Retry{Max: r.Max}
	if r.Initial != nil {
		out.Initial = r.Initial.Duration
	}
	if r.Backoff != nil {
		out.Backoff = *r.Backoff
	}
	if r.MaxInterval != nil {
		out.MaxInterval = r.MaxInterval.Duration
	}
	return out
}

// Webhook is a webhook as the API shows it.
type Webhook struct {
	ID             string               `json:"id" example:"wh_0198c0de-0000-7000-8000-000000000002"`
	Tenant         string               `json:"tenant" example:"acme"`
	UID            *string              `json:"uid" doc:"The caller's own name for it; null = none." example:"shop-main"`
	URL            string               `json:"url" example:"https://shop.example/hooks" doc:"A key with the role read sees it without its query, which may hold a token."`
	Name           string               `json:"name" example:"Shop"`
	Description    string               `json:"description"`
	EventTypes     []string             `json:"event_types" example:"order.*"`
	Channels       []string             `json:"channels" doc:"It gets only events that share one; empty = all events." example:"project-1"`
	Metadata       map[string]string    `json:"metadata"`
	Status         models.WebhookStatus `json:"status" enum:"active,paused,deactivated,disabled" doc:"Deliveries to a webhook that is not active are held."`
	StatusReason   *string              `json:"status_reason" doc:"Why it is not active, or which of its secrets cannot be decrypted."`
	FailedAttempts int64                `json:"failed_attempts" doc:"Failed attempts since the last successful one; with some profiles, since it was enabled."`
	LastFailure    maybe[Failure]       `json:"last_failure"`
	LastSuccessAt  *timestamp           `json:"last_success_at" nullable:"true"`
	LastNotice     maybe[Notice]        `json:"last_notification"`
	Headers        map[string]string    `json:"headers" doc:"The names of its headers; the values are masked."`
	Retry          Retry                `json:"retry" doc:"The schedule in force, the installation's defaults included."`
	Timeout        duration             `json:"timeout" doc:"The timeout in force."`
	MaxInFlight    *int                 `json:"max_in_flight" doc:"null = no limit of its own."`
	RateLimit      *float64             `json:"rate_limit" doc:"null = no limit."`
	Profile        string               `json:"profile" example:"standard"`
	CreatedAt      timestamp            `json:"created_at"`
	UpdatedAt      timestamp            `json:"updated_at"`
	CreatedBy      string               `json:"created_by" doc:"The name of the key that created it."`
	UpdatedBy      string               `json:"updated_by"`
}

// Failure is a webhook's last failed attempt.
type Failure struct {
	At         timestamp `json:"at"`
	StatusCode *int      `json:"status_code" doc:"null = no answer came." example:"503"`
	Error      string    `json:"error" example:"503 Service Unavailable"`
}

// Notice is the result of the latest notification about a webhook.
type Notice struct {
	Kind   models.NotificationKind `json:"kind" enum:"warning,deactivated"`
	At     timestamp               `json:"at" doc:"When the notification was last tried or skipped."`
	Result models.NoticeResult     `json:"result" enum:"sent,skipped,failed" doc:"sent: somebody was reached. skipped: nobody was. failed: the mail server refused, or has not taken the mail yet."`
	Detail *string                 `json:"detail" doc:"Who was not notified, and why; null = everybody was." example:"no mail was sent: no mail server is configured; no active webhook takes the operational event"`
}

// Retry is a retry schedule in force: after failure n the wait is initial × backoff^(n-1), at most max_interval.
type Retry struct {
	Initial     duration `json:"initial"`
	Backoff     float64  `json:"backoff" example:"2"`
	MaxInterval duration `json:"max_interval"`
	Max         int      `json:"max" example:"10"`
}

func (s *server) webhookView(w models.Webhook) (Webhook, error) {
	headers, err := s.Service.Headers(&w)
	reason := w.StatusReason
	if lost, ok := errors.AsType[*service.SealedError](err); ok { // only this webhook is affected
		reason = strings.TrimPrefix(reason+"; "+lost.Problem, "; ")
	} else if err != nil {
		return Webhook{}, err
	}
	policy, timeout := s.Service.Effective(&w)
	v := Webhook{ID: w.ID, Tenant: models.TenantSlug(w.Tenant), UID: orNull(w.UID), Channels: append([]string{}, w.Channels...), Metadata: orEmpty(w.Metadata), URL: w.URL, Name: w.Name, Description: w.Description, EventTypes: w.EventTypes,
		Status: w.Status, StatusReason: orNull(reason), FailedAttempts: w.Health.Failed, LastSuccessAt: at(w.Health.LastSuccessAt),
		Headers: headers, Profile: w.Profile, CreatedAt: timestamp(w.CreatedAt), UpdatedAt: timestamp(w.UpdatedAt),
		CreatedBy: w.CreatedBy, UpdatedBy: w.UpdatedBy, MaxInFlight: orNull(w.MaxInFlight), RateLimit: orNull(w.RateLimit),
		Retry: Retry{Initial: duration{Duration: policy.Initial}, Backoff: policy.Backoff,
			MaxInterval: duration{Duration: policy.MaxInterval}, Max: policy.Max},
		Timeout: duration{Duration: timeout}}
	if w.Health.LastFailureAt != nil {
		v.LastFailure.object = &Failure{At: timestamp(*w.Health.LastFailureAt), StatusCode: orNull(w.Health.LastStatus), Error: w.Health.LastError}
	}
	if n := w.Health.LastNotice; n != nil {
		v.LastNotice.object = &Notice{Kind: n.Kind, At: timestamp(n.At), Result: n.Result, Detail: orNull(n.Detail)}
	}
	return v, nil
}

// showWebhook answers an operation with its webhook.
func (s *server) showWebhook(w models.Webhook, err error) (*answer[Webhook], error) {
	if err != nil {
		return nil, err
	}
	v, err := s.webhookView(w)
	if err != nil {
		return nil, err
	}
	return answerWith(v), nil
}

// NewWebhook is a newly created webhook.
type NewWebhook struct {
	Webhook
	Secret *string `json:"secret" doc:"The signing secret. It is shown only once. null = deliveries are not signed." example:"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"`
}

type createWebhook struct {
	OfTenant
	Body WebhookInput
}

type createdWebhook struct {
	Location string `header:"Location"`
	Body     NewWebhook
}

// WebhookParams are the filters of a list of webhooks.
type WebhookParams struct {
	PageParams
	URL       string               `query:"url" doc:"Only webhooks with this URL, as it was given or in its canonical form."`
	EventType string               `query:"event_type" doc:"Only webhooks that would get events of this type."`
	Status    models.WebhookStatus `query:"status" enum:"active,paused,deactivated,disabled" doc:"Only webhooks in this status."`
	Profile   string               `query:"profile" doc:"Only webhooks with this profile."`
}

type listWebhooks struct {
	OfTenant
	WebhookParams
}

// OfWebhook holds the path parameters of the operations on one webhook.
type OfWebhook struct {
	OfTenant
	ID string `path:"id" doc:"The webhook's id, or its uid."`
}

type patchWebhook struct {
	OfWebhook
	Body WebhookPatch
}

func (s *server) webhooks() {
	const tag = tagWebhooks
	handleWhole(s, owners, huma.Operation{
		OperationID: "create-webhook", Method: http.MethodPost, Path: webhooksPath, Tags: []string{tag}, Summary: "Register a webhook",
		Description: "The answer is the only place where its signing secret is shown.", DefaultStatus: http.StatusCreated,
	}, s.createWebhook)
	handle(s, readers, huma.Operation{
		OperationID: "list-webhooks", Method: http.MethodGet, Path: webhooksPath, Tags: []string{tag}, Summary: "List webhooks, oldest first",
	}, s.listWebhooks)
	handle(s, readers, huma.Operation{
		OperationID: "get-webhook", Method: http.MethodGet, Path: webhookPath, Tags: []string{tag}, Summary: "Read a webhook",
	}, s.getWebhook)
	handleWhole(s, owners, huma.Operation{
		OperationID: "patch-webhook", Method: http.MethodPatch, Path: webhookPath, Tags: []string{tag}, Summary: "Change a webhook",
		Description: "Changes the fields in the body. A webhook can be sent back exactly as it was read: unchanged fields stay untouched. To change a secret, rotate it.",
	}, s.patchWebhook)
	handle(s, owners, huma.Operation{
		OperationID: "delete-webhook", Method: http.MethodDelete, Path: webhookPath, Tags: []string{tag}, Summary: "Delete a webhook",
		Description: "Its unfinished deliveries are canceled.",
	}, s.deleteWebhook)
	s.webhookActions()
}

func (s *server) createWebhook(ctx context.Context, in *createWebhook) (*createdWebhook, error) {
	b := in.Body
	w, secret, err := s.Service.CreateWebhook(ctx, in.Tenant, service.WebhookChange{URL: &b.URL, EventTypes: b.EventTypes, Name: b.Name,
		Description: b.Description, UID: b.UID, Channels: b.Channels, Metadata: b.Metadata, Secret: b.Secret, Headers: b.Headers, Active: b.Active, Retry: b.Retry.retry(), Timeout: length(b.Timeout),
		MaxInFlight: b.MaxInFlight, RateLimit: b.RateLimit, Profile: b.Profile, By: caller(ctx).Name, Wrong: wrongAlready(ctx)})
	if err != nil {
		return nil, err
	}
	v, err := s.webhookView(w)
	if err != nil {
		return nil, err
	}
	return &createdWebhook{Location: s.PublicURL + "/v1/tenants/" + v.Tenant + "/webhooks/" + w.ID, Body: NewWebhook{v, orNull(secret)}}, nil
}

func (s *server) listWebhooks(ctx context.Context, in *listWebhooks) (*answer[list[Webhook]], error) {
	return s.webhooksOf(ctx, in.Tenant, in.WebhookParams)
}

func (s *server) webhooksOf(ctx context.Context, tenant string, in WebhookParams) (*answer[list[Webhook]], error) {
	f := models.WebhookFilter{URLs: s.Service.Spellings(in.URL), Status: in.Status, Profile: in.Profile, EventType: in.EventType}
	rows, next, err := s.Service.Webhooks(ctx, tenant, f, in.page())
	if err != nil {
		return nil, err
	}
	out := list[Webhook]{Data: make([]Webhook, len(rows)), Next: orNull(next)}
	for i, w := range rows {
		if out.Data[i], err = s.webhookView(w); err != nil {
			return nil, err
		}
		out.Data[i].URL = shownURL(caller(ctx), out.Data[i].URL)
	}
	return answerWith(out), nil
}

func (s *server) getWebhook(ctx context.Context, in *OfWebhook) (*answer[Webhook], error) {
	shown, err := s.showWebhook(s.Service.Webhook(ctx, in.Tenant, in.ID))
	if err == nil {
		shown.Body.URL = shownURL(caller(ctx), shown.Body.URL)
	}
	return shown, err
}

// shownURL returns a webhook's URL as the principal may see it. Its path and its query may hold a token. So a role sees
// the origin alone, unless this says otherwise.
func shownURL(p service.Principal, url string) string {
	switch {
	case p.May(p.Tenant):
		return url
	case p.May(p.Tenant, models.RoleRead):
		return service.URLWithoutQuery(url)
	default:
		return service.URLOrigin(url)
	}
}

func (s *server) patchWebhook(ctx context.Context, in *patchWebhook) (*answer[Webhook], error) {
	b := in.Body
	wrong, err := changed(b.WebhookReadOnly, func() (any, error) {
		w, err := s.Service.Webhook(ctx, in.Tenant, in.ID)
		if err != nil {
			return nil, err
		}
		return s.webhookView(w)
	})
	if err != nil {
		return nil, err
	}
	return s.showWebhook(s.Service.UpdateWebhook(ctx, in.Tenant, in.ID, service.WebhookChange{URL: b.URL, EventTypes: b.EventTypes, Name: b.Name,
		Description: b.Description, UID: b.UID.or(""), Channels: b.Channels, Metadata: b.Metadata, Headers: b.Headers, Active: b.Active, Retry: b.Retry.retry(), Timeout: length(b.Timeout),
		MaxInFlight: b.MaxInFlight, RateLimit: b.RateLimit, By: caller(ctx).Name, Wrong: append(wrongAlready(ctx), wrong...)}))
}

func (s *server) deleteWebhook(ctx context.Context, in *OfWebhook) (*struct{}, error) {
	_, err := s.Service.DeleteWebhook(ctx, in.Tenant, in.ID)
	return nil, err
}
