package activities

import (
	"context"
	"errors"
	"log/slog"

	"github.com/posthorn/posthorn/internal/metrics"
	"github.com/posthorn/posthorn/internal/notify"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

// Mailer sends mail; *notify.Mailer does.
type Mailer interface {
	Enabled() bool
	Send(ctx context.Context, mail notify.Mail) (notify.Receipt, error)
}

// Health watches webhooks. PublicURL is the base URL of links, "" = none.
type Health struct {
	Service   *service.Service
	Store     *models.Store
	Mailer    Mailer
	PublicURL string
	Metrics   *metrics.Metrics
	Log       *slog.Logger
}

// Judge checks a webhook's failure count and does what is due: it deactivates the webhook at the threshold, and
// records a warning at the marks before.
func (a *Health) Judge(ctx context.Context, webhookID string) (workflows.Health, error) {
	w, err := a.Service.Judge(ctx, webhookID)
	var refused *service.Error
	if errors.As(err, &refused) && refused.Code == service.NotFound {
		return workflows.Health{Deleted: true}, nil
	}
	if err != nil {
		return workflows.Health{}, err
	}
	unsent, err := a.Store.UnsentNotifications(ctx, webhookID)
	return workflows.Health{Tenant: models.TenantSlug(w.Tenant), Status: string(w.Status), Reason: w.StatusReason, Name: w.Name, Host: sender.Host(w.URL), Failed: w.Health.Failed,
		Threshold: a.Service.Threshold, Epoch: w.Health.Epoch, LastError: w.Health.LastError, Unsent: unsent}, err
}
