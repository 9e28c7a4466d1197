package svix

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/posthorn/posthorn/api/systems"
)

// unkept are the fields that Svix has and Posthorn does not keep yet, by what has them. A request that sets one is refused:
// nothing that a client relies on is dropped in silence. To lift one, take it out here and map it.
var unkept = map[string][]string{
	ofApplication: {"rateLimit"},
	ofEventType:   {"archived", "featureFlag", "featureFlags"},
	ofMessage:     {"deliverAt"},
	ofAccess:      {"featureFlags"},
	ofReplay:      {"channel", "tag", "statusCodeClass"},
	ofEnvironment: {"connectors", "settings"},
}

const (
	ofApplication = "application"
	ofEventType   = "event type"
	ofMessage     = "message"
	ofAccess      = "access"
	ofReplay      = "replay"
	ofEnvironment = "environment"
)

// check says all that is wrong with a request as far as it has been read, and refuses what it sets that is not kept.
func check(q *systems.Request, what string) error { return checkIn(q, what, q.In) }

// checkIn is check for an object within the body.
func checkIn(q *systems.Request, what string, in systems.Values) error {
	if err := q.Err(); err != nil {
		return err
	}
	var names []string
	for _, name := range unkept[what] {
		if !empty(in[name]) {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		return notYet("this " + what + " sets " + strings.Join(names, ", ") + ", which Posthorn does not have")
	}
	return nil
}

// notYet refuses what Svix can do and Posthorn cannot yet.
func notYet(detail string) error {
	return &systems.Refusal{Status: http.StatusNotImplemented, Message: detail}
}

// empty reports whether a value means the same as none.
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
