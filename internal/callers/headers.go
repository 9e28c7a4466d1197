package callers

import "net/http"

// Headers that every answer carries. The slices are shared by all answers: nothing appends to them.
var (
	noStore  = []string{"no-store"}
	noSniff  = []string{"nosniff"}
	noFrames = []string{"default-src 'none'; frame-ancestors 'none'"}
	noSource = []string{"no-referrer"}
	closed   = []string{"close"}
)

// Harden adds what every answer carries: nobody keeps it, guesses at its type, frames it or runs anything in it. A page
// sets a Content-Security-Policy of its own. It closes the connection after a chunked request, which may have had a
// Content-Length too: what comes after it on the connection is then one request to us and another to a proxy (RFC 9112,
// 6.1), and net/http does not say which it was.
func Harden(h http.Header, r *http.Request) {
	h["Cache-Control"] = noStore
	h["X-Content-Type-Options"] = noSniff
	h["Content-Security-Policy"] = noFrames
	h["Referrer-Policy"] = noSource
	if len(r.TransferEncoding) > 0 {
		h["Connection"] = closed
	}
}
