package api

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"

	"github.com/posthorn/posthorn/internal/service"
)

// An answer may be sent back as it was read. A request accepts the fields that only answers have, with their current
// values, so that a client can change one field of what it has read and send the whole. If such a field differs, the
// request is refused and nothing changes.

// WebhookReadOnly are the fields of a webhook that a change cannot set.
type WebhookReadOnly struct {
	ID             json.RawMessage `json:"id,omitempty" readOnly:"true" doc:"Read-only, like the others marked so: the current value."`
	Tenant         json.RawMessage `json:"tenant,omitempty" readOnly:"true"`
	Status         json.RawMessage `json:"status,omitempty" readOnly:"true" doc:"Read-only: enable, disable, pause and resume change it."`
	StatusReason   json.RawMessage `json:"status_reason,omitempty" readOnly:"true"`
	FailedAttempts json.RawMessage `json:"failed_attempts,omitempty" readOnly:"true"`
	LastFailure    json.RawMessage `json:"last_failure,omitempty" readOnly:"true"`
	LastSuccessAt  json.RawMessage `json:"last_success_at,omitempty" readOnly:"true"`
	LastNotice     json.RawMessage `json:"last_notification,omitempty" readOnly:"true"`
	Profile        json.RawMessage `json:"profile,omitempty" readOnly:"true" doc:"Read-only: chosen when a webhook is created."`
	CreatedAt      json.RawMessage `json:"created_at,omitempty" readOnly:"true"`
	UpdatedAt      json.RawMessage `json:"updated_at,omitempty" readOnly:"true"`
	CreatedBy      json.RawMessage `json:"created_by,omitempty" readOnly:"true"`
	UpdatedBy      json.RawMessage `json:"updated_by,omitempty" readOnly:"true"`
}

// TenantReadOnly are the fields of a tenant that putting or changing it cannot set.
type TenantReadOnly struct {
	ID        json.RawMessage `json:"id,omitempty" readOnly:"true" doc:"Read-only, like the others marked so: the current value."`
	CreatedAt json.RawMessage `json:"created_at,omitempty" readOnly:"true"`
	UpdatedAt json.RawMessage `json:"updated_at,omitempty" readOnly:"true"`
}

// EventTypeReadOnly are the fields of an event type that putting it cannot set.
type EventTypeReadOnly struct {
	Name          json.RawMessage `json:"name,omitempty" readOnly:"true" doc:"Read-only, like the others marked so: the current value."`
	Tenant        json.RawMessage `json:"tenant,omitempty" readOnly:"true"`
	System        json.RawMessage `json:"system,omitempty" readOnly:"true"`
	Title         json.RawMessage `json:"title,omitempty" readOnly:"true"`
	Category      json.RawMessage `json:"category,omitempty" readOnly:"true"`
	Documentation json.RawMessage `json:"documentation,omitempty" readOnly:"true"`
	CreatedAt     json.RawMessage `json:"created_at,omitempty" readOnly:"true"`
	UpdatedAt     json.RawMessage `json:"updated_at,omitempty" readOnly:"true"`
}

// changed names the read-only fields of a request that differ from their current values. It calls show for those only
// if the request has such a field.
func changed(readOnly any, show func() (any, error)) ([]service.FieldError, error) {
	sent, err := members(readOnly)
	if err != nil || len(sent) == 0 {
		return nil, err
	}
	shown, err := show()
	if err != nil {
		return nil, err
	}
	now, err := members(shown)
	if err != nil {
		return nil, err
	}
	var wrong []service.FieldError
	for _, name := range slices.Sorted(maps.Keys(sent)) {
		if !reflect.DeepEqual(sent[name], now[name]) {
			wrong = append(wrong, service.FieldError{Field: name, Message: "is read-only, and differs from the current value: read it again, or leave it out"})
		}
	}
	return wrong, nil
}

// members returns the members of one of our objects in JSON.
func members(v any) (map[string]any, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber() // a number may exceed Go's range
	var object map[string]any
	return object, d.Decode(&object)
}
