package svix

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/posthorn/posthorn/api/systems"
)

// unkept are the fields that Svix has and Posthorn does not store yet, by object. A request that sets one is refused,
// so that nothing a client relies on is dropped silently. To support one, map it and remove it here.
var unkept = map[string][]string{
	ofMessage:     {"deliverAt"},
	ofEnvironment: {"connectors", "settings"},
}

const (
	ofMessage     = "message"
	ofEnvironment = "environment"
)

// check reports everything that is wrong with a request so far, and refuses fields that Posthorn does not store.
func check(q *systems.Request, what string) error {
	if err := q.Err(); err != nil {
		return err
	}
	var names []string
	for _, name := range unkept[what] {
		if !empty(q.In[name]) {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		return notYet("this " + what + " sets " + strings.Join(names, ", ") + ", which Posthorn does not have")
	}
	return nil
}

// notYet refuses a feature of Svix that Posthorn does not have yet.
func notYet(detail string) error {
	return &systems.Refusal{Status: http.StatusNotImplemented, Message: detail}
}

// empty reports whether a value means the same as an absent one.
func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return !v
	case int:
		return v == 0
	case string:
		return v == ""
	case []string:
		return len(v) == 0
	case map[string]*string:
		return len(v) == 0
	case []systems.Values:
		return len(v) == 0
	case json.RawMessage:
		return slices.Contains([]string{"{}", "[]", "null"}, string(v))
	}
	return false
}
