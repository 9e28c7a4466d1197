package wire

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// maxSecret bounds secrets whose length no scheme bounds, in bytes.
const maxSecret = 1024

// ValidSecret returns why a secret cannot be used with a profile, or nil. It never repeats the secret. Rules:
//
//   - standard, svix, languageweaver: "whsec_" and base64 of 24 to 64 bytes, or "whsk_" and an ed25519 private key in
//     base64;
//   - im4, phrase: any valid header value, not empty, at most 1 KiB;
//   - ewarehousing: anything, not empty, at most 1 KiB;
//   - up42: anything, at most 1 KiB; "" signs nothing.
//
// The error wraps [ErrUnknownProfile] if the profile is not known.
func ValidSecret(profile, secret string) error {
	p, err := lookup(profile)
	if err != nil {
		return err
	}
	return p.validSecret(secret)
}

// validKey accepts any bytes as the key of an HMAC.
func validKey(secret string) error {
	switch {
	case secret == "":
		return errors.New("secret: must not be empty")
	case len(secret) > maxSecret:
		return fmt.Errorf("secret: at most %d bytes", maxSecret)
	}
	return nil
}

// validToken accepts secrets that arrive unchanged as a header's value, for profiles that send the secret itself.
func validToken(secret string) error {
	if err := validKey(secret); err != nil {
		return err
	}
	if !httpguts.ValidHeaderFieldValue(secret) || strings.Trim(secret, " \t") != secret {
		return errors.New("secret: is sent as a header, so no control characters and no space at either end")
	}
	return nil
}

// setToken sends the newest secret itself, if there is one.
func setToken(h http.Header, name string, secrets []string) error {
	if len(secrets) == 0 {
		return nil
	}
	if err := validToken(secrets[0]); err != nil {
		return err
	}
	h.Set(name, secrets[0])
	return nil
}
