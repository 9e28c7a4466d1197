package wire

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Bounds of a webhook's own headers.
const (
	MaxHeaders     = 20
	MaxHeaderName  = 128  // bytes
	MaxHeaderValue = 1024 // bytes
)

// Masked replaces a value that must not be stored or shown.
const Masked = "********"

// reserved are the headers that belong to the HTTP client or the message itself, in canonical form. A webhook that set
// one could break the framing (RFC 9112), misdescribe the body, or make receivers that remember keys drop every event
// after the first. The profiles' own headers are reserved too.
var reserved = map[string]bool{
	"Accept-Encoding":   true,
	"Connection":        true,
	"Content-Encoding":  true,
	"Content-Length":    true,
	"Content-Type":      true,
	"Expect":            true,
	"Host":              true,
	"Idempotency-Key":   true,
	"Keep-Alive":        true,
	"Te":                true,
	"Trailer":           true,
	"Transfer-Encoding": true,
	"Upgrade":           true,
	"User-Agent":        true,
	"X-Idempotency-Key": true,
}

// reservedPrefixes reserve whole families of names: for Standard Webhooks, and for proxies on the path.
var reservedPrefixes = []string{"Webhook-", "Proxy-"}

// HeaderError says what is wrong with one of a webhook's own headers.
type HeaderError struct {
	Name   string // as given
	Reason string
}

func (e *HeaderError) Error() string { return fmt.Sprintf("header %q %s", e.Name, e.Reason) }

// ValidHeaders checks the headers that a webhook wants on its messages: at most [MaxHeaders], names that are tokens
// (RFC 9110), none that the client or any profile sets, no name twice in different case, values of at most
// [MaxHeaderValue] bytes without control characters. It reports all wrong headers, in order of name, by joining a
// *[HeaderError] for each; values are never repeated, because they may be secrets.
func ValidHeaders(custom map[string]string) error {
	var errs []error
	if len(custom) > MaxHeaders {
		errs = append(errs, fmt.Errorf("at most %d headers, not %d", MaxHeaders, len(custom)))
	}
	seen := make(map[string]string, len(custom))
	for _, name := range slices.Sorted(maps.Keys(custom)) {
		canonical := http.CanonicalHeaderKey(name)
		reason := invalidHeader(name, custom[name])
		if first, twice := seen[canonical]; twice && reason == "" {
			reason = fmt.Sprintf("is the same header as %q", first)
		}
		if reason != "" {
			errs = append(errs, &HeaderError{Name: name, Reason: reason})
		}
		seen[canonical] = name
	}
	return errors.Join(errs...)
}

// invalidHeader returns the reason why a header cannot be set, or "".
func invalidHeader(name, value string) string {
	switch {
	case !httpguts.ValidHeaderFieldName(name):
		return "is not a valid header name"
	case len(name) > MaxHeaderName:
		return fmt.Sprintf("has a name of more than %d bytes", MaxHeaderName)
	case isReserved(http.CanonicalHeaderKey(name)):
		return "is set by Posthorn or by the connection"
	case len(value) > MaxHeaderValue:
		return fmt.Sprintf("has a value of more than %d bytes", MaxHeaderValue)
	case !httpguts.ValidHeaderFieldValue(value):
		return "has a value with control characters"
	}
	return ""
}

func isReserved(canonical string) bool {
	if reserved[canonical] {
		return true
	}
	for _, prefix := range reservedPrefixes {
		if strings.HasPrefix(canonical, prefix) {
			return true
		}
	}
	for _, p := range profiles {
		for _, name := range p.headers() {
			if http.CanonicalHeaderKey(name) == canonical {
				return true
			}
		}
	}
	return false
}

// secretWords mark the names of headers whose values are credentials or prove knowledge of one: every profile's
// signature, and common names of credentials.
var secretWords = []string{
	"auth", "cookie", "credential", "hmac", "key", "passw", "secret", "session", "signature", "token",
}

// MaskedHeaders returns headers in a form that may be stored with an attempt: repeated ones joined by ", ", and
// [Masked] in place of every value that may be a secret. Those are signatures, tokens, credentials, everything with
// such a name, and the headers in secretNames, in any case. Pass the names of all headers that the webhook's owner
// set, because only the owner knows their contents.
func MaskedHeaders(h http.Header, secretNames ...string) map[string]string {
	masked := make(map[string]string, len(h))
	for name, values := range h {
		if isSecret(name) || slices.ContainsFunc(secretNames, func(s string) bool { return strings.EqualFold(s, name) }) {
			masked[name] = Masked
			continue
		}
		masked[name] = strings.Join(values, ", ")
	}
	return masked
}

func isSecret(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(secretWords, func(word string) bool { return strings.Contains(name, word) })
}
