package sender

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

const (
	maxKeptHeaders     = 32
	maxKeptHeaderValue = 1 << 10
	maskedValue        = "***"
)

// connectionHeaders belong to the connection or to the transport's framing of the message (RFC 9110, 7.6.1).
var connectionHeaders = map[string]bool{
	"Connection":          true,
	"Content-Length":      true,
	"Expect":              true,
	"Host":                true,
	"Keep-Alive":          true,
	"Proxy-Authorization": true,
	"Proxy-Connection":    true,
	"Te":                  true,
	"Trailer":             true,
	"Transfer-Encoding":   true,
	"Upgrade":             true,
}

// requestHeader copies in, leaves out what is the connection's, and marks the request as safe to repeat.
func requestHeader(in http.Header, userAgent string) (http.Header, error) {
	out := make(http.Header, len(in)+2)
	// The transport repeats a POST on a new connection, when the idle one it picked turns out to be closed, only if this
	// key is present. A nil value sends no header.
	out["Idempotency-Key"] = nil
	out["User-Agent"] = []string{userAgent}
	for name, values := range in {
		if !httpguts.ValidHeaderFieldName(name) {
			return nil, fmt.Errorf("invalid request header name %q", truncate(name, 64))
		}
		canonical := http.CanonicalHeaderKey(name)
		if connectionHeaders[canonical] {
			continue
		}
		for _, value := range values {
			if !httpguts.ValidHeaderFieldValue(value) {
				return nil, fmt.Errorf("invalid value of request header %s", canonical)
			}
		}
		if canonical == "User-Agent" || canonical == "Idempotency-Key" {
			name = canonical
		}
		out[name] = values
	}
	return out, nil
}

// keepHeader copies what is kept of a response's headers: the first 32 values in order of name, each cut to 1 KiB of
// valid UTF-8, cookies masked because they are credentials.
func keepHeader(in http.Header) http.Header {
	out := make(http.Header, min(len(in), maxKeptHeaders))
	left := maxKeptHeaders
	for _, name := range slices.Sorted(maps.Keys(in)) {
		for _, value := range in[name] {
			if left == 0 {
				return out
			}
			left--
			if name == "Set-Cookie" || name == "Set-Cookie2" {
				value = maskedValue
			}
			key := truncate(name, maxKeptHeaderValue)
			out[key] = append(out[key], truncate(value, maxKeptHeaderValue))
		}
	}
	return out
}

// truncate cuts s to at most limit bytes of valid UTF-8.
func truncate(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit]
	}
	return strings.ToValidUTF8(s, "")
}
