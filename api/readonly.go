package api

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"

	"github.com/posthorn/posthorn/internal/service"
)

// An answer may be sent back as it was read: a request takes the fields that only answers have, as they are, so that a
// client can change one field of what it has read and send the whole. A field that differs is refused, and nothing changes.

// WebhookReadOnly are the fields of a webhook that are not set by changing it.
type WebhookReadOnly struct {
	ID             json.RawMessage `json:"id,omitempty" readOnly:"true" doc:"As it is, like the others that are read-only."`
	Tenant         json.RawMessage `json:"tenant,omitempty" readOnly:"true"`
	Status         json.RawMessage `json:"status,omitempty" readOnly:"true" doc:"Changed by enable, disable, pause and resume."`
	StatusReason   json.RawMessage `json:"status_reason,omitempty" readOnly:"true"`
	FailedAttempts json.RawMessage `json:"failed_attempts,omitempty" readOnly:"true"`
	LastFailure    json.RawMessage `json:"last_failure,omitempty" readOnly:"true"`
	LastSuccessAt  json.RawMessage `json:"last_success_at,omitempty" readOnly:"true"`
	LastNotice     json.RawMessage `json:"last_notification,omitempty" readOnly:"true"`
	Profile        json.RawMessage `json:"profile,omitempty" readOnly:"true" doc:"Chosen when a webhook is made."`
	CreatedAt      json.RawMessage `json:"created_at,omitempty" readOnly:"true"`
	UpdatedAt      json.RawMessage `json:"updated_at,omitempty" readOnly:"true"`
	CreatedBy      json.RawMessage `json:"created_by,omitempty" readOnly:"true"`
	UpdatedBy      json.RawMessage `json:"updated_by,omitempty" readOnly:"true"`
}

// TenantReadOnly are the fields of a tenant that are not set by putting or changing it.
type TenantReadOnly struct {
	ID        json.RawMessage `json:"id,omitempty" readOnly:"true" doc:"As it is, like the others that are read-only."`
	CreatedAt json.RawMessage `json:"created_at,omitempty" readOnly:"true"`
	UpdatedAt json.RawMessage `json:"updated_at,omitempty" readOnly:"true"`
}

// EventTypeReadOnly are the fields of an event type that are not set by putting it.
type EventTypeReadOnly struct {
	Name          json.RawMessage `json:"name,omitempty" readOnly:"true" doc:"As it is, like the others that are read-only."`
	Tenant        json.RawMessage `json:"tenant,omitempty" readOnly:"true"`
	System        json.RawMessage `json:"system,omitempty" readOnly:"true"`
	Title         json.RawMessage `json:"title,omitempty" readOnly:"true"`
	Category      json.RawMessage `json:"category,omitempty" readOnly:"true"`
	Documentation json.RawMessage `json:"documentation,omitempty" readOnly:"true"`
	CreatedAt     json.RawMessage `json:"created_at,omitempty" readOnly:"true"`
	UpdatedAt     json.RawMessage `json:"updated_at,omitempty" readOnly:"true"`
}

// changed names the read-only fields of a request that differ from what is shown now. show reads that, and is called only
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
			wrong = append(wrong, service.FieldError{Field: name, Message: "is read-only, and not what it is now: read it again, or leave it out"})
		}
	}
	return wrong, nil
}

// members are what an object of ours has as JSON.
func members(v any) (map[string]any, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber() // a number may be beyond those of Go
	var object map[string]any
	return object, d.Decode(&object)
}
