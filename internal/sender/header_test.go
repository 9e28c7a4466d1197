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

func TestRequestHeader(t *testing.T) {
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
		"webhook-id":      {"msg_1"},
		"X-Custom":        {"a", "b"},
		"User-Agent":      {"Posthorn/1"},
		"Idempotency-Key": nil,
	}, out)
	require.Equal(t, before, in)

	out, err = requestHeader(http.Header{"user-agent": {"mine"}, "idempotency-key": {"k"}}, "Posthorn/1")
	require.NoError(t, err)
	require.Equal(t, http.Header{"User-Agent": {"mine"}, "Idempotency-Key": {"k"}}, out, "the caller's go first")
}

func TestRequestHeaderRefusesInjection(t *testing.T) {
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

func TestKeepHeader(t *testing.T) {
	t.Parallel()
	in := http.Header{
		"Set-Cookie": {"session=secret", "other=secret"},
		"X-Long":     {strings.Repeat("ä", maxKeptHeaderValue)},
		"X-Latin":    {"caf\xe9"},
	}
	out := keepHeader(in)
	require.Equal(t, []string{"***", "***"}, out["Set-Cookie"])
	require.Len(t, out.Get("X-Long"), maxKeptHeaderValue)
	require.Equal(t, "caf", out.Get("X-Latin"))
	require.True(t, utf8.ValidString(out.Get("X-Long")))

	for i := range 100 {
		in["X-"+strconv.Itoa(1000+i)] = []string{"v"}
	}
	out = keepHeader(in)
	require.Len(t, out, maxKeptHeaders-1, "two cookies share a name")
	require.Contains(t, out, "Set-Cookie", "the first by name are kept")
}

func TestRetryAfter(t *testing.T) {
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
