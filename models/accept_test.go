package models_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/groupcommit"
	"github.com/posthorn/posthorn/models"
)

// acceptErrors accepts a group and returns the error of each member.
func (s *database) acceptErrors(tb testing.TB, group ...*models.Acceptance) []error {
	tb.Helper()
	results, err := s.Accept(tb.Context(), group)
	require.NoError(tb, err)
	errs := make([]error, len(results))
	for i, r := range results {
		errs[i] = r.Err
	}
	return errs
}

// requireStored checks that all of an acceptance is stored, or nothing at all.
func (s *database) requireStored(tb testing.TB, a *models.Acceptance, stored bool) {
	tb.Helper()
	for _, d := range a.Deliveries {
		got, err := s.Delivery(tb.Context(), d.Tenant, d.ID)
		if !stored {
			require.ErrorIs(tb, err, models.ErrNotFound)
			continue
		}
		require.NoError(tb, err)
		require.Equal(tb, d, got)
	}
	for _, p := range a.Dispatches {
		got, err := s.Dispatch(tb.Context(), p.ID)
		if stored {
			require.NoError(tb, err)
			require.Equal(tb, p.Deliveries, got.Deliveries)
		} else if err == nil { // another event of that id may have a dispatch of that name
			require.NotEqual(tb, p.Deliveries, got.Deliveries)
		}
	}
}

func TestAccept_StoresAGroupOfSeveralTenants(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		var group []*models.Acceptance
		for i := range 5 {
			tenant := s.Tenant(t, fmt.Sprintf("tenant-%d", i))
			group = append(group, s.Acceptance(t, tenant, s.Webhook(t, tenant), s.Webhook(t, tenant)))
			group[i].Version = s.Version(t, tenant)
		}
		held := &group[0].Deliveries[1]
		held.Status, held.StatusReason, held.NextAttemptAt, held.DispatchID = models.Held, "webhook paused", nil, ""
		shared := s.Acceptance(t, "tenant-1") // nobody wants it
		group = append(group, shared)

		s.mustAccept(t, group...)
		for _, a := range group {
			s.requireStored(t, a, true)
			e, err := s.Event(t.Context(), a.Tenant, a.Events[0].ID)
			require.NoError(t, err)
			require.Equal(t, a.Events[0], e)
		}
	})
}

// The same id is another event in another tenant.
func TestAccept_KeepsTenantsIDsApart(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		var group []*models.Acceptance
		for _, tenant := range []string{"acme", "globex"} {
			w := s.Webhook(t, s.Tenant(t, tenant))
			a := &models.Acceptance{Tenant: tenant, Version: s.Version(t, tenant), Key: "the-key", BodyHash: []byte(tenant), Answer: tenant}
			s.Add(a, "invoice-1", w)
			group = append(group, a)
		}
		s.mustAccept(t, group...)
		s.requireStored(t, group[0], true)
		s.requireStored(t, group[1], true)
	})
}

func TestAccept_RefusesOne(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(*testing.T, *database, *models.Acceptance)
		want  error
	}{
		{"unknown tenant", func(_ *testing.T, _ *database, a *models.Acceptance) { a.Tenant = "nobody" }, models.ErrNotFound},
		{"stale version", func(_ *testing.T, _ *database, a *models.Acceptance) { a.Version-- }, models.ErrStale},
		{"an id that exists", func(t *testing.T, s *database, a *models.Acceptance) {
			w := s.Webhook(t, a.Tenant)
			earlier := &models.Acceptance{Tenant: a.Tenant, Version: s.Version(t, a.Tenant)}
			a.Version = earlier.Version
			s.Add(earlier, "taken", w)
			s.mustAccept(t, earlier)
			s.Add(a, "taken", w)
		}, models.ErrDuplicateEvent},
		{"an id twice", func(_ *testing.T, s *database, a *models.Acceptance) {
			s.Add(a, "twice")
			s.Add(a, "twice")
		}, models.ErrDuplicateEvent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stores(t, func(t *testing.T, s *database) {
				tenant := s.Tenant(t, "acme")
				w := s.Webhook(t, tenant)
				bad := s.Acceptance(t, tenant, w)
				bad.Key, bad.BodyHash, bad.Answer = "key", []byte("hash"), "answer"
				tt.spoil(t, s, bad)
				before, after := s.Acceptance(t, tenant, w), s.Acceptance(t, tenant, w)
				events := s.Count(t, "events")

				errs := s.acceptErrors(t, before, bad, after)
				require.NoError(t, errs[0])
				require.ErrorIs(t, errs[1], tt.want)
				require.NoError(t, errs[2], "does not disturb the others")
				s.requireStored(t, before, true)
				s.requireStored(t, bad, false)
				s.requireStored(t, after, true)
				require.Equal(t, events+2, s.Count(t, "events"))
				require.Zero(t, s.Count(t, "idempotency_keys"), "only a success is repeated")
			})
		})
	}
}

func TestAccept_SettlesDuplicatesInAGroup(t *testing.T) {
	cases := []struct {
		name   string
		exists []string   // ids accepted before
		group  [][]string // the ids of each request
		stored []bool
	}{
		{"the first wins", nil, [][]string{{"a"}, {"a"}, {"a"}}, []bool{true, false, false}},
		{"one of a batch is taken", nil, [][]string{{"a"}, {"b", "a", "c"}, {"c"}}, []bool{true, false, true}},
		{"what a refused batch had is free", []string{"x"}, [][]string{{"b", "x"}, {"b"}}, []bool{false, true}},
		{"also where it was refused in the group", nil, [][]string{{"a"}, {"b", "a"}, {"b", "c"}}, []bool{true, false, true}},
		{"in the order of the group", []string{"x"}, [][]string{{"a", "x"}, {"a", "b"}, {"b"}, {"a"}}, []bool{false, true, false, false}},
		{"twice in itself", nil, [][]string{{"a", "b", "a"}, {"a"}}, []bool{false, true}},
	}
	stores(t, func(t *testing.T, s *database) {
		for _, tt := range cases {
			t.Run(tt.name, func(t *testing.T) {
				tenant, events := s.Tenant(t, tt.name), s.Count(t, "events")
				w := s.Webhook(t, tenant)
				version := s.Version(t, tenant)
				request := func(ids ...string) *models.Acceptance {
					a := &models.Acceptance{Tenant: tenant, Version: version}
					for _, id := range ids {
						s.Add(a, id, w)
					}
					return a
				}
				for _, id := range tt.exists {
					s.mustAccept(t, request(id))
				}
				events += len(tt.exists)
				var group []*models.Acceptance
				for _, ids := range tt.group {
					group = append(group, request(ids...))
				}
				for i, err := range s.acceptErrors(t, group...) {
					if tt.stored[i] {
						require.NoError(t, err, "request %d", i)
						events += len(tt.group[i])
					} else {
						require.ErrorIs(t, err, models.ErrDuplicateEvent, "request %d", i)
					}
					s.requireStored(t, group[i], tt.stored[i])
				}
				require.Equal(t, events, s.Count(t, "events"))
			})
		}
	})
}

func TestAccept_AnIdempotencyKeySeenAgain(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		w := s.Webhook(t, tenant)
		request := func(key, body string) *models.Acceptance {
			a := s.Acceptance(t, tenant, w)
			a.Key, a.BodyHash, a.Answer = key, []byte(body), "answer of "+a.Events[0].ID
			return a
		}
		require.Len(t, s.acceptErrors(t, request("unrelated", "x")), 1)

		first, again, other := request("k", "body"), request("k", "body"), request("k", "other body")
		results, err := s.Accept(t.Context(), []*models.Acceptance{first, again, other})
		require.NoError(t, err)
		require.Equal(t, models.Accepted{}, results[0])
		require.Equal(t, models.Accepted{Replayed: true, Answer: first.Answer}, results[1], "in the same group")
		require.Equal(t, models.Accepted{Err: models.ErrKeyReused}, results[2])

		later, different, fresh := request("k", "body"), request("k", "other body"), request("k2", "body")
		results, err = s.Accept(t.Context(), []*models.Acceptance{later, request("k", "body"), different, fresh})
		require.NoError(t, err)
		require.Equal(t, models.Accepted{Replayed: true, Answer: first.Answer}, results[0], "in another group")
		require.Equal(t, results[0], results[1])
		require.Equal(t, models.Accepted{Err: models.ErrKeyReused}, results[2])
		require.Equal(t, models.Accepted{}, results[3], "another key is another request")

		for _, a := range []*models.Acceptance{again, other, later, different} {
			s.requireStored(t, a, false)
		}
		require.Equal(t, 3, s.Count(t, "events"))
	})
}

// A request that shares the key of one that is refused is refused with it, and the key is free again.
func TestAccept_TheKeyOfARefusedRequestIsFree(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		version := s.Version(t, tenant)
		request := func(id string) *models.Acceptance {
			a := &models.Acceptance{Tenant: tenant, Version: version, Key: "k", BodyHash: []byte("body")}
			s.Add(a, id)
			return a
		}
		taken := request("taken")
		taken.Key = ""
		s.mustAccept(t, taken)
		for _, err := range s.acceptErrors(t, request("taken"), request("taken")) {
			require.ErrorIs(t, err, models.ErrDuplicateEvent)
		}
		s.mustAccept(t, request("free"))
	})
}

// The name of a deleted tenant is another tenant's at once, with the same event ids and keys: the rows of the first hang
// on another id.
func TestAccept_ForATenantWithADeletedOnesName(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		request := func() *models.Acceptance {
			tenant := s.Tenant(t, "acme")
			w := s.Webhook(t, tenant)
			a := &models.Acceptance{Tenant: tenant, Version: s.Version(t, tenant), Key: "k", BodyHash: []byte("body")}
			s.Add(a, "invoice-1", w)
			return a
		}
		first := request()
		s.mustAccept(t, first)
		require.NoError(t, s.DeleteTenant(t.Context(), first.Tenant))
		results, err := s.Accept(t.Context(), []*models.Acceptance{first})
		require.NoError(t, err)
		require.ErrorIs(t, results[0].Err, models.ErrNotFound)
		again := request()
		s.mustAccept(t, again)
		s.requireStored(t, again, true)
		s.runJobs(t)
		s.requireStored(t, again, true)
	})
}

// More rows than SQLite takes parameters in a statement, by far.
func TestAccept_TakesTheLargestBatch(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		var webhooks []models.Webhook
		for range 12 {
			webhooks = append(webhooks, s.Webhook(t, tenant))
		}
		a := &models.Acceptance{Tenant: tenant, Version: s.Version(t, tenant)}
		for i := range 1000 {
			s.Add(a, fmt.Sprintf("event-%d", i), webhooks...)
		}
		s.mustAccept(t, a, s.Acceptance(t, tenant, webhooks...))
		require.Equal(t, 1001, s.Count(t, "events"))
		require.Equal(t, 12_012, s.Count(t, "deliveries"))
		require.Equal(t, 1001, s.Count(t, "dispatches"))

		again := &models.Acceptance{Tenant: tenant, Version: a.Version}
		for i := range 1000 {
			s.Add(again, fmt.Sprintf("event-%d", 1999-i), webhooks[0]) // the last one exists
		}
		require.NoError(t, s.acceptErrors(t, again)[0])
		again.Events[0].ID = "new-event"
		require.ErrorIs(t, s.acceptErrors(t, again)[0], models.ErrDuplicateEvent)
		require.Equal(t, 2001, s.Count(t, "events"))
	})
}

// Two processes with two flushes each, 64 callers, few ids and keys, batches in any order: of every id there is one
// event in the end, with all that was owed of it and nothing of those who came second, and nobody waited for a deadlock.
func TestAccept_UnderConcurrency(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		const callers, calls, ids, keys = 64, 12, 400, 60
		tenants := []string{s.Tenant(t, "acme"), s.Tenant(t, "globex")}
		webhooks, versions := map[string]models.Webhook{}, map[string]int64{}
		for _, tenant := range tenants {
			webhooks[tenant] = s.Webhook(t, tenant)
			versions[tenant] = s.Version(t, tenant)
		}
		others := []*models.Store{s.Open(t)}
		s.AlwaysAtOnce() // and the other one is careful after its first refusals
		groups := make([]*groupcommit.Group[*models.Acceptance, models.Accepted], 0, 2)
		for _, store := range append(others, s.Store) {
			groups = append(groups, groupcommit.New(store.Accept, groupcommit.Options[*models.Acceptance]{Flushes: 2, MaxGroup: 16}))
		}

		var mu sync.Mutex
		var accepted []*models.Acceptance
		byID := map[models.DeliveryKey]*models.Acceptance{}
		byKey := map[string]*models.Acceptance{}
		refused := map[error]int{}
		var wg sync.WaitGroup
		for caller := range callers {
			wg.Go(func() {
				random := rand.New(rand.NewPCG(1, uint64(caller)))
				for range calls {
					tenant := tenants[random.IntN(2)]
					a := &models.Acceptance{Tenant: tenant, Version: versions[tenant]}
					for _, id := range random.Perm(ids)[:1+random.IntN(4)] {
						s.Add(a, fmt.Sprintf("event-%d", id), webhooks[tenant])
					}
					if random.IntN(2) == 0 {
						a.Key = fmt.Sprintf("key-%d", random.IntN(keys))
						a.BodyHash = []byte(fmt.Sprint(random.IntN(2)))
						a.Answer = fmt.Sprintf("answer to %d", caller)
					}
					result, err := groups[random.IntN(2)].Do(context.WithoutCancel(t.Context()), a)
					if err != nil {
						t.Errorf("the group failed: %v", err)
						return
					}
					mu.Lock()
					switch {
					case result.Err != nil:
						refused[result.Err]++
					case result.Replayed:
						refused[nil]++
					default:
						accepted = append(accepted, a)
						for _, e := range a.Events {
							key := models.DeliveryKey{Tenant: e.Tenant, ID: e.ID}
							if byID[key] != nil {
								t.Errorf("%v accepted twice", key)
							}
							byID[key] = a
						}
						if key := a.Tenant + "/" + a.Key; a.Key != "" {
							if byKey[key] != nil {
								t.Errorf("key %s accepted twice", key)
							}
							byKey[key] = a
						}
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		require.NotEmpty(t, accepted)
		require.Positive(t, refused[models.ErrDuplicateEvent])
		require.Positive(t, refused[models.ErrKeyReused])
		require.Len(t, refused, 3, "%v", refused)
		require.Equal(t, len(byID), s.Count(t, "events"))
		require.Equal(t, len(byID), s.Count(t, "deliveries"))
		require.Equal(t, len(byID), s.Count(t, "dispatches"))
		require.Equal(t, len(byKey), s.Count(t, "idempotency_keys"))
		for _, a := range accepted {
			s.requireStored(t, a, true)
		}
		require.Zero(t, s.Deadlocks(t, others...))
	})
}

func TestAccept_ForgetKeys(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		request := func(key string) *models.Acceptance {
			a := s.Acceptance(t, tenant)
			a.Key, a.BodyHash, a.Answer = key, []byte("body"), "first"
			return a
		}
		for i := range 5 {
			s.mustAccept(t, request(fmt.Sprint(i)))
		}
		s.Clock.Advance(time.Hour)
		s.mustAccept(t, request("recent"))
		for _, want := range []int64{3, 2, 0} {
			n, err := s.ForgetKeys(t.Context(), s.Now().Add(-time.Minute), 3)
			require.NoError(t, err)
			require.Equal(t, want, n)
		}
		results, err := s.Accept(t.Context(), []*models.Acceptance{request("0"), request("recent")})
		require.NoError(t, err)
		require.False(t, results[0].Replayed, "forgotten")
		require.True(t, results[1].Replayed)
	})
}
