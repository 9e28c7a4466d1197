package models_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// labelled returns an acceptance of one event. change sets the event's labels.
func (s *database) labelled(tb testing.TB, tenant, id string, change func(*models.Event)) *models.Acceptance {
	tb.Helper()
	a := &models.Acceptance{Tenant: tenant, Version: s.Version(tb, tenant)}
	s.Add(a, id)
	change(&a.Events[0])
	return a
}

// found returns the ids of the tenant's events that match the filter, in pages of two.
func (s *database) found(tb testing.TB, tenant string, f models.EventFilter) []string {
	tb.Helper()
	ids := []string{}
	for page := (models.Page{Limit: 2}); ; {
		rows, next, err := s.Events(tb.Context(), tenant, f, page)
		require.NoError(tb, err)
		for _, e := range rows {
			ids = append(ids, e.ID)
		}
		if page.After = next; next == "" {
			return ids
		}
	}
}

func TestLabels_EventsAreFoundByWhatTheyAreLabelled(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		s.Tenant(t, "acme")
		s.Tenant(t, "globex")
		for i, change := range []func(*models.Event){
			func(e *models.Event) { e.Tags, e.Channels = []string{"red", "big"}, []string{"north"} },
			func(e *models.Event) {
				e.Tags, e.Attributes = []string{"red"}, map[string]string{"customer": "c:1", "city": "ö"}
			},
			func(e *models.Event) { e.ExternalID, e.Channels = "red", []string{"north", "south"} },
			func(e *models.Event) { e.Tags, e.Type = []string{"red"}, "order.paid" },
			func(*models.Event) {},
		} {
			s.Clock.Advance(time.Second)
			s.mustAccept(t, s.labelled(t, "acme", fmt.Sprintf("e%d", i), change), s.labelled(t, "globex", fmt.Sprintf("g%d", i), change))
		}
		since := s.Now().Add(-3 * time.Second)
		for name, tt := range map[string]struct {
			f    models.EventFilter
			want []string
		}{
			"all":                     {models.EventFilter{}, []string{"e4", "e3", "e2", "e1", "e0"}},
			"tag":                     {models.EventFilter{Tag: "red"}, []string{"e3", "e1", "e0"}},
			"tag and type":            {models.EventFilter{Tag: "red", Type: "order.paid"}, []string{"e3"}},
			"tag since":               {models.EventFilter{Tag: "red", Since: since}, []string{"e3", "e1"}},
			"tag until":               {models.EventFilter{Tag: "red", Until: since}, []string{"e0"}},
			"tag that nothing has":    {models.EventFilter{Tag: "north"}, []string{}},
			"channel":                 {models.EventFilter{Channel: "north"}, []string{"e2", "e0"}},
			"channel and tag":         {models.EventFilter{Channel: "north", Tag: "red"}, []string{"e0"}},
			"attribute":               {models.EventFilter{Attribute: &models.Attribute{Name: "customer", Value: "c:1"}}, []string{"e1"}},
			"attribute of more bytes": {models.EventFilter{Attribute: &models.Attribute{Name: "city", Value: "ö"}, Tag: "red"}, []string{"e1"}},
			"another value":           {models.EventFilter{Attribute: &models.Attribute{Name: "customer", Value: "c:2"}}, []string{}},
			"external id":             {models.EventFilter{ExternalID: "red"}, []string{"e2"}},
			"ids":                     {models.EventFilter{IDs: []string{"e0", "e4", "e1", "e3", "g2"}, IDsOf: "key"}, []string{"e4", "e3", "e1", "e0"}},
			"ids and tag":             {models.EventFilter{IDs: []string{"e0", "e4", "e1"}, IDsOf: "key", Tag: "red", Until: since}, []string{"e0"}},
			"ids and attribute":       {models.EventFilter{IDs: []string{"e0", "e1"}, IDsOf: "key", Attribute: &models.Attribute{Name: "city", Value: "ö"}}, []string{"e1"}},
			"no ids":                  {models.EventFilter{IDs: []string{}, IDsOf: "key"}, []string{}},
		} {
			require.Equal(t, tt.want, s.found(t, "acme", tt.f), name)
		}

		got, err := s.Event(t.Context(), "acme", "e2")
		require.NoError(t, err)
		require.Equal(t, "red", got.ExternalID)
		require.Equal(t, []string{"north", "south"}, got.Channels)
		require.Empty(t, got.Tags)

		// An erased event is no longer found by its attributes, but by its other labels.
		require.NoError(t, s.EraseEvent(t.Context(), "acme", "e1"))
		require.Empty(t, s.found(t, "acme", models.EventFilter{Attribute: &models.Attribute{Name: "customer", Value: "c:1"}}))
		require.Equal(t, []string{"e3", "e1", "e0"}, s.found(t, "acme", models.EventFilter{Tag: "red"}))

		// A cursor is valid only for its own filter.
		_, next, err := s.Events(t.Context(), "acme", models.EventFilter{Tag: "red"}, models.Page{Limit: 1})
		require.NoError(t, err)
		for _, f := range []models.EventFilter{{}, {Tag: "big"}, {Channel: "red"}} {
			_, _, err = s.Events(t.Context(), "acme", f, models.Page{Limit: 1, After: next})
			require.ErrorIs(t, err, models.ErrBadCursor)
		}
	})
}

// Labels go with their events, by retention and with the tenant.
func TestLabels_GoWithTheirEvents(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		all := func(e *models.Event) {
			e.ExternalID, e.Tags, e.Channels, e.Attributes = "x"+e.ID, []string{"t"}, []string{"c"}, map[string]string{"a": "b"}
		}
		w := s.Webhook(t, s.Tenant(t, "acme"))
		a := &models.Acceptance{Tenant: "acme", Version: s.Version(t, "acme")}
		s.Add(a, "owed", w)
		s.Add(a, "unwanted")
		for i := range a.Events {
			all(&a.Events[i])
		}
		s.mustAccept(t, a)
		require.Equal(t, 8, s.Count(t, "event_labels"))
		s.MustRecord(t, s.Attempted(a.Deliveries[0], models.Delivered))
		s.Clock.Advance(retention + time.Second)
		s.expire(t, 100)
		require.Zero(t, s.Count(t, "events"))
		require.Zero(t, s.Count(t, "event_labels"))

		s.mustAccept(t, s.labelled(t, "acme", "again", all))
		require.NoError(t, s.DeleteTenant(t.Context(), "acme"))
		s.runJobs(t)
		require.Zero(t, s.Count(t, "event_labels"))
	})
}

// An external id belongs to one event of its tenant. Refused requests do not use up an id.
func TestLabels_ExternalIDsAreUniqueInATenant(t *testing.T) {
	type event struct{ id, external string }
	for _, tt := range []struct {
		name   string
		exists []event
		group  [][]event
		want   []error
		stored []string // ids of events, by external id in the order of the names
	}{
		{"taken before", []event{{"a", "x"}}, [][]event{{{"b", "x"}}, {{"c", "y"}}}, []error{models.ErrDuplicateExternal, nil}, []string{"a", "c"}},
		{"twice in a group", nil, [][]event{{{"a", "x"}}, {{"b", "x"}}}, []error{nil, models.ErrDuplicateExternal}, []string{"a"}},
		{"twice in a request", nil, [][]event{{{"a", "x"}, {"b", "x"}}, {{"c", "x"}}}, []error{models.ErrDuplicateExternal, nil}, []string{"c"}},
		{"of a request whose id is taken", []event{{"a", ""}}, [][]event{{{"a", "x"}}, {{"b", "x"}}}, []error{models.ErrDuplicateEvent, nil}, []string{"b"}},
		{"of a request of which another id is taken", []event{{"a", ""}}, [][]event{{{"b", "x"}, {"a", ""}}, {{"c", "x"}}},
			[]error{models.ErrDuplicateEvent, nil}, []string{"c"}},
		{"with an id that goes to another request", []event{{"a", ""}}, [][]event{{{"b", "x"}, {"a", ""}}, {{"b", "x"}}},
			[]error{models.ErrDuplicateEvent, nil}, []string{"b"}},
		{"with an id that another request could not have", []event{{"a", ""}}, [][]event{{{"b", "y"}, {"a", ""}}, {{"b", "x"}}},
			[]error{models.ErrDuplicateEvent, nil}, []string{"b"}},
		{"the same request again", []event{{"a", "x"}}, [][]event{{{"a", "x"}}}, []error{models.ErrDuplicateEvent}, []string{"a"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stores(t, func(t *testing.T, s *database) {
				requests := 0
				request := func(tenant string, events []event) *models.Acceptance {
					requests++
					a := &models.Acceptance{Tenant: tenant, Version: s.Version(t, tenant), Key: fmt.Sprint(requests), BodyHash: []byte{1}}
					for i, e := range events {
						s.Add(a, e.id)
						a.Events[i].ExternalID = e.external
					}
					return a
				}
				s.Tenant(t, "acme")
				s.Tenant(t, "globex")
				for _, e := range tt.exists {
					s.mustAccept(t, request("acme", []event{e}))
				}
				s.mustAccept(t, request("globex", []event{{"a", "x"}, {"b", "y"}}))
				var group []*models.Acceptance
				accepted := len(tt.exists) + 1
				for i, events := range tt.group {
					group = append(group, request("acme", events))
					if tt.want[i] == nil {
						accepted++
					}
				}
				require.Equal(t, tt.want, s.acceptErrors(t, group...))
				var stored []string
				for _, external := range []string{"x", "y"} {
					stored = append(stored, s.found(t, "acme", models.EventFilter{ExternalID: external})...)
				}
				require.Equal(t, tt.stored, stored)
				require.Equal(t, len(tt.stored)+2, s.Count(t, "event_labels"))
				require.Equal(t, accepted, s.Count(t, "idempotency_keys"), "only a success is repeated")
				require.Equal(t, []string{"a"}, s.found(t, "globex", models.EventFilter{ExternalID: "x"}))
			})
		})
	}
}

// An event without labels is stored by the same statements as before labels existed.
func TestLabels_AnEventWithoutLabelsCostsNothingMore(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		store, o := s.Observe()
		plain := s.Acceptance(t, "acme", w)
		_, err := store.Accept(t.Context(), []*models.Acceptance{plain})
		require.NoError(t, err)
		n := len(o.Statements)
		for _, statement := range o.Statements {
			for _, word := range []string{"event_labels", "external_id", "channels", "tags"} {
				require.NotContains(t, statement, word)
			}
		}
		o.Reset()
		_, err = store.Accept(t.Context(), []*models.Acceptance{s.labelled(t, "acme", "e", func(e *models.Event) { e.Tags = []string{"t"} })})
		require.NoError(t, err)
		require.Len(t, o.Statements, n, "one for the labels, none for deliveries")
	})
}

// Searches by labels read only the rows that they return, however many events exist and however many have the label.
func TestLabels_SearchesUseIndexesOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	s.crowd(t)
	const tenant = "tenant-3"
	s.label(t, tenant)
	s.patiently(t, nil, "VACUUM ANALYZE")
	for name, f := range searches() {
		t.Run(name, func(t *testing.T) {
			got := s.countingOf(t, func(ctx context.Context, tx *models.Store) error {
				rows, _, err := tx.Events(ctx, tenant, f, models.Page{Limit: 50})
				require.NotEmpty(t, rows)
				return err
			}, "events", "event_labels")
			t.Logf("%+v", got)
			require.Zero(t, got.Scans, "read from end to end")
			require.LessOrEqual(t, got.Rows, int64(4*60), "rows read")
		})
	}
}

// An event type that few events of a tenant have is found by an index, on both databases.
func TestLabels_ARareTypeIsFoundByAnIndex(t *testing.T) {
	t.Parallel()
	const tenant = "tenant-3"
	events := func(ctx context.Context, tx *models.Store) error {
		_, _, err := tx.Events(ctx, tenant, models.EventFilter{Type: "rare"}, models.Page{Limit: 50})
		return err
	}
	deliveries := func(ctx context.Context, tx *models.Store) error {
		_, _, err := tx.Deliveries(ctx, tenant, models.DeliveryFilter{EventType: "rare"}, models.Page{Limit: 50})
		return err
	}
	t.Run("postgres", func(t *testing.T) {
		s := postgres(t)
		s.crowd(t)
		const few = "id IN (SELECT id FROM %s WHERE tenant = 'tenant-3' ORDER BY id LIMIT 3) AND tenant = 'tenant-3'"
		require.NoError(t, s.DB().Exec("UPDATE events SET type = 'rare' WHERE "+fmt.Sprintf(few, "events")).Error)
		require.NoError(t, s.DB().Exec("UPDATE deliveries SET event_type = 'rare' WHERE "+fmt.Sprintf(few, "deliveries")).Error)
		s.patiently(t, nil, "VACUUM ANALYZE")
		for table, query := range map[string]func(context.Context, *models.Store) error{"events": events, "deliveries": deliveries} {
			got := s.countingOf(t, query, table)
			require.Zero(t, got.Scans, "%s read from end to end", table)
			require.LessOrEqual(t, got.Rows, int64(10), "rows of %s read", table)
		}
	})
	t.Run("sqlite", func(t *testing.T) {
		s := sqlite(t)
		s.Tenant(t, tenant)
		store, o := s.Observe()
		require.NoError(t, events(t.Context(), store))
		require.Contains(t, s.planOf(t, o.Statements[0]), "USING INDEX events_type (tenant=? AND type=?)")
		o.Reset()
		require.NoError(t, deliveries(t.Context(), store))
		require.Contains(t, s.planOf(t, o.Statements[0]), "USING INDEX deliveries_type (tenant=? AND event_type=?)")
	})
}

// label gives every event of a tenant a tag, every hundredth another one and an attribute, and one an external id: as models
// would have stored them.
func (s *database) label(t *testing.T, tenant string) {
	t.Helper()
	var keys []models.Event
	require.NoError(t, s.DB().Raw("SELECT tenant, id, created_at FROM events WHERE tenant = ? ORDER BY created_at", tenant).Scan(&keys).Error)
	require.NoError(t, s.Tx(t.Context(), func(tx *models.Store) error {
		for i := range keys {
			e := &keys[i]
			e.Tags = []string{"all"}
			if i%100 == 0 {
				e.Tags, e.Channels, e.Attributes = append(e.Tags, "few"), []string{"few"}, map[string]string{"few": "one"}
			}
			if i == 10 {
				e.ExternalID = "one"
			}
		}
		return tx.Label(t.Context(), keys)
	}))
}

// searches are the searches that a label serves.
func searches() map[string]models.EventFilter {
	return map[string]models.EventFilter{
		"a tag of all":      {Tag: "all"},
		"a tag of few":      {Tag: "few"},
		"a tag and a time":  {Tag: "all", Until: time.Date(2026, 3, 1, 6, 0, 0, 0, time.UTC)},
		"a channel":         {Channel: "few"},
		"an attribute":      {Attribute: &models.Attribute{Name: "few", Value: "one"}},
		"two tags":          {Attribute: &models.Attribute{Name: "few", Value: "one"}, Tag: "all"},
		"an external id":    {ExternalID: "one"},
		"external id, tags": {ExternalID: "one", Tag: "all"},
	}
}

// The same on SQLite, which reports how it reads each table.
func TestLabels_SearchesUseIndexesOnSQLite(t *testing.T) {
	t.Parallel()
	s := sqlite(t)
	s.Tenant(t, "acme")
	store, o := s.Observe()
	for name, f := range searches() {
		o.Reset()
		_, _, err := store.Events(t.Context(), "acme", f, models.Page{Limit: 50})
		require.NoError(t, err)
		require.NotEmpty(t, o.Statements)
		for i, statement := range o.Statements {
			plan := s.planOf(t, statement)
			require.Regexp(t, `SEARCH l USING (COVERING )?INDEX event_labels_\w+ \(tenant=\? AND label=\?`, plan, name)
			require.NotRegexp(t, `SCAN (events|event_labels)`, plan, name)
			if i == len(o.Statements)-1 {
				require.Contains(t, plan, "SEARCH events USING INDEX sqlite_autoindex_events_1 (tenant=? AND id=?)", name)
			}
			if len(o.Statements) == 1 { // an index has all of the filter
				require.NotContains(t, plan, "SCAN", name)
				require.NotContains(t, plan, "TEMP B-TREE", name)
			}
		}
	}
}

func (s *database) planOf(t *testing.T, statement string) string {
	t.Helper()
	var lines []struct{ Detail string }
	err := s.DB().Raw("EXPLAIN QUERY PLAN "+statement, make([]any, strings.Count(statement, "?"))...).Scan(&lines).Error
	require.NoError(t, err)
	var plan []string
	for _, l := range lines {
		plan = append(plan, l.Detail)
	}
	return strings.Join(plan, "\n")
}
