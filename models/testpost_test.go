package models_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// Tests have their own list, page by page. They are deleted with their tenant and by the retention.
func TestTestPosts_TestsAreKeptApart(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		ctx := t.Context()
		tenant, other := s.Tenant(t, "acme"), s.Tenant(t, "globex")
		w := s.Webhook(t, tenant)
		record := func(tenant, webhook string, status models.DeliveryStatus) models.TestPost {
			t.Helper()
			tests := []models.TestPost{{WebhookID: webhook, EventID: models.NewID(models.PrefixEvent), EventType: "order.created", Status: status, Attempt: models.Attempt{
				ID: models.NewID(models.PrefixAttempt), Number: 1, StartedAt: s.Clock.Now(), DurationMS: 250, StatusCode: 503, RequestBody: []byte(`{}`), ResponseBody: []byte("a\x00\xff")}}}
			require.NoError(t, s.CreateTests(ctx, tenant, tests))
			return tests[0]
		}
		first := record(tenant, w.ID, models.Failed)
		second := record(tenant, w.ID, models.Delivered)
		third := record(tenant, "wh_other", models.Failed)
		foreign := record(other, w.ID, models.Failed)
		require.ErrorIs(t, s.CreateTests(ctx, "nobody", []models.TestPost{{}}), models.ErrNotFound)
		require.NoError(t, s.CreateTests(ctx, "nobody", nil))

		list := func(tenant string, f models.DeliveryFilter) (ids []string) {
			t.Helper()
			var got [][]string
			for _, looking := range []*models.Store{s.Looking(2), s.Store} {
				for _, reverse := range []bool{true, false} {
					ids, _ = through(t, models.Page{Limit: 1, Reverse: reverse}, func(p models.Page) ([]string, string, error) {
						rows, next, err := looking.Tests(ctx, tenant, f, p)
						return idsOf(rows, next, err, func(row models.TestPost) string { return row.ID })
					})
					if reverse {
						slices.Reverse(ids)
					}
					got = append(got, ids)
				}
			}
			for _, page := range got {
				require.Equal(t, ids, page, "however few rows a page looks at, and in both directions")
			}
			return ids
		}
		require.Equal(t, []string{third.ID, second.ID, first.ID}, list(tenant, models.DeliveryFilter{}))
		require.Equal(t, []string{second.ID, first.ID}, list(tenant, models.DeliveryFilter{WebhookID: w.ID}))
		require.Equal(t, []string{second.ID}, list(tenant, models.DeliveryFilter{Status: models.Delivered, EventType: "order.created"}))
		require.Equal(t, []string{first.ID}, list(tenant, models.DeliveryFilter{EventID: first.EventID}))
		require.Empty(t, list(tenant, models.DeliveryFilter{EventType: "order.paid"}))
		require.Equal(t, []string{foreign.ID, third.ID, second.ID, first.ID}, list("", models.DeliveryFilter{}))
		deliveries, _, err := s.Deliveries(ctx, tenant, models.DeliveryFilter{}, models.Page{Limit: 10})
		require.NoError(t, err)
		require.Empty(t, deliveries)
		_, next, err := s.Tests(ctx, tenant, models.DeliveryFilter{}, models.Page{Limit: 1})
		require.NoError(t, err)
		_, _, err = s.Deliveries(ctx, tenant, models.DeliveryFilter{}, models.Page{Limit: 1, After: next})
		require.ErrorIs(t, err, models.ErrBadCursor)

		_, err = s.Test(ctx, other, first.ID)
		require.ErrorIs(t, err, models.ErrNotFound)
		read, err := s.Test(ctx, tenant, first.ID)
		require.NoError(t, err)
		require.Equal(t, []byte("a\x00\xff"), read.Attempt.ResponseBody)
		require.Equal(t, first.ID, read.Attempt.DeliveryID)
		d := read.Delivery()
		require.True(t, d.Test)
		require.Equal(t, models.Failed, d.Status)
		require.WithinDuration(t, s.Clock.Now().Add(250*time.Millisecond), *d.FinishedAt, time.Millisecond)

		require.NoError(t, s.DeleteTenant(ctx, other))
		require.Equal(t, []string{third.ID, second.ID, first.ID}, list("", models.DeliveryFilter{}))
		s.runJobs(t)
		require.Equal(t, 3, s.Count(t, "tests"))
		s.expire(t, 2)
		require.Equal(t, 3, s.Count(t, "tests"))
		s.Clock.Advance(retention + time.Second)
		s.expire(t, 2)
		require.Zero(t, s.Count(t, "tests"))
	})
}
