package models

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"

	"github.com/google/uuid"
)

// FanOutAbove is the most webhooks of one event whose deliveries are stored together with it. If more webhooks match,
// the deliveries follow in pages.
const FanOutAbove = 1000

// jobFanOut creates the deliveries of an event that matches many webhooks. Its members are the webhooks that matched
// when the event was accepted, and its position is how many of them are done.
const jobFanOut JobKind = "fanout"

// FanOut is an event whose deliveries follow in pages.
type FanOut struct {
	EventID string
	Members []byte // the webhooks that matched: see Members
}

// memberSize is the size of a UUID in bytes.
const memberSize = len(uuid.UUID{})

// Members packs webhooks' ids for a FanOut: the 16 bytes of each UUID, in the order of the ids. A page reads only its
// part.
func Members(ids []string) ([]byte, error) {
	members := make([]byte, 0, len(ids)*memberSize)
	for _, id := range slices.Sorted(slices.Values(ids)) {
		if !HasIDForm(PrefixWebhook, id) {
			return nil, fmt.Errorf("models: %q is not the id of a webhook", id)
		}
		u := uuid.MustParse(id[len(PrefixWebhook):])
		members = append(members, u[:]...)
	}
	return members, nil
}

func memberIDs(members []byte) []string {
	ids := make([]string, 0, len(members)/memberSize)
	for part := range slices.Chunk(members, memberSize) {
		ids = append(ids, PrefixWebhook+uuid.UUID(part).String())
	}
	return ids
}

// membersOf reads up to most members of a job or a recovery after the first done, and their total number.
func (s *Store) membersOf(ctx context.Context, table, id string, done, most int) (ids []string, size int, err error) {
	var members []byte
	err = s.db.WithContext(ctx).Raw("SELECT substr(members, ?, ?), length(members) FROM "+table+" WHERE id = ?",
		done*memberSize+1, most*memberSize, id).Row().Scan(&members, &size)
	return memberIDs(members), size / memberSize, err
}

var fanOutColumns = []column[Job]{
	{"id", "text", func(j *Job) any { return j.ID }},
	{"kind", "text", func(j *Job) any { return string(j.Kind) }},
	{"tenant", "text", func(j *Job) any { return j.Tenant }},
	{"event_id", "text", func(j *Job) any { return j.EventID }},
	{"members", "bytea", func(j *Job) any { return j.Members }},
	{"at", "timestamptz", func(j *Job) any { return timeOf(j.CreatedAt) }},
}

// insertFanOuts stores the jobs of the events whose deliveries follow.
func (a *acceptor) insertFanOuts(ctx context.Context) error {
	jobs := gatherOpen(a, func(r *Acceptance) []Job {
		var jobs []Job
		for _, f := range r.FanOuts {
			jobs = append(jobs, Job{ID: NewID(PrefixJob), Kind: jobFanOut, Tenant: r.Tenant, EventID: f.EventID, Members: f.Members, CreatedAt: a.now()})
		}
		return jobs
	})
	return later(ctx, a.Store, jobs, fanOutColumns, `INSERT INTO jobs
		(id, kind, tenant, webhook_id, event_id, subject, reason, epoch, position, members, touched, errors, due_at, created_at)
		SELECT id, kind, tenant, '', event_id, '', '', 0, '', members, 0, 0, at, at FROM v`, nil)
}

// fanOutPage creates the deliveries to the next webhooks that matched the event, by their current statuses, and the
// dispatches of those to send. Nothing follows if the event has been erased, or deleted with its tenant.
func fanOutPage(ctx context.Context, s *Store, j *Job) (JobPage, error) {
	e, err := s.fanOutEvent(ctx, j)
	if err != nil || e == nil {
		return JobPage{Done: err == nil}, err
	}
	done := 0
	if j.Position != "" {
		if done, err = strconv.Atoi(j.Position); err != nil {
			return JobPage{}, fmt.Errorf("models: position of job %s: %w", j.ID, err)
		}
	}
	ids, size, err := s.membersOf(ctx, "jobs", j.ID, done, jobRows)
	if err != nil {
		return JobPage{}, err
	}
	targets, err := s.targetsOf(ctx, e.Tenant, ids)
	if err != nil {
		return JobPage{}, err
	}
	deliveries := s.owedTo(e, targets)
	counted := statDeltas{}
	for i := range deliveries {
		counted.owed(e.CreatedAt, &deliveries[i])
	}
	if err := s.appendStats(ctx, counted); err != nil {
		return JobPage{}, err
	}
	page := JobPage{Rows: int64(len(deliveries)), Fresh: s.fanOutDispatches(deliveries)}
	done += len(ids)
	j.Position, page.Done = strconv.Itoa(done), done >= size
	return page, s.insertLater(ctx, deliveries, page.Fresh)
}

// recoveryColumn is the recovery of a delivery.
var recoveryColumn = column[Delivery]{"recovery", "text", func(d *Delivery) any { return d.RecoveryID }}

var laterColumns = append(slices.Clone(deliveryColumns),
	column[Delivery]{"finished_at", "timestamptz", func(d *Delivery) any { return timeAt(d.FinishedAt) }}, recoveryColumn,
	column[Delivery]{"asked", "bigint", func(d *Delivery) any { return int64(d.Asked) }})

// insertLater stores deliveries of existing events, and their dispatches.
func (s *Store) insertLater(ctx context.Context, deliveries []Delivery, dispatches []Dispatch) error {
	err := bulk(ctx, s, deliveries, laterColumns, `INSERT INTO deliveries
		(tenant, id, event_id, event_type, webhook_id, status, status_reason, attempts, failures, generation, dispatch_id, next_attempt_at, created_at, process, finished_at, recovery_id, asked)
		SELECT tenant, id, event_id, event_type, webhook_id, status, status_reason, 0, 0, 0, dispatch_id, next_attempt_at, created_at, NULLIF(process, 0), finished_at, NULLIF(recovery, ''), asked FROM v`, nil)
	if err != nil {
		return err
	}
	return s.insertDispatches(ctx, dispatches)
}

// fanOutEvent reads the event of a job without its data, nil if nothing of it is to be delivered. The event is locked
// until the page is stored: erasing it then finds all existing deliveries.
func (s *Store) fanOutEvent(ctx context.Context, j *Job) (*Event, error) {
	query := `SELECT e.type, e.created_at, e.erased_at FROM events e JOIN tenants t ON t.id = e.tenant AND t.deleted_at IS NULL
		WHERE e.tenant = ? AND e.id = ?`
	if s.postgres {
		query += " FOR SHARE OF e"
	}
	var rows []Event
	err := s.db.WithContext(ctx).Raw(query, j.Tenant, j.EventID).Scan(&rows).Error
	if err != nil || len(rows) == 0 || rows[0].ErasedAt != nil {
		return nil, err
	}
	return &Event{Tenant: j.Tenant, ID: j.EventID, Type: rows[0].Type, CreatedAt: rows[0].CreatedAt}, nil
}

// target is a webhook that an event matched, as it is now.
type target struct {
	webhook string
	status  WebhookStatus
	deleted bool
}

// targetsOf reads the tenant's webhooks with these ids, in the order of their ids. On PostgreSQL their statuses are
// locked until the page is stored: a change of one then finds all its deliveries.
func (s *Store) targetsOf(ctx context.Context, tenant string, ids []string) ([]target, error) {
	query := `SELECT w.id, w.status, w.deleted_at IS NOT NULL FROM v JOIN webhooks w ON w.id = v.id AND w.tenant = v.tenant ORDER BY w.id`
	if s.postgres {
		query += " FOR SHARE OF w"
	}
	keys := keysOf(tenant, ids)
	targets := make([]target, 0, len(ids))
	err := bulk(ctx, s, keys, rowKeyColumns, query, func(rows *sql.Rows) error {
		var t target
		err := rows.Scan(&t.webhook, &t.status, &t.deleted)
		targets = append(targets, t)
		return err
	})
	return targets, err
}

// owedTo creates an event's deliveries to webhooks: pending, held or, if the webhook has been deleted in the meantime,
// canceled.
func (s *Store) owedTo(e *Event, targets []target) []Delivery {
	now := s.now()
	deliveries := make([]Delivery, 0, len(targets))
	for _, t := range targets {
		d := Delivery{Tenant: e.Tenant, ID: NewID(PrefixDelivery), EventID: e.ID, EventType: e.Type, WebhookID: t.webhook, Status: Pending, CreatedAt: now}
		switch {
		case t.deleted:
			d.Status, d.StatusReason, d.FinishedAt = Canceled, ReasonDeleted, &now
		case t.status != WebhookActive:
			d.Status, d.StatusReason = Held, HeldReason(t.status)
		default:
			d.NextAttemptAt = &now
		}
		deliveries = append(deliveries, d)
	}
	return deliveries
}

// fanOutDispatches puts an event's pending deliveries into dispatches, and records on each delivery which is its own.
// They may share one even if sharing is forbidden, because they belong to one event.
func (s *Store) fanOutDispatches(deliveries []Delivery) []Dispatch {
	most := s.groupMax
	if most == 1 {
		most = MaxDispatch
	}
	var pending []*Delivery
	for i := range deliveries {
		if deliveries[i].Status == Pending {
			pending = append(pending, &deliveries[i])
		}
	}
	var fresh []Dispatch
	for chunk := range slices.Chunk(pending, most) {
		id := NewID(PrefixDispatch)
		owed := make([]Delivery, len(chunk))
		for i, d := range chunk {
			d.DispatchID = id
			owed[i] = *d
		}
		fresh = append(fresh, *s.newDispatch(id, 0, owed))
	}
	return fresh
}
