package models

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"
)

// The operational events about changes of a webhook, and about deliveries to it. internal/catalog/operational.json has their
// schemas. The events about a webhook's health follow from notifications.
const (
	EventWebhookCreated    = OperationalPrefix + "created"
	EventWebhookUpdated    = OperationalPrefix + "updated"
	EventWebhookDeleted    = OperationalPrefix + "deleted"
	EventWebhookEnabled    = OperationalPrefix + "enabled"
	EventDeliveryFailing   = OperationalPrefix + "delivery.failing"
	EventDeliveryFailed    = OperationalPrefix + "delivery.failed"
	EventDeliveryRecovered = OperationalPrefix + "delivery.recovered"
)

// changeEvents are the operational events that follow from actions of the audit log.
var changeEvents = map[AuditAction]string{
	AuditWebhookCreated:       EventWebhookCreated,
	AuditWebhookUpdated:       EventWebhookUpdated,
	AuditWebhookSecretRotated: EventWebhookUpdated,
	AuditWebhookDisabled:      EventWebhookUpdated,
	AuditWebhookPaused:        EventWebhookUpdated,
	AuditWebhookResumed:       EventWebhookUpdated,
	AuditWebhookEnabled:       EventWebhookEnabled,
	AuditWebhookDeleted:       EventWebhookDeleted,
}

// jobAnnounce publishes one operational event about a webhook. Reason is the event's type. Subject is the attempt that it is
// about, "" if it is about a change.
const jobAnnounce JobKind = "announce"

// subscribes selects the webhooks w that are registered for operational events, with the predicate of their index. Every
// operational type begins with the prefix, and so does every pattern that matches one.
const subscribes = `w.deleted_at IS NULL AND w.event_types LIKE '%"` + OperationalPrefix + `%'`

// operationalTenant selects the tenant whose webhooks get the operational events about all webhooks.
const operationalTenant = "SELECT id FROM tenants WHERE slug = '" + OperationalTenant + "' AND deleted_at IS NULL"

// subscribed reports for each of the tenants whether a webhook may get its operational events: one of the tenant, or one of the
// operational tenant. No event is published about the operational tenant's own webhooks.
func (s *Store) subscribed(ctx context.Context, tenants []string) (map[string]bool, error) {
	reached := map[string]bool{}
	err := bulk(ctx, s, tenants, idColumns, `SELECT v.id FROM v WHERE EXISTS (SELECT 1 FROM webhooks w WHERE w.tenant = v.id AND `+subscribes+`)
		OR EXISTS (SELECT 1 FROM webhooks w WHERE w.tenant IN (`+operationalTenant+`) AND `+subscribes+`)`, func(rows *sql.Rows) error {
		var id string
		err := rows.Scan(&id)
		reached[id] = TenantSlug(id) != OperationalTenant
		return err
	})
	return reached, err
}

// announceChange adds the operational event of a change of a webhook, in the change's transaction, if a webhook may be registered
// for it.
func (s *Store) announceChange(ctx context.Context, tenant, webhookID, eventType string) error {
	subscribed, err := s.subscribed(ctx, []string{tenant})
	if err != nil || !subscribed[tenant] {
		return err
	}
	_, err = s.addJob(ctx, Job{Kind: jobAnnounce, Tenant: tenant, WebhookID: webhookID, Reason: eventType})
	return err
}

// OperationalWebhook is the webhook that an operational event is about.
type OperationalWebhook struct {
	ID        string `json:"id"`
	UID       string `json:"uid,omitempty"`
	Tenant    string `json:"tenant"`
	TenantUID string `json:"tenant_uid,omitempty"`
	Name      string `json:"name"`
	URL       string `json:"url"` // without its query: the event goes to other receivers
	Status    string `json:"status"`
}

// NewOperationalWebhook returns a webhook as an operational event shows it.
func NewOperationalWebhook(w *Webhook, tenantUID string) OperationalWebhook {
	return OperationalWebhook{ID: w.ID, UID: w.UID, Tenant: TenantSlug(w.Tenant), TenantUID: tenantUID, Name: w.Name, URL: AuditURL(w.URL), Status: string(w.Status)}
}

type operationalData struct {
	Webhook  OperationalWebhook   `json:"webhook"`
	Delivery *operationalDelivery `json:"delivery,omitempty"`
	Attempt  *operationalAttempt  `json:"last_attempt,omitempty"`
}

type operationalDelivery struct {
	ID         string `json:"id"`
	EventID    string `json:"event_id"`
	EventType  string `json:"event_type"`
	ExternalID string `json:"external_id,omitempty"`
}

type operationalAttempt struct {
	ID         string  `json:"id"`
	At         string  `json:"at"`
	Number     int     `json:"number"`
	StatusCode *int    `json:"status_code"`
	Error      *string `json:"error"`
}

// OperationalTime is the form of times in operational events.
const OperationalTime = "2006-01-02T15:04:05.000Z07:00"

// announcePage publishes an operational event, in the webhook's tenant and in the operational tenant, as far as webhooks there are
// registered for its type. It shows the webhook as it is now. The deliveries follow as those of a fan-out do. Nothing is
// published about a tenant or an attempt that has been deleted in the meantime.
func announcePage(ctx context.Context, s *Store, j *Job) (JobPage, error) {
	done := JobPage{Done: true}
	data, err := s.operationalData(ctx, j)
	if errors.Is(err, ErrNotFound) {
		return done, nil
	}
	if err != nil {
		return JobPage{}, err
	}
	text, err := json.Marshal(data)
	if err != nil {
		return JobPage{}, err
	}
	recipients, err := s.recipientsOf(ctx, j)
	if err != nil {
		return JobPage{}, err
	}
	for tenant, ids := range recipients {
		members, err := Members(ids)
		if err != nil {
			return JobPage{}, err
		}
		event := Event{Tenant: tenant, ID: NewID(PrefixEvent), Type: j.Reason, Data: text, CreatedAt: s.now()}
		if err := (&acceptor{Store: s}).insert(ctx, []Event{event}, discard); err != nil {
			return JobPage{}, err
		}
		counted := statDeltas{}
		counted.at(event.CreatedAt, tenant, "", event.Type).Events++
		if err := s.appendStats(ctx, counted); err != nil {
			return JobPage{}, err
		}
		if _, err := s.addJob(ctx, Job{Kind: jobFanOut, Tenant: tenant, EventID: event.ID, Members: members}); err != nil {
			return JobPage{}, err
		}
		done.Rows++
	}
	return done, nil
}

// discard reads nothing of a row.
func discard(scanner) error { return nil }

// operationalData reads what the job's event is about. ErrNotFound if it no longer exists. A deleted webhook still does.
func (s *Store) operationalData(ctx context.Context, j *Job) (data operationalData, err error) {
	db := s.db.WithContext(ctx)
	var t Tenant
	if err := found(db.Select("uid").Take(&t, "id = ? AND deleted_at IS NULL", j.Tenant).Error); err != nil {
		return data, err
	}
	var w Webhook
	err = found(db.Select("id", "tenant", "uid", "name", "url", "status").Take(&w, "tenant = ? AND id = ?", j.Tenant, j.WebhookID).Error)
	if err != nil {
		return data, err
	}
	data.Webhook = NewOperationalWebhook(&w, t.UID)
	if j.Subject == "" {
		return data, nil
	}
	var a Attempt
	err = found(db.Select("id", "delivery_id", "number", "started_at", "status_code", "error").Take(&a, "tenant = ? AND id = ?", j.Tenant, j.Subject).Error)
	if err != nil {
		return data, err
	}
	data.Attempt = &operationalAttempt{ID: a.ID, At: a.StartedAt.UTC().Format(OperationalTime), Number: a.Number}
	if a.StatusCode != 0 {
		data.Attempt.StatusCode = &a.StatusCode
	}
	if a.Error != "" {
		data.Attempt.Error = &a.Error
	}
	var d operationalDelivery
	err = found(db.Raw(`SELECT d.id, d.event_id, d.event_type, COALESCE(e.external_id, '') AS external_id FROM deliveries d
		LEFT JOIN events e ON e.tenant = d.tenant AND e.id = d.event_id WHERE d.tenant = ? AND d.id = ?`, j.Tenant, a.DeliveryID).Take(&d).Error)
	data.Delivery = &d
	return data, err
}

// recipientsMost is the most webhooks that are examined for an operational event.
const recipientsMost = 10_000

// recipientsOf returns the ids of the webhooks that get the job's event, by tenant. A webhook gets no event about itself.
func (s *Store) recipientsOf(ctx context.Context, j *Job) (map[string][]string, error) {
	var rows []Webhook
	err := s.db.WithContext(ctx).Raw(`SELECT w.id, w.tenant, w.event_types FROM webhooks w
		WHERE (w.tenant = ? OR w.tenant IN (`+operationalTenant+`)) AND w.id <> ? AND `+subscribes+`
		ORDER BY w.id LIMIT ?`, j.Tenant, j.WebhookID, recipientsMost).Scan(&rows).Error
	recipients := map[string][]string{}
	for i := range rows {
		if w := &rows[i]; w.Wants(j.Reason) {
			recipients[w.Tenant] = append(recipients[w.Tenant], w.ID)
		}
	}
	return recipients, err
}

const (
	// failingAttempt is the failed attempt from which a delivery counts as failing.
	failingAttempt = 4
	// announceEvery is the shortest time between two events of the same kind of failure about one webhook: a dead receiver may
	// fail 200,000 deliveries.
	announceEvery = time.Minute
)

// trouble is what the operational events about failing deliveries to a webhook have said. Its row is locked.
type trouble struct {
	webhookID           string
	failingUS, failedUS int64 // when the last event of each kind was added, in microseconds since 1970
	troubled            bool  // no event has said since that a delivery was received
	changed             bool
}

var troubleColumns = []column[*trouble]{
	{"webhook_id", "text", func(t **trouble) any { return (*t).webhookID }},
	{"failing_us", "bigint", func(t **trouble) any { return (*t).failingUS }},
	{"failed_us", "bigint", func(t **trouble) any { return (*t).failedUS }},
	{"troubled", "boolean", func(t **trouble) any { return (*t).troubled }},
}

// note notes that an event was added.
func (t *trouble) note(eventType string, now time.Time) {
	t.troubled = eventType != EventDeliveryRecovered
	switch eventType {
	case EventDeliveryFailing:
		t.failingUS = now.UnixMicro()
	case EventDeliveryFailed:
		t.failedUS = now.UnixMicro()
	}
}

var announceColumns = []column[Job]{
	{"id", "text", func(j *Job) any { return j.ID }},
	{"kind", "text", func(j *Job) any { return string(j.Kind) }},
	{"tenant", "text", func(j *Job) any { return j.Tenant }},
	{"webhook_id", "text", func(j *Job) any { return j.WebhookID }},
	{"subject", "text", func(j *Job) any { return j.Subject }},
	{"reason", "text", func(j *Job) any { return j.Reason }},
	{"members", "bytea", func(j *Job) any { return notNil(j.Members) }},
	{"at", "timestamptz", func(j *Job) any { return timeOf(j.CreatedAt) }},
}

// due returns the type of the operational event that record i of the group causes; "" = none. The delivery of an operational
// event causes no other.
func (r *recorder) due(i int, t *trouble, now time.Time) string {
	record, result := r.group[i], &r.results[i]
	since := now.Add(-announceEvery).UnixMicro()
	switch {
	case t == nil || record.Attempt.Number == 0 || strings.HasPrefix(r.types[i], OperationalPrefix):
	case record.Received():
		if t.troubled {
			return EventDeliveryRecovered
		}
	case !result.Applied || record.Uncounted:
	case record.Status == Failed && t.failedUS <= since:
		return EventDeliveryFailed
	case record.Status == Pending && record.Attempt.Number == failingAttempt && t.failingUS <= since:
		return EventDeliveryFailing
	}
	return ""
}

// announce adds the operational events that the group causes: at most one of each kind of failure for a webhook in a minute,
// and one of a reception after them. If no webhook is registered for operational events, nothing is written.
func (r *recorder) announce(ctx context.Context) error {
	now := r.now()
	var tenants []string
	for i, record := range r.group {
		if r.due(i, r.troubles[record.Attempt.WebhookID], now) != "" {
			tenants = append(tenants, record.Attempt.Tenant)
		}
	}
	if len(tenants) == 0 {
		return nil
	}
	subscribed, err := r.subscribed(ctx, slices.Compact(slices.Sorted(slices.Values(tenants))))
	if err != nil {
		return err
	}
	var jobs []Job
	var changed []*trouble
	for i, record := range r.group {
		a := &record.Attempt
		t := r.troubles[a.WebhookID]
		eventType := r.due(i, t, now)
		if eventType == "" || (!subscribed[a.Tenant] && eventType != EventDeliveryRecovered) {
			continue
		}
		if t.note(eventType, now); !t.changed {
			t.changed, changed = true, append(changed, t)
		}
		if subscribed[a.Tenant] {
			jobs = append(jobs, Job{ID: NewID(PrefixJob), Kind: jobAnnounce, Tenant: a.Tenant, WebhookID: a.WebhookID, Subject: a.ID, Reason: eventType, CreatedAt: now})
		}
	}
	err = bulk(ctx, r.Store, changed, troubleColumns, `UPDATE webhook_health SET failing_announced_us = v.failing_us, failed_announced_us = v.failed_us,
		troubled = v.troubled FROM v WHERE webhook_health.webhook_id = v.webhook_id`, nil)
	if err != nil {
		return err
	}
	return bulk(ctx, r.Store, jobs, announceColumns, `INSERT INTO jobs
		(id, kind, tenant, webhook_id, event_id, subject, reason, epoch, position, members, touched, errors, due_at, created_at)
		SELECT id, kind, tenant, webhook_id, '', subject, reason, 0, '', members, 0, 0, at, at FROM v`, nil)
}
