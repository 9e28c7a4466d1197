package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/posthorn/posthorn/internal/catalog"
	"github.com/posthorn/posthorn/internal/notify"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// Notify notifies a tenant's administrators about one of its webhooks: by mail, and by an operational event that
// webhooks can register for. It returns when the result is known, and stores the result on the webhook. If it runs
// again, the event is not published twice, and the mail has the same Message-ID.
func (a *Health) Notify(ctx context.Context, notificationID string) error {
	n, err := a.Store.Notification(ctx, notificationID)
	if errors.Is(err, models.ErrNotFound) || (err == nil && n.SentAt != nil) {
		return nil
	}
	if err != nil {
		return err
	}
	w, err := a.Store.WebhookByID(ctx, n.WebhookID)
	if errors.Is(err, models.ErrNotFound) { // its owner has deleted it: nobody is left to notify
		return a.Store.NotificationEnded(ctx, &n, models.NoticeSkipped, "the webhook was deleted")
	}
	if err != nil {
		return err
	}
	t, err := a.Store.Tenant(ctx, n.Tenant)
	if err != nil {
		return err
	}
	var o outcome
	if o.subscribed, err = a.publish(ctx, &n, &w, &t); err != nil {
		return fmt.Errorf("publish the operational event: %w", err)
	}
	if err := a.mail(ctx, &n, &w, &t, &o); err != nil {
		a.Metrics.Notified.WithLabelValues(string(models.NoticeFailed)).Inc()
		if err := a.Store.NotificationTried(ctx, &n, "the mail server has not taken the mail yet; it is tried again"); err != nil {
			a.Log.WarnContext(ctx, "a webhook does not say that its administrators are not notified yet", "webhook", n.WebhookID, "error", err)
		}
		return fmt.Errorf("mail: %w", err)
	}
	if err := a.Store.NotificationEnded(ctx, &n, o.result(), o.detail()); err != nil {
		return err
	}
	a.report(ctx, &n, &o)
	return nil
}

// report counts and logs the result of a notification. Of addresses it logs only the number.
func (a *Health) report(ctx context.Context, n *models.Notification, o *outcome) {
	result := o.result()
	a.Metrics.Notified.WithLabelValues(string(result)).Inc()
	level, text := slog.LevelInfo, "administrators notified"
	switch {
	case result == models.NoticeFailed:
		level, text = slog.LevelError, "administrators not notified: the mail server refused every address"
	case result == models.NoticeSkipped:
		level, text = slog.LevelWarn, "nobody notified"
	case o.noMail != "":
		text = "notified by the operational event only"
	case o.receipt.Taken < o.receipt.Of:
		level, text = slog.LevelWarn, "some administrators not notified: the mail server refused their addresses"
	}
	args := []any{"tenant", n.Tenant, "webhook", n.WebhookID, "notification", n.ID, "kind", n.Kind,
		"addresses_taken", o.receipt.Taken, "addresses", o.receipt.Of, "event_sent", o.subscribed}
	if detail := o.detail(); detail != "" {
		args = append(args, "detail", detail)
	}
	if o.refusal != nil {
		args = append(args, "error", o.refusal)
	}
	a.Log.Log(ctx, level, text, args...)
}

// outcome is the result of a notification.
type outcome struct {
	subscribed bool           // the operational event goes to a webhook
	receipt    notify.Receipt // of the mail
	noMail     string         // why no mail was sent, "" = one was
	refusal    error          // the error, if every address was refused
}

func (o *outcome) result() models.NoticeResult {
	switch {
	case o.refusal != nil:
		return models.NoticeFailed
	case o.noMail == "" || o.subscribed:
		return models.NoticeSent
	default:
		return models.NoticeSkipped
	}
}

// detail says who was not notified, and why; "" = everybody was.
func (o *outcome) detail() string {
	event := "; no active webhook takes the operational event"
	if o.subscribed {
		event = "; the operational event was sent"
	}
	switch refused := o.receipt.Of - o.receipt.Taken; {
	case o.noMail != "":
		return "no mail was sent: " + o.noMail + event
	case o.refusal != nil:
		return fmt.Sprintf("the mail server refused all %d addresses of the administrators", refused) + event
	case refused > 0:
		return fmt.Sprintf("the mail server refused %d of %d addresses of the administrators", refused, o.receipt.Of)
	default:
		return ""
	}
}

// publish publishes the notification as an event, in the webhook's tenant and in the operational tenant if there is one,
// and reports whether a webhook gets it. Its idempotency key makes it one event however often this runs.
func (a *Health) publish(ctx context.Context, n *models.Notification, w *models.Webhook, t *models.Tenant) (subscribed bool, err error) {
	payload := operational(n, w, t.UID)
	payload.Link = a.page(w)
	data, err := json.Marshal(payload)
	if err != nil {
		return false, err
	}
	eventType := catalog.WebhookWarning
	if n.Kind == models.NotifyDeactivated {
		eventType = catalog.WebhookDeactivated
	}
	all, err := a.Service.OperationalTenant(ctx)
	if err != nil {
		return false, err
	}
	tenants := []string{n.Tenant}
	if all != "" && all != n.Tenant {
		tenants = append(tenants, all)
	}
	for _, tenant := range tenants {
		published, err := a.Service.Publish(ctx, tenant, service.PublishRequest{Key: "notification/" + n.ID, Body: []byte(n.ID),
			Events: []service.EventInput{{Type: eventType, Data: data}}})
		if err != nil {
			return false, err
		}
		goes, err := a.Store.IsGoingOut(ctx, tenant, published[0].ID)
		if err != nil {
			return false, err
		}
		subscribed = subscribed || goes
	}
	return subscribed, nil
}

type operationalData struct {
	Webhook        models.OperationalWebhook `json:"webhook"`
	FailedAttempts int64                     `json:"failed_attempts"`
	Threshold      int64                     `json:"threshold"`
	Reason         string                    `json:"reason"`
	LastSuccessAt  string                    `json:"last_success_at,omitempty"`
	LastFailure    *lastFailure              `json:"last_failure"`
	Link           string                    `json:"link,omitempty"`
}

type lastFailure struct {
	At         string `json:"at"`
	StatusCode *int   `json:"status_code"`
	Error      string `json:"error"`
}

// operational returns the payload of an operational event. Its schema is in internal/catalog/operational.json.
func operational(n *models.Notification, w *models.Webhook, tenantUID string) operationalData {
	status := models.WebhookActive
	if n.Kind == models.NotifyDeactivated {
		status = models.WebhookDeactivated
	}
	data := operationalData{FailedAttempts: n.Detail.Failed, Threshold: n.Detail.Threshold, Reason: n.Detail.Reason,
		Webhook: models.NewOperationalWebhook(w, tenantUID)}
	data.Webhook.Status = string(status)
	if at := w.Health.LastSuccessAt; at != nil {
		data.LastSuccessAt = at.UTC().Format(models.OperationalTime)
	}
	if at := n.Detail.LastFailureAt; at != nil {
		data.LastFailure = &lastFailure{At: at.UTC().Format(models.OperationalTime), Error: n.Detail.LastError}
		if code := n.Detail.LastStatus; code != 0 {
			data.LastFailure.StatusCode = &code
		}
	}
	return data
}

// mail sends the mail to the administrators, and notes the result in o. An error means that another try is worthwhile.
func (a *Health) mail(ctx context.Context, n *models.Notification, w *models.Webhook, t *models.Tenant, o *outcome) (err error) {
	switch {
	case !a.Mailer.Enabled():
		o.noMail = "no mail server is configured"
		return nil
	case len(t.AdminEmails) == 0:
		o.noMail = "the tenant has no administrators"
		return nil
	}
	o.receipt, err = a.Mailer.Send(ctx, a.letter(n, w, t))
	if o.receipt.Taken > 0 {
		n.Detail.Told = t.AdminEmails
	}
	if errors.Is(err, notify.ErrRefused) { // the server would refuse every other try too
		o.refusal = err
		return nil
	}
	return err
}

// page returns the URL of a webhook's page for its tenant's people; "" if the installation does not know its own
// address.
func (a *Health) page(w *models.Webhook) string {
	if a.PublicURL == "" {
		return ""
	}
	return strings.TrimRight(a.PublicURL, "/") + "/portal/webhooks/" + w.ID
}

func (a *Health) letter(n *models.Notification, w *models.Webhook, t *models.Tenant) notify.Mail {
	mail := notify.WebhookMail{Tenant: t.Slug, TenantName: t.Name, WebhookID: w.ID, WebhookName: w.Name, URL: w.URL, Reason: n.Detail.Reason,
		Failed: int(n.Detail.Failed), Threshold: int(n.Detail.Threshold), LastStatus: n.Detail.LastStatus, LastError: n.Detail.LastError,
		To: t.AdminEmails, NotificationID: n.ID}
	if n.Detail.LastFailureAt != nil {
		mail.LastFailureAt = *n.Detail.LastFailureAt
	}
	mail.Link = a.page(w)
	if n.Kind == models.NotifyDeactivated {
		return notify.WebhookDeactivated(mail)
	}
	return notify.WebhookWarning(mail)
}
