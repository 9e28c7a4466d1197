package systems

import (
	"net/http"
	"strings"
)

// Bearer finds the key of "Authorization: Bearer <key>" (RFC 6750).
func Bearer(r *http.Request) string { return Scheme(r, "Bearer") }

// Scheme finds the credentials of "Authorization: <scheme> <credentials>"; the scheme's case does not matter (RFC 9110).
func Scheme(r *http.Request, scheme string) string {
	given, credentials, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(given, scheme) {
		return ""
	}
	return strings.TrimSpace(credentials)
}
