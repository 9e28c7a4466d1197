package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/posthorn/posthorn/internal/catalog"
	"github.com/posthorn/posthorn/internal/hooks"
	"github.com/posthorn/posthorn/internal/metrics"
	"github.com/posthorn/posthorn/internal/notify"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

// Mailer sends mail; *notify.Mailer does.
type Mailer interface {
	Enabled() bool
	Send(ctx context.Context, mail notify.Mail) error
}

// Health looks after webhooks. PublicURL is the base of links, "" = none.
type Health struct {
	Hooks     *hooks.Service
	Store     *models.Store
	Mailer    Mailer
	PublicURL string
	Metrics   *metrics.Metrics
	Log       *slog.Logger
}

// Judge looks at a webhook's failure count and does what is due: deactivates it at the threshold, notes a warning on
// the way.
func (a *Health) Judge(ctx context.Context, webhookID string) (workflows.Health, error) {
	w, err := a.Hooks.Judge(ctx, webhookID)
	var refused *hooks.Error
	if errors.As(err, &refused) && refused.Code == hooks.NotFound {
		return workflows.Health{Gone: true}, nil
	}
	if err != nil {
		return workflows.Health{}, err
	}
	unsent, err := a.Store.UnsentNotifications(ctx, webhookID)
	return workflows.Health{Tenant: models.TenantSlug(w.Tenant), Status: string(w.Status), Reason: w.StatusReason, Name: w.Name, Host: sender.Host(w.URL), Failed: w.Health.Failed,
		Threshold: a.Hooks.Threshold, Epoch: w.Health.Epoch, LastError: w.Health.LastError, Unsent: unsent}, err
}

// Notify tells a tenant's administrators about one of its webhooks: by mail, and by an operational event that can be
// subscribed to. It returns when both have gone out; run again, the event is not published twice, and the mail has
// the same Message-ID.
func (a *Health) Notify(ctx context.Context, notificationID string) error {
	n, err := a.Store.Notification(ctx, notificationID)
	if errors.Is(err, models.ErrNotFound) || (err == nil && n.SentAt != nil) {
		return nil
	}
	if err != nil {
		return err
	}
	w, err := a.Store.WebhookByID(ctx, n.WebhookID)
	if errors.Is(err, models.ErrNotFound) {
		return a.Store.NotificationSent(ctx, n.ID) // its owner has deleted it: there is nobody left to tell
	}
	if err != nil {
		return err
	}
	if err := a.publish(ctx, &n, &w); err != nil {
		return fmt.Errorf("publish the operational event: %w", err)
	}
	switch err := a.mail(ctx, &n, &w); {
	case errors.Is(err, notify.ErrRefused):
		// The server will say the same to every other try; the operational event has gone out.
		a.Metrics.Notified.WithLabelValues("failed").Inc()
		a.Log.ErrorContext(ctx, "the mail server refused a notification", "tenant", n.Tenant, "webhook", n.WebhookID, "notification", n.ID, "error", err)
	case err != nil:
		a.Metrics.Notified.WithLabelValues("failed").Inc()
		return fmt.Errorf("mail: %w", err)
	default:
		a.Metrics.Notified.WithLabelValues("sent").Inc()
	}
	a.Log.InfoContext(ctx, "administrators notified", "tenant", n.Tenant, "webhook", n.WebhookID, "notification", n.ID, "kind", n.Kind)
	return a.Store.NotificationSent(ctx, n.ID)
}

// publish puts the notification in as an event. Its key makes it one event however often this runs.
func (a *Health) publish(ctx context.Context, n *models.Notification, w *models.Webhook) error {
	data, err := json.Marshal(operational(n, w))
	if err != nil {
		return err
	}
	eventType := catalog.WebhookWarning
	if n.Kind == models.NotifyDeactivated {
		eventType = catalog.WebhookDeactivated
	}
	_, err = a.Hooks.Publish(ctx, n.Tenant, hooks.PublishRequest{Key: "notification/" + n.ID, Body: []byte(n.ID),
		Events: []hooks.EventInput{{Type: eventType, Data: data}}})
	return err
}

type operationalData struct {
	Webhook        operationalWebhook `json:"webhook"`
	FailedAttempts int64              `json:"failed_attempts"`
	Threshold      int64              `json:"threshold"`
	Reason         string             `json:"reason"`
	LastFailure    *lastFailure       `json:"last_failure"`
}

type operationalWebhook struct {
	ID     string `json:"id"`
	Tenant string `json:"tenant"`
	Name   string `json:"name"`
	URL    string `json:"url"`
	Status string `json:"status"`
}

type lastFailure struct {
	At         string `json:"at"`
	StatusCode *int   `json:"status_code"`
	Error      string `json:"error"`
}

// operational is the payload of an operational event; its schema is internal/catalog/operational.json.
func operational(n *models.Notification, w *models.Webhook) operationalData {
	status := models.WebhookActive
	if n.Kind == models.NotifyDeactivated {
		status = models.WebhookDeactivated
	}
	data := operationalData{FailedAttempts: n.Detail.Failed, Threshold: n.Detail.Threshold, Reason: n.Detail.Reason,
		Webhook: operationalWebhook{ID: w.ID, Tenant: models.TenantSlug(w.Tenant), Name: w.Name, URL: w.URL, Status: string(status)}}
	if at := n.Detail.LastFailureAt; at != nil {
		data.LastFailure = &lastFailure{At: at.UTC().Format("2006-01-02T15:04:05.000Z07:00"), Error: n.Detail.LastError}
		if code := n.Detail.LastStatus; code != 0 {
			data.LastFailure.StatusCode = &code
		}
	}
	return data
}

func (a *Health) mail(ctx context.Context, n *models.Notification, w *models.Webhook) error {
	t, err := a.Store.Tenant(ctx, n.Tenant)
	if err != nil {
		return err
	}
	if !a.Mailer.Enabled() || len(t.AdminEmails) == 0 {
		a.Log.WarnContext(ctx, "no mail sent: no SMTP server or no administrators", "tenant", n.Tenant, "webhook", n.WebhookID)
		return nil
	}
	mail := notify.WebhookMail{Tenant: t.Slug, TenantName: t.Name, WebhookID: w.ID, WebhookName: w.Name, URL: w.URL, Reason: n.Detail.Reason,
		Failed: int(n.Detail.Failed), Threshold: int(n.Detail.Threshold), LastStatus: n.Detail.LastStatus, LastError: n.Detail.LastError,
		To: t.AdminEmails, NotificationID: n.ID}
	if n.Detail.LastFailureAt != nil {
		mail.LastFailureAt = *n.Detail.LastFailureAt
	}
	if a.PublicURL != "" {
		mail.Link = strings.TrimRight(a.PublicURL, "/") + "/v1/tenants/" + t.Slug + "/webhooks/" + w.ID
	}
	if n.Kind == models.NotifyDeactivated {
		return a.Mailer.Send(ctx, notify.WebhookDeactivated(mail))
	}
	return a.Mailer.Send(ctx, notify.WebhookWarning(mail))
}
