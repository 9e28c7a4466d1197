package rawjson_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/rawjson"
)

func TestRawJSON_MembersKeepBytes(t *testing.T) {
	t.Parallel()
	data := []byte(`{ "a" : 1.0 , "\u0062":{"x":[1,"}"]} ,"c":"\"\u00e9","a":null }`)
	var names, values []string
	for name, pair := range rawjson.Members(data) {
		require.NotNil(t, pair)
		names = append(names, rawjson.Name(name))
		values = append(values, string(rawjson.Value(name, pair)))
	}
	require.Equal(t, []string{"a", "b", "c", "a"}, names)
	require.Equal(t, []string{`1.0`, `{"x":[1,"}"]}`, `"\"\u00e9"`, `null`}, values)
}

func TestRawJSON_ElementsKeepBytes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		`[]`:                             nil,
		"[ \n ]":                         nil,
		`[1.0]`:                          {`1.0`},
		`[ {"a":[1,2]} , "]" ,[ ],null]`: {`{"a":[1,2]}`, `"]"`, `[ ]`, `null`},
	} {
		var got []string
		for element := range rawjson.Elements([]byte(text)) {
			got = append(got, string(element))
		}
		require.Equal(t, want, got, text)
	}
}

func TestRawJSON_WhatIsNotValidEndsWithNil(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`{`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1]`, `{"a":1}x`, `{,}`, `{"a" 1}`, `{"a":"}`} {
		ended := false
		for _, pair := range rawjson.Members([]byte(text)) {
			ended = pair == nil
		}
		require.True(t, ended, text)
	}
	for _, text := range []string{`[`, `[1`, `[1,`, `[1,]`, `[1}`, `[1]x`, `["]`, `[[1]`} {
		ended := false
		for element := range rawjson.Elements([]byte(text)) {
			ended = element == nil
		}
		require.True(t, ended, text)
	}
}

// FuzzWalk checks that valid JSON is walked completely, and that no input makes the walk panic or run forever.
func FuzzWalk(f *testing.F) {
	for _, seed := range []string{`{}`, `[]`, `{"a":1,"b":[1,{"c":"\\"}]}`, `[1,2,"\"",{}]`, `{"a"`, `[,]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		data = rawjson.Trim(data)
		if len(data) == 0 {
			return
		}
		valid := json.Valid(data)
		switch data[0] {
		case '{':
			for name, pair := range rawjson.Members(data) {
				require.True(t, !valid || json.Valid(rawjson.Value(name, pair)), "%q", pair)
			}
		case '[':
			n := 0
			for element := range rawjson.Elements(data) {
				require.True(t, !valid || json.Valid(element), "%q", element)
				n++
			}
			var elements []json.RawMessage
			if valid && json.Unmarshal(data, &elements) == nil {
				require.Len(t, elements, n)
			}
		}
	})
}
