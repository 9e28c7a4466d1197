// Package hostname knows which names a name server can have. It must not import any package of Posthorn.
package hostname

import (
	"errors"
	"strings"
	"unicode"

	"golang.org/x/net/idna"
)

// Bounds in bytes (RFC 1035, 2.3.4).
const (
	MaxName  = 253
	MaxLabel = 63
)

// The problems that Check finds.
var (
	ErrLongName   = errors.New("the host name is longer than 253 bytes")
	ErrEmptyLabel = errors.New("the host name has an empty label")
	ErrLongLabel  = errors.New("the host name has a label of more than 63 bytes")
	ErrNoName     = errors.New("the host has characters that no host name has")
)

// IsASCII reports whether a text consists of ASCII characters.
func IsASCII(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r > unicode.MaxASCII })
}

// ASCII returns a non-ASCII name as A-labels (RFC 5891), and any other unchanged.
func ASCII(name string) (string, error) {
	if IsASCII(name) {
		return name, nil
	}
	return idna.Lookup.ToASCII(name)
}

// Check returns why no name server can have a name, which must be in lower case; nil if one may. Underscores are not
// allowed in host names (RFC 952), but are in use. An address in brackets is not a name.
func Check(name string) error {
	if len(name) > MaxName {
		return ErrLongName
	}
	for label := range strings.SplitSeq(name, ".") {
		switch {
		case label == "":
			return ErrEmptyLabel
		case len(label) > MaxLabel:
			return ErrLongLabel
		case strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "":
			return ErrNoName
		}
	}
	return nil
}
