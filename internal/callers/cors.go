package callers

import "net/http"

// The headers that tell a browser what a page of a listed origin may send and read. They never allow cookies.
var (
	corsVary    = []string{"Origin"}
	corsMethods = []string{"GET, HEAD, POST, PUT, PATCH, DELETE"}
	corsHeaders = []string{"Authorization, Content-Type, Idempotency-Key, X-Request-Id, Svix-Req-Id, Svix-Retry-Count"}
	corsExposed = []string{"X-Request-Id, Retry-After, Idempotency-Replayed"}
	corsMaxAge  = []string{"600"} // seconds
)

// CORS adds the headers that let a page of a listed origin read an answer. It reports whether the request is a
// preflight of such a page, which needs no more than these headers.
func (g *Gate) CORS(h http.Header, r *http.Request) (preflight bool) {
	if len(g.origins) == 0 {
		return false
	}
	h["Vary"] = append(h["Vary"], corsVary...)
	origin := r.Header.Get("Origin")
	if !g.origins[origin] {
		return false
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h["Access-Control-Expose-Headers"] = corsExposed
	if r.Method != http.MethodOptions {
		return false
	}
	h["Access-Control-Allow-Methods"] = corsMethods
	h["Access-Control-Allow-Headers"] = corsHeaders
	h["Access-Control-Max-Age"] = corsMaxAge
	return true
}
