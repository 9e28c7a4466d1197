package sender

import (
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"
)

const maskedValue = "***"

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

// requestHeader copies in without the headers of the connection.
func requestHeader(in http.Header, userAgent string) (http.Header, error) {
	out := make(http.Header, len(in)+1)
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
		if canonical == "User-Agent" {
			name = canonical
		}
		out[name] = values
	}
	return out, nil
}

// keepHeader copies a response's headers as valid UTF-8; the transport reads no more than maxResponseHeaderBytes.
// Cookies are masked because they are credentials.
func keepHeader(in http.Header) http.Header {
	out := make(http.Header, len(in))
	for name, values := range in {
		kept := make([]string, len(values))
		for i, value := range values {
			if name == "Set-Cookie" || name == "Set-Cookie2" {
				value = maskedValue
			}
			kept[i] = strings.ToValidUTF8(value, "\uFFFD")
		}
		name = strings.ToValidUTF8(name, "\uFFFD")
		out[name] = append(out[name], kept...)
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
