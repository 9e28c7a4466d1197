package workflows

import (
	"encoding/json"
	"time"
)

// Leftover is a delivery that is not finished, with what its next attempt needs.
type Leftover struct {
	Tenant     string // the tenant's id
	Slug       string `json:",omitempty"` // the tenant's public name, if it differs from the id
	Delivery   string `json:",omitempty"`
	EventType  string `json:",omitempty"` // for the summaries, like the webhook's name and host
	Webhook    string
	Name       string `json:",omitempty"` // of the webhook
	Host       string // of the webhook's URL; the rest may be a secret
	Generation int
	Number     int           // of the next attempt, from 1
	Remaining  int           // attempts left, including the next one
	Wait       time.Duration `json:",omitempty"` // until the next attempt
	Timeout    time.Duration // of one POST
	Last       string        `json:",omitempty"` // how the last attempt failed
	Kind       Kind          `json:",omitempty"` // what it waits for
	Due        time.Time     `json:",omitzero"`  // the time that it was postponed to; zero after an attempt
	Lapsed     bool          `json:",omitempty"` // AtRate: it has missed one reserved time

	called bool // its wait is over, and an activity attempts it
}

// Kind says what a leftover delivery waits for.
type Kind string

const (
	// BackOff waits for the next step of its retry schedule, or for a failure of Posthorn's own to end.
	BackOff Kind = ""
	// AtRate waits for the time Due, reserved at its webhook's rate. Deliveries with close times are attempted
	// together.
	AtRate Kind = "rate"
	// ForSlot waits for a slot in flight. It may be postponed any number of times.
	ForSlot Kind = "slot"
)

// Leftovers are several deliveries. In JSON, a run of similar ones is one object that says once what they share: a
// history has a few lists of up to 256 of them.
type Leftovers []Leftover

// plain is Leftover without its methods.
type plain Leftover

// own holds the values that each of several deliveries has for itself.
type own struct {
	Delivery string
	Wait     time.Duration `json:",omitempty"`
	Due      time.Time     `json:",omitzero"`
	Lapsed   bool          `json:",omitempty"`
}

// written is the content of an object of the JSON: one delivery, or several. Reserved, Paced and Places come from
// builds before Kind: dispatches that they began continue.
type written struct {
	plain
	Reserved, Paced, Places bool  `json:",omitempty"`
	Deliveries              []own `json:",omitempty"`
}

// MarshalJSON writes once what successive deliveries share.
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

// UnmarshalJSON reads several leftovers, also those of builds that wrote an object for each.
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

// leftover returns the one delivery of an object, or what several share.
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
