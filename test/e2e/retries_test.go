package e2e

import (
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/test/harness"
)

// early is how much earlier than stored a time may be kept: it is stored in whole milliseconds, and clocks are read
// one after the other.
const early = 20 * time.Millisecond

func oneOfTenFails(x *tenant) {
	bad := harness.NewReceiver(x, harness.Status(http.StatusServiceUnavailable))
	failing := x.hook(bad.URL, harness.Retries(5, "1h"))
	good := make([]*harness.Receiver, 9)
	for i := range good {
		good[i] = harness.NewReceiver(x, nil)
		x.hook(good[i].URL)
	}

	event := x.publish(1).ID

	harness.Until(x, func() error {
		if n := len(x.list("event_id=" + event + "&status=delivered")); n != len(good) {
			return fmt.Errorf("%d are delivered", n)
		}
		return nil
	})
	for _, r := range good {
		require.Equal(x, map[string]int{event: 1}, r.Counts())
	}
	left := x.list("event_id=" + event + "&status=pending")
	require.Len(x, left, 1)
	require.Equal(x, failing.ID, left[0].WebhookID)
	harness.Until(x, func() error {
		if d := x.delivery(left[0].ID); len(d.Attempts) != 1 {
			return fmt.Errorf("%d attempts are recorded", len(d.Attempts))
		}
		return nil
	})
	bad.SetAnswer(nil)
	x.steer(left[0].ID, "retry")
	harness.Until(x, func() error {
		if d := x.delivery(left[0].ID); d.Status != "delivered" || len(d.Attempts) != 2 {
			return fmt.Errorf("it is %s after %d attempts", d.Status, len(d.Attempts))
		}
		return nil
	})
}

func timelineIsKept(x *tenant) {
	const initial, backoff, most = 1500 * time.Millisecond, 1.5, 4
	r := harness.NewReceiver(x, harness.FailFirst(2))
	x.hook(r.URL, object{"retry": object{"initial": initial.String(), "backoff": backoff, "max_interval": "1h", "max": most}})

	event := x.publish(1).ID

	var seen harness.Timeline
	harness.Until(x, func() error {
		if seen = x.only(event); len(seen.Attempts) == 0 || seen.Status != "pending" {
			return fmt.Errorf("it is %s after %d attempts", seen.Status, len(seen.Attempts))
		}
		return nil
	})
	made := len(seen.Attempts)
	require.Equal(x, made, seen.AttemptCount)
	require.Equal(x, http.StatusInternalServerError, *seen.Attempts[0].StatusCode)
	require.Contains(x, *seen.Attempts[0].Error, "500")
	require.NotNil(x, seen.NextAttemptAt)
	require.Len(x, seen.Upcoming, 1+most-made)
	require.Equal(x, *seen.NextAttemptAt, seen.Upcoming[0].At)
	for i, planned := range seen.Upcoming {
		require.Equal(x, made+1+i, planned.Number)
		if i > 0 {
			want := float64(initial) * math.Pow(backoff, float64(made+i-1))
			require.InEpsilon(x, want, float64(planned.At.Sub(seen.Upcoming[i-1].At)), 0.11, "the wait before attempt %d", planned.Number)
		}
	}

	done := x.await(event, "delivered")
	require.Len(x, done.Attempts, 3)
	next := done.Attempts[made]
	require.False(x, next.StartedAt.Before(seen.Upcoming[0].At.Add(-early)), "attempt %d was promised for %s", next.Number, seen.Upcoming[0].At)
	require.Empty(x, done.Upcoming)
	require.Equal(x, seen.Attempts, done.Attempts[:made], "what is on record stays")
}

func retryAfterIsHonoured(x *tenant) {
	const asked = 2 * time.Second
	busyFor := func(seconds string) harness.Answer {
		return func(w http.ResponseWriter, n int) {
			if n == 1 {
				w.Header().Set("Retry-After", seconds)
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}
	}
	patient := harness.NewReceiver(x, busyFor("2"))
	x.hook(patient.URL, object{"event_types": []string{"order.created"}, "retry": object{"initial": "50ms", "max_interval": "1h", "max": 3}})
	excessive := harness.NewReceiver(x, busyFor("3600"))
	capped := x.hook(excessive.URL, object{"event_types": []string{"order.paid"}, "retry": object{"initial": "50ms", "max_interval": "200ms", "max": 3}})

	event := x.publish(1).ID
	d := x.await(event, "delivered")
	require.Len(x, d.Attempts, 2)
	posts := patient.Posts()
	require.GreaterOrEqual(x, posts[1].At.Sub(posts[0].At), asked-early)

	x.api.Call(x, http.StatusAccepted, "POST "+x.path("/events"), `{"type":"order.paid","data":{}}`)
	x.awaitAll(capped, "delivered", 1)
}

func goneDeactivates(x *tenant) {
	r := harness.NewReceiver(x, harness.Status(http.StatusGone))
	w := x.hook(r.URL, harness.Retries(5, "100ms"))

	event := x.publish(1).ID

	d := x.await(event, "held")
	require.Len(x, d.Attempts, 1)
	after := x.awaitStatus(w.ID, "deactivated")
	require.Contains(x, after.StatusReason, "410")
	require.Equal(x, http.StatusGone, *after.LastFailure.StatusCode)
	require.Equal(x, "held", x.only(x.publish(2).ID).Status)
	require.Equal(x, map[string]int{event: 1}, r.Counts())
	mail := x.world.mails.await(x, x.admin, 1)
	require.Contains(x, mail[0].Text, "410")
}

func redirectsAreNotFollowed(x *tenant) {
	elsewhere := harness.NewReceiver(x, nil)
	r := harness.NewReceiver(x, func(w http.ResponseWriter, _ int) {
		w.Header().Set("Location", elsewhere.URL)
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	x.hook(r.URL, harness.Retries(1, "50ms"))

	d := x.await(x.publish(1).ID, "failed")

	require.Len(x, d.Attempts, 2)
	for _, a := range d.Attempts {
		require.Equal(x, http.StatusTemporaryRedirect, *a.StatusCode)
	}
	require.Empty(x, elsewhere.Posts())
	require.Empty(x, d.Upcoming)
}

func slowReceiverIsRetried(x *tenant) {
	release := make(chan struct{})
	r := harness.NewReceiver(x, func(_ http.ResponseWriter, n int) {
		if n == 1 {
			<-release
		}
	})
	x.Cleanup(func() { close(release) })
	x.hook(r.URL, harness.Retries(30, "100ms"), object{"timeout": "500ms"})

	d := x.await(x.publish(1).ID, "delivered")

	require.Nil(x, d.Attempts[0].StatusCode)
	require.Contains(x, *d.Attempts[0].Error, "500ms")
	require.GreaterOrEqual(x, d.Attempts[0].DurationMS, int64(500))
}
