package wire_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/wire"
)

const (
	secretA = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"             // 24 bytes, the specification's own
	secretB = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" // 32 bytes
)

var (
	accepted  = time.Date(2026, 1, 2, 4, 4, 5, 678_900_000, time.FixedZone("CET", 3600))
	attempted = time.Date(2026, 1, 2, 3, 9, 9, 999_999_999, time.UTC)
)

func event(eventType, data string) wire.Event {
	return wire.Event{
		ID:        "evt_019b7c1e-7d2a-7c3b-9f00-1234567890ab",
		Tenant:    "be62c27e-2aac-4ac1-902e-f770d64f8dce",
		Type:      eventType,
		Timestamp: accepted,
		Data:      json.RawMessage(data),
	}
}

func TestBody_OfEachProfile(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, profile, eventType, data, want string
		attributes                           map[string]string
	}{
		{
			name: "standard wraps the data", profile: wire.ProfileStandard, eventType: "order.created", data: `{"id":1}`,
			want: `{"type":"order.created","timestamp":"2026-01-02T03:04:05.678Z","data":{"id":1}}`,
		},
		{
			name: "standard keeps the posted bytes", profile: wire.ProfileStandard, eventType: "a",
			data: "\n { \"n\" : 1.0,\n\"big\":12345678901234567890, \"s\":\"\\u00e9<&>\", \"n\":1e400 } \t",
			want: "{\"type\":\"a\",\"timestamp\":\"2026-01-02T03:04:05.678Z\",\"data\":" +
				"{ \"n\" : 1.0,\n\"big\":12345678901234567890, \"s\":\"\\u00e9<&>\", \"n\":1e400 }}",
		},
		{
			name: "standard takes any value", profile: wire.ProfileStandard, eventType: "a", data: `null`,
			want: `{"type":"a","timestamp":"2026-01-02T03:04:05.678Z","data":null}`,
		},
		{
			name: "standard quotes a strange type", profile: wire.ProfileStandard, eventType: "a\"\\\n<é>", data: `1`,
			want: `{"type":"a\"\\\n<é>","timestamp":"2026-01-02T03:04:05.678Z","data":1}`,
		},
		{
			name: "svix has its own form of operational events", profile: wire.ProfileSvix, eventType: "webhook.created",
			data: `{"webhook":{"id":"wh_1","tenant":"acme","url":"https://a.example","status":"active"}}`,
			want: `{"type":"endpoint.created","data":{"appId":"app_acme","appUid":null,"endpointId":"ep_1","endpointUid":null}}`,
		},
		{
			name: "svix, about a message that got no answer", profile: wire.ProfileSvix, eventType: "webhook.delivery.failed",
			data: `{"webhook":{"id":"wh_1","uid":"main","tenant":"acme","tenant_uid":"shop","url":"https://a.example","status":"active"},
				"delivery":{"id":"dlv_1","event_id":"evt_1","event_type":"order.created"},
				"last_attempt":{"id":"att_1","at":"2026-01-02T03:04:05.678Z","number":12,"status_code":null,"error":"refused"}}`,
			want: `{"type":"message.attempt.exhausted","data":{"appId":"app_acme","appUid":"shop","endpointId":"ep_1","endpointUid":"main","msgId":"msg_1",` +
				`"msgEventId":null,"lastAttempt":{"id":"atmpt_1","responseStatusCode":0,"timestamp":"2026-01-02T03:04:05.678Z"}}}`,
		},
		{
			name: "svix, about an endpoint that never received anything", profile: wire.ProfileSvix, eventType: "webhook.warning",
			data: `{"webhook":{"id":"wh_1","tenant":"acme"},"failed_attempts":5,"threshold":10,"last_failure":{"at":"2026-01-02T03:04:05.678Z"}}`,
			want: `{"type":"webhook.warning","data":{"appId":"app_acme","appUid":null,"endpointId":"ep_1","endpointUid":null,` +
				`"failSince":"2026-01-02T03:04:05.678Z","failedAttempts":5,"threshold":10}}`,
		},
		{
			name: "im4 puts event first", profile: wire.ProfileIM4, eventType: "order.created",
			data: `{"project_id": 12, "order_id": 34}`,
			want: `{"event":"order.created","project_id": 12,"order_id": 34}`,
		},
		{
			name: "im4 test call, as documented", profile: wire.ProfileIM4, eventType: "test", data: `{"message":"Hello!"}`,
			want: `{"event":"test","message":"Hello!"}`,
		},
		{
			name: "im4 does not repeat event", profile: wire.ProfileIM4, eventType: "order.changed",
			data: `{"event":"order.created","project_id":12,"\u0065vent":"x"}`,
			want: `{"event":"order.changed","project_id":12}`,
		},
		{
			name: "phrase adds its members at the end", profile: wire.ProfilePhrase, eventType: "JOB_CREATED",
			data: `{ "jobParts": [ { "id": 9 } ] }`,
			want: `{"jobParts": [ { "id": 9 } ],"event":"JOB_CREATED","timestamp":1767323045,` +
				`"eventUid":"evt_019b7c1e-7d2a-7c3b-9f00-1234567890ab"}`,
		},
		{
			name: "phrase does not repeat what the document's examples hold", profile: wire.ProfilePhrase,
			eventType: "JOB_CREATED", data: `{ "jobParts": [], "event": "JOB_CREATED", "timestamp": 1, "eventUid": "u" }`,
			want: `{"jobParts": [],"event":"JOB_CREATED","timestamp":1767323045,` +
				`"eventUid":"evt_019b7c1e-7d2a-7c3b-9f00-1234567890ab"}`,
		},
		{
			name: "phrase of an empty object", profile: wire.ProfilePhrase, eventType: "JOB_CREATED", data: ` { } `,
			want: `{"event":"JOB_CREATED","timestamp":1767323045,"eventUid":"evt_019b7c1e-7d2a-7c3b-9f00-1234567890ab"}`,
		},
		{
			name: "languageweaver is flat", profile: wire.ProfileLanguageWeaver, eventType: "translation.created",
			data: `{"translationId":"t1"}`, want: `{"event":"translation.created","translationId":"t1"}`,
		},
		{
			name: "languageweaver of an array", profile: wire.ProfileLanguageWeaver, eventType: "translation.created",
			data: `[1,2]`, want: `{"event":"translation.created","data":[1,2]}`,
		},
		{
			name: "ewarehousing with attributes", profile: wire.ProfileEWarehousing, eventType: "stock.updated",
			data:       `{"id":"f9cc7e9c-7ac2-45df-b4a3-1a19321c144d","stock_salable":973}`,
			attributes: map[string]string{"entity": "variant", "entityId": "e1", "customer": "c1", "other": "x"},
			want: `{"body":{"id":"f9cc7e9c-7ac2-45df-b4a3-1a19321c144d","stock_salable":973},` +
				`"group":"stock","action":"updated","entity":"variant","customer":"c1","entityId":"e1"}`,
		},
		{
			name: "ewarehousing by its defaults", profile: wire.ProfileEWarehousing, eventType: "order.shipped",
			data: `{"reference":"R1", "id" : "f9cc7e9c-7ac2-45df-b4a3-1a19321c144d"}`,
			want: `{"body":{"reference":"R1", "id" : "f9cc7e9c-7ac2-45df-b4a3-1a19321c144d"},` +
				`"group":"order","action":"shipped","entity":"order",` +
				`"customer":"be62c27e-2aac-4ac1-902e-f770d64f8dce","entityId":"f9cc7e9c-7ac2-45df-b4a3-1a19321c144d"}`,
		},
		{
			name: "ewarehousing without an id", profile: wire.ProfileEWarehousing, eventType: "batch.updated",
			data: `{"id":"first","id":7}`,
			want: `{"body":{"id":"first","id":7},"group":"batch","action":"updated","entity":"batch",` +
				`"customer":"be62c27e-2aac-4ac1-902e-f770d64f8dce","entityId":null}`,
		},
		{
			name: "ewarehousing of a list", profile: wire.ProfileEWarehousing, eventType: "batch.updated", data: `["id"]`,
			want: `{"body":["id"],"group":"batch","action":"updated","entity":"batch",` +
				`"customer":"be62c27e-2aac-4ac1-902e-f770d64f8dce","entityId":null}`,
		},
		{
			name: "up42 names the event beside the data", profile: wire.ProfileUP42, eventType: "order.status",
			data: `{"status":"FULFILLED"}`,
			want: `{"event":"order.status","timestamp":"2026-01-02T03:04:05.678Z","data":{"status":"FULFILLED"}}`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			ev := event(tc.eventType, tc.data)
			ev.Attributes = tc.attributes

			body, err := wire.Body(wire.Webhook{Profile: tc.profile}, ev)

			require.NoError(t, err)
			require.Equal(t, tc.want, string(body))
		})
	}
}

func TestBody_EveryAttemptSendsTheSameBody(t *testing.T) {
	t.Parallel()
	for _, profile := range wire.Profiles() {
		wh := wire.Webhook{Profile: profile, Secrets: []string{secretA}}
		ev := event("order.created", `{"id":"a","list":[1,2,3]}`)
		ev.Attributes = map[string]string{"entity": "e", "entityId": "i", "customer": "c"}
		want, err := wire.Body(wh, ev)
		require.NoError(t, err)

		for attempt := range 3 {
			m, err := wire.Build(wh, ev, attempted.Add(time.Duration(attempt)*time.Hour))
			require.NoError(t, err)
			require.Equal(t, string(want), string(m.Body), profile)
			require.Equal(t, "application/json", m.Header.Get("Content-Type"))
		}
	}
}

func TestBody_NoBodyFromBrokenData(t *testing.T) {
	t.Parallel()
	for _, profile := range wire.Profiles() {
		_, err := wire.Build(wire.Webhook{Profile: profile}, event("a.b", " \n"), attempted)
		require.ErrorIs(t, err, wire.ErrMalformedData, profile)
	}
	for _, data := range []string{`{`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{"a":1]`, `{"a" 1}`, `{a:1}`, `{"a":{}`, `{"a":["x}`, `{"a`, `{}x`, `{"a":1}x`} {
		_, err := wire.Body(wire.Webhook{Profile: wire.ProfileIM4}, event("a", data))
		require.ErrorIs(t, err, wire.ErrMalformedData, data)
	}
}

func TestBody_UnknownProfile(t *testing.T) {
	t.Parallel()
	for _, profile := range []string{"", "Standard", "im5"} {
		require.False(t, wire.Known(profile))
		_, err := wire.Body(wire.Webhook{Profile: profile}, event("a", `1`))
		require.ErrorIs(t, err, wire.ErrUnknownProfile)
		_, err = wire.Build(wire.Webhook{Profile: profile}, event("a", `1`), attempted)
		require.ErrorIs(t, err, wire.ErrUnknownProfile)
		require.ErrorIs(t, wire.ValidSecret(profile, secretA), wire.ErrUnknownProfile)
	}
}

func TestBody_Profiles(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"standard", "im4", "phrase", "languageweaver", "ewarehousing", "up42", "svix"}, wire.Profiles())
	for _, profile := range wire.Profiles() {
		require.True(t, wire.Known(profile))
	}
}

func TestBody_OwnHeadersNeverReplaceTheProfiles(t *testing.T) {
	t.Parallel()
	wh := wire.Webhook{
		Profile: wire.ProfileStandard,
		Secrets: []string{secretA},
		Headers: map[string]string{"X-Team": "orders", "content-type": "text/plain", "webhook-id": "forged"},
	}

	m, err := wire.Build(wh, event("a", `1`), attempted)

	require.NoError(t, err)
	require.Equal(t, "orders", m.Header.Get("X-Team"))
	require.Equal(t, []string{"application/json"}, m.Header.Values("Content-Type"))
	require.Equal(t, []string{"evt_019b7c1e-7d2a-7c3b-9f00-1234567890ab"}, m.Header.Values("Webhook-Id"))
}

func TestBody_BuildLeavesItsArgumentsAlone(t *testing.T) {
	t.Parallel()
	secrets := []string{"", "s1", "", "s2"}
	wh := wire.Webhook{Profile: wire.ProfileUP42, Secrets: secrets, Headers: map[string]string{"x-a": "1"}}
	ev := event("order.status", `{"a":1}`)

	_, err := wire.Build(wh, ev, attempted)

	require.NoError(t, err)
	require.Equal(t, []string{"", "s1", "", "s2"}, secrets)
	require.Equal(t, map[string]string{"x-a": "1"}, wh.Headers)
	require.JSONEq(t, `{"a":1}`, string(ev.Data))
}

func headerNames(h http.Header) []string {
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	return names
}

// The native profile marks tests. The systems' messages are the same as for real events.
func TestBody_TestsAreMarked(t *testing.T) {
	t.Parallel()
	for _, profile := range wire.Profiles() {
		for _, test := range []bool{false, true} {
			ev := event("order.created", `{"id":1}`)
			ev.Test = test
			message, err := wire.Build(wire.Webhook{ID: "wh_1", Tenant: "acme", URL: "https://shop.example", Profile: profile}, ev, attempted)
			require.NoError(t, err)
			want := ""
			if test && profile == wire.ProfileStandard {
				want = "true"
			}
			require.Equal(t, want, message.Header.Get("webhook-test"), profile)
		}
	}
}
