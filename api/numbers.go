package api

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
)

// decodeAny decodes a body for huma to validate. A number beyond Go's range becomes the largest possible one. A field
// then refuses it by name, and schemas and examples are checked as they were written.
func decodeAny(body []byte, v *any) error {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if err := decoder.Decode(v); err != nil {
		return err
	}
	*v = plainNumbers(*v)
	return nil
}

func plainNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		f, err := strconv.ParseFloat(v.String(), 64)
		if err != nil { // out of range: infinite
			return math.Copysign(math.MaxFloat64, f)
		}
		return f
	case []any:
		for i := range v {
			v[i] = plainNumbers(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = plainNumbers(v[name])
		}
	}
	return v
}
