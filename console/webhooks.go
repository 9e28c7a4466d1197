package console

import (
	"cmp"
	"errors"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

func (v *visit) webhooks() error {
	f := models.WebhookFilter{Status: models.WebhookStatus(v.query("status")), EventType: v.query("type")}
	failing := v.query("status") == "failing"
	if failing {
		f.Status, f.Failing = "", true
	}
	tenant, err := v.filterTenant()
	if err != nil {
		return err
	}
	rows, next, err := v.Service.Webhooks(v.r.Context(), tenant, f, v.after())
	if err != nil {
		return err
	}
	since := v.Service.Store.Now().Truncate(sparkBar).Add(-(sparkBars - 1) * sparkBar)
	lately, err := v.Service.CountsSince(v.r.Context(), rows, since)
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, "webhooks", "Webhooks", struct {
		Webhooks         []models.Webhook
		Lately           map[string]template.HTML
		Next             string
		Status, Type, Of string
		Statuses         []string
		Threshold        int64
		Address          string
	}{rows, sparks(lately, since), v.more(next), v.query("status"), f.EventType, v.query("tenant"), webhookStatuses, v.Service.Threshold, v.r.URL.Path})
}

// webhookStatuses are the values of the filter on a list of webhooks.
var webhookStatuses = []string{string(models.WebhookActive), "failing", string(models.WebhookPaused), string(models.WebhookDeactivated), string(models.WebhookDisabled)}

func (v *visit) webhook() error {
	ctx := v.r.Context()
	w, err := v.Service.Webhook(ctx, v.tenant, v.r.PathValue("id"))
	if err != nil {
		return err
	}
	headers, err := v.Service.Headers(&w)
	if lost, ok := errors.AsType[*service.SealedError](err); ok {
		w.StatusReason = strings.TrimPrefix(w.StatusReason+"; "+lost.Problem, "; ")
	} else if err != nil {
		return err
	}
	latest, _, err := v.Service.Deliveries(ctx, v.tenant, models.DeliveryFilter{WebhookID: w.ID}, models.Page{Limit: 10})
	if err != nil {
		return err
	}
	last, err := v.Service.LastAttempts(ctx, latest)
	if err != nil {
		return err
	}
	waiting, err := v.Service.Waiting(ctx, v.tenant, w.ID)
	if err != nil {
		return err
	}
	notices, err := v.Service.Notices(ctx, v.tenant, w.ID)
	if err != nil {
		return err
	}
	recoveries, _, err := v.Service.Recoveries(ctx, v.tenant, models.RecoveryFilter{WebhookID: w.ID}, models.Page{Limit: 5})
	if err != nil {
		return err
	}
	policy, timeout := v.Service.Effective(&w)
	body := webhookBody{Webhook: w, Headers: slices.Sorted(maps.Keys(headers)), Latest: latest, Last: last, Waiting: waiting, Notices: notices,
		Threshold: v.Service.Threshold, Timeout: timeout}
	if body.Answer, err = v.lastFailure(&body); err != nil {
		return err
	}
	for i := range recoveries {
		body.Recoveries = append(body.Recoveries, v.recoveryRow(&recoveries[i]))
	}
	body.Overlap, body.Signing = v.Service.Overlap(&w)
	body.Chart, err = v.chart(func(q service.StatQuery) (service.Stats, error) {
		q.WebhookID = w.ID
		return v.Service.Stats(ctx, v.tenant, q)
	})
	if err != nil {
		return err
	}
	body.Schedule = plural(policy.Max, "retry")
	body.Schedule += ", the first after " + brief(policy.Initial) + ", each wait " + strconv.FormatFloat(policy.Backoff, 'g', -1, 64) +
		" times the one before, at most " + brief(policy.MaxInterval)
	return v.show(http.StatusOK, "webhook", cmp.Or(w.Name, v.url(w.URL)), body)
}

type webhookBody struct {
	Webhook    models.Webhook
	Headers    []string
	Latest     []models.Delivery
	Last       map[string]*models.Attempt
	Waiting    models.Waiting
	Notices    []models.Notification
	Recoveries []recoveryRow
	Chart      chartBody
	Answer     *models.Attempt // the last failure; nil if it is not known
	Threshold  int64
	Overlap    []time.Time // until when earlier secrets sign
	Signing    int         // how many secrets sign
	Schedule   string
	Timeout    time.Duration
}

// lastFailure reads the attempt that failed last, with the receiver's answer; nil if there is none. Mostly it is the last attempt of
// one of the latest deliveries.
func (v *visit) lastFailure(body *webhookBody) (*models.Attempt, error) {
	at := body.Webhook.Health.LastFailureAt
	for _, a := range body.Last {
		if at != nil && a.Error != "" && a.StartedAt.Equal(*at) {
			a, err := v.Service.Attempt(v.r.Context(), v.tenant, a.ID)
			return &a.Attempt, err
		}
	}
	return v.Service.LastFailure(v.r.Context(), &body.Webhook)
}

// webhookForm is the form of a webhook, as the visitor typed it.
type webhookForm struct {
	ID                                        string // "" = a new one
	URL, Name, Description, Patterns, Headers string
	Channels                                  string
	Initial, Backoff, MaxInterval, Max        string
	Timeout, MaxInFlight, RateLimit           string
	Types                                     []typeChoice
	MoreTypes                                 bool // there are more types than listed
	Errors                                    fieldErrors
}

// typeChoice is an event type in the picker.
type typeChoice struct {
	models.EventType
	Chosen bool
}

// formFields are the fields that can have an error beside them.
var formFields = []string{"url", "name", "description", "event_types", "channels", "headers", "retry.initial", "retry.backoff", "retry.max_interval", "retry.max", "timeout",
	"max_in_flight", "rate_limit"}

// maxChoices is how many event types the picker lists.
const maxChoices = 200

// choose lists the event types and marks those in names. The other names become patterns.
func (v *visit) choose(f *webhookForm, names []string) error {
	types, next, err := v.Service.EventTypes(v.r.Context(), v.tenant, models.Page{Limit: maxChoices})
	if err != nil {
		return err
	}
	f.MoreTypes = next != ""
	var patterns []string
	listed := map[string]bool{}
	for _, t := range types {
		listed[t.Name] = true
		f.Types = append(f.Types, typeChoice{t, slices.Contains(names, t.Name)})
	}
	for _, name := range names {
		if !listed[name] {
			patterns = append(patterns, name)
		}
	}
	f.Patterns = strings.Join(patterns, "\n")
	return nil
}

func (v *visit) newWebhook() error {
	f := webhookForm{}
	if err := v.choose(&f, nil); err != nil {
		return err
	}
	return v.showForm(http.StatusOK, f)
}

func (v *visit) showForm(status int, f webhookForm) error {
	title := "New webhook"
	if f.ID != "" {
		title = "Edit webhook"
	}
	return v.show(status, "webhook-form", title, f)
}

// typed reads the form, and the change that it asks for.
func (v *visit) typed() (webhookForm, service.WebhookChange) {
	f := webhookForm{URL: v.form("url"), Name: v.form("name"), Description: v.form("description"), Headers: v.form("headers"), Channels: v.form("channels"),
		Initial: v.form("initial"), Backoff: v.form("backoff"), MaxInterval: v.form("max_interval"), Max: v.form("max"),
		Timeout: v.form("timeout"), MaxInFlight: v.form("max_in_flight"), RateLimit: v.form("rate_limit")}
	c := service.WebhookChange{URL: &f.URL, Name: &f.Name, Description: &f.Description, By: v.session.Name, Headers: &map[string]string{}, Retry: &models.Retry{},
		Timeout: new(time.Duration), MaxInFlight: new(int), RateLimit: new(float64)}
	bad := func(field, message string) {
		c.Wrong = append(c.Wrong, service.FieldError{Field: field, Message: message})
	}
	names := append(slices.Clone(v.r.PostForm["event_types"]), lines(v.form("patterns"))...)
	c.EventTypes = &names
	c.Channels = new(lines(strings.ReplaceAll(f.Channels, ",", "\n")))
	for _, line := range lines(f.Headers) {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			bad("headers", "must be lines such as X-Token: value")
			break
		}
		(*c.Headers)[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	duration := func(field, text string, to *time.Duration) {
		if text == "" {
			return
		}
		d, err := time.ParseDuration(text)
		if err != nil {
			bad(field, "must be a duration such as 10s or 30m")
		}
		*to = d
	}
	duration("retry.initial", f.Initial, &c.Retry.Initial)
	duration("retry.max_interval", f.MaxInterval, &c.Retry.MaxInterval)
	duration("timeout", f.Timeout, c.Timeout)
	number := func(field, text string, to *float64) {
		if text == "" {
			return
		}
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			bad(field, "must be a number")
		}
		*to = n
	}
	whole := func(field, text string, to *int) {
		if text == "" {
			return
		}
		n, err := strconv.Atoi(text)
		if err != nil {
			bad(field, "must be a whole number")
		}
		*to = n
	}
	number("retry.backoff", f.Backoff, &c.Retry.Backoff)
	number("rate_limit", f.RateLimit, c.RateLimit)
	whole("max_in_flight", f.MaxInFlight, c.MaxInFlight)
	if f.Max != "" {
		c.Retry.Max = new(int)
		whole("retry.max", f.Max, c.Retry.Max)
	}
	return f, c
}

func (v *visit) createWebhook() error {
	if err := v.readForm(); err != nil {
		return err
	}
	f, change := v.typed()
	w, secret, err := v.Service.CreateWebhook(v.r.Context(), v.tenant, change)
	if err == nil {
		return v.showSecret(http.StatusCreated, "Webhook created", w.ID, secret)
	}
	return v.again(f, *change.EventTypes, err)
}

// again shows the form as the visitor typed it, with the errors beside the fields.
func (v *visit) again(f webhookForm, types []string, err error) error {
	var ok bool
	if f.Errors, ok = wrong(err, formFields...); !ok {
		return err
	}
	if err := v.choose(&f, types); err != nil {
		return err
	}
	return v.showForm(http.StatusUnprocessableEntity, f)
}

// verify shows how a receiver checks a signature with the libraries of Standard Webhooks.
const verify = `import { Webhook } from "standardwebhooks";

const webhook = new Webhook(process.env.SIGNING_SECRET);
const event = webhook.verify(body, headers); // throws if the signature is wrong`

func (v *visit) showSecret(status int, title, id, secret string) error {
	return v.show(status, "once", title, onceBody{Label: "Signing secret", Secret: secret, Text: "Give it to the receiver now: it is not shown again.",
		Verify: verify, Back: v.base + "/webhooks/" + escape(id), BackTo: "Webhook"})
}

func (v *visit) editWebhook() error {
	w, err := v.Service.Webhook(v.r.Context(), v.tenant, v.r.PathValue("id"))
	if err != nil {
		return err
	}
	headers, err := v.Service.Headers(&w)
	if err != nil {
		return err
	}
	f := webhookForm{ID: w.ID, URL: w.URL, Name: w.Name, Description: w.Description, Channels: strings.Join(w.Channels, "\n")}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		f.Headers += name + ": " + headers[name] + "\n"
	}
	orEmpty := func(d time.Duration) string {
		if d == 0 {
			return ""
		}
		return brief(d)
	}
	f.Initial, f.MaxInterval, f.Timeout = orEmpty(w.Retry.Initial), orEmpty(w.Retry.MaxInterval), orEmpty(time.Duration(w.TimeoutMS)*time.Millisecond)
	if w.Retry.Backoff != 0 {
		f.Backoff = strconv.FormatFloat(w.Retry.Backoff, 'g', -1, 64)
	}
	if w.Retry.Max != nil {
		f.Max = strconv.Itoa(*w.Retry.Max)
	}
	if w.MaxInFlight != 0 {
		f.MaxInFlight = strconv.Itoa(w.MaxInFlight)
	}
	if w.RateLimit != 0 {
		f.RateLimit = strconv.FormatFloat(w.RateLimit, 'g', -1, 64)
	}
	if err := v.choose(&f, w.EventTypes); err != nil {
		return err
	}
	return v.showForm(http.StatusOK, f)
}

func (v *visit) saveWebhook() error {
	if err := v.readForm(); err != nil {
		return err
	}
	id := v.r.PathValue("id")
	f, change := v.typed()
	f.ID = id
	if _, err := v.Service.UpdateWebhook(v.r.Context(), v.tenant, id, change); err != nil {
		return v.again(f, *change.EventTypes, err)
	}
	return v.done("/webhooks/"+escape(id), "saved")
}

// actOnWebhook does the action of a button on a webhook's page.
func (v *visit) actOnWebhook() (err error) {
	if err := v.readForm(); err != nil {
		return err
	}
	ctx, id, by, notice := v.r.Context(), v.r.PathValue("id"), v.session.Name, ""
	switch v.r.PathValue("action") {
	case "enable":
		notice = "enabled"
		if _, err = v.Service.Enable(ctx, v.tenant, id, by); err == nil && v.form("recover") != "" {
			made, err := v.Service.Recover(ctx, v.tenant, id, service.RecoveryRequest{})
			if err != nil {
				return err
			}
			return v.done("/recoveries/"+escape(made.ID), "recovering")
		}
	case "disable":
		notice = "disabled"
		_, err = v.Service.Disable(ctx, v.tenant, id, v.form("reason"), by)
	case "pause":
		notice = "paused"
		_, err = v.Service.Pause(ctx, v.tenant, id, by)
	case "resume":
		notice = "resumed"
		_, err = v.Service.Resume(ctx, v.tenant, id, by)
	case "rotate":
		secret, err := v.Service.RotateSecret(ctx, v.tenant, id, service.DefaultOverlap, "", by)
		if err != nil {
			return err
		}
		return v.showSecret(http.StatusOK, "Secret rotated", id, secret)
	case "test":
		report, err := v.Service.TestWebhook(ctx, v.tenant, id, v.form("event_type"))
		if err != nil {
			return err
		}
		return v.show(http.StatusOK, "test", "Test event", struct {
			ID     string
			Report service.TestReport
		}{id, report})
	case "delete": // asked twice
		if v.form("confirm") == "" {
			w, err := v.Service.Webhook(ctx, v.tenant, id)
			if err != nil {
				return err
			}
			return v.show(http.StatusOK, "webhook-delete", "Delete this webhook?", w)
		}
		if _, err = v.Service.DeleteWebhook(ctx, v.tenant, id); err == nil {
			return v.done("/webhooks", "deleted")
		}
	default:
		err = service.Refuse(service.NotFound, "there is no such page")
	}
	if err != nil {
		return err
	}
	return v.done("/webhooks/"+escape(id), notice)
}
