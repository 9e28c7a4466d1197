package sender

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestHeader_RequestHeader(t *testing.T) {
	t.Parallel()
	in := http.Header{
		"webhook-id":        {"msg_1"},
		"X-Custom":          {"a", "b"},
		"Host":              {"other.example"},
		"connection":        {"close"},
		"Content-Length":    {"0"},
		"Transfer-Encoding": {"chunked"},
		"Expect":            {"100-continue"},
	}
	before := in.Clone()
	out, err := requestHeader(in, "Posthorn/1")
	require.NoError(t, err)
	require.Equal(t, http.Header{
		"webhook-id": {"msg_1"},
		"X-Custom":   {"a", "b"},
		"User-Agent": {"Posthorn/1"},
	}, out)
	require.Equal(t, before, in)

	out, err = requestHeader(http.Header{"user-agent": {"mine"}}, "Posthorn/1")
	require.NoError(t, err)
	require.Equal(t, http.Header{"User-Agent": {"mine"}}, out, "the caller's goes first")
}

func TestHeader_RequestHeaderRefusesInjection(t *testing.T) {
	t.Parallel()
	for _, in := range []http.Header{
		{"X-A": {"fine", "secret\r\nX-Evil: 1"}},
		{"X-A\r\nX-Evil": {"secret"}},
		{"X A": {"secret"}},
		{"": {"secret"}},
	} {
		_, err := requestHeader(in, "ua")
		require.Error(t, err)
		require.NotContains(t, err.Error(), "secret")
		require.NotContains(t, err.Error(), "\n")
	}
}

// Every value is kept, however many or long they are; cookies are masked.
func TestHeader_KeepHeader(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ä", 10_000)
	in := http.Header{
		"Set-Cookie": {"session=secret", "other=secret"},
		"X-Long":     {long},
		"X-Latin":    {"caf\xe9"},
		"Via":        {"1.1 a", "1.1 b", "1.1 a"},
	}
	for i := range 500 {
		in["X-"+strconv.Itoa(1000+i)] = []string{"v"}
	}
	out := keepHeader(in)
	require.Len(t, out, len(in))
	require.Equal(t, []string{"***", "***"}, out["Set-Cookie"])
	require.Equal(t, []string{"1.1 a", "1.1 b", "1.1 a"}, out["Via"])
	require.Equal(t, long, out.Get("X-Long"))
	require.Equal(t, "caf\uFFFD", out.Get("X-Latin"))
	require.Equal(t, []string{"session=secret", "other=secret"}, in["Set-Cookie"])
}

// A cut text ends with a whole character, in any language. Other bytes are cut anywhere.
func TestHeader_WholeRunes(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"plain", "für", "Привет", "日本語", "🦊🐎", "नमस्ते", "e\u0301", ""} {
		for cut := range len(text) + 1 {
			kept := wholeRunes([]byte(text[:cut]))
			require.True(t, utf8.Valid(kept), "%q", kept)
			require.True(t, strings.HasPrefix(text, string(kept)))
			require.Less(t, cut-len(kept), utf8.UTFMax)
		}
	}
	for _, binary := range []string{"\xff\xfe", "\xff\xe6\x97", "\x80\x80\x80\x80\x80"} {
		require.Equal(t, binary, string(wholeRunes([]byte(binary))))
	}
}

func TestHeader_RetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 20, 0, 0, 500, time.UTC)
	tests := []struct {
		name   string
		status int
		value  string
		want   time.Duration
	}{
		{"seconds", 429, "120", 2 * time.Minute},
		{"seconds with blanks", 503, " 5 ", 5 * time.Second},
		{"zero", 503, "0", 0},
		{"date", 503, "Sat, 21 Nov 2026 20:01:00 GMT", time.Minute - 500*time.Nanosecond},
		{"date in RFC 850 form", 503, "Saturday, 21-Nov-26 20:01:00 GMT", time.Minute - 500*time.Nanosecond},
		{"date in asctime form", 503, "Sat Nov 21 20:01:00 2026", time.Minute - 500*time.Nanosecond},
		{"date in the past", 503, "Sat, 21 Nov 2026 19:59:00 GMT", 0},
		{"far date", 503, "Sat, 21 Nov 9999 19:59:00 GMT", maxRetryAfter},
		{"many seconds", 429, "99999999999", maxRetryAfter},
		{"more than an int64", 429, "99999999999999999999999", maxRetryAfter},
		{"negative", 429, "-1", 0},
		{"fraction", 429, "1.5", 0},
		{"nonsense", 429, "soon", 0},
		{"absent", 429, "", 0},
		{"another status", 500, "120", 0},
		{"success", 200, "120", 0},
		{"redirect", 301, "120", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			header := http.Header{}
			if tt.value != "" {
				header.Set("Retry-After", tt.value)
			}
			require.Equal(t, tt.want, retryAfter(tt.status, header, now))
		})
	}
}
