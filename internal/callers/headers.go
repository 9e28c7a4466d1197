package callers

import "net/http"

// The headers that every answer has. All answers share the slices: nobody may append to them.
var (
	noStore  = []string{"no-store"}
	noSniff  = []string{"nosniff"}
	noFrames = []string{"default-src 'none'; frame-ancestors 'none'"}
	noSource = []string{"no-referrer"}
	closed   = []string{"close"}
)

// Harden adds the headers that every answer has: no caching, no type guessing, no framing, no scripts. A page sets its
// own Content-Security-Policy. After a chunked request, which may also have had a Content-Length, it closes the
// connection: the following bytes could then be one request to us and another to a proxy (RFC 9112, 6.1), and net/http
// does not say whether it had one.
func Harden(h http.Header, r *http.Request) {
	h["Cache-Control"] = noStore
	h["X-Content-Type-Options"] = noSniff
	h["Content-Security-Policy"] = noFrames
	h["Referrer-Policy"] = noSource
	if len(r.TransferEncoding) > 0 {
		h["Connection"] = closed
	}
}
