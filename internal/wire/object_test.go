package wire

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The specification's own vector: https://github.com/standard-webhooks/standard-webhooks (libraries' test suites).
func TestObject_StandardSignatureVector(t *testing.T) {
	t.Parallel()
	h := make(map[string][]string)
	err := signStandard(h, []string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, "msg_p5jXN8AQM9LWM0D4loKWxJek",
		time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`), signatureOfSecret)

	require.NoError(t, err)
	require.Equal(t, []string{"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}, h["Webhook-Signature"])
}

func TestObject_Splice(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, data, want string }{
		{"order and bytes", `{"b":1.0,"a":1e+5,"\u00e9":"\/"}`, `{"event":"x","b":1.0,"a":1e+5,"\u00e9":"\/"}`},
		{"space between members", "{\r\n\t\"a\" : 1 ,\n \"b\" : [ 1 , 2 ]\n}\n", `{"event":"x","a" : 1,"b" : [ 1 , 2 ]}`},
		{"repeated names", `{"a":1,"a":2}`, `{"event":"x","a":1,"a":2}`},
		{"structure inside strings", `{"a":"}],{\"","b":{"c":"]\\"}}`, `{"event":"x","a":"}],{\"","b":{"c":"]\\"}}`},
		{"deep", `{"a":{"event":[{"event":{}}]}}`, `{"event":"x","a":{"event":[{"event":{}}]}}`},
		{"reserved", `{"event":{"a":1},"b":2,"\u0065\u0076ent":3,"Event":4}`, `{"event":"x","b":2,"Event":4}`},
		{"only reserved", `{"event":1}`, `{"event":"x"}`},
		{"empty name", `{"":1}`, `{"event":"x","":1}`},
		{"empty object", `{}`, `{"event":"x"}`},
		{"empty object with space", " {\n} ", `{"event":"x"}`},
		{"array", ` [1, 2] `, `{"event":"x","data":[1, 2]}`},
		{"string", `"{}"`, `{"event":"x","data":"{}"}`},
		{"number", `-0.0`, `{"event":"x","data":-0.0}`},
		{"true", `true`, `{"event":"x","data":true}`},
		{"null", `null`, `{"event":"x","data":null}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			o := newObject(Event{})
			o.string("event", "x")
			o.splice([]byte(tc.data), "event")
			got, err := o.close()
			require.NoError(t, err)
			require.Equal(t, tc.want, string(got))
		})
	}
}

// FuzzSplice compares splice with encoding/json. Valid input gives valid output, with exactly the members of the data,
// each value in its posted bytes.
func FuzzSplice(f *testing.F) {
	for _, seed := range []string{
		`{"event":"a","b":[1,{"c":"}\""}],"b":2}`, "{\n \"a\" : 1e9 , \"\\u0065vent\" : null }", `[]`, `"x"`, `{`, ``, `{"a":{}`, "{\"\xff\":1}",
	} {
		f.Add([]byte(seed), "type \"<\u2028")
	}
	f.Fuzz(func(t *testing.T, data []byte, eventType string) {
		o := newObject(Event{Data: data})
		o.string("event", eventType)
		o.splice(data, "event")
		got, err := o.close()
		if !json.Valid(data) {
			return // anything but a panic: validity is checked where events are accepted
		}
		require.NoError(t, err)
		require.True(t, json.Valid(got), "%q", got)

		var want, have map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(got, &have))
		if json.Unmarshal(data, &want) != nil || want == nil {
			want = map[string]json.RawMessage{"data": bytes.TrimSpace(data)}
		}
		quoted, err := json.Marshal(eventType)
		require.NoError(t, err)
		require.JSONEq(t, string(quoted), string(have["event"]))
		delete(want, "event")
		delete(have, "event")
		require.Equal(t, want, have)
	})
}
