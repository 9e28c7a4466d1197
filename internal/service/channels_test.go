package service_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

// onChannels registers webhooks by name: with channels, and perhaps for one event type.
func onChannels(t *testing.T, env *servicetest.Env, channels map[string][]string, types ...string) map[string]string {
	t.Helper()
	names := map[string]string{}
	for name, on := range channels {
		c := service.WebhookChange{URL: new("https://shop.example/" + name), Channels: &on}
		if len(types) > 0 {
			c.EventTypes = &types
		}
		w, _, err := env.Service.CreateWebhook(t.Context(), "acme", c)
		require.NoError(t, err)
		names[w.ID] = name
	}
	return names
}

// got returns the names of the webhooks that get an event.
func got(t *testing.T, env *servicetest.Env, names map[string]string, eventType string, channels ...string) []string {
	t.Helper()
	published, err := env.Service.Publish(t.Context(), "acme", service.PublishRequest{Events: []service.EventInput{{Type: eventType, Data: []byte(`{}`), Channels: channels}}})
	require.NoError(t, err)
	follow(t, env)
	rows, _, err := env.Store.Deliveries(t.Context(), "acme", models.DeliveryFilter{EventID: published[0].ID}, models.Page{Limit: 100})
	require.NoError(t, err)
	owed := []string{}
	for _, d := range rows {
		owed = append(owed, names[d.WebhookID])
	}
	slices.Sort(owed)

	matches, _, err := env.Service.MatchEvent(t.Context(), "acme", service.EventInput{Type: eventType, Data: []byte(`{}`), Channels: channels}, models.Page{Limit: 100})
	require.NoError(t, err)
	matched := []string{}
	for _, m := range matches {
		if m.Matched {
			matched = append(matched, names[m.Webhook.ID])
		}
	}
	slices.Sort(matched)
	require.Equal(t, owed, matched, "events/match says the same")
	return owed
}

// A webhook with channels gets only events that share one. A webhook without channels gets all. This also holds for
// events that fan out.
func TestChannels_DecideWhoGetsAnEvent(t *testing.T) {
	t.Parallel()
	for _, above := range []int{1000, 0} {
		t.Run(fmt.Sprintf("fan-out above %d", above), func(t *testing.T) {
			t.Parallel()
			env := servicetest.New(t)
			env.EventTypes("order.created", "order.paid")
			env.Tenant("acme")
			env.Service.Direct(above, 20000)
			names := onChannels(t, env, map[string][]string{"all": {}, "north": {"north"}, "both": {"north", "south"}})
			maps.Copy(names, onChannels(t, env, map[string][]string{"paid": {}, "paid south": {"south", "east"}}, "order.paid"))
			require.Equal(t, []string{"all"}, got(t, env, names, "order.created"))
			require.Equal(t, []string{"all", "both", "north"}, got(t, env, names, "order.created", "north"))
			require.Equal(t, []string{"all", "both", "north"}, got(t, env, names, "order.created", "south", "north", "north"))
			require.Equal(t, []string{"all", "both"}, got(t, env, names, "order.created", "south", "east"))
			require.Equal(t, []string{"all"}, got(t, env, names, "order.created", "West"))
			require.Equal(t, []string{"all", "both", "paid", "paid south"}, got(t, env, names, "order.paid", "south", "east"))
			require.Equal(t, []string{"all", "paid"}, got(t, env, names, "order.paid"))

			// The views in memory follow a change of the channels.
			for id, name := range names {
				if name == "all" {
					_, err := env.Service.UpdateWebhook(t.Context(), "acme", id, service.WebhookChange{Channels: &[]string{"west"}})
					require.NoError(t, err)
				}
				if name == "north" {
					_, err := env.Service.UpdateWebhook(t.Context(), "acme", id, service.WebhookChange{Channels: &[]string{}})
					require.NoError(t, err)
				}
			}
			require.Equal(t, []string{"north"}, got(t, env, names, "order.created"))
			require.Equal(t, []string{"all", "north"}, got(t, env, names, "order.created", "west"))
		})
	}
}

// Events of one request that differ in their channels alone fan out to different webhooks.
func TestChannels_FanOutsOfARequestKeepChannelsApart(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t)
	env.EventTypes("order.created")
	env.Tenant("acme")
	env.Service.Direct(0, 20000)
	names := onChannels(t, env, map[string][]string{"north": {"north"}, "south": {"south"}})
	published, err := env.Service.Publish(t.Context(), "acme", service.PublishRequest{Batch: true, Events: []service.EventInput{
		{Type: "order.created", Data: []byte(`{}`), Channels: []string{"north"}}, {Type: "order.created", Data: []byte(`{}`), Channels: []string{"south"}}}})
	require.NoError(t, err)
	follow(t, env)
	for i, want := range []string{"north", "south"} {
		deliveries := env.Deliveries("acme", published[i].ID)
		require.Len(t, deliveries, 1)
		require.Equal(t, want, names[deliveries[0].WebhookID])
	}
}

// An event with a channel is matched only with the webhooks of that channel, among many with a channel each.
func TestChannels_EventsMeetOnlyTheWebhooksOfTheirChannels(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t)
	env.EventTypes("order.created")
	env.Tenant("acme")
	require.NoError(t, env.Store.Tx(t.Context(), func(tx *models.Store) error {
		for i := range 200 {
			w := models.Webhook{ID: models.NewID(models.PrefixWebhook), Tenant: "acme", Profile: "standard", Status: models.WebhookActive,
				URL: "https://shop.example/", Channels: []string{fmt.Sprintf("c%d", i)}}
			if err := tx.CreateWebhook(t.Context(), &w); err != nil {
				return err
			}
		}
		return nil
	}))
	looked, matched, err := env.Service.Candidates(t.Context(), "acme", "order.created", "c7", "c11")
	require.NoError(t, err)
	require.Equal(t, 2, matched)
	require.Equal(t, 2, looked)
	looked, matched, err = env.Service.Candidates(t.Context(), "acme", "order.created")
	require.NoError(t, err)
	require.Zero(t, looked+matched)
}
