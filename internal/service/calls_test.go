package service_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

func TestReplay_StartsDeliveriesInOrderOrNotAtAll(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t, servicetest.WithPoster(&poster{}))
	env.Tenant("acme")
	env.EventTypes("JOB_CREATED")
	_, _, err := env.Service.CreateWebhook(t.Context(), "acme", phraseWebhook("https://receiver.example/"))
	require.NoError(t, err)
	var deliveries []string
	for range 3 {
		d := env.Deliveries("acme", env.Publish("acme", "JOB_CREATED", `{"jobParts":[]}`))[0]
		env.Attempt("acme", d.ID)
		deliveries = append(deliveries, d.ID)
	}
	calls, total, err := env.Service.Calls(t.Context(), "acme", models.CallFilter{Profile: "phrase"}, 10, 0)
	require.NoError(t, err)
	require.Equal(t, int64(3), total)
	require.Contains(t, string(calls[0].Body), `"eventUid":"`+calls[0].EventID+`"`)
	ids := []string{calls[2].ID, calls[0].ID, calls[1].ID}

	n := len(env.Engine.Dispatches())
	for _, refused := range [][]string{nil, slices.Repeat(ids, 40), append(slices.Clone(ids), "att_unknown")} {
		requireCode(t, env.Service.ReplayCalls(t.Context(), "acme", "phrase", refused), service.Invalid)
	}
	requireCode(t, env.Service.ReplayCalls(t.Context(), "acme", "standard", ids), service.Invalid)
	require.Len(t, env.Engine.Dispatches(), n)

	require.NoError(t, env.Service.ReplayCalls(t.Context(), "acme", "phrase", ids))
	require.NoError(t, env.Service.ReplayLatest(t.Context(), "acme", models.CallFilter{Profile: "phrase"}, 2))
	var launched []string
	for _, d := range env.Engine.Dispatches()[n:] {
		launched = append(launched, d.Deliveries[0].ID)
	}
	require.Equal(t, []string{deliveries[0], deliveries[2], deliveries[1], deliveries[1], deliveries[2]}, launched)
	for _, id := range deliveries {
		d, err := env.Service.Delivery(t.Context(), "acme", id)
		require.NoError(t, err)
		require.Equal(t, models.Pending, d.Status)
	}
}
