package activities

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

// Housekeeping releases pages of recoveries and removes expired rows.
type Housekeeping struct {
	Service   *service.Service
	Store     *models.Store
	Retention time.Duration // of finished events, deliveries and attempts
	// AuditRetention is how long entries of the audit log are kept; 0 = for ever.
	AuditRetention time.Duration
	Now            func() time.Time
}

// ReleasePage makes the next page of a recovery's deliveries pending and starts the dispatches that drive them.
func (a *Housekeeping) ReleasePage(ctx context.Context, recoveryID string) (workflows.Progress, error) {
	r, err := a.Service.ReleasePage(ctx, recoveryID)
	var refused *service.Error
	if errors.As(err, &refused) && refused.Code == service.NotFound { // its tenant has been deleted
		return workflows.Progress{Status: string(models.RecoveryCanceled)}, nil
	}
	var name, host string
	if w, found := a.webhook(ctx, r.WebhookID); found {
		name, host = w.Name, sender.Host(w.URL)
	} else if r.EventID != "" {
		name = "event " + r.EventID
	}
	p := workflows.Progress{Name: name, Host: host, Tenant: models.TenantSlug(r.Tenant), Webhook: r.WebhookID, Status: string(r.Status), Running: r.Status == models.RecoveryRunning, Released: r.Released, Skipped: r.Skipped, Total: max(0, r.Total)}
	if r.Rate > 0 {
		p.Pause = time.Duration(float64(r.PageSize()) / r.Rate * float64(time.Second))
	}
	return p, err
}

// webhook reads a webhook for its name. If that fails, the released page is not repeated.
func (a *Housekeeping) webhook(ctx context.Context, id string) (models.Webhook, bool) {
	if id == "" {
		return models.Webhook{}, false
	}
	w, err := a.Store.WebhookByID(ctx, id)
	return w, err == nil
}

// RemoveExpired deletes finished events, deliveries and attempts older than the retention, and entries of the audit
// log older than theirs. It returns the number of deleted rows. Pending and held deliveries stay.
func (a *Housekeeping) RemoveExpired(ctx context.Context) (int64, error) {
	run := a.Store.Expire(a.Now().Add(-a.Retention), models.ExpiredAtOnce)
	if a.AuditRetention > 0 {
		run.AuditBefore(a.Now().Add(-a.AuditRetention))
	}
	var removed int64
	for {
		n, more, err := run.Step(ctx)
		removed += n
		if err != nil || !more {
			return removed, err
		}
		activity.RecordHeartbeat(ctx, removed)
	}
}
