package api

import (
	"fmt"
	"slices"

	"github.com/posthorn/posthorn/internal/rawjson"
	"github.com/posthorn/posthorn/internal/service"
)

// maxProblems is the largest number of wrong fields in one answer.
const maxProblems = 100

// decoder reads events from a body that is well-formed JSON and collects everything that is wrong with them. It does
// not decode data: data stays the posted bytes, in the body's own memory.
type decoder struct {
	matching bool // only type, data and channels are known fields
	problems []FieldError
	doubled  *Problem
}

// err returns what was wrong, nil if nothing was.
func (d *decoder) err() error {
	switch {
	case d.doubled != nil:
		return d.doubled
	case len(d.problems) > 0:
		return invalid(d.problems...)
	}
	return nil
}

func (d *decoder) wrong(field, message string) {
	if len(d.problems) < maxProblems {
		d.problems = append(d.problems, FieldError{shortName(field), message})
	}
}

// members walks an object. what is the name to report if the value is not an object.
func (d *decoder) members(value []byte, prefix, what string, each func(name string, value []byte)) {
	value = rawjson.Trim(value)
	if value[0] != '{' {
		d.wrong(what, "must be an object")
		return
	}
	var seen [8]string // more than any of our objects has, except attributes
	names := seen[:0]
	for quoted, pair := range rawjson.Members(value) {
		name := rawjson.Name(quoted)
		for _, earlier := range names {
			if earlier == name && d.doubled == nil {
				d.doubled = twice(prefix + name)
			}
		}
		if len(names) == maxProblems {
			d.wrong(what, fmt.Sprintf("must have at most %d fields", maxProblems))
			return
		}
		names = append(names, name)
		each(name, rawjson.Value(quoted, pair))
	}
}

// batch reads {"events": [ … ]}.
func (d *decoder) batch(body []byte) []service.EventInput {
	var events []service.EventInput
	found := false
	d.members(body, "", "body", func(name string, value []byte) {
		if name != "events" {
			d.wrong(name, "is not a known field")
			return
		}
		found = true
		if value[0] != '[' {
			d.wrong(name, "must be an array")
			return
		}
		for element := range rawjson.Elements(value) {
			if len(events) == service.MaxBatch {
				d.wrong(name, fmt.Sprintf("must be 1 to %d", service.MaxBatch))
				return
			}
			events = append(events, d.event(element, fmt.Sprintf("events[%d]", len(events))))
		}
	})
	if !found {
		d.wrong("events", "is required")
	}
	return events
}

// event reads one event. path is its place within the body, "" if it is the whole body. A null field counts as absent,
// except data, where null is a JSON value like any other.
func (d *decoder) event(value []byte, path string) service.EventInput {
	var e service.EventInput
	prefix, what := "", "body"
	if path != "" {
		prefix, what = path+".", path
	}
	untyped := true
	d.members(value, prefix, what, func(name string, value []byte) {
		switch {
		case name == "data":
			e.Data = slices.Clip(value) // the rest of the body is not part of it
		case name == "type":
			e.Type = d.text(value, prefix+name)
			untyped = e.Type == "" && (value[0] == '"' || value[0] == 'n') // anything else is already reported as wrong
		case name == "id" && !d.matching:
			e.ID = d.text(value, prefix+name)
		case name == "attributes" && !d.matching:
			e.Attributes = d.attributes(value, prefix+name)
		case name == "channels":
			e.Channels = d.texts(value, prefix+name)
		case name == "tags" && !d.matching:
			e.Tags = d.texts(value, prefix+name)
		case name == "external_id" && !d.matching:
			e.ExternalID = d.text(value, prefix+name)
		default:
			d.wrong(prefix+name, "is not a known field")
		}
	})
	if rawjson.Trim(value)[0] != '{' {
		return e
	}
	if untyped {
		d.wrong(prefix+"type", "is required")
	}
	if e.Data == nil {
		d.wrong(prefix+"data", "is required")
	}
	return e
}

func (d *decoder) attributes(value []byte, path string) map[string]string {
	if value[0] == 'n' {
		return nil
	}
	attributes := map[string]string{}
	d.members(value, path+".", path, func(name string, value []byte) {
		attributes[name] = d.text(value, path+"."+name)
	})
	return attributes
}

// texts reads a list of strings; null is an empty list. It does not read entries far beyond any list's maximum length.
func (d *decoder) texts(value []byte, field string) []string {
	switch value[0] {
	case 'n':
		return nil
	case '[':
	default:
		d.wrong(field, "must be an array")
		return nil
	}
	texts := []string{}
	for element := range rawjson.Elements(value) {
		if len(texts) == maxProblems {
			break
		}
		if at := fmt.Sprintf("%s[%d]", field, len(texts)); element[0] == '"' {
			texts = append(texts, d.text(element, at))
		} else {
			d.wrong(at, "must be a string")
			texts = append(texts, "")
		}
	}
	return texts
}

// text reads a string; null is none.
func (d *decoder) text(value []byte, field string) string {
	switch value[0] {
	case 'n':
		return ""
	case '"':
		return rawjson.Name(value)
	default:
		d.wrong(field, "must be a string")
		return ""
	}
}
