package systems

import (
	"net/http"
	"strings"
)

// Bearer returns the key in "Authorization: Bearer <key>" (RFC 6750).
func Bearer(r *http.Request) string { return Scheme(r, "Bearer") }

// Scheme returns the credentials in "Authorization: <scheme> <credentials>". The scheme is case-insensitive (RFC
// 9110).
func Scheme(r *http.Request, scheme string) string {
	given, credentials, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(given, scheme) {
		return ""
	}
	return strings.TrimSpace(credentials)
}
