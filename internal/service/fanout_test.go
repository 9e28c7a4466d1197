package service_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

// manyWebhooks registers n webhooks for an event type, in one transaction.
func manyWebhooks(t *testing.T, env *servicetest.Env, tenant string, n int, eventType string) (ids []string) {
	t.Helper()
	require.NoError(t, env.Service.Store.Tx(t.Context(), func(tx *models.Store) error {
		for i := range n {
			w := models.Webhook{ID: models.NewID(models.PrefixWebhook), Tenant: tenant, Profile: "standard", Status: models.WebhookActive,
				URL: fmt.Sprintf("https://shop%d.example/", i), EventTypes: []string{eventType}, Settings: map[string]string{}}
			if err := tx.CreateWebhook(t.Context(), &w); err != nil {
				return err
			}
			ids = append(ids, w.ID)
		}
		return nil
	}))
	return ids
}

// follow makes all due pages, and returns the dispatches that they start.
func follow(t *testing.T, env *servicetest.Env) (fresh []models.Dispatch) {
	t.Helper()
	for {
		job, page, err := env.Store.RunJob(t.Context())
		require.NoError(t, err)
		if job.ID == "" {
			return fresh
		}
		fresh = append(fresh, page.Fresh...)
	}
}

// If an event has too many webhooks, its deliveries follow later. The request stores nothing else, takes no slot and no
// room, and is answered like any other. Events for few webhooks beside it are stored as usual.
func TestFanOut_AnEventOfManyWebhooksFansOut(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t)
	env.EventTypes("wide", "narrow")
	env.Tenant("acme")
	env.Service.Direct(3, 100)
	wide := manyWebhooks(t, env, "acme", 4, "wide")
	few := manyWebhooks(t, env, "acme", 2, "narrow")
	request := service.PublishRequest{Key: "k", Body: []byte("b"), Batch: true, Events: []service.EventInput{
		{Type: "wide", Data: []byte(`{}`)}, {Type: "narrow", Data: []byte(`{}`)}}}
	published, err := env.Service.Publish(t.Context(), "acme", request)
	require.NoError(t, err)
	require.Empty(t, published[0].WorkflowID)
	require.NotEmpty(t, published[1].WorkflowID)
	require.Empty(t, env.Deliveries("acme", published[0].ID))
	require.Len(t, env.Deliveries("acme", published[1].ID), len(few))
	require.Empty(t, env.Engine.Queued())
	slots, room := env.Engine.Outstanding()
	require.Zero(t, slots)
	require.Zero(t, room)
	fanningOut := func(id string) bool {
		e, err := env.Service.Event(t.Context(), "acme", id)
		require.NoError(t, err)
		return e.FanningOut
	}
	require.True(t, fanningOut(published[0].ID))
	require.False(t, fanningOut(published[1].ID))

	again, err := env.Service.Publish(t.Context(), "acme", request)
	require.NoError(t, err)
	require.True(t, again[0].Replayed)
	require.Equal(t, published[0].ID, again[0].ID)

	manyWebhooks(t, env, "acme", 1, "wide")
	fresh := follow(t, env)
	require.Len(t, fresh, 1)
	require.Len(t, fresh[0].Deliveries, len(wide))
	rows, _, err := env.Store.Deliveries(t.Context(), "acme", models.DeliveryFilter{EventID: published[0].ID}, models.Page{Limit: 2000})
	require.NoError(t, err)
	var owed []string
	for _, d := range rows {
		require.Equal(t, models.Pending, d.Status)
		owed = append(owed, d.WebhookID)
	}
	require.ElementsMatch(t, wide, owed)
	require.False(t, fanningOut(published[0].ID))
}

// A batch stores a limited number of deliveries too. The rest follows later.
func TestFanOut_ABatchWithManyDeliveriesFansOutTheRest(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t)
	env.EventTypes("wide")
	env.Tenant("acme")
	env.Service.Direct(5, 20)
	manyWebhooks(t, env, "acme", 5, "wide")
	request := service.PublishRequest{Batch: true}
	for range 6 {
		request.Events = append(request.Events, service.EventInput{Type: "wide", Data: []byte(`{}`)})
	}
	published, err := env.Service.Publish(t.Context(), "acme", request)
	require.NoError(t, err)
	require.Len(t, env.Engine.Queued(), 20)
	require.Len(t, follow(t, env), 2)
	for _, p := range published {
		rows, _, err := env.Store.Deliveries(t.Context(), "acme", models.DeliveryFilter{EventID: p.ID}, models.Page{Limit: 1000})
		require.NoError(t, err)
		require.Len(t, rows, 5)
	}
}
