package models

import (
	"context"
	"database/sql"
	"encoding/json"
)

// viewPage is how many webhooks of a tenant one statement reads.
const viewPage = 5000

// viewSealed is how long a webhook's sealed headers and secrets may be together to be kept in memory, in bytes. Few
// are longer, and those could fill the memory.
const viewSealed = "2048"

// viewQuery reads what publishing and sending need of webhooks.
const viewQuery = `SELECT w.id, w.profile, w.url, w.name, w.event_types, w.channels, w.status,
	CASE WHEN length(w.headers) + length(w.secrets) <= ` + viewSealed + ` THEN w.headers END,
	CASE WHEN length(w.headers) + length(w.secrets) <= ` + viewSealed + ` THEN w.secrets END,
	CASE WHEN length(w.headers) + length(w.secrets) <= ` + viewSealed + ` THEN 0 ELSE 1 END, w.settings, w.retry, w.timeout_ms,
	w.max_in_flight, w.rate_limit, w.epoch, w.version, w.deleted_at, h.epoch
	FROM webhooks w JOIN webhook_health h ON h.webhook_id = w.id WHERE w.tenant = ? AND `

// AllWebhooks reads every webhook of the tenant by id, as far as publishing and sending need it, and the lowest
// version that they can have.
func (s *Store) AllWebhooks(ctx context.Context, tenant string) ([]Webhook, int64, error) {
	// The version first: if a change slips in between, the set looks older than it is, and is read again.
	versions, err := s.TenantVersions(ctx, []string{tenant})
	if err != nil {
		return nil, 0, err
	}
	version, ok := versions[tenant]
	if !ok {
		return nil, 0, ErrNotFound
	}
	all, err := s.viewPages(ctx, tenant, func(last *Webhook) (string, []any) {
		return "w.deleted_at IS NULL AND w.id > ? ORDER BY w.id", []any{last.ID}
	})
	return all, version, err
}

// WebhooksSince reads the webhooks of the tenant that have changed after a version, in the order of their last
// changes, as AllWebhooks does. It includes deleted ones, with DeletedAt.
func (s *Store) WebhooksSince(ctx context.Context, tenant string, version int64) ([]Webhook, error) {
	return s.viewPages(ctx, tenant, func(last *Webhook) (string, []any) {
		return "(w.version, w.id) > (?, ?) ORDER BY w.version, w.id", []any{max(version+1, last.Version), last.ID}
	})
}

// viewPages reads pages until one is not full. next returns the condition of the page after the last webhook; for the
// zero Webhook the first page.
func (s *Store) viewPages(ctx context.Context, tenant string, next func(last *Webhook) (string, []any)) ([]Webhook, error) {
	var all []Webhook
	texts := &viewTexts{types: map[string][]string{}, settings: map[string]map[string]string{}, retries: map[string]Retry{}}
	for {
		last := &Webhook{}
		if len(all) > 0 {
			last = &all[len(all)-1]
		}
		where, args := next(last)
		n, err := s.viewPage(ctx, tenant, where, args, func(rows *sql.Rows) error {
			w := Webhook{Tenant: tenant}
			err := texts.scan(rows, &w)
			all = append(all, w)
			return err
		})
		if err != nil || n < viewPage {
			return all, err
		}
	}
}

func (s *Store) viewPage(ctx context.Context, tenant, where string, args []any, scan func(*sql.Rows) error) (n int, err error) {
	args = append(append([]any{tenant}, args...), viewPage)
	rows, err := s.db.WithContext(ctx).Raw(viewQuery+where+" LIMIT ?", args...).Rows()
	if err != nil {
		return 0, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return n, err
		}
		n++
	}
	return n, rows.Err()
}

// viewTexts decodes the JSON columns. Webhooks with the same text share one value, which nobody may change: the
// 100,000 webhooks of a tenant mostly differ only in their URL.
type viewTexts struct {
	types    map[string][]string // lists of event types, and of channels
	settings map[string]map[string]string
	retries  map[string]Retry
}

func (t *viewTexts) scan(rows *sql.Rows, w *Webhook) error {
	var types, channels, settings, retry string
	err := rows.Scan(&w.ID, &w.Profile, &w.URL, &w.Name, &types, &channels, &w.Status, &w.Headers, &w.Secrets, &w.Apart, &settings, &retry, &w.TimeoutMS,
		&w.MaxInFlight, &w.RateLimit, &w.Epoch, &w.Version, &w.DeletedAt, &w.Health.Epoch)
	if err != nil {
		return err
	}
	w.Health.WebhookID = w.ID
	if w.EventTypes, err = decoded(t.types, types); err != nil {
		return err
	}
	if w.Channels, err = decoded(t.types, channels); err != nil {
		return err
	}
	if w.Settings, err = decoded(t.settings, settings); err != nil {
		return err
	}
	w.Retry, err = decoded(t.retries, retry)
	return err
}

func decoded[V any](known map[string]V, text string) (V, error) {
	if v, ok := known[text]; ok {
		return v, nil
	}
	var v V
	if text == "" { // GORM's form of nil
		return v, nil
	}
	err := json.Unmarshal([]byte(text), &v)
	known[text] = v
	return v, err
}
