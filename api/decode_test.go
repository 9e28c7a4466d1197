package api

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzDecodeEvent compares the decoder with the standard library's. encoding/json reads every accepted body in the same
// way and finds no other field. data stays the posted bytes.
func FuzzDecodeEvent(f *testing.F) {
	for _, seed := range []string{
		`{"type":"a","data":{}}`, `{"type":"a","data":1.0,"id":"x","attributes":{"k":"v"}}`, `{"data":[1, 2],"type":"\u0061"}`, `{"type":"a","data":null,"id":null,"attributes":null}`,
		`{"type":1,"data":{}}`, `{"type":"a"}`, `[]`, `7`, `{"type":"a","type":"b","data":1}`, `{"t\u0079pe":"a","data":"}"}`, ` { "type" : "a" , "data" : { "x" : "\"" } } `,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if wellFormed(body) != nil || len(body) == 0 {
			return
		}
		var d decoder
		event := d.event(body, "")
		strict := json.NewDecoder(strings.NewReader(string(body)))
		strict.DisallowUnknownFields()
		var want struct {
			Type       string            `json:"type"`
			Data       json.RawMessage   `json:"data"`
			ID         string            `json:"id"`
			Attributes map[string]string `json:"attributes"`
		}
		err := strict.Decode(&want)
		if d.err() != nil {
			return
		}
		require.NoError(t, err, "%q", body)
		require.Equal(t, want.Type, event.Type)
		require.Equal(t, string(want.Data), string(event.Data))
		require.Equal(t, want.ID, event.ID)
		require.Equal(t, want.Attributes, event.Attributes)
	})
}

// FuzzDecodeBatch checks that no well-formed body makes the decoder panic, and that it accepts a body completely or not
// at all.
func FuzzDecodeBatch(f *testing.F) {
	for _, seed := range []string{`{"events":[]}`, `{"events":[{"type":"a","data":1},{"type":"b","data":[]}]}`, `{"events":[7]}`, `{"events":{}}`, `[]`, `{"events":[],"events":[]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if wellFormed(body) != nil || len(body) == 0 {
			return
		}
		var d decoder
		events := d.batch(body)
		if d.err() != nil {
			return
		}
		var want struct{ Events []json.RawMessage }
		require.NoError(t, json.Unmarshal(body, &want))
		require.Len(t, events, len(want.Events))
	})
}

func TestDecode_Durations(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{`"10s"`: `"10s"`, `"30m"`: `"30m"`, `"1h"`: `"1h"`, `"90m"`: `"1h30m"`, `"1h0m1s"`: `"1h0m1s"`,
		`30`: `"30s"`, `0.25`: `"250ms"`, `0`: `"0s"`, `3600`: `"1h"`, `"1.5s"`: `"1.5s"`, `-1`: `"-1s"`} {
		var d duration
		require.NoError(t, json.Unmarshal([]byte(text), &d))
		require.False(t, d.bad, text)
		got, err := json.Marshal(d)
		require.NoError(t, err)
		require.Equal(t, want, string(got), text)
	}
	for _, text := range []string{`"10"`, `"soon"`, `""`, `true`, `{}`, `[]`, `1e300`, `-1e300`, `9300000000`} {
		var d duration
		require.NoError(t, json.Unmarshal([]byte(text), &d))
		require.True(t, d.bad, text)
	}
}
