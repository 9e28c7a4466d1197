package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/posthorn/posthorn/internal/catalog"
)

// received documents what Posthorn POSTs to a webhook: any event, and those that it publishes itself.
func received() map[string]*huma.PathItem {
	anything := catalog.EventType{Name: "order.created", Example: json.RawMessage(`{"order":"A-1001"}`)}
	all := map[string]*huma.PathItem{"event": {Post: delivery("event", "An event",
		"An event that the webhook is registered for, with the data as it was published. The profiles of other systems have their own envelopes.", anything)}}
	for _, t := range catalog.Operational() {
		all[t.Name] = &huma.PathItem{Post: delivery(strings.ReplaceAll(t.Name, ".", "-"), t.Title,
			t.Description+" It goes only to webhooks that name this type, or webhook.*.", t)}
	}
	return all
}

// delivery documents a delivery of one type with the profile standard.
func delivery(id, summary, description string, t catalog.EventType) *huma.Operation {
	header := func(name, description string, required bool, example any) *huma.Param {
		return &huma.Param{Name: name, In: "header", Description: description, Required: required,
			Schema: &huma.Schema{Type: huma.TypeString, Examples: []any{example}}}
	}
	kind := &huma.Schema{Type: huma.TypeString, Description: "The event's type.", Examples: []any{t.Name}}
	if t.Schema != nil {
		kind.Enum = []any{t.Name}
	}
	data := verbatim(t.Schema)
	if data.Extensions["description"] == nil {
		data.Description = "The event's data, byte for byte as it was published."
	}
	answers := map[string]*huma.Response{
		"2XX": {Description: "Received. The body is kept for the delivery's timeline, and not used otherwise."},
		"410": {Description: "Gone: the webhook is deactivated at once."},
		"4XX": {Description: "Not received: it is retried on the webhook's schedule. Retry-After on a 429 makes the wait longer."},
		"default": {Description: "Not received: it is retried on the webhook's schedule. The same holds for a late answer and for none. " +
			"Retry-After on a 503 makes the wait longer."},
	}
	return &huma.Operation{
		OperationID: "receive-" + id, Method: http.MethodPost, Summary: summary, Description: description, Tags: []string{tagReceived},
		Security: []map[string][]string{}, // the signature proves that it comes from Posthorn
		Parameters: []*huma.Param{
			header("webhook-id", "The event's id, the same in every attempt and at every webhook. Use it to recognise repeats.", true, "evt_0198c0de-0000-7000-8000-000000000004"),
			header("webhook-timestamp", "When this attempt was made, in seconds since 1970.", true, "1767366245"),
			header("webhook-signature", "Signatures of id, timestamp and body (Standard Webhooks), one for each secret in force, separated by spaces. Absent if the webhook has no secret.",
				false, "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="),
			header("webhook-test", "true if this is a test of the webhook: the data is an example. Absent in every other POST.", false, "true"),
		},
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{jsonType: {
			Schema: &huma.Schema{Type: huma.TypeObject, Required: []string{"type", "timestamp", "data"}, Properties: map[string]*huma.Schema{
				"type":      kind,
				"timestamp": {Type: huma.TypeString, Format: "date-time", Description: "When the event was accepted."},
				"data":      data,
			}},
			Example: map[string]any{"type": t.Name, "timestamp": "2026-01-02T15:04:05.678Z", "data": t.Example},
		}}},
		Responses: answers,
	}
}

// verbatim returns a JSON Schema unchanged: it is in the extensions, which huma only prints.
func verbatim(text json.RawMessage) *huma.Schema {
	s := &huma.Schema{}
	if text == nil {
		return s
	}
	if err := json.Unmarshal(text, &s.Extensions); err != nil {
		panic(fmt.Sprintf("api: schema of the catalogue: %v", err)) // it is part of the program, and tests read it
	}
	return s
}
