package models

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"unicode/utf8"
)

// auditChanged replaces the change of a value that the log does not show.
const auditChanged = "changed"

// The bounds of what the log shows of one field.
const (
	auditText = 256 // characters of a text
	auditMany = 20  // entries of a list
)

// Between records what has changed from one value of each field to another. Unchanged fields are left out.
func (c AuditChanges) Between(was, is map[string]any) {
	for name, value := range is {
		if !reflect.DeepEqual(was[name], value) {
			c[name] = FromTo(was[name], value)
		}
	}
}

// FromTo returns the change of one field. nil stands for none.
func FromTo(from, to any) map[string]any {
	return map[string]any{"from": auditValue(from), "to": auditValue(to)}
}

// Hidden records that a field has changed whose value is not shown.
func (c AuditChanges) Hidden(name string, changed bool) {
	if changed {
		c[name] = auditChanged
	}
}

// auditValue returns a value as the log shows it.
func auditValue(v any) any {
	switch v := v.(type) {
	case string:
		return auditCut(v)
	case []string:
		return auditList(v)
	default:
		return v
	}
}

func auditCut(text string) string {
	if utf8.RuneCountInString(text) <= auditText {
		return text
	}
	return string([]rune(text)[:auditText-1]) + "…"
}

// auditList returns the beginning of a list, and how many entries were left out.
func auditList(values []string) []string {
	shown := make([]string, 0, min(len(values), auditMany+1))
	for i, v := range values {
		if i == auditMany {
			return append(shown, fmt.Sprintf("and %d more", len(values)-i))
		}
		shown = append(shown, auditCut(v))
	}
	return shown
}

// AuditURL returns a URL as the log shows it: without credentials, query and fragment. "" if it cannot be parsed.
func AuditURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	u.User, u.RawQuery, u.ForceQuery, u.Fragment, u.RawFragment = nil, "", false, "", ""
	return u.String()
}

// Names records which entries of a map were added, removed or changed, by name only.
func (c AuditChanges) Names(field string, was, is map[string]string) {
	changes := map[string]any{}
	note := func(what string, names []string) {
		if len(names) > 0 {
			slices.Sort(names)
			changes[what] = auditList(names)
		}
	}
	var added, removed, changed []string
	for name, value := range is {
		if before, ok := was[name]; !ok {
			added = append(added, name)
		} else if before != value {
			changed = append(changed, name)
		}
	}
	for name := range was {
		if _, ok := is[name]; !ok {
			removed = append(removed, name)
		}
	}
	note("added", added)
	note("changed", changed)
	note("removed", removed)
	if len(changes) > 0 {
		c[field] = changes
	}
}
