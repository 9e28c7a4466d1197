package config

import (
	"encoding"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Origins is a list of web origins, written with commas between, each as a browser sends it in the header Origin.
type Origins []string

var _ encoding.TextUnmarshaler = (*Origins)(nil)

// UnmarshalText reads origins, with commas and any blanks between. Its error names every entry that is none, wildcards too:
// with one, any page could use what it knows of a key.
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
	u, err := url.Parse(strings.ToLower(text))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || strings.Contains(u.Host, "*") {
		return "", false
	}
	if u.Scheme+"://"+u.Host != strings.ToLower(text) {
		return "", false
	}
	standard := map[string]string{"http": ":80", "https": ":443"}[u.Scheme]
	return u.Scheme + "://" + strings.TrimSuffix(u.Host, standard), true
}
