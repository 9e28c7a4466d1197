package workflows

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/posthorn/posthorn/internal/cut"
)

// The bounds of the rows about single deliveries, in a table or in a result. Temporal keeps 20,000 bytes of details.
const (
	maxRows     = 40
	maxRowBytes = 18_000
)

// table shows a dispatch as Markdown: how many of its deliveries are in each state, those that are being retried, and
// those that were not delivered.
func (d *dispatch) table() string {
	var b strings.Builder
	if what := d.what(); what != "" {
		fmt.Fprintf(&b, "%s\n\n", cell(what))
	}
	b.WriteString(d.counts())
	b.WriteString("\n")
	if len(d.open) == 0 && len(d.result.NotDelivered) == 0 {
		return b.String()
	}
	b.WriteString("\n| what | status | why | delivery |\n|---|---|---|---|\n")
	rows := 0
	row := func(e *Ended) {
		line := fmt.Sprintf("| %s | %s | %s | %s |\n", cell(e.what()), e.Status, cell(e.Reason), linked(e))
		if rows < maxRows && b.Len()+len(line) < maxRowBytes {
			rows++
			b.WriteString(line)
		}
	}
	for _, l := range d.open {
		row(d.retrying(l))
	}
	for i := range d.result.NotDelivered {
		row(&d.result.NotDelivered[i])
	}
	if more := len(d.open) + len(d.result.NotDelivered) + d.result.Unlisted - rows; more > 0 {
		fmt.Fprintf(&b, "\nand %d more\n", more)
	}
	return b.String()
}

// retrying returns the row of a delivery that is being retried.
func (d *dispatch) retrying(l *Leftover) *Ended {
	e := &Ended{Status: StatusRetrying, Reason: l.waitsFor(), Tenant: cmp.Or(l.Slug, l.Tenant), EventType: l.EventType,
		Webhook: l.Webhook, Name: l.Name, Host: l.Host, Delivery: l.Delivery, Attempts: l.Number - 1}
	e.Link = d.link(e)
	return e
}

// waitsFor says what a delivery waits for, and how its last attempt failed.
func (l *Leftover) waitsFor() string {
	waits := fmt.Sprintf("waits for attempt %d", l.Number)
	switch {
	case l.called:
		waits = fmt.Sprintf("is at attempt %d or later, see Pending Activities", l.Number)
	case l.Kind == AtRate:
		waits = "waits for its time at the webhook's rate"
	case l.Kind == ForSlot:
		waits = "waits for a place in flight at the webhook"
	}
	if l.Last == "" {
		return waits
	}
	return fmt.Sprintf("%s; attempt %d failed: %s", waits, l.Number-1, l.Last)
}

// linked returns a delivery's id, as a link if there is one.
func linked(e *Ended) string {
	if e.Link == "" {
		return e.Delivery
	}
	return "[" + e.Delivery + "](" + e.Link + ")"
}

// link returns the URL at which Posthorn shows a delivery; "" if it is unknown.
func (d *dispatch) link(e *Ended) string {
	if d.in.About == nil || d.in.About.Console == "" {
		return ""
	}
	return d.in.About.Console + "/tenants/" + e.Tenant + "/deliveries/" + e.Delivery
}

// note keeps the row of a delivery that was not delivered, if there is room for it.
func (d *dispatch) note(e Ended) {
	e.Reason, e.Name, e.Host, e.EventType = short120(e.Reason), short120(e.Name), short120(e.Host), short120(e.EventType)
	e.Link = d.link(&e)
	text, err := json.Marshal(e) //nolint:musttag // the fields are named as the Web UI shows them
	if err != nil || len(d.result.NotDelivered) == maxRows || d.noted()+len(text) > maxRowBytes {
		d.result.Unlisted++
		return
	}
	d.rowBytes += len(text)
	d.result.NotDelivered = append(d.result.NotDelivered, e)
}

// noted returns the size of the rows in bytes. Rows of an earlier run are measured once.
func (d *dispatch) noted() int {
	if d.rowBytes == 0 && len(d.result.NotDelivered) > 0 {
		text, err := json.Marshal(d.result.NotDelivered) //nolint:musttag // as above
		if err != nil {
			return maxRowBytes
		}
		d.rowBytes = len(text)
	}
	return d.rowBytes
}

// what describes what the dispatch delivers; "" if that is unknown.
func (d *dispatch) what() string {
	if d.in.About == nil {
		return ""
	}
	return d.in.About.What
}

// counts says in words how many deliveries are in each state.
func (d *dispatch) counts() string {
	r := &d.result
	var parts []string
	for _, c := range []struct {
		n    int
		what string
	}{
		{r.Delivered, "delivered"}, {r.Failed, "failed"}, {r.Held, "held"}, {r.Canceled, "canceled"},
		{r.Superseded, "superseded by another workflow"}, {r.Stopped, "held, canceled or superseded"},
		{len(d.open), "being retried"}, {d.queued, "waiting for the first attempt"},
	} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	if len(parts) == 0 {
		return "nothing was left to do: it had been done before"
	}
	return strings.Join(parts, ", ")
}

// sentence says how the dispatch ended.
func (d *dispatch) sentence() string {
	r := &d.result
	how := d.counts()
	if r.Delivered+r.Failed+r.Held+r.Canceled+r.Superseded+r.Stopped == 1 {
		_, how, _ = strings.Cut(how, " ") // without the 1
		if len(r.NotDelivered) == 1 {
			how += because(&r.NotDelivered[0])
		}
	}
	if what := d.what(); what != "" {
		return what + ": " + how + "."
	}
	return how + "."
}

// because says why a single delivery was not delivered.
func because(e *Ended) string {
	text := ""
	if e.Status == Failed {
		text = fmt.Sprintf(" after %s", counted(e.Attempts, "attempt", "attempts"))
	}
	switch {
	case e.Reason == "":
	case strings.HasPrefix(e.Reason, e.Status): // "canceled by ops"
		text = strings.TrimPrefix(e.Reason, e.Status)
	default:
		text += ": " + e.Reason
	}
	return text
}

// counted is a number with its noun.
func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// to names the webhook of a delivery.
func (l *Leftover) to() string { return Named(l.Name, l.Host, l.Webhook) }

// what names a delivery for a summary.
func (l *Leftover) what() string { return cmp.Or(l.EventType, l.Delivery) + " to " + l.to() }

func (e *Ended) what() string {
	return cmp.Or(e.EventType, "a delivery") + " to " + Named(e.Name, e.Host, e.Webhook)
}

// Named names a webhook by its name and host, as far as they are known, or else by its id.
func Named(name, host, id string) string {
	switch {
	case name != "" && host != "" && name != host:
		return name + " (" + host + ")"
	case name != "" || host != "":
		return cmp.Or(name, host)
	default:
		return id
	}
}

// cell escapes a text for a cell of a Markdown table.
func cell(text string) string {
	text = strings.NewReplacer("|", "/", "\n", " ", "\r", " ", "<", "‹", ">", "›", "`", "'").Replace(text)
	return short120(text)
}

// short120 cuts a text of foreign origin.
func short120(text string) string { return cut.Text(text, 120) }
