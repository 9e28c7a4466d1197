package console

import (
	"net/http"
	"runtime"
	"time"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// shownFirst is how many rows of each kind an overview shows.
const shownFirst = 8

type overviewBody struct {
	Chart               chartBody
	Trouble             string // the part of the process that is not ready
	Version, Go         string
	Database            time.Duration // how long counting the backlog took
	Waiting             models.Waiting
	Oldest              *time.Time
	Deactivated         []models.Webhook
	Failing             []models.Webhook
	Recoveries          []models.Recovery
	Failed              []models.Delivery
	Tenants             []models.Tenant
	MoreTenants, MayAdd bool
}

// overview shows whether the whole installation is well.
func (v *visit) overview() (err error) {
	ctx := v.r.Context()
	body := overviewBody{Version: v.Version, Go: runtime.Version()}
	if v.Ready != nil {
		if err := v.Ready(ctx); err != nil {
			body.Trouble = err.Error()
		}
	}
	begun := time.Now()
	if body.Waiting, body.Oldest, err = v.Service.AllWaiting(ctx); err != nil {
		return err
	}
	if body.Database = time.Since(begun).Round(time.Millisecond); v.frozen {
		body.Database = 0
	}
	if body.Chart, err = v.chart(func(q service.StatQuery) (service.Stats, error) { return v.Service.AllStats(ctx, q) }); err != nil {
		return err
	}
	if err := v.trouble(&body); err != nil {
		return err
	}
	var next string
	if body.Tenants, next, err = v.Service.Tenants(ctx, models.Page{Limit: shownFirst}); err != nil {
		return err
	}
	body.MoreTenants = next != ""
	return v.show(http.StatusOK, "overview", "Overview", body)
}

// trouble reads the first part of an overview, of the tenant or of all tenants.
func (v *visit) trouble(body *overviewBody) (err error) {
	ctx, page := v.r.Context(), models.Page{Limit: shownFirst}
	if body.Deactivated, _, err = v.Service.Webhooks(ctx, v.tenant, models.WebhookFilter{Status: models.WebhookDeactivated}, page); err != nil {
		return err
	}
	if body.Failing, _, err = v.Service.Webhooks(ctx, v.tenant, models.WebhookFilter{Status: models.WebhookActive, Failing: true}, page); err != nil {
		return err
	}
	if body.Recoveries, _, err = v.Service.Recoveries(ctx, v.tenant, models.RecoveryFilter{Running: true}, page); err != nil {
		return err
	}
	body.Failed, _, err = v.Service.Deliveries(ctx, v.tenant, models.DeliveryFilter{Status: models.Failed}, page)
	return err
}

// tenantOverview shows the overview of one tenant.
func (v *visit) tenantOverview() error {
	ctx := v.r.Context()
	t, err := v.Service.Tenant(ctx, v.tenant)
	if err != nil {
		return err
	}
	var body struct {
		overviewBody
		Tenant models.Tenant
		Held   []models.Delivery
	}
	body.Tenant = t
	if body.Chart, err = v.chart(func(q service.StatQuery) (service.Stats, error) { return v.Service.Stats(ctx, v.tenant, q) }); err != nil {
		return err
	}
	if err := v.trouble(&body.overviewBody); err != nil {
		return err
	}
	if body.Held, _, err = v.Service.Deliveries(ctx, v.tenant, models.DeliveryFilter{Status: models.Held}, models.Page{Limit: shownFirst}); err != nil {
		return err
	}
	title := t.Name
	if title == "" {
		title = t.Slug
	}
	return v.show(http.StatusOK, "tenant", title, body)
}
