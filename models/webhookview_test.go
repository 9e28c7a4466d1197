package models_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// parameters counts the statements of do, and returns for each kind the largest number of parameters.
func (s *database) parameters(t *testing.T, do func() error) (statements int, most map[string]int) {
	t.Helper()
	store := s.Store
	defer func() { s.Store = store }()
	s.Store = s.Open(t)
	most = map[string]int{}
	s.Watch(func(statement string, n int) {
		statements++
		kind, _, _ := strings.Cut(statement, " IN (") // lists differ in length
		kind, _, _ = strings.Cut(kind, "VALUES")
		most[kind] = max(most[kind], n)
	})
	require.NoError(t, do())
	return statements, most
}

// crowdOfWebhooks adds webhooks to a tenant, each with its own id.
func (s *database) crowdOfWebhooks(t *testing.T, tenant string, from, to int) {
	t.Helper()
	const columns = `id, tenant, profile, url, name, description, event_types, status, status_reason, headers, secrets, settings, retry, timeout_ms,
		max_in_flight, rate_limit, created_by, updated_by, created_at, updated_at, deleted_at, epoch, version`
	const numbers = `WITH RECURSIVE n(i) AS (SELECT CAST(@from AS bigint) UNION ALL SELECT i + 1 FROM n WHERE i + 1 < @to) `
	insert := func(statement string) {
		require.NoError(t, s.DB().Exec(numbers+statement, map[string]any{"from": from, "to": to, "tenant": tenant, "at": s.Now()}).Error)
	}
	if s.IsPostgres() {
		insert(`INSERT INTO webhooks (` + columns + `) SELECT 'wh_00000000-0000-7000-8000-' || lpad(CAST(i AS text), 12, '0'), @tenant, 'standard', 'https://example.com/', '', '', '[]', 'active',
			'', '', '', '{}', '{}', 0, 0, 0, '', '', @at, @at, NULL, 0, 0 FROM n`)
	} else {
		insert(`INSERT INTO webhooks (` + columns + `) SELECT printf('wh_00000000-0000-7000-8000-%012d', i), @tenant, 'standard', 'https://example.com/', '', '', '[]', 'active',
			'', x'',x'', '{}', '{}', 0, 0, 0, '', '', @at, @at, NULL, 0, 0 FROM n`)
	}
	require.NoError(t, s.DB().Exec(`INSERT INTO webhook_health (webhook_id, failed, epoch, warned, last_failure_at, last_status, last_error, last_success_at)
		SELECT id, 0, 3, 0, NULL, 0, '', NULL FROM webhooks w
		WHERE NOT EXISTS (SELECT 1 FROM webhook_health h WHERE h.webhook_id = w.id)`).Error)
}

// A3: reading the webhooks of a tenant takes no statement with a parameter for each of them.
func TestWebhookView_WebhooksAreReadWithTheSameParametersHoweverMany(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		s.crowdOfWebhooks(t, tenant, 0, 3)
		reads := map[string]func() error{
			"all":   func() error { _, _, err := s.AllWebhooks(t.Context(), tenant); return err },
			"since": func() error { _, err := s.WebhooksSince(t.Context(), tenant, -1); return err },
			"list": func() error {
				_, _, err := s.Webhooks(t.Context(), tenant, models.WebhookFilter{}, models.Page{Limit: 1000})
				return err
			},
		}
		type sent struct {
			statements int
			most       map[string]int
		}
		few := map[string]sent{}
		for name, read := range reads {
			n, most := s.parameters(t, read)
			few[name] = sent{n, most}
		}
		s.crowdOfWebhooks(t, tenant, 3, 40)
		for name, read := range reads {
			n, most := s.parameters(t, read)
			many := sent{n, most}
			require.Equal(t, few[name], many, name)
		}
	})
}

// A3: neither does looking for several calls.
func TestWebhookView_CallsAreFoundWithTheSameParametersHoweverManyAreNamed(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		names := strings.Split(strings.Repeat("att_x ", 40), " ")
		find := func(n int) map[string]int {
			_, most := s.parameters(t, func() error {
				_, _, err := s.Calls(t.Context(), "acme", models.CallFilter{IDs: names[:n], EventTypes: names[:n]}, 10, 0)
				return err
			})
			return most
		}
		require.Equal(t, find(2), find(40))
	})
}

// A3: a tenant of more webhooks than one statement reads is read in pages, and none is missed or read twice.
func TestWebhookView_WebhooksAreReadInPages(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		const n = 5000 + 3
		s.crowdOfWebhooks(t, tenant, 0, n)
		for name, read := range map[string]func() ([]models.Webhook, error){
			"all": func() ([]models.Webhook, error) {
				all, _, err := s.AllWebhooks(t.Context(), tenant)
				return all, err
			},
			"since": func() ([]models.Webhook, error) { return s.WebhooksSince(t.Context(), tenant, -1) },
		} {
			var all []models.Webhook
			statements, _ := s.parameters(t, func() (err error) { all, err = read(); return err })
			require.LessOrEqual(t, statements, 3, name)
			require.Len(t, all, n, name)
			for i, w := range all {
				require.Equal(t, fmt.Sprintf("wh_00000000-0000-7000-8000-%012d", i), w.ID, name)
			}
			require.Equal(t, int64(3), all[n-1].Health.Epoch)
		}
	})
}

// Publishing and sending read webhooks only through the view. A new field that it does not read would be zero in every
// delivery, though the API shows it.
func TestWebhookView_TheViewReadsEveryFieldThatSendingNeeds(t *testing.T) {
	unneeded := []string{"UID", "Description", "Metadata", "StatusReason", "CreatedBy", "UpdatedBy", "CreatedAt", "UpdatedAt",
		"SealedWith", "Apart", "Health"} // the last three are no columns; of Health the view reads the epoch
	stores(t, func(t *testing.T, s *database) {
		w := models.Webhook{}
		fields := reflect.VisibleFields(reflect.TypeFor[models.Webhook]())
		for i, field := range fields {
			fill(t, reflect.ValueOf(&w).Elem().FieldByIndex(field.Index), field.Name, i+1)
		}
		w.ID, w.Tenant, w.SealedWith = models.NewID(models.PrefixWebhook), s.Tenant(t, "acme"), 0
		require.NoError(t, s.CreateWebhook(t.Context(), &w))
		var row models.Webhook
		require.NoError(t, s.DB().Where("id = ?", w.ID).Take(&row).Error)
		view, err := s.WebhooksSince(t.Context(), w.Tenant, -1)
		require.NoError(t, err)
		require.Len(t, view, 1)
		for _, field := range fields {
			if slices.Contains(unneeded, field.Name) {
				continue
			}
			stored := reflect.ValueOf(row).FieldByIndex(field.Index)
			require.False(t, stored.IsZero(), field.Name)
			require.Equal(t, stored.Interface(), reflect.ValueOf(view[0]).FieldByIndex(field.Index).Interface(),
				"%s: read it in models/webhookview.go, or name it here if neither publishing nor sending needs it", field.Name)
		}
	})
}

// fill sets a value to one that differs from the zero value, and from those of other names and numbers.
func fill(t *testing.T, v reflect.Value, name string, n int) {
	t.Helper()
	switch v.Kind() {
	case reflect.String:
		v.SetString(name)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(n))
	case reflect.Uint8:
		v.SetUint(uint64(n))
	case reflect.Float64:
		v.SetFloat(float64(n) + 0.5)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), name, n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(t, v.Index(0), name, n)
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(t, key, name, n)
		fill(t, value, name, n)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(int64(n), 0).UTC()))
			return
		}
		for _, part := range v.Fields() {
			fill(t, part, name, n)
			n++
		}
	default:
		t.Fatalf("say how a %s is filled", v.Kind())
	}
}

// Every change of a webhook is among what has changed since the version before it, and nothing else is.
func TestWebhookView_WebhooksSinceAreThoseThatChanged(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		ctx := t.Context()
		tenant := s.Tenant(t, "acme")
		w, other := s.Webhook(t, tenant), s.Webhook(t, tenant)
		only := models.Webhook{ID: models.NewID(models.PrefixWebhook), Tenant: tenant, Profile: "im4", Status: models.WebhookActive}
		status := func(c models.StatusChange) func() error {
			return func() error {
				_, _, err := s.SetWebhookStatus(ctx, tenant, w.ID, c)
				return err
			}
		}
		for _, change := range []struct {
			name string
			id   string
			do   func() error
		}{
			{"update", w.ID, func() error {
				_, err := s.UpdateWebhook(ctx, tenant, w.ID, func(w *models.Webhook) error { w.EventTypes = []string{"order.*"}; return nil })
				return err
			}},
			{"pause", w.ID, status(models.StatusChange{To: models.WebhookPaused})},
			{"resume", w.ID, status(models.StatusChange{To: models.WebhookActive})},
			{"reset", w.ID, status(models.StatusChange{To: models.WebhookActive, Reset: true})},
			{"deactivate", w.ID, func() error { _, err := s.DeactivateWebhook(ctx, w.ID, 3000, "gone"); return err }},
			{"create the only one", only.ID, func() error { return s.CreateOnlyWebhook(ctx, &only) }},
			{"delete", w.ID, func() error { _, err := s.DeleteWebhook(ctx, tenant, w.ID); return err }},
		} {
			before := s.Version(t, tenant)
			s.Clock.Advance(time.Second)
			require.NoError(t, change.do(), change.name)
			rows, err := s.WebhooksSince(ctx, tenant, before)
			require.NoError(t, err, change.name)
			require.Len(t, rows, 1, change.name)
			require.Equal(t, change.id, rows[0].ID, change.name)
			require.Equal(t, s.Version(t, tenant), rows[0].Version, change.name)
			require.Equal(t, change.name == "delete", rows[0].DeletedAt != nil)
			if change.name == "reset" {
				require.Equal(t, int64(1), rows[0].Health.Epoch)
			}
		}
		all, version, err := s.AllWebhooks(ctx, tenant)
		require.NoError(t, err)
		require.Equal(t, s.Version(t, tenant), version)
		require.Len(t, all, 2)
		require.Equal(t, other.ID, all[0].ID)
	})
}

// A13: putting an unchanged thing changes nothing, and no process reads anything again.
func TestWebhookView_EventTypesThatAreTheSameRaiseNoVersion(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		ctx := t.Context()
		s.Tenant(t, "acme")
		s.Tenant(t, "globex")
		versions := func() map[string]int64 {
			v, err := s.TenantVersions(ctx, []string{"acme", "globex"})
			require.NoError(t, err)
			return v
		}
		for _, tenant := range []string{"", "acme"} {
			before := versions()
			types := func(title string) []models.EventType {
				return []models.EventType{{Tenant: tenant, Name: "a", Title: "A", Schema: "{}"}, {Tenant: tenant, Name: "b", Title: title, Deprecated: true}}
			}
			require.NoError(t, s.PutEventTypes(ctx, types("B")))
			made := s.Now()
			before[tenant]++
			require.Equal(t, before, versions())

			s.Clock.Advance(time.Second)
			again := types("B")
			writes := 0
			require.NoError(t, func() error {
				store := s.Open(t)
				store.Watch(func(statement string, _ int) {
					if strings.Contains(statement, "UPDATE ") && !strings.Contains(statement, "FOR UPDATE") || strings.Contains(statement, "INSERT") {
						writes++
					}
				})
				return store.PutEventTypes(ctx, again)
			}())
			require.Zero(t, writes)
			require.Equal(t, before, versions())
			require.Equal(t, made, again[0].UpdatedAt)

			require.NoError(t, s.PutEventTypes(ctx, types("changed")))
			before[tenant]++
			require.Equal(t, before, versions())
			all, err := s.EventTypes(ctx, tenant)
			require.NoError(t, err)
			require.Equal(t, made, all[0].UpdatedAt, "one is as it was")
			require.Equal(t, s.Now(), all[1].UpdatedAt)
			require.Equal(t, made, all[1].CreatedAt)
		}
	})
}
