package delivery

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/models"
)

// Breaker distinguishes an outage of our own network from receivers that fail.
type Breaker interface {
	// Observe notes whether a POST was answered. It is called for every POST.
	Observe(host, tenant string, answered bool)
	// Open says that failures without a status are currently not the receivers' own.
	Open() bool
}

// The waits of a delivery that Posthorn itself could not send, and how often that is logged.
const (
	ownFirst      = time.Second
	ownMost       = 30 * time.Second
	ownLogged     = 10 * time.Second
	unreadableFor = time.Minute
)

// The reasons shown on deliveries that are postponed because of Posthorn's own failures.
const (
	reasonOwn        = "Posthorn could not send it; it will be tried again shortly"
	reasonUnreadable = "Posthorn cannot read the webhook's secrets"
	reasonNoEvent    = "Posthorn cannot read the event"
	reasonPanicked   = "Posthorn failed while it made the attempt"
)

// trouble is a period in which POSTs fail in this process itself. The zero value is none.
type trouble struct {
	mu     sync.Mutex
	since  time.Time
	logged time.Time
	unsaid int // failures since the last log line
}

// met notes a failure of our own. wait is how long its delivery is postponed, the longer the period lasts. say is how
// many failures to log now.
func (t *trouble) met(now time.Time) (wait time.Duration, say int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.since.IsZero() {
		t.since = now
	}
	t.unsaid++
	if now.Sub(t.logged) >= ownLogged {
		say, t.unsaid, t.logged = t.unsaid, 0, now
	}
	wait = min(max(now.Sub(t.since), ownFirst), ownMost)
	return wait + rand.N(wait/4), say //nolint:gosec // not a secret
}

// over notes that a POST left this process, which ends the period.
func (t *trouble) over() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.since = time.Time{}
}

// failedHere postpones a delivery whose POST failed in Posthorn itself. This is not an attempt, uses up no retry and
// does not count.
func (c *Courier) failedHere(ctx context.Context, j *job, result *sender.Result) ended {
	wait, say := c.trouble.met(c.Now())
	c.Metrics.Attempts.WithLabelValues(result.Outcome.String()).Inc()
	c.Metrics.LocalFailures.WithLabelValues(string(result.Reason)).Inc()
	if say > 0 {
		c.Log.ErrorContext(ctx, "POSTs fail in Posthorn itself; they are not charged to receivers", "failures", say, "lacking", result.Reason,
			"error", result.Error)
	}
	return c.putOff(j, wait, reasonOwn)
}

// unreadable postpones a delivery whose webhook or event cannot be read. It affects no other delivery.
func (c *Courier) unreadable(ctx context.Context, j *job, reason string, err error) ended {
	c.Metrics.PutOff.WithLabelValues("unreadable").Inc()
	c.Log.ErrorContext(ctx, "delivery put off", "tenant", j.delivery.Tenant, "webhook", j.delivery.WebhookID, "delivery", j.delivery.ID,
		"reason", reason, "error", err)
	return c.putOff(j, unreadableFor+rand.N(unreadableFor/10), reason) //nolint:gosec // not a secret
}

// putOff postpones a delivery without an attempt.
func (c *Courier) putOff(j *job, wait time.Duration, reason string) ended {
	left := c.leftover(j.receiver, &j.delivery, j.known.Last)
	left.Wait = wait.Round(time.Millisecond)
	left.Due = c.Now().Add(left.Wait)
	return ended{left: left, reason: reason, noted: reason}
}

// postponed returns the row that records a delivery as postponed.
func postponed(dispatchID string, d *models.Delivery, left *Leftover, reason string) models.Postponed {
	return models.Postponed{Delivery: *d, DispatchID: dispatchID, At: left.Due.UTC().Truncate(time.Millisecond), Reason: reason}
}
