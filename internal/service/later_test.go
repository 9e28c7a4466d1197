package service_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

// inputs are n events of types that take turns.
func inputs(n int, types ...string) (all []service.EventInput) {
	for i := range n {
		all = append(all, service.EventInput{Type: types[i%len(types)], Data: []byte(`{}`)})
	}
	return all
}

// followed makes the pages of all batches, and returns how many deliveries each has stored.
func followed(t *testing.T, env *servicetest.Env, tenant string) (rows []int) {
	t.Helper()
	for {
		page, err := env.Store.RunBatch(t.Context(), tenant, models.BatchRows)
		require.NoError(t, err)
		if page.BatchID == "" {
			return rows
		}
		require.True(t, page.Done)
		rows = append(rows, page.Rows)
	}
}

// If a tenant has much waiting, the deliveries of its batches follow later. The answer is that of every batch. What is
// held is stored with its event, and so is what is published in small numbers.
func TestLater_BatchesOfATenantWithMuchWaiting(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t)
	env.EventTypes("a", "b", "held")
	env.Tenant("acme")
	manyWebhooks(t, env, "acme", 2, "a")
	manyWebhooks(t, env, "acme", 1, "b")
	w := manyWebhooks(t, env, "acme", 1, "held")[0]
	_, err := env.Service.Pause(t.Context(), "acme", w, "test")
	require.NoError(t, err)
	publish := func(all []service.EventInput) []service.Published {
		published, err := env.Service.Publish(t.Context(), "acme", service.PublishRequest{Batch: true, Events: all})
		require.NoError(t, err)
		require.Len(t, published, len(all))
		return published
	}

	publish(inputs(150, "a"))
	require.Empty(t, followed(t, env, "acme"))
	require.Len(t, env.Engine.Queued(), 300)

	env.Engine.SetCrowded(true)
	publish(inputs(99, "a"))
	require.Empty(t, followed(t, env, "acme"))
	require.Len(t, env.Engine.Queued(), 300+198)

	published := publish(inputs(150, "a", "b", "held"))
	require.Len(t, env.Engine.Queued(), 300+198)
	require.Empty(t, env.Deliveries("acme", published[0].ID))
	require.Equal(t, models.Held, env.Deliveries("acme", published[2].ID)[0].Status)
	e, err := env.Service.Event(t.Context(), "acme", published[0].ID)
	require.NoError(t, err)
	require.True(t, e.FanningOut)
	_, room := env.Engine.Outstanding()
	require.Zero(t, room, "it takes no room in memory")

	require.Equal(t, []int{100, 50}, followed(t, env, "acme"))
	require.Len(t, env.Deliveries("acme", published[0].ID), 2)
	require.Len(t, env.Deliveries("acme", published[1].ID), 1)
}

// Events that match too many different sets of webhooks are stored with their deliveries: each set would be a row of
// its own, and a transaction later.
func TestLater_ABatchOfManyKinds(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t)
	env.Tenant("acme")
	var types []string
	for i := range 10 {
		types = append(types, fmt.Sprint("t.", i))
		env.EventTypes(types[i])
		manyWebhooks(t, env, "acme", 1, types[i])
	}
	env.Engine.SetCrowded(true)
	_, err := env.Service.Publish(t.Context(), "acme", service.PublishRequest{Batch: true, Events: inputs(200, types...)})
	require.NoError(t, err)
	require.Equal(t, []int{20, 20, 20, 20, 20, 20, 20, 20}, followed(t, env, "acme"))
	require.Len(t, env.Engine.Queued(), 40)
}

// A tenant's batches in the database are bounded. The next one waits until there are fewer, and is refused if that takes
// too long. It does not overtake them, even if there is room in memory.
func TestLater_IsBounded(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t)
	env.EventTypes("a")
	env.Tenant("acme")
	manyWebhooks(t, env, "acme", 1, "a")
	env.Engine.SetCrowded(true)
	env.Service.LaterMost(2, 0)
	publish := func() error {
		_, err := env.Service.Publish(t.Context(), "acme", service.PublishRequest{Batch: true, Events: inputs(100, "a")})
		return err
	}
	for range 2 {
		require.NoError(t, publish())
	}
	requireRefused(t, publish(), service.Unavailable)
	require.Empty(t, env.Engine.Queued())

	env.Service.LaterMost(2, time.Minute)
	waited := make(chan error)
	go func() { waited <- publish() }()
	select {
	case <-waited:
		t.Fatal("it does not wait")
	case <-time.After(100 * time.Millisecond):
	}
	page, err := env.Store.RunBatch(t.Context(), "acme", models.BatchRows)
	require.NoError(t, err)
	require.True(t, page.Done)
	require.NoError(t, <-waited)
	require.Equal(t, []int{100, 100}, followed(t, env, "acme"))
}
