// Package catalog holds the event types that Posthorn knows in advance: a catalogue for each of the other systems,
// loaded for a tenant on request, and the operational events that Posthorn itself sends.
//
// A catalogue is one JSON file under systems/, to be read and changed as data. To add a system, add its file and its
// name to the variable systems. The package is data and lookups only: it must not import any other Posthorn package, a database
// or an HTTP package. It does not validate events; that happens where they are accepted.
//
// Schemas describe an event's data as it is published, in JSON Schema 2020-12. They never require a member that a
// profile's envelope adds (event, timestamp, eventUid …), never forbid unknown members, and require nothing at all if
// the source document shows no payload.
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
	Name          string // as webhooks register for it
	Title         string // for people, in the words of the source document
	Category      string
	Description   string
	Documentation string // a URL, or "" if the vendor has no public page

	// Schema is a self-contained JSON Schema 2020-12 of the data.
	Schema json.RawMessage

	// Example is data that matches the schema: the document's own if it has one, with the envelope's members if the
	// document prints them.
	Example json.RawMessage

	// TestOnly marks a type that a system sends only in tests. Webhooks cannot register for it.
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

// Load returns the event types of a system in the order of its document, and whether the system exists. The slice
// belongs to the caller; the bytes of schemas and examples are shared and must not be changed.
func Load(system string) ([]EventType, bool) {
	types, ok := catalogs()[system]
	return slices.Clone(types), ok
}

// The event types that Posthorn sends about the health of a tenant's webhooks. Those about changes and deliveries are in models.
const (
	WebhookDeactivated = "webhook.deactivated"
	WebhookWarning     = "webhook.warning"
)

// Operational returns the built-in event types, which Posthorn sends about a tenant's own webhooks. Every tenant has them. The
// rules for the result of [Load] apply to it too.
func Operational() []EventType { return slices.Clone(operational()) }

// file is the form of a catalogue on disk. Several event types can name the same schema.
type file struct {
	Source        string                     `json:"source"`        // the source of the facts
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

// mustParse panics on an invalid catalogue. The files are part of the binary and parsed in every test run.
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

// compact removes the indentation of the files: examples are sent as they are.
func compact(value json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	if err := json.Compact(&b, value); err != nil {
		return value // absent: a decoded value always compacts
	}
	return b.Bytes()
}
