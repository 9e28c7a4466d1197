package console

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// instant reads a time of a filter, in RFC 3339 or as the browser's field writes it. Without a zone it is UTC.
func (v *visit) instant(name string) (time.Time, error) {
	t, err := parseInstant(v.query(name))
	if err != nil {
		return t, service.Refuse(service.Invalid, "%s %s", name, err)
	}
	return t, nil
}

// errInstant and errNumber say that a text is no time, or no number.
var (
	errInstant = errors.New("must be a time such as 2026-01-02T15:04")
	errNumber  = errors.New("must be a number")
)

func parseInstant(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05", time.RFC3339, "2006-01-02"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errInstant
}

// parseNumber reads a number; 0 if there is none.
func parseNumber(text string) (float64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, errNumber
	}
	return n, nil
}

// filterTenant returns the tenant of a list: the page's, or on a page of all tenants the one in the address; "" = all.
func (v *visit) filterTenant() (id string, err error) {
	slug := v.query("tenant")
	if v.tenant != "" || slug == "" {
		return v.tenant, nil
	}
	id, err = v.Service.TenantID(v.r.Context(), v.session.Principal, slug)
	if refused, ok := errors.AsType[*service.Error](err); ok && refused.Code == service.NotFound {
		return noTenant, nil
	}
	return id, err
}

// noTenant is the id that no tenant has.
const noTenant = "~"

// filterWebhook is the webhook that a list is narrowed to, by its id or, within a tenant, its uid.
func (v *visit) filterWebhook(tenant string) (string, error) {
	name := v.query("webhook")
	if tenant == "" || name == "" {
		return name, nil
	}
	return v.Service.WebhookID(v.r.Context(), tenant, name)
}

func (v *visit) window() (since, until time.Time, err error) {
	since, err = v.instant("since")
	until, err2 := v.instant("until")
	return since, until, errors.Join(err, err2)
}

func (v *visit) deliveries() error {
	since, until, err := v.window()
	if err != nil {
		return err
	}
	tenant, err := v.filterTenant()
	if err != nil {
		return err
	}
	webhook, err := v.filterWebhook(tenant)
	if err != nil {
		return err
	}
	f := models.DeliveryFilter{WebhookID: webhook, EventID: v.query("event"), EventType: v.query("type"),
		Status: models.DeliveryStatus(v.query("status")), Since: since, Until: until}
	name := v.query("q")
	rows, next, err := v.Service.DeliveriesNamed(v.r.Context(), tenant, f, name, v.after())
	if err != nil {
		return err
	}
	last, err := v.Service.LastAttempts(v.r.Context(), rows)
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, "deliveries", "Deliveries", struct {
		Deliveries   []models.Delivery
		Last         map[string]*models.Attempt
		Next         string
		Filter       models.DeliveryFilter
		Name         string
		Since, Until string
		Statuses     []models.DeliveryStatus
		Address      string
		Of           string
	}{rows, last, v.more(next), f, name, v.query("since"), v.query("until"), deliveryStatuses, v.r.URL.Path, v.query("tenant")})
}

var deliveryStatuses = []models.DeliveryStatus{models.Pending, models.Delivered, models.Failed, models.Held, models.Canceled}

func (v *visit) delivery() error {
	t, err := v.Service.Delivery(v.r.Context(), v.tenant, v.r.PathValue("id"))
	if err != nil {
		return err
	}
	if v.at != console { // the engine's pages are for the staff
		t.UIURL = ""
	}
	w, err := v.Service.Webhook(v.r.Context(), v.tenant, t.WebhookID)
	if refused, ok := errors.AsType[*service.Error](err); ok && refused.Code == service.NotFound {
		w = models.Webhook{ID: t.WebhookID, Name: "deleted webhook"}
	} else if err != nil {
		return err
	}
	body := deliveryBody{Timeline: t, Webhook: w, Why: whyDelivery(&t, &w), CanPause: t.Status == models.Pending,
		CanResume: t.Status == models.Held, CanCancel: t.Status == models.Pending || t.Status == models.Held}
	if len(t.Upcoming) > 0 {
		body.Next, body.Later = &t.Upcoming[0], t.Upcoming[1:]
	}
	return v.show(http.StatusOK, "delivery", t.EventType+" "+short(t.ID), body)
}

type deliveryBody struct {
	service.Timeline
	Webhook                        models.Webhook
	Why                            string
	Next                           *service.Planned
	Later                          []service.Planned
	CanPause, CanResume, CanCancel bool
}

// whyDelivery says in a sentence why a delivery has its status, and what the reader can do.
func whyDelivery(t *service.Timeline, w *models.Webhook) string {
	reason := t.StatusReason
	if reason != "" {
		reason = ": " + reason
	}
	switch t.Status {
	case models.Delivered:
		return "The receiver has confirmed the delivery."
	case models.Failed:
		return "The delivery has failed: every retry is used up. Retry it now, or recover the webhook's failed deliveries."
	case models.Held:
		if w.Status != "" && w.Status != models.WebhookActive {
			return "The webhook is " + string(w.Status) + ". The delivery is held until the webhook is active again" + reason + "."
		}
		return "The delivery is held until somebody resumes it" + reason + "."
	case models.Canceled:
		return "The delivery is canceled and no longer sent" + reason + "."
	case models.Pending:
		if t.StatusReason != "" {
			return "The delivery waits" + reason + "."
		}
		if t.Attempts == 0 {
			return "No attempt has been made yet."
		}
		return "The last attempt failed. The delivery is retried on its schedule."
	}
	return ""
}

// actOnDelivery does the action of a button on a delivery's page.
func (v *visit) actOnDelivery() (err error) {
	ctx, id, notice := v.r.Context(), v.r.PathValue("id"), ""
	switch v.r.PathValue("action") {
	case "retry":
		notice = "retried"
		_, err = v.Service.RetryDelivery(ctx, v.tenant, id)
	case "pause":
		notice = "paused"
		_, err = v.Service.PauseDelivery(ctx, v.tenant, id)
	case "resume":
		notice = "retried"
		_, err = v.Service.ResumeDelivery(ctx, v.tenant, id)
	case "cancel":
		notice = "canceled"
		_, err = v.Service.CancelDelivery(ctx, v.tenant, id, v.session.Name)
	default:
		err = service.Refuse(service.NotFound, "there is no such page")
	}
	if err != nil {
		return err
	}
	return v.done("/deliveries/"+escape(id), notice)
}

func (v *visit) events() error {
	since, until, err := v.window()
	if err != nil {
		return err
	}
	search := service.EventSearch{EventFilter: models.EventFilter{Type: v.query("type"), Tag: v.query("tag"), Channel: v.query("channel"),
		ExternalID: v.query("external_id"), Since: since, Until: until}, ID: v.query("id"), IdempotencyKey: v.query("idempotency_key"), Text: v.query("q")}
	if text := v.query("attribute"); text != "" {
		name, value, ok := strings.Cut(text, ":")
		if !ok || name == "" {
			return service.Refuse(service.Invalid, "attribute must be name:value")
		}
		search.Attribute = &models.Attribute{Name: strings.TrimSpace(name), Value: strings.TrimSpace(value)}
	}
	if search.Text != "" && search.Since.IsZero() && search.Until.IsZero() { // a search for text needs a time: the last day
		search.Until = v.Service.Store.Now()
		search.Since = search.Until.Add(-24 * time.Hour)
	}
	rows, next, complete, err := v.Service.Events(v.r.Context(), v.tenant, search, v.after())
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, "events", "Events", struct {
		Events       []models.Event
		Next         string
		Search       service.EventSearch
		Attribute    string
		Since, Until string
		Stopped      bool // before the end of the time
		Narrow       bool // more is asked for than a type and a time
	}{rows, v.more(next), search, v.query("attribute"), v.query("since"), v.query("until"), !complete,
		search.Tag+search.Channel+search.ID+search.ExternalID+search.IdempotencyKey+v.query("attribute")+search.Text != ""})
}

func (v *visit) event() error { return v.showEvent(http.StatusOK, v.query("find"), "") }

// shownRecipients is how many webhooks an event's page offers to send it to again. The others are found by name.
const shownRecipients = 20

type eventBody struct {
	Event      models.Event
	Deliveries []models.Delivery
	Last       map[string]*models.Attempt
	More       bool
	Recipients service.Recipients
	Find       string // what their names contain
	Wrong      string // with the form that sends it again
}

func (v *visit) showEvent(status int, find, wrong string) error {
	ctx := v.r.Context()
	e, err := v.Service.Event(ctx, v.tenant, v.r.PathValue("id")) // read before the deliveries: if it says that all of them exist, the next read finds them
	if err != nil {
		return err
	}
	deliveries, next, err := v.Service.Deliveries(ctx, v.tenant, models.DeliveryFilter{EventID: e.ID}, models.Page{Limit: 50})
	if err != nil {
		return err
	}
	last, err := v.Service.LastAttempts(ctx, deliveries)
	if err != nil {
		return err
	}
	body := eventBody{Event: e, Deliveries: deliveries, Last: last, More: next != "", Find: find, Wrong: wrong}
	if v.may(owners) && e.ErasedAt == nil && !v.frozen { // the form stays as it is while the page lives
		if body.Recipients, err = v.Service.Recipients(ctx, &e, find, shownRecipients); err != nil {
			return err
		}
	}
	return v.show(status, "event", e.Type+" "+short(e.ID), body)
}

// replayEvent sends an event again: to the chosen webhooks, or to all that match it. After a search at least one must be chosen.
func (v *visit) replayEvent() error {
	if err := v.readForm(); err != nil {
		return err
	}
	id, chosen, find := v.r.PathValue("id"), v.r.PostForm["webhook"], v.form("find")
	if find != "" && len(chosen) == 0 {
		return v.showEvent(http.StatusUnprocessableEntity, find, "Choose at least one webhook.")
	}
	_, recovery, err := v.Service.Replay(v.r.Context(), v.tenant, id, chosen)
	if err != nil {
		return err
	}
	if recovery != nil {
		return v.done("/recoveries/"+escape(recovery.ID), "replayed")
	}
	return v.done("/events/"+escape(id), "replayed")
}

func (v *visit) eraseEvent() error {
	id := v.r.PathValue("id")
	if err := v.Service.ErasePayload(v.r.Context(), v.tenant, id); err != nil {
		return err
	}
	return v.done("/events/"+escape(id), "erased")
}
