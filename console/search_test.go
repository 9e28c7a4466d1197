package console_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/console"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

// rows are the ids of the rows of a list.
func (d *document) rows() []string {
	ids := []string{}
	for _, n := range all(d.root, "tr") {
		if id, ok := strings.CutPrefix(attribute(n, "id"), "row-"); ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// The log and the events are searched by what people have at hand. What was searched for stays in the address and in the field.
func TestSearch_FindsByWhatPeopleHave(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	shop, name := "https://shop.example/hook", "shop.main"
	_, _, err := s.Service.CreateWebhook(t.Context(), "acme", service.WebhookChange{URL: &shop, UID: &name, By: "test"})
	require.NoError(t, err)
	published, err := s.Service.Publish(t.Context(), "acme", service.PublishRequest{Events: []service.EventInput{
		{Type: "order.created", Data: []byte(`{}`), Tags: []string{"import"}, ExternalID: "order 4711"}, {Type: "order.paid", Data: []byte(`{}`), Tags: []string{"import"}}}})
	require.NoError(t, err)
	first, second := s.Deliveries("acme", published[0].ID)[0].ID, s.Deliveries("acme", published[1].ID)[0].ID
	staff, owner := s.signedIn(servicetest.AdminKey), s.signedIn(s.key)
	for _, tt := range []struct {
		q    string
		want []string
	}{
		{first, []string{first}}, {published[1].ID, []string{second}}, {"order 4711", []string{first}}, {" import ", []string{second, first}}, {"imp", []string{}},
	} {
		for base, b := range map[string]*browser{"/portal": owner, "/console/tenants/acme": staff} {
			page := b.get(base+"/deliveries").press("Filter", map[string]string{"Search": tt.q}).is(http.StatusOK)
			require.Equal(t, tt.want, page.rows(), tt.q)
			require.Equal(t, strings.TrimSpace(tt.q), attribute(page.field(page.root, "Search"), "value"))
		}
	}
	require.Equal(t, []string{first}, staff.get("/console/deliveries?q=order+4711").rows())
	require.Equal(t, []string{first}, owner.get("/portal/deliveries?q=import&type=order.created").rows())
	require.Equal(t, []string{second, first}, owner.get("/portal/deliveries?webhook=shop.main").rows(), "its uid will do")
	require.Empty(t, staff.get("/console/deliveries?tenant=nobody").is(http.StatusOK).rows())
	require.Empty(t, staff.get("/console/webhooks?tenant=nobody").is(http.StatusOK).rows())
	require.Empty(t, staff.get("/console/deliveries?q=import").rows(), "tags have an index in each tenant")
	require.Equal(t, []string{published[1].ID}, owner.get("/portal/events").press("Filter", map[string]string{"Event id": published[1].ID}).rows())
	require.Equal(t, []string{published[0].ID}, owner.get("/portal/events?external_id=order+4711&id="+published[0].ID).rows())
	require.Empty(t, s.signedIn(s.Tenant("globex")).get("/portal/deliveries?q="+first).rows())
}

// An event goes again to webhooks of which there may be very many: a page offers few, and finds the others.
func TestSearch_AnEventIsSentAgainToWebhooksThatAreFound(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const many = 30
	for i := range many {
		address, name := fmt.Sprintf("https://shop-%02d.example/hook", i), fmt.Sprintf("Shop %02d", i)
		change := service.WebhookChange{URL: &address, Name: &name, By: "test"}
		if i >= many-2 { // these do not match the event
			change.Channels = &[]string{"north"}
		}
		_, _, err := s.Service.CreateWebhook(t.Context(), "acme", change)
		require.NoError(t, err)
	}
	event := s.Publish("acme", "order.created", `{"order":42}`)
	owner := s.signedIn(s.key)
	choices := func(d *document) (names []string) {
		for _, l := range all(d.root, "label") {
			if attribute(l, "class") == "check" {
				names = append(names, d.text(l))
			}
		}
		return names
	}
	page := owner.get("/portal/events/" + event)
	require.Len(t, choices(page), 20)
	require.Contains(t, page.text(page.root), "all 28 that match it now do")
	found := page.press("Find", map[string]string{"Find a webhook": "shop-27"}).is(http.StatusOK)
	require.Equal(t, []string{"Shop 27 https://shop-27.example/hook active"}, choices(found))
	require.Empty(t, choices(owner.get("/portal/events/"+event+"?find=shop-29")), "it does not match the event")
	none := found.press("Send again", nil).is(http.StatusUnprocessableEntity)
	require.Contains(t, none.text(none.root), "Choose at least one webhook.")
	require.Equal(t, []string{"Shop 27 https://shop-27.example/hook active"}, choices(none), "what was found is still there")
	for _, d := range s.Deliveries("acme", event) {
		_, err := s.Service.CancelDelivery(t.Context(), "acme", d.ID, "test")
		require.NoError(t, err)
	}
	none.press("Send again", map[string]string{"Shop 27": "yes"}).is(http.StatusSeeOther)
	pending := 0
	for _, d := range s.Deliveries("acme", event) {
		if d.Status == models.Pending {
			pending++
		}
	}
	require.Equal(t, 1, pending)
	require.NotContains(t, s.signedIn(s.Key("acme", models.RoleRead)).get("/portal/events/"+event).body, "Send again")
}

// What a receiver answered when it failed last is on the webhook's page, however much has been delivered since.
func TestSearch_TheLastFailureIsShown(t *testing.T) {
	t.Parallel()
	r := &receivers{}
	s := newSite(t, servicetest.WithPoster(r))
	r.now = s.Clock.Now
	w := s.Webhook("acme", "https://shop.example/fails")
	send := func() {
		s.Attempt("acme", s.Deliveries("acme", s.Publish("acme", "order.created", `{}`))[0].ID)
	}
	send()
	r.well.Store(true)
	for range 12 {
		send()
	}
	page := s.signedIn(s.key).get("/portal/webhooks/" + w.ID).is(http.StatusOK)
	require.Contains(t, page.body, "the warehouse is closed for stocktaking")
}

func TestSearch_BodiesAreShownAsText(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ä", 40_000)
	for body, want := range map[string]string{
		"": "", "plain": "plain", "ä": "ä",
		"cut \xc3":         "cut ", // within a character
		"\x1f\x8b\x08\xff": "(4 bytes that are not text)",
		"a\xff":            "(2 bytes that are not text)",
		"a\x00b":           "(3 bytes that are not text)",
		long:               long[:64<<10] + "\n… (truncated)",
		"x" + long:         "x" + long[:64<<10-2] + "\n… (truncated)",
	} {
		require.Equal(t, want, console.Text([]byte(body)))
	}
}
