// Package callers checks requests before their keys are read: by their address, their host and path, their size, and
// the page that a browser sends them from.
//
// It answers nothing itself: each API puts a refusal into its own shape. It must not import any package of Posthorn
// except cut.
package callers

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/posthorn/posthorn/internal/cut"
)

// The bounds of a request without its body.
const (
	maxHeaders     = 100      // header lines
	maxHeaderBytes = 32 << 10 // all names and values together
	maxTarget      = 8 << 10  // bytes of path and query
)

// Options says what a Gate lets through. The zero value trusts no proxy and no other site, and accepts every host
// name.
type Options struct {
	// Host reports whether a Host header names this installation. nil = every one does.
	Host func(host string) bool
	// Proxies are the networks of the proxies whose X-Forwarded-For and X-Forwarded-Proto count.
	Proxies []netip.Prefix
	// Origins are those whose pages may call the API (CORS), as browsers send them: https://app.example.com.
	Origins []string
	// PublicURL is the installation's URL for browsers. "" = as in the request.
	PublicURL string
}

// Gate checks requests. It is safe for concurrent use.
type Gate struct {
	Options
	sameSite *http.CrossOriginProtection
	origins  map[string]bool
}

// New returns a Gate. It fails if an origin is not valid.
func New(o Options) (*Gate, error) {
	g := &Gate{Options: o, sameSite: http.NewCrossOriginProtection(), origins: map[string]bool{}}
	for _, origin := range o.Origins {
		if err := g.sameSite.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("callers: %w", err)
		}
		g.origins[origin] = true
	}
	if u, err := url.Parse(o.PublicURL); err == nil && u.Host != "" {
		if err := g.sameSite.AddTrustedOrigin(strings.ToLower(u.Scheme + "://" + u.Host)); err != nil {
			return nil, fmt.Errorf("callers: %w", err)
		}
	}
	return g, nil
}

// Default returns a Gate with the zero Options.
func Default() *Gate {
	return &Gate{sameSite: http.NewCrossOriginProtection()}
}

// Refusal is the reason for refusing a request.
type Refusal struct {
	Status int
	Detail string
}

// CheckQuery checks the text of a request's query as a whole, for an API that does not name the wrong parameters; nil
// = accepted.
func CheckQuery(r *http.Request) *Refusal {
	if !isText(r.URL.RawQuery) {
		return &Refusal{http.StatusBadRequest, "the query must be UTF-8 text without NUL characters"}
	}
	return nil
}

// Check checks a request, except the text of its query; nil = accepted.
func (g *Gate) Check(r *http.Request) *Refusal {
	if g.Host != nil && !g.Host(r.Host) {
		return &Refusal{http.StatusForbidden, "the Host header names another site: use a loopback name, or set POSTHORN_PUBLIC_URL"}
	}
	if refused := checkSize(r); refused != nil {
		return refused
	}
	if !plainPath(r.URL) {
		return &Refusal{http.StatusNotFound, "there is nothing at this path"}
	}
	if g.sameSite.Check(r) != nil {
		return &Refusal{http.StatusForbidden, "the request was sent by a page of another site"}
	}
	return nil
}

func checkSize(r *http.Request) *Refusal {
	lines, size := 0, 0
	for name, values := range r.Header {
		lines += len(values)
		for _, value := range values {
			size += len(name) + len(value)
		}
	}
	switch {
	case lines > maxHeaders:
		return &Refusal{http.StatusRequestHeaderFieldsTooLarge, fmt.Sprintf("a request may have at most %d headers", maxHeaders)}
	case size > maxHeaderBytes:
		return &Refusal{http.StatusRequestHeaderFieldsTooLarge, fmt.Sprintf("the headers of a request may have at most %d bytes", maxHeaderBytes)}
	case len(r.RequestURI) > maxTarget:
		return &Refusal{http.StatusRequestURITooLong, fmt.Sprintf("path and query may have at most %d bytes", maxTarget)}
	}
	return nil
}

// isText reports whether escaped text is storable.
func isText(escaped string) bool {
	text, err := url.QueryUnescape(escaped)
	if err != nil {
		text = escaped // its reader reports what is wrong
	}
	return cut.Storable(text)
}

// plainPath reports whether every reader understands a path in the same way. A proxy may resolve dot segments, merge
// slashes or decode an encoded one although Posthorn does not, and would then have checked another path.
func plainPath(u *url.URL) bool {
	if strings.Contains(strings.ToLower(u.RawPath), "%2f") || strings.Contains(u.Path, "//") || !cut.Storable(u.Path) {
		return false
	}
	if !strings.Contains(u.Path, "/.") {
		return true
	}
	for segment := range strings.SplitSeq(u.Path, "/") {
		if segment == "." || segment == ".." {
			return false
		}
	}
	return true
}
