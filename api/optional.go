package api

import (
	"encoding/json"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
)

// optional is a field of a change. Absent leaves the value as it is; null unsets it.
type optional[T any] struct {
	given bool
	value *T // nil = null
}

// UnmarshalJSON implements json.Unmarshaler. It is not called for a field that is absent.
func (o *optional[T]) UnmarshalJSON(value []byte) error {
	o.given = true
	if string(value) == "null" {
		return nil
	}
	o.value = new(T)
	return json.Unmarshal(value, o.value)
}

// or returns the field's value: nil if it is absent, unset if it is null.
func (o optional[T]) or(unset T) *T {
	if o.given && o.value == nil {
		return &unset
	}
	return o.value
}

// Schema implements huma.SchemaProvider.
func (optional[T]) Schema(r huma.Registry) *huma.Schema {
	s := huma.SchemaFromType(r, reflect.TypeFor[T]())
	s.Nullable = true
	return s
}
