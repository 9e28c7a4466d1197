package console

import (
	"errors"
	"net/http"
	"time"

	"github.com/posthorn/posthorn/internal/hooks"
	"github.com/posthorn/posthorn/models"
)

// instant reads a time of a filter, as a browser's field for it writes it, or in RFC 3339. Both are UTC where they do not say.
func (v *visit) instant(name string) (time.Time, error) {
	text := v.query(name)
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05", time.RFC3339, "2006-01-02"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, hooks.Refuse(hooks.Invalid, "%s must be a time such as 2026-01-02T15:04", name)
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
	f := models.DeliveryFilter{WebhookID: v.query("webhook"), EventID: v.query("event"), EventType: v.query("type"),
		Status: models.DeliveryStatus(v.query("status")), Since: since, Until: until}
	rows, next, err := v.Hooks.Deliveries(v.r.Context(), v.tenant, f, v.after())
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, "deliveries", "Deliveries", struct {
		Deliveries   []models.Delivery
		Next         string
		Filter       models.DeliveryFilter
		Since, Until string
		Statuses     []models.DeliveryStatus
	}{rows, v.more(next), f, v.query("since"), v.query("until"),
		[]models.DeliveryStatus{models.Pending, models.Delivered, models.Failed, models.Held, models.Canceled}})
}

func (v *visit) delivery() error {
	t, err := v.Hooks.Delivery(v.r.Context(), v.tenant, v.r.PathValue("id"))
	if err != nil {
		return err
	}
	if v.at != console { // the engine's pages are for the staff
		t.UIURL = ""
	}
	return v.show(http.StatusOK, "delivery", t.EventType+" "+short(t.ID), struct {
		hooks.Timeline
		CanRetry, CanPause, CanResume, CanCancel bool
	}{t, true, t.Status == models.Pending, t.Status == models.Held, t.Status == models.Pending || t.Status == models.Held})
}

// actOnDelivery does what a button of a delivery's page says.
func (v *visit) actOnDelivery() (err error) {
	ctx, id, notice := v.r.Context(), v.r.PathValue("id"), ""
	switch v.r.PathValue("action") {
	case "retry":
		notice = "retried"
		_, err = v.Hooks.RetryDelivery(ctx, v.tenant, id)
	case "pause":
		notice = "paused"
		_, err = v.Hooks.PauseDelivery(ctx, v.tenant, id)
	case "resume":
		notice = "retried"
		_, err = v.Hooks.ResumeDelivery(ctx, v.tenant, id)
	case "cancel":
		notice = "canceled"
		_, err = v.Hooks.CancelDelivery(ctx, v.tenant, id, v.session.Name)
	default:
		err = hooks.Refuse(hooks.NotFound, "there is no such page")
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
	f := models.EventFilter{Type: v.query("type"), Since: since, Until: until}
	rows, next, _, err := v.Hooks.Events(v.r.Context(), v.tenant, hooks.EventSearch{EventFilter: f}, v.after())
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, "events", "Events", struct {
		Events             []models.Event
		Next               string
		Type, Since, Until string
	}{rows, v.more(next), f.Type, v.query("since"), v.query("until")})
}

func (v *visit) event() error {
	ctx := v.r.Context()
	e, err := v.Hooks.Event(ctx, v.tenant, v.r.PathValue("id"))
	if err != nil {
		return err
	}
	fanningOut, err := v.Hooks.FanningOut(ctx, v.tenant, e.ID) // before the deliveries: if it is over they are all there
	if err != nil {
		return err
	}
	deliveries, next, err := v.Hooks.Deliveries(ctx, v.tenant, models.DeliveryFilter{EventID: e.ID}, models.Page{Limit: 50})
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, "event", e.Type+" "+short(e.ID), struct {
		Event            models.Event
		Deliveries       []models.Delivery
		More, FanningOut bool
	}{e, deliveries, next != "", fanningOut[e.ID]})
}

func (v *visit) eraseEvent() error {
	id := v.r.PathValue("id")
	if err := v.Hooks.ErasePayload(v.r.Context(), v.tenant, id); err != nil {
		return err
	}
	return v.done("/events/"+escape(id), "erased")
}
