// Package catalog holds the event types that Posthorn knows beforehand: a catalogue for each of the outside systems,
// loaded for a tenant on request, and the operational events that Posthorn itself sends.
//
// A catalogue is one JSON file under systems/, to be read and changed as data; to add a system, add its file and its
// name to [Systems]. The package is data and lookups only: it must not import any other Posthorn package, a database or
// an HTTP package. It does not validate events; that is done where they are accepted.
//
// Schemas describe an event's data as it is published, JSON Schema 2020-12. They never require a member that a profile's
// envelope adds (event, timestamp, eventUid …), never forbid unknown members, and require nothing at all where the
// source document shows no payload.
package catalog

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
)

// EventType is one entry of a catalogue.
type EventType struct {
	Name          string // as webhooks subscribe to it
	Title         string // for people, in the words of the source document
	Category      string
	Description   string
	Documentation string // a URL, or "" where the vendor has no public page

	// Schema is a self-contained JSON Schema 2020-12 of the data.
	Schema json.RawMessage

	// Example is data that fits the schema: the document's own where it gives one, with the envelope's members where
	// the document prints them.
	Example json.RawMessage

	// TestOnly marks what a system sends only when a test is asked for. It is not offered for subscription.
	TestOnly bool
}

//go:embed systems/*.json operational.json
var files embed.FS

// systems is in the order of the source documents.
var systems = []string{"im4", "phrase", "languageweaver", "ewarehousing", "up42"}

// catalogs are parsed once, on first use, and not changed afterwards.
var catalogs = sync.OnceValue(func() map[string][]EventType {
	all := make(map[string][]EventType, len(systems))
	for _, system := range systems {
		all[system] = mustParse("systems/" + system + ".json")
	}
	return all
})

var operational = sync.OnceValue(func() []EventType { return mustParse("operational.json") })

// Systems returns the names of the systems that have a catalogue.
func Systems() []string { return slices.Clone(systems) }

// Load returns the event types of a system in the order of its document, and whether there is such a system. The slice
// is the caller's; the bytes of schemas and examples are shared and must not be changed.
func Load(system string) ([]EventType, bool) {
	types, ok := catalogs()[system]
	return slices.Clone(types), ok
}

// The event types that Posthorn sends about a tenant's own webhooks.
const (
	WebhookDeactivated = "webhook.deactivated"
	WebhookWarning     = "webhook.warning"
)

// Operational returns the built-in event types: [WebhookDeactivated] and [WebhookWarning]. Every tenant has them. Of the
// result the same holds as for [Load].
func Operational() []EventType { return slices.Clone(operational()) }

// file is the form of a catalogue on disk. Event types name one of the schemas, as many share one.
type file struct {
	Source        string                     `json:"source"`        // where the facts are from
	Documentation string                     `json:"documentation"` // of every event type
	Schemas       map[string]json.RawMessage `json:"schemas"`
	EventTypes    []struct {
		Name        string          `json:"name"`
		Title       string          `json:"title"`
		Category    string          `json:"category"`
		Description string          `json:"description"`
		Schema      string          `json:"schema"`
		Example     json.RawMessage `json:"example"`
		TestOnly    bool            `json:"test_only"`
	} `json:"event_types"`
}

// mustParse panics on a file that is not a catalogue. The files are part of the binary and parsed in every test run.
func mustParse(name string) []EventType {
	raw, err := files.ReadFile(name)
	if err != nil {
		panic(fmt.Sprintf("catalog: %v", err))
	}
	types, err := parse(raw)
	if err != nil {
		panic(fmt.Sprintf("catalog %s: %v", name, err))
	}
	return types
}

func parse(raw []byte) ([]EventType, error) {
	var f file
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		return nil, err
	}
	schemas := make(map[string]json.RawMessage, len(f.Schemas))
	for name, schema := range f.Schemas {
		schemas[name] = compact(schema)
	}
	types := make([]EventType, len(f.EventTypes))
	for i, t := range f.EventTypes {
		schema, ok := schemas[t.Schema]
		if !ok {
			return nil, fmt.Errorf("event type %q: no schema %q", t.Name, t.Schema)
		}
		types[i] = EventType{
			Name:          t.Name,
			Title:         t.Title,
			Category:      t.Category,
			Description:   t.Description,
			Documentation: f.Documentation,
			Schema:        schema,
			Example:       compact(t.Example),
			TestOnly:      t.TestOnly,
		}
	}
	return types, nil
}

// compact drops the indentation that the files have for their readers: examples are sent as they are.
func compact(value json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	if err := json.Compact(&b, value); err != nil {
		return value // absent: a decoded value always compacts
	}
	return b.Bytes()
}
