package wire_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/wire"
)

func TestOwnHeaders_ValidHeaders(t *testing.T) {
	t.Parallel()
	for name, custom := range map[string]map[string]string{
		"none":           nil,
		"ordinary":       {"X-Team": "orders", "Authorization": "Basic dTpw", "x-api-key": "k", "Accept": "*/*"},
		"empty value":    {"X-Empty": ""},
		"longest value":  {"X-Long": strings.Repeat("v", 1024)},
		"tab and accent": {"X-Text": "a\té"},
		"as many as may": headersNumbered(20),
	} {
		require.NoError(t, wire.ValidHeaders(custom), name)
	}
}

func TestOwnHeaders_InvalidHeaders(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		"":                       "v",
		"X Team":                 "v",
		"X-Team:":                "v",
		"X-\r\nEvil":             "v",
		"X-Ünicode":              "v",
		strings.Repeat("x", 129): "v",
		"X-Split":                "a\r\nX-Evil: 1",
		"X-Line":                 "a\nb",
		"X-Null":                 "a\x00b",
		"X-Long":                 strings.Repeat("v", 1025),
		"host":                   "v",
		"HOST":                   "v",
		"content-length":         "1",
		"content-type":           "text/plain",
		"content-encoding":       "gzip",
		"accept-encoding":        "br",
		"connection":             "close",
		"keep-alive":             "v",
		"te":                     "v",
		"trailer":                "v",
		"upgrade":                "v",
		"expect":                 "100-continue",
		"transfer-encoding":      "chunked",
		"user-agent":             "v",
		"idempotency-key":        "v",
		"proxy-authorization":    "v",
		"webhook-id":             "v",
		"webhook-timestamp":      "v",
		"webhook-signature":      "v",
		"webhook-anything":       "v",
		"signature":              "v",
		"x-memsource-token":      "v",
		"x-hmac-sha256":          "v",
		"x-webhook-id":           "v",
	} {
		err := wire.ValidHeaders(map[string]string{name: value, "X-Fine": "v"})
		var header *wire.HeaderError
		require.ErrorAs(t, err, &header, name)
		require.Equal(t, name, header.Name)
		require.NotEmpty(t, header.Reason)
	}
}

func TestOwnHeaders_InvalidHeadersAreAllNamed(t *testing.T) {
	t.Parallel()
	err := wire.ValidHeaders(map[string]string{"Host": "v", "x-a": "\n", "X-B": "secret\n", "X-Fine": "v", "x-fine": "w"})

	require.EqualError(t, err, `header "Host" is set by Posthorn or by the connection
header "X-B" has a value with control characters
header "x-a" has a value with control characters
header "x-fine" is the same header as "X-Fine"`)
	require.ErrorContains(t, wire.ValidHeaders(headersNumbered(21)), "at most 20 headers, not 21")
}

func TestOwnHeaders_NoProfileHeaderCanBeSetByAWebhook(t *testing.T) {
	t.Parallel()
	for _, profile := range wire.Profiles() {
		for _, name := range headerNames(build(t, profile, secretA).Header) {
			require.Error(t, wire.ValidHeaders(map[string]string{name: "v"}), "%s %s", profile, name)
		}
	}
}

func headersNumbered(n int) map[string]string {
	h := make(map[string]string, n)
	for i := range n {
		h[fmt.Sprintf("X-Header-%d", i)] = "v"
	}
	return h
}

func TestOwnHeaders_MaskedHeaders(t *testing.T) {
	t.Parallel()
	h := http.Header{}
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", "Posthorn/1")
	h.Add("X-Many", "a")
	h.Add("X-Many", "b")
	h.Set("Authorization", "Bearer s3cret")
	h.Set("X-Api-Key", "s3cret")
	h.Set("Set-Cookie", "s3cret")
	h.Set("X-Password", "s3cret")
	h.Set("X-Own", "s3cret")
	h["x-odd-case"] = []string{"s3cret"}

	require.Equal(t, map[string]string{
		"Content-Type":  "application/json",
		"User-Agent":    "Posthorn/1",
		"X-Many":        "a, b",
		"Authorization": wire.Masked,
		"X-Api-Key":     wire.Masked,
		"Set-Cookie":    wire.Masked,
		"X-Password":    wire.Masked,
		"X-Own":         wire.Masked,
		"x-odd-case":    wire.Masked,
	}, wire.MaskedHeaders(h, "x-own", "X-Odd-Case", "X-Absent"))
	require.Equal(t, "Bearer s3cret", h.Get("Authorization"), "the message itself is untouched")
}

// Headers that a profile adds because of a secret are masked. Its other headers are needed to read a timeline.
func TestOwnHeaders_MaskedHeadersHideEveryProfilesProof(t *testing.T) {
	t.Parallel()
	for _, profile := range wire.Profiles() {
		unsigned := headerNames(build(t, profile).Header)
		for name, value := range wire.MaskedHeaders(build(t, profile, secretA).Header) {
			if slices.Contains(unsigned, name) {
				require.NotEqual(t, wire.Masked, value, "%s %s", profile, name)
			} else {
				require.Equal(t, wire.Masked, value, "%s %s", profile, name)
			}
		}
	}
}
