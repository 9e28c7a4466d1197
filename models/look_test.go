package models_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// halves are what half of the rows have, and the other half does not.
var halves = []string{"even", "odd"}

// choices are the values of a filter: none, and each half.
var choices = []string{"", "even", "odd"}

// eventSearches are all combinations of the filters of a list of events that many of them have.
func eventSearches() map[string]models.EventFilter {
	all := map[string]models.EventFilter{}
	for _, kind := range append([]string{"both"}, choices...) {
		for _, tag := range choices {
			for _, channel := range choices {
				for _, attribute := range choices {
					f := models.EventFilter{Tag: tag, Channel: channel, Type: kind}
					if kind == "both" {
						f.Type, f.Types = "", halves
					}
					if attribute != "" {
						f.Attribute = &models.Attribute{Name: "half", Value: attribute}
					}
					all[fmt.Sprintf("type %s, tag %s, channel %s, attribute %s", kind, tag, channel, attribute)] = f
				}
			}
		}
	}
	return all
}

func hasHalf(asked string, i int) bool { return asked == "" || asked == halves[i%2] }

// keepsEvent reports whether a search is for the event with this number.
func keepsEvent(f *models.EventFilter, i int) bool {
	return hasHalf(f.Type, i) && hasHalf(f.Tag, i) && hasHalf(f.Channel, i) && (f.Attribute == nil || hasHalf(f.Attribute.Value, i))
}

// deliverySearches are all combinations of the filters of a list of deliveries.
func deliverySearches(webhooks ...string) map[string]models.DeliveryFilter {
	all := map[string]models.DeliveryFilter{}
	for _, webhook := range append([]string{""}, webhooks...) {
		for _, kind := range append([]string{"both"}, choices...) {
			for _, status := range []models.DeliveryStatus{"", models.Pending, models.Delivered, models.Failed, models.Held, models.Canceled, "tried", "untried"} {
				for _, tag := range choices {
					f := models.DeliveryFilter{WebhookID: webhook, EventType: kind, Status: status, Tag: tag}
					if kind == "both" {
						f.EventType, f.EventTypes = "", halves
					}
					switch status {
					case "tried":
						f.Status, f.Tried = "", true
					case "untried":
						f.Status, f.Untried = "", true
					}
					all[fmt.Sprintf("webhook %s, type %s, status %s, tag %s", webhook, kind, status, tag)] = f
				}
			}
		}
	}
	return all
}

// attemptSearches are all combinations of the filters of a list of a webhook's attempts.
func attemptSearches(webhook string) map[string]models.AttemptFilter {
	all := map[string]models.AttemptFilter{}
	for _, outcome := range []models.Outcome{"", models.OutcomeReceived, models.OutcomeFailed, models.OutcomeRepeating} {
		for class := range 4 {
			for _, kind := range choices {
				for _, tag := range choices {
					f := models.AttemptFilter{WebhookID: webhook, Outcome: outcome, Tag: tag}
					if class > 0 {
						f.StatusClass = new(class + 1)
					}
					if kind != "" {
						f.EventTypes = []string{kind}
					}
					all[fmt.Sprintf("outcome %s, class %d, type %s, tag %s", outcome, class, kind, tag)] = f
				}
			}
		}
	}
	return all
}

// through reads a list to its end, and says how many pages it had.
func through(t *testing.T, p models.Page, list pageOf) (ids []string, pages int) {
	t.Helper()
	ids = []string{}
	for pages = 1; ; pages++ {
		page, next, err := list(p)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page), p.Limit)
		ids = append(ids, page...)
		if next == "" {
			return ids, pages
		}
		require.NotEqual(t, p.After, next)
		p.After = next
		require.Less(t, pages, 200)
	}
}

// Whatever a list is searched for, its pages together have exactly what there is, in both directions, although a page looks at few
// rows; and none of another tenant.
func TestLookBound_PagesThatLookAtFewRowsHaveEverything(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		const most, n = 12, 40
		tenant, other, gone := s.Tenant(t, "acme"), s.Tenant(t, "globex"), s.Tenant(t, "initech")
		hooks := map[string][]models.Webhook{}
		for _, owner := range []string{tenant, other, gone} {
			hooks[owner] = []models.Webhook{s.Webhook(t, owner), s.Webhook(t, owner)}
		}
		var events, deliveries []models.Event // deliveries: their ids, and what they are of
		of := map[string]models.Delivery{}
		for i := range n {
			for _, owner := range []string{tenant, other, gone} {
				w := hooks[owner][i/3%2]
				half := halves[i%2]
				a := s.labelled(t, owner, idAt(models.PrefixEvent, s.Now()), func(e *models.Event) {
					e.Type, e.Tags, e.Channels, e.Attributes = half, []string{half}, []string{half}, map[string]string{"half": half}
				})
				if i%5 != 0 { // of some events there is no delivery
					id := a.Events[0].ID
					a = &models.Acceptance{Tenant: owner, Version: a.Version}
					s.Add(a, id, w)
					e := &a.Events[0]
					e.Type, e.Tags, e.Channels, e.Attributes = half, []string{half}, []string{half}, map[string]string{"half": half}
					a.Deliveries[0].EventType = half
				}
				s.mustAccept(t, a)
				if owner == tenant {
					events = append(events, a.Events[0])
				}
				for _, d := range a.Deliveries {
					status := []models.DeliveryStatus{models.Pending, models.Delivered, models.Failed, models.Held, models.Canceled}[i%7%5]
					require.NoError(t, s.DB().Exec("UPDATE deliveries SET status = ?, attempts = ? WHERE id = ?", status, i%2, d.ID).Error)
					d.Status, d.Attempts = status, i%2
					of[d.ID] = d
					deliveries = append(deliveries, models.Event{Tenant: owner, ID: d.ID, Type: half})
					if owner == tenant {
						s.record(t, &d, i)
					}
				}
			}
			if i%2 == 1 {
				s.Clock.Advance(time.Second)
			}
		}
		require.NoError(t, s.DeleteTenant(t.Context(), gone))
		few := &database{Store: s.Looking(most), URL: s.URL, Clock: s.Clock}
		lookers := []*models.Store{few.Store, s.Looking(n / 2)} // of the second, few have each label

		short := false
		both := func(name string, want []string, list pageOf) {
			t.Helper()
			limits := []int{1, 3, 50}
			if len(want) > most { // so many lie so close that no page of one row would look at most
				limits = limits[1:]
			}
			for _, limit := range limits {
				got, pages := through(t, models.Page{Limit: limit}, list)
				require.Equal(t, want, got, name)
				short = short || pages > 1 && limit == 50
				got, _ = through(t, models.Page{Limit: limit, Reverse: true}, list)
				slices.Reverse(got)
				require.Equal(t, want, got, name)
			}
		}
		for name, f := range eventSearches() {
			want := []string{}
			for i, e := range slices.Backward(events) {
				if keepsEvent(&f, i) {
					want = append(want, e.ID)
				}
			}
			slices.SortFunc(want, func(a, b string) int { return -compareEvents(events, a, b) })
			both(name, want, few.listEvents(t, f))
		}
		require.True(t, short)
		short = false
		w := hooks[tenant][0].ID
		for name, f := range deliverySearches(w) {
			for _, in := range []string{tenant, ""} {
				want := []string{}
				for i := range deliveries {
					d := of[deliveries[i].ID]
					if d.Tenant != gone && (in == "" || d.Tenant == in) && keepsDelivery(&f, &d) {
						want = append(want, d.ID)
					}
				}
				slices.Sort(want)
				slices.Reverse(want)
				for _, looker := range lookers {
					both(in+" "+name, want, func(p models.Page) ([]string, string, error) {
						rows, next, err := looker.Deliveries(t.Context(), in, f, p)
						return idsOf(rows, next, err, func(d models.Delivery) string { return d.ID })
					})
				}
			}
		}
		require.True(t, short)
		short = false
		everything, _, err := s.ListAttempts(t.Context(), tenant, models.AttemptFilter{WebhookID: w}, models.Page{Limit: 100})
		require.NoError(t, err)
		for name, f := range attemptSearches(w) {
			want := []string{}
			for i := range everything {
				if keepsAttempt(&f, &everything[i]) {
					want = append(want, everything[i].ID)
				}
			}
			for _, looker := range lookers {
				both(name, want, func(p models.Page) ([]string, string, error) {
					rows, next, err := looker.ListAttempts(t.Context(), tenant, f, p)
					return idsOf(rows, next, err, func(a models.ListedAttempt) string { return a.ID })
				})
			}
		}
		require.True(t, short)
	})
}

// record stores an attempt of a delivery: received, failed, or of one that is pending, as the number has it.
func (s *database) record(t *testing.T, d *models.Delivery, i int) {
	t.Helper()
	code, problem := []int{200, 404, 500}[i%3], ""
	if code != 200 {
		problem = strconv.Itoa(code)
	}
	require.NoError(t, s.DB().Exec(`INSERT INTO attempts (tenant, id, delivery_id, webhook_id, number, started_at, duration_ms, status_code, error,
		request_headers, response_headers, response_body) VALUES (?, ?, ?, ?, 1, ?, 1, ?, ?, '{}', '{}', ?)`,
		d.Tenant, idAt(models.PrefixAttempt, s.Now()), d.ID, d.WebhookID, s.Now(), code, problem, []byte{}).Error)
}

func compareEvents(events []models.Event, a, b string) int {
	at := func(id string) models.Event {
		return events[slices.IndexFunc(events, func(e models.Event) bool { return e.ID == id })]
	}
	x, y := at(a), at(b)
	if c := x.CreatedAt.Compare(y.CreatedAt); c != 0 {
		return c
	}
	if x.ID < y.ID {
		return -1
	}
	return 1
}

func keepsDelivery(f *models.DeliveryFilter, d *models.Delivery) bool {
	switch {
	case f.WebhookID != "" && d.WebhookID != f.WebhookID, f.EventType != "" && d.EventType != f.EventType, f.Tag != "" && d.EventType != f.Tag,
		f.Status != "" && d.Status != f.Status, f.Tried && (d.Status != models.Pending || d.Attempts == 0),
		f.Untried && d.Status != models.Held && (d.Status != models.Pending || d.Attempts > 0):
		return false
	}
	return true
}

func keepsAttempt(f *models.AttemptFilter, a *models.ListedAttempt) bool {
	return (f.Outcome == "" || a.Outcome == f.Outcome) && (f.StatusClass == nil || a.StatusCode/100 == *f.StatusClass) &&
		(len(f.EventTypes) == 0 || a.EventType == f.EventTypes[0]) && (f.Tag == "" || a.EventType == f.Tag)
}

// Lists of webhooks are read the same way.
func TestLookBound_PagesOfWebhooksThatLookAtFewHaveEverything(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		const most, n = 12, 30
		tenant, other := s.Tenant(t, "acme"), s.Tenant(t, "globex")
		types := [][]string{nil, {"order.created"}, {"order.*"}, {"*"}, {"user.created", "order_created"}, {models.NoEventTypes}, {"order.created.late", "x"}}
		statuses := []models.WebhookStatus{models.WebhookActive, models.WebhookActive, models.WebhookPaused}
		all := map[string][]models.Webhook{}
		for i := range n {
			for _, owner := range []string{tenant, other} {
				w := models.Webhook{ID: models.NewID(models.PrefixWebhook), Tenant: owner, Profile: []string{"standard", "svix"}[i/2%2], URL: fmt.Sprint("https://example.com/", i%2),
					Status: models.WebhookActive, EventTypes: types[i%len(types)]}
				require.NoError(t, s.CreateWebhook(t.Context(), &w))
				if w.Status = statuses[i%len(statuses)]; w.Status != models.WebhookActive {
					_, _, err := s.SetWebhookStatus(t.Context(), owner, w.ID, models.StatusChange{To: w.Status})
					require.NoError(t, err)
				}
				if w.Health.Failed = int64(i % 4 / 3); w.Health.Failed > 0 {
					require.NoError(t, s.DB().Exec("UPDATE webhook_health SET failed = 1 WHERE webhook_id = ?", w.ID).Error)
				}
				if i%10 == 9 {
					_, err := s.DeleteWebhook(t.Context(), owner, w.ID)
					require.NoError(t, err)
					continue
				}
				all[owner] = append(all[owner], w)
			}
		}
		all[""] = slices.Concat(all[tenant], all[other])
		few := s.Looking(most)
		short := false
		for _, in := range []string{tenant, ""} {
			for _, kind := range []string{"", "order.created", "order.created.late", "user.created", "webhook.deactivated", "none"} {
				for _, status := range []models.WebhookStatus{"", models.WebhookActive, models.WebhookPaused, models.WebhookDisabled} {
					for _, url := range []string{"", "https://example.com/1"} {
						for _, failing := range []bool{false, true} {
							for _, looking := range []*models.Store{few, s.Store} {
								f := models.WebhookFilter{EventType: kind, Status: status, Failing: failing}
								if url != "" {
									f.URLs, f.Profile = []string{url}, "svix"
								}
								want := []string{}
								for _, w := range all[in] {
									if (kind == "" || w.Wants(kind)) && (status == "" || w.Status == status) && (url == "" || w.URL == url && w.Profile == "svix") &&
										(!failing || w.Health.Failed > 0) {
										want = append(want, w.ID)
									}
								}
								slices.Sort(want)
								list := func(p models.Page) ([]string, string, error) {
									rows, next, err := looking.Webhooks(t.Context(), in, f, p)
									for i := range rows {
										require.Equal(t, rows[i].ID, rows[i].Health.WebhookID, "with its health")
									}
									return idsOf(rows, next, err, func(w models.Webhook) string { return w.ID })
								}
								limits := []int{1, 50}
								if len(want) > most { // so many lie so close that no page of one row would look at most
									limits[0] = most - 1
								}
								for _, limit := range limits {
									got, pages := through(t, models.Page{Limit: limit}, list)
									require.Equal(t, want, got, "%+v", f)
									short = short || pages > 1 && limit == 50
									got, _ = through(t, models.Page{Limit: limit, Reverse: true}, list)
									slices.Reverse(got)
									require.Equal(t, want, got, "%+v", f)
								}
							}
						}
					}
				}
			}
		}
		require.True(t, short)
	})
}

// What is added while a page decides what to look at is neither left out nor listed twice.
func TestLookBound_WhatIsAddedWhileAListIsReadIsNotLost(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		want := map[string]bool{}
		for range 30 {
			for _, d := range s.Publish(t, "acme", w) {
				want[d.ID] = true
			}
		}
		f := models.DeliveryFilter{WebhookID: w.ID, EventType: "order.created", Status: models.Pending}
		got := map[string]int{}
		few := s.Looking(6)
		for page := (models.Page{Limit: 4}); ; {
			rows, next, err := few.Deliveries(t.Context(), "acme", f, page)
			require.NoError(t, err)
			for _, d := range rows {
				got[d.ID]++
			}
			s.Publish(t, "acme", w)
			if page.After = next; next == "" {
				break
			}
		}
		for id := range want {
			require.Equal(t, 1, got[id])
		}
	})
}

// However few rows a search is for, and whatever it combines, a page of it looks at a bounded number of them. Here nothing is
// found, as the halves never meet, or everything is.
func TestLookBound_SearchesLookAtABoundedNumberOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	webhooks := s.crowd(t)
	w := webhooks[7]
	const most, page = 200, 50
	s.halve(t, w.Tenant)
	tables := []string{"events", "deliveries", "attempts", "event_labels"}
	s.Store = s.Looking(most)
	bounded := func(name string, sources, looks int64, query func(ctx context.Context, tx *models.Store) error) {
		t.Helper()
		got := s.countingOf(t, query, tables...)
		require.Zero(t, got.Scans, "%s: read from end to end", name)
		require.LessOrEqual(t, got.Rows, (most+4*page)*(1+looks)+most*sources+4*page, "%s: rows read", name)
	}
	for name, f := range eventSearches() {
		bounded(name, 4, 4, func(ctx context.Context, tx *models.Store) error {
			_, _, err := tx.Events(ctx, w.Tenant, f, models.Page{Limit: page})
			return err
		})
	}
	for _, tenant := range []string{w.Tenant, ""} {
		for name, f := range deliverySearches(w.ID) {
			bounded(tenant+" "+name, 2, 1, func(ctx context.Context, tx *models.Store) error {
				_, _, err := tx.Deliveries(ctx, tenant, f, models.Page{Limit: page})
				return err
			})
		}
	}
	for name, f := range attemptSearches(w.ID) {
		bounded(name, 1, 2, func(ctx context.Context, tx *models.Store) error {
			_, _, err := tx.ListAttempts(ctx, w.Tenant, f, models.Page{Limit: page})
			return err
		})
	}
	// One event has it, of the oldest.
	var rare models.Event
	require.NoError(t, s.DB().Raw(`SELECT e.tenant, e.id, e.created_at FROM deliveries d JOIN events e ON e.tenant = d.tenant AND e.id = d.event_id
		WHERE d.webhook_id = ? ORDER BY d.id LIMIT 1`, w.ID).Scan(&rare).Error)
	rare.Tags = []string{"rare"}
	require.NoError(t, s.Label(t.Context(), []models.Event{rare}))
	for _, webhook := range []string{"", w.ID} {
		bounded("rare deliveries", 2, 1, func(ctx context.Context, tx *models.Store) error {
			rows, next, err := tx.Deliveries(ctx, w.Tenant, models.DeliveryFilter{WebhookID: webhook, Tag: "rare"}, models.Page{Limit: page})
			require.Len(t, rows, 1)
			require.Empty(t, next)
			return err
		})
	}
	bounded("rare attempts", 2, 1, func(ctx context.Context, tx *models.Store) error {
		rows, next, err := tx.ListAttempts(ctx, w.Tenant, models.AttemptFilter{WebhookID: w.ID, Tag: "rare"}, models.Page{Limit: page})
		require.Len(t, rows, 1)
		require.Empty(t, next)
		return err
	})
	for _, half := range halves { // deliveries of a tag, of which none or all have the type
		bounded("named "+half, 1, 2, func(ctx context.Context, tx *models.Store) error {
			_, next, err := tx.DeliveriesNamed(ctx, w.Tenant, models.DeliveryFilter{EventType: half}, "even", models.Page{Limit: page})
			require.NotEmpty(t, next)
			return err
		})
	}
	// Nothing at all has it.
	for _, f := range []models.DeliveryFilter{{EventType: "none"}, {Tag: "none"}, {Channel: "none"}} {
		bounded("none", 1, 1, func(ctx context.Context, tx *models.Store) error {
			rows, next, err := tx.Deliveries(ctx, "", f, models.Page{Limit: page})
			require.Empty(t, rows)
			require.NotEmpty(t, next)
			return err
		})
	}
}

// A page of tests looks at a bounded number of them, too.
func TestLookBound_SearchesOfTestsLookAtABoundedNumberOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	const most, page, n = 200, 50, 3000
	w := s.Webhook(t, s.Tenant(t, "acme"))
	s.patiently(t, map[string]any{"webhook": w.ID, "now": s.Now(), "n": n}, `INSERT INTO tests (id, tenant, webhook_id, event_id, event_type, status, attempt, created_at)
		SELECT 'dlv_' || to_hex(1000000 + n), 'acme', CASE WHEN n % 3 = 0 THEN CAST(@webhook AS text) ELSE 'wh_other' END, 'evt_' || n, 'order.created', 'delivered', '{}', @now
		FROM generate_series(1, @n) n`)
	s.patiently(t, nil, "VACUUM ANALYZE")
	s.Store = s.Looking(most)
	for _, tenant := range []string{"acme", ""} {
		for _, f := range []models.DeliveryFilter{{}, {WebhookID: w.ID}, {WebhookID: "wh_none"}, {Status: models.Failed}, {EventType: "none"}, {EventID: "evt_none"},
			{EventID: "evt_3", WebhookID: w.ID}, {WebhookID: w.ID, Status: models.Failed}} {
			got := s.countingOf(t, func(ctx context.Context, tx *models.Store) error {
				_, _, err := tx.Tests(ctx, tenant, f, models.Page{Limit: page})
				return err
			}, "tests")
			require.Zero(t, got.Scans, "%s %+v: read from end to end", tenant, f)
			require.LessOrEqual(t, got.Rows, int64(8*most), "%s %+v: rows read", tenant, f)
		}
	}
}

// A page of one webhook's stopped deliveries goes along the webhook's index. The index of all that is stopped has them in the same
// order, and newer ones of others in between.
func TestLookBound_APageOfAWebhookPassesOverNoOthersOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	const most, page, n = 20, 10, 30000
	w := s.Webhook(t, s.Tenant(t, "acme"))
	s.patiently(t, map[string]any{"webhook": w.ID, "now": s.Now(), "n": n}, `INSERT INTO deliveries (tenant, id, event_id, event_type, webhook_id, status, status_reason, attempts, failures, generation,
			dispatch_id, created_at)
		SELECT 'acme', 'dlv_' || to_hex(1000000 + n), 'evt_' || n, 'order.created',
			CASE WHEN n <= @n / 2 AND hashint4(n) % 4 <> 0 THEN CAST(@webhook AS text) ELSE 'wh_' || abs(hashint4(n + 7)) % 20 END,
			CASE WHEN n % 10 = 0 THEN 'failed' ELSE 'delivered' END, '', 1, 0, 0, '', @now FROM generate_series(1, @n) n`)
	s.patiently(t, nil, "VACUUM ANALYZE")
	s.Store = s.Looking(most)
	for _, f := range []models.DeliveryFilter{{Status: models.Failed}, {Status: models.Held}, {Status: models.Failed, EventType: "none"}, {Status: models.Failed, Tag: "none"}, {}} {
		f.WebhookID = w.ID
		got := s.counting(t, func(ctx context.Context, tx *models.Store) error {
			_, _, err := tx.Deliveries(ctx, "acme", f, models.Page{Limit: page})
			return err
		})
		require.Zero(t, got.Scans, "%+v: read from end to end", f)
		require.LessOrEqual(t, got.Rows, int64(6*most), "%+v: rows read", f)
	}
}

// A page goes along what fewest have: what is rare is found on the first page, wherever it is.
func TestLookBound_APageGoesAlongWhatIsRare(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		var rare *models.Acceptance
		for i := range 60 {
			s.Clock.Advance(time.Second)
			a := s.Acceptance(t, "acme", w)
			e := &a.Events[0]
			if e.Tags, e.Channels = []string{"all"}, []string{"all"}; i == 3 {
				e.Tags, e.Type, a.Deliveries[0].EventType, rare = append(e.Tags, "rare"), "rare", "rare", a
			}
			s.mustAccept(t, a)
		}
		s.MustRecord(t, s.Attempted(rare.Deliveries[0], models.Failed))
		few, page := s.Looking(5), models.Page{Limit: 50}
		for _, f := range []models.EventFilter{{Tag: "all", Type: "rare"}, {Tag: "rare", Channel: "all"}, {Channel: "all", Type: "rare", Tag: "all"}, {Tag: "rare", Type: "rare"}} {
			rows, next, err := few.Events(t.Context(), "acme", f, page)
			require.NoError(t, err)
			require.Len(t, rows, 1, "%+v", f)
			require.Equal(t, rare.Events[0].ID, rows[0].ID)
			require.Empty(t, next)
		}
		for _, f := range []models.DeliveryFilter{{WebhookID: w.ID, EventType: "rare"}, {Status: models.Failed, EventType: "rare"}, {Status: models.Failed, WebhookID: w.ID, Tag: "all"},
			{WebhookID: w.ID, Tag: "rare"}, {Tag: "rare", Channel: "all"}, {WebhookID: w.ID, Tag: "rare", EventTypes: []string{"rare", "other"}}} {
			rows, next, err := few.Deliveries(t.Context(), "acme", f, page)
			require.NoError(t, err)
			require.Len(t, rows, 1, "%+v", f)
			require.Empty(t, next)
		}
		for _, f := range []models.AttemptFilter{{WebhookID: w.ID, Tag: "rare"}, {WebhookID: w.ID, Tag: "rare", Channel: "all", Outcome: models.OutcomeFailed}} {
			rows, next, err := few.ListAttempts(t.Context(), "acme", f, page)
			require.NoError(t, err)
			require.Len(t, rows, 1, "%+v", f)
			require.Empty(t, next)
		}
		rows, next, err := few.Deliveries(t.Context(), "acme", models.DeliveryFilter{WebhookID: s.Webhook(t, "acme").ID, Tag: "rare"}, page)
		require.NoError(t, err)
		require.Empty(t, rows)
		require.Empty(t, next, "another webhook has none")
	})
}

// halve gives every second of a tenant's events, and the deliveries of them, one type, tag, channel and attribute, and the others
// others. Of those of the two halves that are asked for together there is none.
func (s *database) halve(t *testing.T, tenant string) {
	t.Helper()
	var keys []models.Event
	require.NoError(t, s.DB().Raw("SELECT tenant, id, created_at FROM events WHERE tenant = ? ORDER BY created_at, id", tenant).Scan(&keys).Error)
	require.NoError(t, s.Tx(t.Context(), func(tx *models.Store) error {
		var odd []string
		for i := range keys {
			e, half := &keys[i], halves[i%2]
			e.Tags, e.Channels, e.Attributes = []string{half}, []string{half}, map[string]string{"half": half}
			if i%2 == 1 {
				odd = append(odd, e.ID)
			}
		}
		for table, of := range map[string][2]string{"events": {"type", "id"}, "deliveries": {"event_type", "event_id"}} {
			require.NoError(t, tx.DB().Exec(fmt.Sprintf("UPDATE %s SET %s = 'even' WHERE tenant = ?", table, of[0]), tenant).Error)
			require.NoError(t, tx.DB().Exec(fmt.Sprintf("UPDATE %s SET %s = 'odd' WHERE tenant = ? AND %s IN ?", table, of[0], of[1]), tenant, odd).Error)
		}
		return tx.Label(t.Context(), keys)
	}))
	s.patiently(t, nil, "ANALYZE")
}
