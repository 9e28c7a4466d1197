// Package wire defines how an event looks on the wire: the body, headers and signature of a webhook's profile.
//
// A profile is the wire format of one system: the native one ([ProfileStandard]) or one of the other systems that
// Posthorn supports. Each has one small file here, and [profiles] lists them. To add a system, copy the simplest
// (up42.go) and add its line there.
//
// The package is pure. It must not import an HTTP client, a database, Temporal or any other Posthorn package except
// rawjson, and it reads no clock: the time of an attempt is an argument. The same event always has the same body; only
// the signature, and the timestamp inside it, may change.
package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Event is one event, as it was accepted.
type Event struct {
	ID     string // the same on every attempt, so that receivers recognise repeats
	Tenant string
	Type   string
	Test   bool // an example, sent by a test of the webhook

	// Timestamp is when the event was accepted, not when it is sent.
	Timestamp time.Time

	// Data is the payload in its posted bytes: one valid JSON value of any kind. Validity is checked when events are
	// accepted; here numbers, strings and key order pass through unchanged.
	Data json.RawMessage

	// Attributes hold what a profile's envelope needs in addition to the data. Unknown ones are ignored.
	Attributes map[string]string
}

// Webhook is the part of a webhook that shapes its messages.
type Webhook struct {
	ID      string
	Tenant  string
	URL     string
	Profile string // one of [Profiles]

	// Headers are the webhook's own additional ones, which [ValidHeaders] has accepted.
	Headers map[string]string

	// Secrets are the active signing secrets, newest first. There is more than one during the overlap of a rotation.
	// Without any, the message is sent unsigned. A profile whose header holds a single signature or token uses the
	// newest.
	Secrets []string

	// Settings are the profile's own settings.
	Settings map[string]string
}

// Message is one POST, complete except for the headers that the client adds: Host, Content-Length and User-Agent.
type Message struct {
	Header http.Header
	Body   []byte
}

var (
	// ErrUnknownProfile is returned for a profile that is not in [Profiles].
	ErrUnknownProfile = errors.New("unknown profile")

	// ErrMalformedData is returned for event data that is not JSON.
	ErrMalformedData = errors.New("event data is not valid JSON")
)

// Body returns the bytes that a webhook receives for an event. They depend only on the arguments, so every attempt at
// a delivery sends the same ones. Errors wrap [ErrUnknownProfile] or [ErrMalformedData]; trying again does not help.
func Body(wh Webhook, ev Event) ([]byte, error) {
	p, err := lookup(wh.Profile)
	if err != nil {
		return nil, err
	}
	body, err := p.body(wh, ev)
	if err != nil {
		return nil, fmt.Errorf("%s body of event %s: %w", wh.Profile, ev.ID, err)
	}
	return body, nil
}

// Build returns the whole message for an attempt at the given time: [Body] with its headers and signature. The
// webhook's own headers come first and never replace those of the profile. It fails like Body, and if a secret that it
// needs is not one that [ValidSecret] accepts.
func Build(wh Webhook, ev Event, at time.Time) (Message, error) {
	p, err := lookup(wh.Profile)
	if err != nil {
		return Message{}, err
	}
	body, err := Body(wh, ev)
	if err != nil {
		return Message{}, err
	}
	h := make(http.Header, len(wh.Headers)+4)
	for name, value := range wh.Headers {
		h.Set(name, value)
	}
	h.Set("Content-Type", "application/json")
	if err := p.sign(h, wh, ev, at, body); err != nil {
		return Message{}, fmt.Errorf("sign event %s for webhook %s: %w", ev.ID, wh.ID, err)
	}
	return Message{Header: h, Body: body}, nil
}
