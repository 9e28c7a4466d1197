package wire_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/wire"
)

// awkward is a value that every encoding changes.
const awkward = `s3cr+t/"<k&y>' =%41\z`

// echoes are the ways in which a receiver may repeat the request in its answer.
var echoes = map[string]func(string) string{
	"raw":                   func(s string) string { return s },
	"base64":                func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"base64 without end":    func(s string) string { return base64.RawStdEncoding.EncodeToString([]byte(s)) },
	"base64 for URLs":       func(s string) string { return base64.URLEncoding.EncodeToString([]byte(s)) },
	"hex":                   func(s string) string { return hex.EncodeToString([]byte(s)) },
	"HEX":                   func(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) },
	"query":                 url.QueryEscape,
	"path":                  url.PathEscape,
	"percent, lower case":   func(s string) string { return strings.ToLower(percent(s)) },
	"percent, all":          percent,
	"percent twice":         func(s string) string { return url.QueryEscape(url.QueryEscape(s)) },
	"JSON":                  func(s string) string { return encoded(s, true) },
	"JSON, as JavaScript":   func(s string) string { return encoded(s, false) },
	"JSON, as PHP":          func(s string) string { return strings.ReplaceAll(encoded(s, false), "/", `\/`) },
	"JSON, all":             unicoded,
	"JSON in JSON":          func(s string) string { return encoded(encoded(s, true), true) },
	"HTML":                  html.EscapeString,
	"HTML, named":           func(s string) string { return strings.ReplaceAll(html.EscapeString(s), "&#34;", "&quot;") },
	"base64 in a query":     func(s string) string { return url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(s))) },
	"base64 in JSON":        func(s string) string { return encoded(base64.StdEncoding.EncodeToString([]byte(s)), true) },
	"base64 of more, at 0":  func(s string) string { return base64.StdEncoding.EncodeToString([]byte("abc" + s + "xyz")) },
	"base64 of more, at 1":  func(s string) string { return base64.StdEncoding.EncodeToString([]byte("abcd" + s + "xyz")) },
	"base64 of more, at 2":  func(s string) string { return base64.StdEncoding.EncodeToString([]byte("abcde" + s + "xyz")) },
	"between other letters": func(s string) string { return "x" + s + "x" },
}

func percent(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		b.WriteString("%" + strings.ToUpper(hex.EncodeToString([]byte{c})))
	}
	return b.String()
}

func unicoded(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		b.WriteString(`\u00` + hex.EncodeToString([]byte{c}))
	}
	return b.String()
}

// encoded is a JSON string without its quotes.
func encoded(s string, asGo bool) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(asGo)
	if err := e.Encode(s); err != nil {
		panic(err)
	}
	return strings.Trim(strings.TrimSpace(b.String()), `"`)
}

// core returns the part of an encoded value that depends only on the value: base64 mixes its ends with its neighbours.
func core(echo string) string { return echo[min(4, len(echo)/4) : len(echo)-min(4, len(echo)/4)] }

// No secret of a message appears in a stored answer, in any form in which a receiver may repeat it.
func TestRedact_SecretsAreMaskedInAnswers(t *testing.T) {
	t.Parallel()
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	require.NoError(t, err)
	for _, profile := range wire.Profiles() {
		w := wire.Webhook{ID: "wh_1", Tenant: "acme", Profile: profile, Secrets: []string{secret}, URL: "https://a.test/hook?token=query-token-1&x=1",
			Headers: map[string]string{"X-Own": awkward, "Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte("user:passw0rd")),
				"Cookie": "session=c00kie-value; theme=dark", "X-Short": "pw12"}}
		m, err := wire.Build(w, wire.Event{ID: "evt_1", Tenant: "acme", Type: "a", Data: []byte(`{}`)}, time.Unix(1_700_000_000, 0))
		require.NoError(t, err)
		values := map[string]string{"the secret": secret, "the key": string(key), "an own header": awkward, "a password": "passw0rd", "credentials": "user:passw0rd",
			"the query": "query-token-1", "a cookie": "c00kie-value"}
		for name := range m.Header {
			if lower := strings.ToLower(name); strings.Contains(lower, "signature") || strings.Contains(lower, "hmac") || strings.Contains(lower, "token") {
				values[name] = m.Header.Get(name)
			}
		}
		for what, value := range values {
			for how, echo := range echoes {
				if what == "the key" && (strings.HasPrefix(how, "JSON") || strings.HasPrefix(how, "HTML")) {
					continue // bytes that are no text
				}
				text := `{"headers":{"a":"` + echo(value) + `"},"ok":true}`
				masked := string(wire.SecretsOf(w, m.Header).Mask([]byte(text), false))
				require.NotContains(t, masked, core(echo(value)), "%s: %s, %s", profile, what, how)
				require.Contains(t, masked, wire.Masked)
				require.True(t, strings.HasPrefix(masked, `{"headers":{"a":"`), masked)
				require.True(t, strings.HasSuffix(masked, `"},"ok":true}`), masked)
			}
		}
		text := []byte(`{"id":"pw12","type":"a","webhook_id":"evt_1","theme":"light","true":1}`)
		require.JSONEq(t, `{"id":"********","type":"a","webhook_id":"evt_1","theme":"light","true":1}`, string(wire.SecretsOf(w, m.Header).Mask(text, false)))
	}
}

// A secret at the cut of a body leaves no part of itself, wherever the cut is.
func TestRedact_SecretsAreMaskedAtACut(t *testing.T) {
	t.Parallel()
	w := wire.Webhook{Headers: map[string]string{"X-Own": awkward}}
	for how, echo := range echoes {
		if strings.HasPrefix(how, "base64 of more") {
			continue // its first letters are its neighbours' too
		}
		said := echo(awkward)
		whole := "{'a': '" + said
		for cut := range len(said) {
			text := whole[:len(whole)-len(said)+cut]
			masked := string(wire.SecretsOf(w, nil).Mask([]byte(text), true))
			if cut >= 8 { // a shorter part may be the beginning of an escape
				require.True(t, strings.HasPrefix(masked, "{'a': '") || strings.HasPrefix(masked, "{'a': "), "%s at %d: %s", how, cut, masked)
				require.NotContains(t, masked, said[:cut], "%s at %d", how, cut)
			}
		}
	}
	masked := wire.SecretsOf(w, nil).Mask([]byte("a"+awkward[:12]), true)
	require.Equal(t, "a"+wire.Masked, string(masked))
	require.Equal(t, "a"+awkward[:12], string(wire.SecretsOf(w, nil).Mask([]byte("a"+awkward[:12]), false)), "not cut")
}

func TestRedact_TextStaysTextAtACut(t *testing.T) {
	t.Parallel()
	const text = "日本日"
	for end := range 3 { // a key that begins with the last bytes of a character
		key := append([]byte(text[len(text)-end-1:]), make([]byte, 24)...)
		w := wire.Webhook{Secrets: []string{"whsec_" + base64.StdEncoding.EncodeToString(key)}}
		require.Equal(t, "日本"+wire.Masked, string(wire.SecretsOf(w, nil).Mask([]byte(text), true)))
	}
}

func TestRedact_SecretsAreMaskedInHeaders(t *testing.T) {
	t.Parallel()
	w := wire.Webhook{Headers: map[string]string{"X-Own": awkward, "X-Name": "Hush-Hush", "Accept": "application/json"}}
	h := http.Header{"X-Echo": {"a", url.QueryEscape(awkward), "b"}, "X-Hush-Hush": {"1"}, "Content-Type": {"application/json"}}
	masked := wire.SecretsOf(w, nil).MaskHeader(h)
	require.Equal(t, http.Header{"X-Echo": {"a", wire.Masked, "b"}, wire.Masked: {"1"}, "Content-Type": {"application/json"}}, masked)
	require.Equal(t, url.QueryEscape(awkward), h["X-Echo"][1], "the answer itself is untouched")
	require.Empty(t, wire.SecretsOf(wire.Webhook{}, nil).MaskHeader(nil))
}

// An answer without a secret stays as it is.
func TestRedact_MaskLeavesOtherTextAlone(t *testing.T) {
	t.Parallel()
	w := wire.Webhook{Secrets: []string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, Headers: map[string]string{"X-Flag": "true", "X-N": "1", "X-Empty": ""}}
	for _, text := range []string{"", "ok", `{"ok":true,"n":1}`, `\u0041%41&amp;%`, "\xff\xfe\x00", strings.Repeat("日本語 & % \\ ", 1000)} {
		require.Equal(t, text, string(wire.SecretsOf(w, nil).Mask([]byte(text), false)))
	}
}

func FuzzMask(f *testing.F) {
	f.Add(awkward, "before", "after", true)
	f.Add("hunter22", `\`, `\"`, false)
	f.Add("aaaaaaaa", "aaa", "aaaa", true)
	f.Add("%41%42%43", "%", "41", false)
	names := make([]string, 0, len(echoes))
	for name := range echoes {
		names = append(names, name)
	}
	slices.Sort(names)
	f.Fuzz(func(t *testing.T, secret, before, after string, cut bool) {
		if len(secret) < 8 || !utf8.ValidString(secret) || strings.TrimSpace(secret) != secret || wire.ValidHeaders(map[string]string{"X-Own": secret}) != nil {
			t.Skip()
		}
		s := wire.SecretsOf(wire.Webhook{Headers: map[string]string{"X-Own": secret}}, nil)
		text := before + secret + after
		masked := string(s.Mask([]byte(text), cut))
		require.Contains(t, masked, wire.Masked)
		if !strings.Contains(before+wire.Masked+after, secret) && !strings.Contains(secret, "*") {
			require.NotContains(t, masked, secret)
		}
		for _, name := range names {
			s.Mask([]byte(before+echoes[name](secret)), cut) // it must not panic
		}
	})
}

// Headers that nearly every answer has are no way out for a secret either.
func TestRedact_FramingHeadersGiveNoSecretBack(t *testing.T) {
	t.Parallel()
	s := wire.SecretsOf(wire.Webhook{Headers: map[string]string{"X-Pin": "12345678"}}, nil)
	h := http.Header{"Content-Length": {"12345678"}, "Date": {"12345678"}, "Age": {"7"}}
	require.Equal(t, http.Header{"Content-Length": {wire.Masked}, "Date": {wire.Masked}, "Age": {"7"}}, s.MaskHeader(h))
	h = http.Header{"Content-Length": {"123"}, "Date": {"Sat, 28 Nov 2026 22:20:58 GMT"}}
	require.Equal(t, h, s.MaskHeader(h))
}
