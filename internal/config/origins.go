package config

import (
	"encoding"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// Origins is a comma-separated list of web origins, each as a browser sends it in the header Origin.
type Origins []string

var _ encoding.TextUnmarshaler = (*Origins)(nil)

// UnmarshalText reads comma-separated origins, with optional blanks. Its error names every invalid entry, including
// wildcards: with a wildcard any page could use a key that it knows.
func (o *Origins) UnmarshalText(text []byte) error {
	var parsed Origins
	var problems []error
	for entry := range strings.SplitSeq(string(text), ",") {
		entry = strings.TrimSpace(entry)
		if entry == "" {
			continue
		}
		origin, ok := parseOrigin(entry)
		if !ok {
			problems = append(problems, fmt.Errorf("%q is not an origin such as https://app.example.com", entry))
			continue
		}
		parsed = append(parsed, origin)
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	*o = parsed
	return nil
}

// parseOrigin returns an origin in the form in which browsers send it. ok is false for anything with more than scheme,
// host and port, and for wildcards.
func parseOrigin(text string) (origin string, ok bool) {
	text = strings.ToLower(text)
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Scheme+"://"+u.Host != text || !isHost(u) {
		return "", false
	}
	standard := map[string]string{"http": ":80", "https": ":443"}[u.Scheme]
	return u.Scheme + "://" + strings.TrimSuffix(u.Host, standard), true
}

// hostPattern is a DNS name or an IPv4 address: letters, digits, dashes and underscores with single dots between.
var hostPattern = regexp.MustCompile(`^[a-zA-Z0-9_-]+(\.[a-zA-Z0-9_-]+)*\.?$`)

// isHost reports whether a URL's host is a name or an address, with an optional port. url.Parse accepts much more,
// such as a semicolon, which would end a directive of a Content-Security-Policy.
func isHost(u *url.URL) bool {
	if strings.HasSuffix(u.Host, ":") {
		return false
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return false
		}
	}
	if strings.HasPrefix(u.Host, "[") {
		addr, err := netip.ParseAddr(u.Hostname())
		return err == nil && addr.Is6() && addr.Zone() == ""
	}
	return hostPattern.MatchString(u.Hostname())
}
