package notify

import (
	"errors"
	"net/mail"
	"strings"
	"unicode"

	"golang.org/x/net/idna"
)

// Bounds of e-mail addresses, in bytes (RFC 5321, 4.5.3.1).
const (
	maxAddress = 254
	maxLocal   = 64
	maxDomain  = 253
	maxLabel   = 63
)

// What is wrong with an address, in words that complete its name.
var (
	errNoAddress = errors.New("is not an e-mail address")
	errLocal     = errors.New("must have ASCII characters alone before the @: not every mail server takes others")
	errDomain    = errors.New("has a domain that is not valid")
)

// ASCIIAddress returns an address as it is sent to mail servers: its domain as A-labels (RFC 5891). It returns an error,
// whose text completes the address's name, for what is not a bare address, and for a local part beyond ASCII, which only
// servers with SMTPUTF8 (RFC 6531) take.
func ASCIIAddress(address string) (string, error) {
	parsed, err := mail.ParseAddress(address)
	if err != nil || parsed.Address != address {
		return "", errNoAddress
	}
	at := strings.LastIndexByte(address, '@')
	local, domain := address[:at], address[at+1:]
	if strings.ContainsFunc(local, func(r rune) bool { return r > unicode.MaxASCII }) {
		return "", errLocal
	}
	if strings.ContainsFunc(domain, func(r rune) bool { return r > unicode.MaxASCII }) {
		if domain, err = idna.Lookup.ToASCII(domain); err != nil {
			return "", errDomain
		}
	}
	if !validDomain(domain) {
		return "", errDomain
	}
	address = local + "@" + domain
	if len(local) > maxLocal || len(address) > maxAddress {
		return "", errNoAddress
	}
	return address, nil
}

// validDomain reports whether domain is a name. An address in brackets is none: mail goes to domains.
func validDomain(domain string) bool {
	if len(domain) > maxDomain {
		return false
	}
	for label := range strings.SplitSeq(strings.ToLower(domain), ".") {
		if label == "" || len(label) > maxLabel || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}
