package workflows

import (
	"encoding/json"
	"time"
)

// Leftover is a delivery that is not finished, and what its next attempt needs.
type Leftover struct {
	Tenant     string // its id
	Slug       string `json:",omitempty"` // what it is called outside, where that is not its id
	Delivery   string `json:",omitempty"`
	EventType  string `json:",omitempty"` // for the summaries, like the webhook's name and host
	Webhook    string
	Name       string `json:",omitempty"` // of the webhook
	Host       string // of the webhook's URL, the rest of which may be a secret
	Generation int
	Number     int           // of the next attempt, from 1
	Remaining  int           // attempts that may still be made, the next one included
	Wait       time.Duration `json:",omitempty"` // until the next attempt
	Timeout    time.Duration // of one POST
	Last       string        `json:",omitempty"` // how the last attempt failed
	Kind       Kind          `json:",omitempty"` // what it waits for
	Due        time.Time     `json:",omitzero"`  // when it was put off to; zero after an attempt
	Lapsed     bool          `json:",omitempty"` // AtRate: it has missed the time it was given once

	called bool // its wait is over: an activity attempts it
}

// Kind is what a delivery that is left over waits for.
type Kind string

const (
	// BackOff waits for the next step of its retry schedule, or for Posthorn's own trouble to end.
	BackOff Kind = ""
	// AtRate waits for the time, Due, that its webhook's rate has given it. Those close together are attempted together.
	AtRate Kind = "rate"
	// ForSlot waits for a slot in flight: it may be put off any number of times.
	ForSlot Kind = "slot"
)

// Leftovers are several. In JSON those in a row that differ in little are one object, which says once what they share: a
// history has a few lists of up to 256 of them.
type Leftovers []Leftover

// plain is Leftover without its methods.
type plain Leftover

// own is what each of several deliveries has for itself.
type own struct {
	Delivery string
	Wait     time.Duration `json:",omitempty"`
	Due      time.Time     `json:",omitzero"`
	Lapsed   bool          `json:",omitempty"`
}

// written is what an object of the JSON has: one delivery, or several. Reserved, Paced and Places are of builds before
// Kind: dispatches that they began go on.
type written struct {
	plain
	Reserved, Paced, Places bool  `json:",omitempty"`
	Deliveries              []own `json:",omitempty"`
}

// MarshalJSON writes what deliveries in a row share once.
func (all Leftovers) MarshalJSON() ([]byte, error) {
	var rows []written
	for _, l := range all {
		each := own{Delivery: l.Delivery, Wait: l.Wait, Due: l.Due, Lapsed: l.Lapsed}
		l.Delivery, l.Wait, l.Due, l.Lapsed, l.called = "", 0, time.Time{}, false, false
		if n := len(rows); n > 0 && rows[n-1].plain == plain(l) {
			rows[n-1].Deliveries = append(rows[n-1].Deliveries, each)
			continue
		}
		rows = append(rows, written{plain: plain(l), Deliveries: []own{each}})
	}
	return json.Marshal(rows) //nolint:musttag // the fields' names are the JSON's
}

// UnmarshalJSON reads several leftovers, also as builds wrote them that had an object for each.
func (all *Leftovers) UnmarshalJSON(text []byte) error {
	var rows []written
	if err := json.Unmarshal(text, &rows); err != nil { //nolint:musttag // as above
		return err
	}
	*all = nil
	for i := range rows {
		l := rows[i].leftover()
		if len(rows[i].Deliveries) == 0 {
			*all = append(*all, l)
		}
		for _, each := range rows[i].Deliveries {
			l.Delivery, l.Wait, l.Due, l.Lapsed = each.Delivery, each.Wait, each.Due, each.Lapsed
			*all = append(*all, l)
		}
	}
	return nil
}

// UnmarshalJSON reads one leftover.
func (l *Leftover) UnmarshalJSON(text []byte) error {
	var row written
	if err := json.Unmarshal(text, &row); err != nil { //nolint:musttag // as above
		return err
	}
	*l = row.leftover()
	return nil
}

// leftover is the one delivery of an object, or what several share.
func (w *written) leftover() Leftover {
	l := Leftover(w.plain)
	switch {
	case l.Kind != BackOff:
	case w.Paced:
		l.Kind = AtRate
	case (w.Reserved || w.Places) && !l.Due.IsZero():
		l.Kind = ForSlot
	}
	return l
}
