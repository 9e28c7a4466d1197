package e2e

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/notify/smtptest"
	"github.com/posthorn/posthorn/test/harness"
)

// threshold is how many failed receptions deactivate a webhook in a world: 10 and 18 are its warning marks.
const threshold = 20

// world is one running installation that tests share, each with a tenant of its own.
type world struct {
	*harness.Installation
	server       *harness.Server
	mails        *mailbox
	confidential *confidential
}

type object = harness.Object

func newWorld(t *testing.T, command string, install func(env ...string) *harness.Installation) *world {
	t.Helper()
	w := &world{mails: newMailbox(t), confidential: newConfidential()}
	w.Installation = install("POSTHORN_LOG_LEVEL=debug", "POSTHORN_SMTP_URL=smtp://"+w.mails.addr, fmt.Sprintf("POSTHORN_FAILURE_THRESHOLD=%d", threshold))
	w.server = w.Start(t, command)
	w.confidential.keep(w.AdminKey, w.Keyset(t), w.Setting("POSTHORN_DATABASE_URL"))
	return w
}

// show runs all behaviours side by side, and looks afterwards at what they have left behind.
func (w *world) show(t *testing.T) {
	t.Helper()
	t.Run("shown", func(t *testing.T) {
		for _, b := range behaviours {
			t.Run(b.name, func(t *testing.T) {
				t.Parallel()
				b.show(w.tenant(t))
			})
		}
	})
	t.Run("no secret is logged", func(t *testing.T) { w.confidential.absentFromLogs(t, w) })
	t.Run("neither secrets nor data are in Temporal", func(t *testing.T) { w.confidential.absentFromHistories(t, w) })
}

// tenant is one test's part of an installation.
type tenant struct {
	*testing.T
	world *world
	made  harness.Tenant
	api   harness.API // with a key of the tenant's own
	id    string
	admin string // the administrator's address
}

func (w *world) tenant(t *testing.T) *tenant {
	t.Helper()
	x := newTenant(t, w.server.API)
	x.world = w
	w.confidential.keep(x.api.Key)
	return x
}

// newTenant makes a tenant of an installation that is not a world.
func newTenant(t *testing.T, api harness.API) *tenant {
	t.Helper()
	made := harness.NewTenant(t, api)
	return &tenant{T: t, made: made, api: made.API, id: made.ID, admin: made.Admin}
}

// newKey makes a key with a role.
func (x *tenant) newKey(api harness.API, role string) string {
	x.Helper()
	return x.made.NewKey(x, api, role)
}

func (x *tenant) path(rest string) string { return x.made.Path(rest) }

// hook registers a webhook for all events; fields are put on top.
func (x *tenant) hook(url string, fields ...object) harness.Webhook {
	x.Helper()
	w := x.made.Hook(x, url, fields...)
	x.keep(w.Secret)
	return w
}

// keep notes secrets that must not show up anywhere.
func (x *tenant) keep(secrets ...string) {
	if x.world != nil {
		x.world.confidential.keep(secrets...)
	}
}

// act does something to a webhook, such as "pause".
func (x *tenant) act(w harness.Webhook, action string, body any) harness.Reply {
	x.Helper()
	status := http.StatusOK
	if action == "recover" {
		status = http.StatusAccepted
	}
	return x.api.Call(x, status, "POST "+x.path("/webhooks/"+w.ID+"/"+action), body)
}

// webhook reads a webhook.
func (x *tenant) webhook(id string) harness.Webhook {
	x.Helper()
	return harness.Get[harness.Webhook](x, x.api, x.path("/webhooks/"+id))
}

// data is an event's data: JSON with the text that must not show up in Temporal.
func (x *tenant) data(n int) string {
	mark := "no world to look after"
	if x.world != nil {
		mark = x.world.confidential.payload
	}
	return fmt.Sprintf(`{ "order": %d,  "note":"%s" }`, n, mark)
}

// publish publishes an order.
func (x *tenant) publish(n int) harness.Accepted {
	x.Helper()
	return harness.Read[harness.Accepted](x, x.api.Call(x, http.StatusAccepted, "POST "+x.path("/events"), x.order(n)))
}

// order is the body of a publish call.
func (x *tenant) order(n int) string { return `{"type":"order.created","data":` + x.data(n) + `}` }

// publishMany publishes orders, and gives their ids.
func (x *tenant) publishMany(n int) []string {
	x.Helper()
	ids := make([]string, n)
	for i := range ids {
		ids[i] = x.publish(i).ID
	}
	return ids
}

// list gives deliveries, the newest 100 that the query selects.
func (x *tenant) list(query string) []harness.Delivery {
	x.Helper()
	return harness.Get[harness.List[harness.Delivery]](x, x.api, x.path("/deliveries?limit=100&"+query)).Data
}

// only gives the one delivery of an event.
func (x *tenant) only(event string) harness.Timeline {
	x.Helper()
	list := x.list("event_id=" + event)
	require.Len(x, list, 1)
	return x.delivery(list[0].ID)
}

func (x *tenant) delivery(id string) harness.Timeline {
	x.Helper()
	return harness.Get[harness.Timeline](x, x.api, x.path("/deliveries/"+id))
}

// steer does something to a delivery, such as "retry".
func (x *tenant) steer(id, action string) harness.Timeline {
	x.Helper()
	return harness.Read[harness.Timeline](x, x.api.Call(x, http.StatusOK, "POST "+x.path("/deliveries/"+id+"/"+action), nil))
}

// await waits until an event's only delivery is in a status.
func (x *tenant) await(event, status string) harness.Timeline {
	x.Helper()
	return x.awaitThat(event, func(d harness.Timeline) bool { return d.Status == status }, status)
}

// awaitAttempts waits until an event's only delivery is pending after n attempts.
func (x *tenant) awaitAttempts(event string, n int) harness.Timeline {
	x.Helper()
	return x.awaitThat(event, func(d harness.Timeline) bool { return d.Status == "pending" && len(d.Attempts) == n }, fmt.Sprintf("pending after %d attempts", n))
}

func (x *tenant) awaitThat(event string, holds func(harness.Timeline) bool, what string) (d harness.Timeline) {
	x.Helper()
	harness.Until(x, func() error {
		if d = x.only(event); !holds(d) {
			return fmt.Errorf("the delivery of %s is %s after %d attempts, and not yet %s", event, d.Status, len(d.Attempts), what)
		}
		return nil
	})
	return d
}

// awaitAll waits until so many of a webhook's deliveries are in a status.
func (x *tenant) awaitAll(w harness.Webhook, status string, n int) {
	x.Helper()
	harness.Until(x, func() error {
		if have := len(x.list("webhook_id=" + w.ID + "&status=" + status)); have != n {
			return fmt.Errorf("%d deliveries are %s, not %d", have, status, n)
		}
		return nil
	})
}

// awaitStatus waits until a webhook is in a status.
func (x *tenant) awaitStatus(id, status string) (w harness.Webhook) {
	x.Helper()
	harness.Until(x, func() error {
		if w = x.webhook(id); w.Status != status {
			return fmt.Errorf("the webhook is %s, not %s", w.Status, status)
		}
		return nil
	})
	return w
}

// awaitRecovery waits until a recovery has released so many deliveries, all there were.
func (x *tenant) awaitRecovery(id string, released int) {
	x.Helper()
	harness.Until(x, func() error {
		r := harness.Get[harness.Recovery](x, x.api, x.path("/recoveries/"+id))
		if r.Status != "completed" {
			return fmt.Errorf("the recovery is %s: %d of %d", r.Status, r.Released, r.Total)
		}
		require.Equal(x, released, r.Released)
		return nil
	})
}

// mailbox keeps the mail that arrives, by recipient.
type mailbox struct {
	addr string
	mu   sync.Mutex
	got  map[string][]smtptest.Message
}

func newMailbox(t *testing.T) *mailbox {
	t.Helper()
	server := smtptest.New(t, smtptest.Config{})
	m := &mailbox{addr: server.Addr, got: map[string][]smtptest.Message{}}
	go func() {
		for {
			select {
			case message := <-server.Messages:
				m.mu.Lock()
				m.got[message.To] = append(m.got[message.To], message)
				m.mu.Unlock()
			case <-t.Context().Done():
				return
			}
		}
	}()
	return m
}

// await waits until n mails have come to an address.
func (m *mailbox) await(t *tenant, to string, n int) []smtptest.Message {
	t.Helper()
	var got []smtptest.Message
	harness.Until(t, func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		if got = m.got[to]; len(got) < n {
			return fmt.Errorf("%d of %d mails have come to %s", len(got), n, to)
		}
		return nil
	})
	require.Len(t, got, n)
	return got
}
