package jsonschema

import (
	"testing"
	"time"
)

// The happy path: an everyday event under an everyday schema, including decoding.
func BenchmarkValidate(b *testing.B) {
	s := compiled(b, `{"type":"object","required":["id","lines","customer"],"properties":{"id":{"type":"string","pattern":"^ord_[0-9a-z]+$"},
		"total":{"type":"number","minimum":0},"currency":{"enum":["EUR","USD"]},"lines":{"type":"array","items":{"type":"object",
		"required":["sku"],"properties":{"sku":{"type":"string"},"quantity":{"type":"integer","minimum":1}}}},
		"customer":{"$ref":"#/$defs/customer"}},"$defs":{"customer":{"type":"object","properties":{"email":{"type":"string"},"name":{"type":"string"}}}}}`)
	data := []byte(`{"id":"ord_0f3k2","total":129.95,"currency":"EUR","lines":[{"sku":"A-1","quantity":2},{"sku":"B-2","quantity":1},
		{"sku":"C-3","quantity":10}],"customer":{"email":"someone@shop.example","name":"Some One"},"note":"leave it at the door, please"}`)
	b.ReportAllocs()
	for b.Loop() {
		violations, err := s.Validate(b.Context(), data, NewBudget(len(data), time.Now().Add(time.Second), time.Now))
		if err != nil || len(violations) > 0 {
			b.Fatal(violations, err)
		}
	}
}
