package console_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/service"
)

// TestKeyboard_OtherPagesByKeyboard uses the forms and buttons of all other pages without a mouse: each is reached with Tab, and
// pressed with Enter.
func TestKeyboard_OtherPagesByKeyboard(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	w := s.Webhook("acme", "https://shop.example/hook")
	event := s.Publish("acme", "order.created", `{"order":42}`)
	recovery, err := s.Service.Recover(t.Context(), "acme", w.ID, service.RecoveryRequest{})
	require.NoError(t, err)
	b := s.staff(newChrome(t))
	write := func(label, text string) {
		t.Helper()
		b.eval(`(() => {`+finders+` labelled(`+quote(label)+`).focus(); })()`, nil)
		b.do("Input.insertText", map[string]any{"text": text}, nil)
	}
	press := func(name, then string) {
		t.Helper()
		b.reach(name)
		b.leave(func() { b.key("Enter", 13) })
		b.sees(then)
	}
	const acme = "/console/tenants/acme"

	b.open("/console/tenants")
	write("Id", "initech")
	press("Create tenant", "Created.")
	b.open(acme + "/settings")
	write("Administrators", "ops@acme.example")
	press("Save", "Saved.")
	b.open("/console/event-types/new")
	write("Name", "report.filed")
	press("Create event type", "report.filed")
	write("For the tenant", "acme")
	press("Import catalogue", "The catalogue is loaded.")
	press("Load catalogue", "The catalogue is loaded.")

	b.open(acme + "/keys")
	press("Create key", "Keep it now")
	b.reach("Copy Key")
	b.open(acme + "/keys")
	press("Create portal link", "The link opens the portal once")
	b.open(acme + "/keys")
	b.reach("Revoke all portal links…")
	b.key("Enter", 13)
	press("Revoke all portal links", "Revoked.")

	b.open(acme + "/webhooks")
	press("New webhook", "Event types")
	write("URL", "https://initech.example/hook")
	press("Create webhook", "it is not shown again")
	b.open(acme + "/deliveries")
	write("Search", event)
	b.leave(func() { b.key("Enter", 13) })
	b.sees("order.created")
	b.open(acme + "/events")
	press("Filter", "order.created")

	b.open(acme + "/events/" + event)
	press("Send again", "The event is being sent again.")
	b.reach("Erase the data…")
	b.key("Enter", 13)
	press("Erase the data", "The data is erased.")
	b.open(acme + "/webhooks/" + w.ID + "/recover")
	press("Recover", "are being sent")
	b.open(acme + "/recoveries/" + recovery.ID)
	press("Cancel", "Canceled.")
}

// A list of event types to choose from can be searched. What is chosen stays, whatever is searched for.
func TestKeyboard_ThePickerOfEventTypesIsSearched(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.EventTypes("order.canceled", "order.shipped", "order.returned", "order.refunded", "invoice.sent", "invoice.paid", "invoice.lost", "stock.low")
	b := s.staff(newChrome(t))
	b.open("/console/tenants/acme/webhooks/new")
	b.fill("order.created", "yes")
	visible := func() (names []string) {
		b.eval(`[...document.querySelectorAll(".types label")].filter((l) => l.checkVisibility()).map((l) => l.innerText.trim())`, &names)
		return names
	}
	require.Greater(t, len(visible()), 10, "and the operational ones")
	b.eval(`(() => {`+finders+` labelled("Find an event type").focus(); })()`, nil)
	b.do("Input.insertText", map[string]any{"text": "INVOICE"}, nil)
	require.Equal(t, []string{"invoice.lost", "invoice.paid", "invoice.sent", "order.created"}, visible())
	b.key("Enter", 13)
	require.Equal(t, []string{"invoice.lost", "invoice.paid", "invoice.sent", "order.created"}, visible(), "it does not send the form")
	b.fits("a picker that is searched")
}
