package cli

import (
	"fmt"
	"time"

	"github.com/posthorn/posthorn/client"
)

// shownUpcoming is how many upcoming attempts a timeline lists one by one.
const shownUpcoming = 5

// drawTimeline draws the history of a delivery and its next steps, as of now.
func drawTimeline(p *printer, t *client.Timeline, now time.Time) {
	p.fields("delivery", t.ID, "event", t.EventID, "type", t.EventType, "webhook", t.WebhookID, "status", t.Status, "reason", t.StatusReason,
		"workflow", t.WorkflowID, "web UI", t.UIURL)
	p.line("")
	p.line("  " + moment(t.CreatedAt) + "  ○ accepted")
	last := t.CreatedAt
	if left := t.AttemptCount - int64(len(t.Attempts)); left > 0 {
		p.line(fmt.Sprintf("                        ⋮ %d earlier attempts", left))
	}
	for i := range t.Attempts {
		a := &t.Attempts[i]
		wait(p, a.StartedAt.Sub(last))
		sign, outcome := "●", "received"
		if a.Error != nil {
			sign, outcome = "✗", *a.Error
		} else if a.StatusCode != nil {
			outcome = fmt.Sprintf("%d, received", *a.StatusCode)
		}
		p.line(fmt.Sprintf("  %s  %s attempt %d: %s, after %s", moment(a.StartedAt), sign, a.Number, outcome, span(time.Duration(a.DurationMs)*time.Millisecond)))
		last = a.StartedAt.Add(time.Duration(a.DurationMs) * time.Millisecond)
	}
	for i, planned := range t.Upcoming {
		if i == shownUpcoming && len(t.Upcoming) > shownUpcoming+1 {
			final := t.Upcoming[len(t.Upcoming)-1]
			p.line(fmt.Sprintf("                        ⋮ and %d more; the last, attempt %d, at %s", len(t.Upcoming)-shownUpcoming, final.Number, moment(final.At)))
			break
		}
		wait(p, planned.At.Sub(last))
		text := fmt.Sprintf("  %s  ○ attempt %d", moment(planned.At), planned.Number)
		if i == 0 && planned.At.After(now) {
			text += ", in " + span(planned.At.Sub(now))
		} else if i == 0 {
			text += ", due now"
		}
		p.line(text)
		last = planned.At
	}
	p.line("")
	p.line(nextOf(t))
}

// wait draws the wait between two points of a timeline. It leaves out a short one.
func wait(p *printer, d time.Duration) {
	if d >= time.Second {
		p.line("                        │ " + span(d))
	}
}

// span returns a duration as people say it, with three digits at most.
func span(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%d days", int(d.Hours())/24)
	}
}

// nextOf returns the next step of a delivery.
func nextOf(t *client.Timeline) string {
	switch t.Status {
	case "pending":
		if len(t.Upcoming) == 0 {
			return "Next: it is being sent, or will be in a moment."
		}
		return fmt.Sprintf("Next: attempt %d; retry sends it now.", t.Upcoming[0].Number)
	case "held":
		return "Next: nothing, until its webhook is resumed or recovered. Or use retry."
	case "delivered":
		return "Next: nothing. It was delivered."
	case "failed":
		return "Next: nothing. All retries are used up. Use retry, or recover its webhook, to start again."
	default:
		return "Next: nothing. Use retry to send it."
	}
}
