package notify

import (
	"errors"
	"net/mail"
	"strings"

	"github.com/posthorn/posthorn/internal/hostname"
)

// Bounds of e-mail addresses, in bytes (RFC 5321, 4.5.3.1).
const (
	maxAddress = 254
	maxLocal   = 64
)

// The problems of an address, in words that follow its name.
var (
	errNoAddress = errors.New("is not an e-mail address")
	errLocal     = errors.New("must have only ASCII characters before the @: not every mail server accepts others")
	errDomain    = errors.New("has a domain that is not valid")
)

// ASCIIAddress returns an address as mail servers need it: its domain as A-labels (RFC 5891). It returns an error,
// whose text completes the address's name, if it is not a bare address, or has a non-ASCII local part, which only
// servers with SMTPUTF8 (RFC 6531) accept.
func ASCIIAddress(address string) (string, error) {
	parsed, err := mail.ParseAddress(address)
	if err != nil || parsed.Address != address {
		return "", errNoAddress
	}
	at := strings.LastIndexByte(address, '@')
	local, domain := address[:at], address[at+1:]
	if !hostname.IsASCII(local) {
		return "", errLocal
	}
	if domain, err = hostname.ASCII(domain); err != nil || hostname.Check(strings.ToLower(domain)) != nil {
		return "", errDomain
	}
	address = local + "@" + domain
	if len(local) > maxLocal || len(address) > maxAddress {
		return "", errNoAddress
	}
	return address, nil
}
