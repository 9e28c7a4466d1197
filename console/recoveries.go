package console

import (
	"net/http"
	"time"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// recoveryRow is a recovery with its progress.
type recoveryRow struct {
	models.Recovery
	UIURL string // to the staff
	// Done of Most is the length of the bar; Most 0 = not known yet.
	Done, Most int64
	Per        string // the rate so far
}

func (v *visit) recoveryRow(r *models.Recovery) recoveryRow {
	row := recoveryRow{Recovery: *r, Done: r.Released + r.Skipped}
	if r.Total > 0 {
		row.Most = max(r.Total, row.Done)
	}
	if r.Status == models.RecoveryDone && r.Total <= 0 { // there was nothing to do
		row.Done, row.Most = 1, 1
	}
	until := v.Service.Store.Now()
	if r.FinishedAt != nil {
		until = *r.FinishedAt
	}
	if lasted := until.Sub(r.CreatedAt); lasted >= time.Second && r.Released > 0 && !v.frozen {
		row.Per = rate(float64(r.Released) / lasted.Seconds())
	}
	if v.at == console {
		_, row.UIURL = v.Service.RecoveryWorkflow(r)
	}
	return row
}

func (v *visit) recoveries() error {
	tenant, err := v.filterTenant()
	if err != nil {
		return err
	}
	webhook, err := v.filterWebhook(tenant)
	if err != nil {
		return err
	}
	f := models.RecoveryFilter{WebhookID: webhook}
	all, next, err := v.Service.Recoveries(v.r.Context(), tenant, f, v.after())
	if err != nil {
		return err
	}
	rows := make([]recoveryRow, len(all))
	for i := range all {
		rows[i] = v.recoveryRow(&all[i])
	}
	return v.show(http.StatusOK, "recoveries", "Recoveries", struct {
		Rows    []recoveryRow
		Next    string
		Filter  models.RecoveryFilter
		Address string
		Tenant  string
	}{rows, v.more(next), f, v.r.URL.Path, v.query("tenant")})
}

func (v *visit) recovery() error {
	r, err := v.Service.Recovery(v.r.Context(), v.tenant, v.r.PathValue("id"))
	if err != nil {
		return err
	}
	title := "Recovery " + short(r.ID)
	if r.WebhookID == "" {
		title = "Replay " + short(r.ID)
	}
	return v.show(http.StatusOK, "recovery", title, v.recoveryRow(&r))
}

func (v *visit) cancelRecovery() error {
	id := v.r.PathValue("id")
	if _, err := v.Service.CancelRecovery(v.r.Context(), v.tenant, id); err != nil {
		return err
	}
	return v.done("/recoveries/"+escape(id), "canceled")
}

// askToRecover shows the form of a recovery: which deliveries, from which time, how fast.
func (v *visit) askToRecover() error {
	w, err := v.Service.Webhook(v.r.Context(), v.tenant, v.r.PathValue("id"))
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, "recover", "Recover", recoverForm{Webhook: w, Held: true, Failed: true})
}

// recoverForm is the filled-in form of a recovery.
type recoverForm struct {
	Webhook                                   models.Webhook
	Held, Failed, Delivered, Canceled, Missed bool
	Since, Until, Rate                        string
	Errors                                    fieldErrors
}

// recoverWebhook starts the recovery that the form asks for.
func (v *visit) recoverWebhook() error {
	if err := v.readForm(); err != nil {
		return err
	}
	ctx, id := v.r.Context(), v.r.PathValue("id")
	w, err := v.Service.Webhook(ctx, v.tenant, id)
	if err != nil {
		return err
	}
	is := func(name string) bool { return v.form(name) != "" }
	f := recoverForm{Webhook: w, Held: is("held"), Failed: is("failed"), Delivered: is("delivered"), Canceled: is("canceled"), Missed: is("missed"),
		Since: v.form("since"), Until: v.form("until"), Rate: v.form("rate")}
	request, err := f.request()
	var made models.Recovery
	if err == nil {
		made, err = v.Service.Recover(ctx, v.tenant, id, request)
	}
	if err == nil {
		return v.done("/recoveries/"+escape(made.ID), "recovered")
	}
	var ok bool
	if f.Errors, ok = wrong(err, "since", "until", "rate"); !ok {
		return err
	}
	return v.show(http.StatusUnprocessableEntity, "recover", "Recover", f)
}

func (f *recoverForm) request() (r service.RecoveryRequest, err error) {
	for _, s := range []struct {
		is     bool
		status models.DeliveryStatus
	}{{f.Held, models.Held}, {f.Failed, models.Failed}, {f.Delivered, models.Delivered}, {f.Canceled, models.Canceled}} {
		if s.is {
			r.Statuses = append(r.Statuses, s.status)
		}
	}
	if r.Missed = f.Missed; len(r.Statuses) == 0 && !r.Missed {
		return r, service.Refuse(service.Invalid, "Choose what to send again.")
	}
	refused := service.Refuse(service.Invalid, "the form is not valid")
	for _, t := range []struct {
		field, text string
		to          **time.Time
	}{{"since", f.Since, &r.Since}, {"until", f.Until, &r.Until}} {
		if at, err := parseInstant(t.text); err != nil {
			refused.Fields = append(refused.Fields, service.FieldError{Field: t.field, Message: err.Error()})
		} else if !at.IsZero() {
			*t.to = &at
		}
	}
	if r.Rate, err = parseNumber(f.Rate); err != nil {
		refused.Fields = append(refused.Fields, service.FieldError{Field: "rate", Message: err.Error()})
	}
	if len(refused.Fields) > 0 {
		return r, refused
	}
	return r, nil
}
