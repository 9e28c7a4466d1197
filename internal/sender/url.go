package sender

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/posthorn/posthorn/internal/hostname"
)

const (
	reasonInvalid   = "it is not a valid URL"
	reasonNotUTF8   = "the URL must be UTF-8 text"
	reasonSpace     = "the URL must not begin or end with white space"
	reasonBackslash = "the URL must not contain a backslash"
	reasonFragment  = "the URL must not contain a fragment"
	reasonEscape    = "a % in the URL must be followed by two hexadecimal digits"
	reasonUserinfo  = "the URL must not contain credentials"
	reasonNoHost    = "the URL has no host"
	reasonPort      = "the port is not valid"
	reasonZone      = "the host must not have an IPv6 zone"
	reasonInvalidIP = "the host is not a valid IP address"
)

// target parses a destination and returns it in its canonical form: scheme and host in lower case, a non-ASCII name as
// A-labels and without a final dot, an address as netip writes it, no default port. Path and query are as given, with
// characters that a request line cannot contain percent-encoded. Percent-encoded parts stay as they are. The canonical
// form of a canonical form is itself.
//
// Name look-up, TLS, the Host header and the request line all use this form. The error is a *URLError.
func (g *Guard) target(raw string) (u *url.URL, canonical string, err error) {
	if err := checkText(raw); err != nil {
		return nil, "", err
	}
	u, err = url.Parse(raw)
	if err != nil || u.Opaque != "" {
		return nil, "", &URLError{Reason: reasonInvalid} // err would repeat the URL
	}
	if err := g.checkScheme(u); err != nil {
		return nil, "", err
	}
	switch {
	case u.User != nil:
		return nil, "", &URLError{Reason: reasonUserinfo}
	case u.Hostname() == "":
		return nil, "", &URLError{Reason: reasonNoHost}
	case strings.Contains(raw, "#"):
		return nil, "", &URLError{Reason: reasonFragment}
	}
	port, err := portOf(u)
	if err != nil {
		return nil, "", err
	}
	host, err := g.canonicalHost(u.Hostname())
	if err != nil {
		return nil, "", err
	}
	rest, err := canonicalRest(raw[len(u.Scheme)+len("://"):])
	if err != nil {
		return nil, "", err
	}
	canonical = u.Scheme + "://" + host + port + rest
	switch {
	case canonical == raw:
		return u, raw, nil
	case len(canonical) > MaxURLLength:
		return nil, "", &URLError{Reason: tooLong}
	}
	if u, err = url.Parse(canonical); err != nil {
		return nil, "", &URLError{Reason: reasonInvalid}
	}
	return u, canonical, nil
}

var tooLong = fmt.Sprintf("the URL is longer than %d bytes", MaxURLLength)

func checkText(raw string) error {
	if len(raw) > MaxURLLength {
		return &URLError{Reason: tooLong}
	}
	if !utf8.ValidString(raw) {
		return &URLError{Reason: reasonNotUTF8}
	}
	if strings.TrimFunc(raw, unicode.IsSpace) != raw {
		return &URLError{Reason: reasonSpace}
	}
	return nil
}

// portOf returns ":" and the port, or "" for the scheme's default.
func portOf(u *url.URL) (string, error) {
	if u.Port() == "" {
		if strings.HasSuffix(u.Host, ":") {
			return "", &URLError{Reason: reasonPort}
		}
		return "", nil
	}
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	switch {
	case err != nil || n == 0:
		return "", &URLError{Reason: reasonPort}
	case u.Scheme == "https" && n == 443 || u.Scheme == "http" && n == 80:
		return "", nil
	}
	return ":" + strconv.FormatUint(n, 10), nil
}

// canonicalHost returns host as it is looked up, dialled and sent, an IPv6 address in brackets. It applies IDNA's
// mapping, so that "ⓛocalhost" is recognised, and refuses hosts that only look like names: if the last label is a
// number, some resolvers read "127.1" or "0x7f000001" as an address (the rule is WHATWG's "ends in a number").
func (g *Guard) canonicalHost(host string) (string, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return g.canonicalAddr(addr)
	}
	if strings.Contains(host, ":") {
		return "", &URLError{Reason: reasonInvalidIP}
	}
	name, err := hostname.ASCII(host)
	if err != nil {
		return "", &URLError{Reason: reasonInvalid}
	}
	name = strings.ToLower(name)
	if addr, err := netip.ParseAddr(name); err == nil {
		return g.canonicalAddr(addr)
	}
	name = strings.TrimSuffix(name, ".")
	last := name[strings.LastIndexByte(name, '.')+1:]
	if isDigits(last) || strings.HasPrefix(last, "0x") { // also an empty one
		return "", &URLError{Reason: reasonInvalidIP}
	}
	if err := hostname.Check(name); err != nil {
		return "", &URLError{Reason: err.Error()}
	}
	return name, nil
}

func (g *Guard) canonicalAddr(addr netip.Addr) (string, error) {
	if addr.Zone() != "" {
		if err := g.checkLiteral(addr); err != nil {
			return "", err // this error says more
		}
		return "", &URLError{Reason: reasonZone}
	}
	if addr = addr.Unmap(); addr.Is6() {
		return "[" + addr.String() + "]", nil
	}
	return addr.String(), nil
}

// canonicalRest returns path and query after "://", with characters that a request line cannot contain
// percent-encoded.
func canonicalRest(afterScheme string) (string, error) {
	start := strings.IndexAny(afterScheme, "/?")
	if start < 0 {
		return "", nil
	}
	rest := afterScheme[start:]
	clean := true
	for i := range len(rest) {
		switch c := rest[i]; {
		case c == '%':
			if i+2 >= len(rest) || !isHex(rest[i+1]) || !isHex(rest[i+2]) {
				return "", &URLError{Reason: reasonEscape}
			}
		case c == '\\':
			return "", &URLError{Reason: reasonBackslash}
		case !inRequestLine(c):
			clean = false
		}
	}
	if clean {
		return rest, nil
	}
	var b strings.Builder
	for i := range len(rest) {
		if c := rest[i]; c == '%' || inRequestLine(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String(), nil
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// inRequestLine reports whether path and query may contain c unescaped: the characters of RFC 3986, 3.3 and 3.4, and
// square brackets, which many queries have.
func inRequestLine(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~!$&'()*+,;=:@/?[]", c) >= 0
}
