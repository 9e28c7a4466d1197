package activities_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/activities"
	"github.com/posthorn/posthorn/internal/metrics"
	"github.com/posthorn/posthorn/internal/notify"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

// mailer keeps its mails. errs are the answers to the first mails, in order. refused is how many addresses of each mail
// are refused.
type mailer struct {
	mu       sync.Mutex
	disabled bool
	errs     []error
	refused  int
	sent     []notify.Mail
}

func (m *mailer) Enabled() bool { return !m.disabled }

func (m *mailer) Send(_ context.Context, mail notify.Mail) (notify.Receipt, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.errs) > 0 {
		err := m.errs[0]
		m.errs = m.errs[1:]
		return notify.Receipt{Of: len(mail.To)}, err
	}
	m.sent = append(m.sent, mail)
	return notify.Receipt{Taken: len(mail.To) - m.refused, Of: len(mail.To)}, nil
}

// few lets a webhook be deactivated after ten failures.
func few(_ *sender.Config, o *service.Options) { o.Threshold = 10 }

func health(t *testing.T) (*bundle, *activities.Health, *mailer) {
	t.Helper()
	b := setup(t, few)
	_, _, err := b.Service.PutTenant(t.Context(), models.Tenant{ID: tenant, Name: "Acme", AdminEmails: []string{"ops@acme.test"}})
	require.NoError(t, err)
	m := &mailer{}
	return b, &activities.Health{Service: b.Service, Store: b.Store, Mailer: m, PublicURL: "https://posthorn.test/",
		Metrics: metrics.New(prometheus.NewRegistry()), Log: quiet}, m
}

// fail records n failed receptions of a webhook.
func (b *bundle) fail(w models.Webhook, n int) {
	b.t.Helper()
	group := make([]*models.Record, n)
	for i := range group {
		group[i] = &models.Record{Status: models.Pending, Attempt: models.Attempt{Tenant: tenant, ID: models.NewID(models.PrefixAttempt),
			DeliveryID: models.NewID(models.PrefixDelivery), WebhookID: w.ID, StartedAt: b.Clock.Now(), StatusCode: 500, Error: "500 Internal Server Error"}}
	}
	_, err := b.Store.Record(b.t.Context(), group, nil)
	require.NoError(b.t, err)
}

func judge(t *testing.T, h *activities.Health, w models.Webhook) workflows.Health {
	t.Helper()
	found, err := h.Judge(t.Context(), w.ID)
	require.NoError(t, err)
	return found
}

func TestHealth_JudgeWarnsAndDeactivates(t *testing.T) {
	t.Parallel()
	b, h, _ := health(t)
	w := b.hook("/hook/with-a-secret?token=another", func(c *service.WebhookChange) { name := "Shop"; c.Name = &name })
	b.receiver.answer("/hook/with-a-secret", http.StatusInternalServerError)
	d := b.publish()
	host := b.receiver.url[len("http://"):]

	require.Equal(t, workflows.Health{Tenant: tenant, Status: "active", Name: "Shop", Host: host, Threshold: 10, Unsent: []string{}}, judge(t, h, w))

	var unsent []string
	for i, step := range []struct {
		failures      int
		status        string
		notifications int
	}{
		{4, "active", 0},
		{1, "active", 1}, // 50 %
		{3, "active", 1},
		{1, "active", 2}, // 90 %
		{0, "active", 2},
		{1, "deactivated", 3},
		{0, "deactivated", 3},
	} {
		if step.failures > 0 {
			b.fail(w, step.failures)
		}
		found := judge(t, h, w)
		require.Equal(t, step.status, found.Status, "step %d", i)
		require.Len(t, found.Unsent, step.notifications, "step %d", i)
		unsent = found.Unsent
		text, err := json.Marshal(found)
		require.NoError(t, err)
		require.NotContains(t, string(text), "secret", "the history is open to everybody who sees the Web UI")
		require.NotContains(t, string(text), "token")
	}
	require.Equal(t, models.Held, b.delivery(d).Status)
	kinds := make([]models.NotificationKind, len(unsent))
	for i, id := range unsent {
		n, err := b.Store.Notification(t.Context(), id)
		require.NoError(t, err)
		kinds[i] = n.Kind
	}
	require.Equal(t, []models.NotificationKind{models.NotifyWarning, models.NotifyWarning, models.NotifyDeactivated}, kinds)
}

func TestHealth_JudgeOfADeletedWebhook(t *testing.T) {
	t.Parallel()
	b, h, _ := health(t)
	w := b.hook("/a")
	_, err := b.Service.DeleteWebhook(t.Context(), tenant, w.ID)
	require.NoError(t, err)
	require.Equal(t, workflows.Health{Deleted: true}, judge(t, h, w))
}

// deactivated returns a deactivated webhook and its notification.
func deactivated(t *testing.T, b *bundle, h *activities.Health) (models.Webhook, string) {
	t.Helper()
	w := b.hook("/a?token=secret", func(c *service.WebhookChange) { name := "Shop"; c.Name = &name })
	b.fail(w, 10)
	found := judge(t, h, w)
	require.Len(t, found.Unsent, 1)
	return w, found.Unsent[0]
}

// operational returns the operational events of the tenant.
func (b *bundle) operational() []models.Event {
	b.t.Helper()
	events, _, err := b.Store.Events(b.t.Context(), tenant, models.EventFilter{Type: "webhook.deactivated"}, models.Page{Limit: 10})
	require.NoError(b.t, err)
	return events
}

func TestHealth_NotifyMailsAndPublishes(t *testing.T) {
	t.Parallel()
	b, h, m := health(t)
	types := []string{"webhook.*"}
	subscriber := b.hook("/subscriber", func(c *service.WebhookChange) { c.EventTypes = &types })
	w, id := deactivated(t, b, h)

	for range 2 { // the second run does nothing
		require.NoError(t, h.Notify(t.Context(), id))
	}
	require.Len(t, m.sent, 1)
	mail := m.sent[0]
	require.Equal(t, []string{"ops@acme.test"}, mail.To)
	require.Equal(t, `Webhook "Shop" was deactivated`, mail.Subject)
	require.Contains(t, mail.Text, "10 receptions failed")
	require.Contains(t, mail.Text, "https://posthorn.test/portal/webhooks/"+w.ID)
	require.NotContains(t, mail.Text, "token")
	require.Equal(t, id, mail.MessageID)
	require.Empty(t, judge(t, h, w).Unsent)

	events := b.operational()
	require.Len(t, events, 1)
	event, err := b.Store.Event(t.Context(), tenant, events[0].ID)
	require.NoError(t, err)
	var data struct {
		Webhook        struct{ ID, Tenant, Name, Status, URL string }
		FailedAttempts int `json:"failed_attempts"`
		Threshold      int
		LastFailure    struct {
			StatusCode int `json:"status_code"`
			Error      string
		} `json:"last_failure"`
		Link string
	}
	require.NoError(t, json.Unmarshal(event.Data, &data))
	require.Equal(t, "https://posthorn.test/portal/webhooks/"+w.ID, data.Link)
	require.Equal(t, w.ID, data.Webhook.ID)
	require.Equal(t, "deactivated", data.Webhook.Status)
	require.Equal(t, b.receiver.url+"/a", data.Webhook.URL, "it goes to another receiver, whom the query does not concern")
	require.Equal(t, 10, data.FailedAttempts)
	require.Equal(t, 10, data.Threshold)
	require.Equal(t, 500, data.LastFailure.StatusCode)
	deliveries := b.Env.Deliveries(tenant, event.ID)
	require.Len(t, deliveries, 1, "it goes to who asked for it, and not to the webhook itself")
	require.Equal(t, subscriber.ID, deliveries[0].WebhookID)
}

// The operational tenant gets the event as well, once, and events about its own webhooks once, too.
func TestHealth_NotifyTellsTheOperationalTenant(t *testing.T) {
	t.Parallel()
	b, h, _ := health(t)
	_, _, err := b.Service.PutTenant(t.Context(), models.Tenant{ID: models.OperationalTenant})
	require.NoError(t, err)
	types, url := []string{"webhook.*"}, b.receiver.url+"/all"
	all, _, err := b.Service.CreateWebhook(t.Context(), models.OperationalTenant, service.WebhookChange{URL: &url, EventTypes: &types, By: "test"})
	require.NoError(t, err)
	uid := "shop-1"
	w := b.hook("/a", func(c *service.WebhookChange) { c.UID = &uid })
	b.fail(w, 10)
	found := judge(t, h, w)
	require.Len(t, found.Unsent, 1)
	for range 2 {
		require.NoError(t, h.Notify(t.Context(), found.Unsent[0]))
	}
	require.Len(t, b.operational(), 1)
	told := func() []models.Event {
		events, _, err := b.Store.Events(t.Context(), models.OperationalTenant, models.EventFilter{}, models.Page{Limit: 10})
		require.NoError(t, err)
		return events
	}
	require.Len(t, told(), 1)
	deliveries := b.Env.Deliveries(models.OperationalTenant, told()[0].ID)
	require.Len(t, deliveries, 1)
	require.Equal(t, all.ID, deliveries[0].WebhookID)
	event, err := b.Store.Event(t.Context(), models.OperationalTenant, told()[0].ID)
	require.NoError(t, err)
	require.Contains(t, string(event.Data), `"id":"`+w.ID+`","uid":"shop-1","tenant":"`+tenant+`"`)

	b.fail(all, 10)
	found = judge(t, h, all)
	require.Len(t, found.Unsent, 1)
	require.NoError(t, h.Notify(t.Context(), found.Unsent[0]))
	require.Len(t, told(), 2)
}

func TestHealth_NotifyIsRepeatedUntilItGoesOut(t *testing.T) {
	t.Parallel()
	b, h, m := health(t)
	w, id := deactivated(t, b, h)
	m.errs = []error{errors.New("no route to the mail server"), errors.New("try again later")}

	for range 2 {
		require.ErrorContains(t, h.Notify(t.Context(), id), "mail")
		require.Equal(t, []string{id}, judge(t, h, w).Unsent)
		require.Equal(t, models.NoticeFailed, b.notice(w).Result, "and not yet given up")
	}
	require.NoError(t, h.Notify(t.Context(), id))
	require.Len(t, m.sent, 1)
	require.Empty(t, judge(t, h, w).Unsent)
	require.Len(t, b.operational(), 1, "it is one event, however often the mail was tried")
	require.Equal(t, models.NoticeSent, b.notice(w).Result)
}

// notice returns the webhook's latest notification.
func (b *bundle) notice(w models.Webhook) models.Notice {
	b.t.Helper()
	found, err := b.Store.WebhookByID(b.t.Context(), w.ID)
	require.NoError(b.t, err)
	require.NotNil(b.t, found.Health.LastNotice)
	return *found.Health.LastNotice
}

// notified returns how many notifications were counted, by result.
func notified(t *testing.T, h *activities.Health) map[string]float64 {
	t.Helper()
	counts := map[string]float64{}
	for _, result := range []string{"sent", "skipped", "failed"} {
		var m dto.Metric
		require.NoError(t, h.Metrics.Notified.WithLabelValues(result).Write(&m))
		counts[result] = m.GetCounter().GetValue()
	}
	return counts
}

func TestHealth_NotifySaysWhomItHasReached(t *testing.T) {
	t.Parallel()
	operational := []string{"webhook.*"}
	everyone := []string{"a@acme.test", "b@acme.test", "c@acme.test"}
	noServer := func(_ *bundle, m *mailer) { m.disabled = true }
	subscribe := func(b *bundle) models.Webhook {
		return b.hook("/subscriber", func(c *service.WebhookChange) { c.EventTypes = &operational })
	}
	for name, tt := range map[string]struct {
		emails  []string
		arrange func(b *bundle, m *mailer)
		result  models.NoticeResult
		detail  string
		log     string
	}{
		"everybody": {everyone, nil, models.NoticeSent, "", "administrators notified"},
		"some addresses are refused": {everyone, func(_ *bundle, m *mailer) { m.refused = 1 }, models.NoticeSent,
			"the mail server refused 1 of 3 addresses of the administrators", "some administrators not notified"},
		"every address is refused": {everyone, func(_ *bundle, m *mailer) { m.errs = []error{notify.ErrRefused} }, models.NoticeFailed,
			"the mail server refused all 3 addresses of the administrators; no active webhook takes the operational event", "administrators not notified"},
		"no mail server": {everyone, noServer, models.NoticeSkipped,
			"no mail was sent: no mail server is configured; no active webhook takes the operational event", "nobody notified"},
		"no administrators": {nil, nil, models.NoticeSkipped,
			"no mail was sent: the tenant has no administrators; no active webhook takes the operational event", "nobody notified"},
		"the event only": {everyone, func(b *bundle, m *mailer) { noServer(b, m); subscribe(b) }, models.NoticeSent,
			"no mail was sent: no mail server is configured; the operational event was sent", "by the operational event only"},
		"the event is held": {everyone, func(b *bundle, m *mailer) {
			noServer(b, m)
			_, err := b.Service.Pause(t.Context(), tenant, subscribe(b).ID, "test")
			require.NoError(b.t, err)
		}, models.NoticeSkipped, "no mail was sent: no mail server is configured; no active webhook takes the operational event", "nobody notified"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, h, m := health(t)
			var log strings.Builder
			h.Log = slog.New(slog.NewTextHandler(&log, nil))
			_, _, err := b.Service.PutTenant(t.Context(), models.Tenant{ID: tenant, Name: "Acme", AdminEmails: tt.emails})
			require.NoError(t, err)
			w, id := deactivated(t, b, h)
			if tt.arrange != nil {
				tt.arrange(b, m)
			}
			require.NoError(t, h.Notify(t.Context(), id))
			require.NoError(t, h.Notify(t.Context(), id))
			require.Empty(t, judge(t, h, w).Unsent)
			require.Len(t, b.operational(), 1, "the operational event is still published")

			counts := map[string]float64{"sent": 0, "skipped": 0, "failed": 0}
			counts[string(tt.result)] = 1
			require.Equal(t, counts, notified(t, h))
			notice := b.notice(w)
			require.Equal(t, models.Notice{ID: id, Kind: models.NotifyDeactivated, At: notice.At, Result: tt.result, Detail: tt.detail}, notice)
			n, err := b.Store.Notification(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, tt.result, n.Result)
			require.Contains(t, log.String(), tt.log)
			require.NotContains(t, log.String(), "@acme.test")
			if tt.result != models.NoticeSent {
				require.NotContains(t, log.String(), `msg="administrators notified"`)
			}
		})
	}
}

func TestHealth_NotifyOfWhatIsGone(t *testing.T) {
	t.Parallel()
	b, h, m := health(t)
	w, id := deactivated(t, b, h)
	_, err := b.Service.DeleteWebhook(t.Context(), tenant, w.ID)
	require.NoError(t, err)

	require.NoError(t, h.Notify(t.Context(), id))
	require.NoError(t, h.Notify(t.Context(), "ntf_missing"))
	require.Empty(t, m.sent)
	require.Empty(t, b.operational())
	n, err := b.Store.Notification(t.Context(), id)
	require.NoError(t, err)
	require.NotNil(t, n.SentAt)
	require.Equal(t, models.NoticeSkipped, n.Result)
}

// A tenant's webhooks are deleted with it at once, before their rows: their health workflows end.
func TestHealth_JudgeAndNotifyOfADeletedTenant(t *testing.T) {
	t.Parallel()
	b, h, m := health(t)
	w, id := deactivated(t, b, h)
	require.NoError(t, b.Service.DeleteTenant(t.Context(), tenant))
	require.Equal(t, workflows.Health{Deleted: true}, judge(t, h, w))
	require.NoError(t, h.Notify(t.Context(), id))
	require.Empty(t, m.sent)
}

// Mails, operational events and search attributes use a tenant's name, not its id.
func TestHealth_NotifyNamesTheTenantByItsSlug(t *testing.T) {
	t.Parallel()
	b, h, m := health(t)
	again, _ := b.TenantAgain(tenant)
	_, _, err := b.Service.PutTenant(t.Context(), models.Tenant{ID: tenant, AdminEmails: []string{"ops@acme.test"}})
	require.NoError(t, err)
	url := b.receiver.url + "/a"
	w, _, err := b.Service.CreateWebhook(t.Context(), again, service.WebhookChange{URL: &url, By: "test"})
	require.NoError(t, err)
	b.fail(w, 10)
	found := judge(t, h, w)
	require.Equal(t, tenant, found.Tenant)
	require.Len(t, found.Unsent, 1)
	require.NoError(t, h.Notify(t.Context(), found.Unsent[0]))

	require.Len(t, m.sent, 1)
	require.Contains(t, m.sent[0].Text, "https://posthorn.test/portal/webhooks/"+w.ID)
	require.NotContains(t, m.sent[0].Text, again)
	events, _, err := b.Store.Events(t.Context(), again, models.EventFilter{Type: "webhook.deactivated"}, models.Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, events, 1)
	event, err := b.Store.Event(t.Context(), again, events[0].ID)
	require.NoError(t, err)
	require.Contains(t, string(event.Data), `"tenant":"`+tenant+`"`)
}
