package api

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
)

// decodeAny decodes a body for huma to validate. A number beyond Go's becomes the largest there is: what is too large for
// its field is refused by name, and what stands in a schema or an example is judged as it was written.
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
