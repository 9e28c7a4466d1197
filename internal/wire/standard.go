package wire

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of Standard Webhooks, https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md.
const (
	headerWebhookID        = "Webhook-Id"
	headerWebhookTimestamp = "Webhook-Timestamp"
	headerWebhookSignature = "Webhook-Signature"
)

// headerWebhookTest marks the POSTs of tests, only with the native profile.
const headerWebhookTest = "Webhook-Test"

// Prefixes of Standard Webhooks secrets. Base64 follows (RFC 4648, with padding).
const (
	symmetricPrefix = "whsec_" // the HMAC key, 24 to 64 bytes
	privatePrefix   = "whsk_"  // an ed25519 private key: the 32-byte seed, or seed and public key (RFC 8032)
	publicPrefix    = "whpk_"  // its public key: 32 bytes
)

// standard is the native profile, Standard Webhooks:
//
//	{"type":"order.created","timestamp":"2026-01-02T03:04:05.678Z","data":{…}}
//
// The body's timestamp is the event's; the header's is the attempt's, in seconds since the epoch, and is signed with
// the event's id and the body. During a rotation's overlap, the signature header holds one signature for each secret.
type standard struct{}

func (standard) body(_ Webhook, ev Event) ([]byte, error) {
	o := newObject(ev)
	o.string("type", ev.Type)
	o.time("timestamp", ev.Timestamp)
	o.raw("data", ev.Data)
	return o.close()
}

func (standard) sign(h http.Header, wh Webhook, ev Event, at time.Time, body []byte) error {
	if ev.Test && wh.Profile == ProfileStandard { // others embed this one
		h.Set(headerWebhookTest, "true")
	}
	return signStandard(h, wh.Secrets, ev.ID, at, body, signatureOfSecret)
}

func (standard) validSecret(secret string) error {
	_, err := signatureOfSecret(secret, nil)
	return err
}

func (standard) headers() []string {
	return []string{headerWebhookID, headerWebhookTimestamp, headerWebhookSignature}
}

// signStandard sets the three headers of Standard Webhooks. Id and timestamp are sent even if nothing is signed:
// receivers still need the id to recognise repeats. The profile decides how a secret makes a signature.
func signStandard(
	h http.Header, secrets []string, id string, at time.Time, body []byte,
	signature func(secret string, content []byte) (string, error),
) error {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	h.Set(headerWebhookID, id)
	h.Set(headerWebhookTimestamp, timestamp)
	if len(secrets) == 0 {
		return nil
	}

	content := make([]byte, 0, len(id)+len(timestamp)+len(body)+2)
	content = append(content, id...)
	content = append(content, '.')
	content = append(content, timestamp...)
	content = append(content, '.')
	content = append(content, body...)

	signatures := make([]string, len(secrets))
	for i, secret := range secrets {
		s, err := signature(secret, content)
		if err != nil {
			return err
		}
		signatures[i] = s
	}
	h.Set(headerWebhookSignature, strings.Join(signatures, " "))
	return nil
}

// signatureOfSecret signs according to the secret's prefix: `v1` (HMAC-SHA256) or `v1a` (ed25519).
func signatureOfSecret(secret string, content []byte) (string, error) {
	switch {
	case strings.HasPrefix(secret, symmetricPrefix):
		key, err := decodeKey(secret[len(symmetricPrefix):])
		if err != nil {
			return "", err
		}
		if len(key) < 24 || len(key) > 64 {
			return "", fmt.Errorf("secret: a %s key has 24 to 64 bytes, not %d", symmetricPrefix, len(key))
		}
		return "v1," + hmacSHA256(key, content), nil
	case strings.HasPrefix(secret, privatePrefix):
		key, err := privateKey(secret[len(privatePrefix):])
		if err != nil {
			return "", err
		}
		return "v1a," + base64.StdEncoding.EncodeToString(ed25519.Sign(key, content)), nil
	default:
		return "", fmt.Errorf("secret: must begin with %s or %s", symmetricPrefix, privatePrefix)
	}
}

// VerificationKey returns what a receiver verifies with: the secret itself if it is symmetric, or "whpk_" and the
// public key of an ed25519 private key, which no receiver needs.
func VerificationKey(secret string) (string, error) {
	encoded, ok := strings.CutPrefix(secret, privatePrefix)
	if !ok {
		return secret, nil
	}
	key, err := privateKey(encoded)
	if err != nil {
		return "", err
	}
	seed := len(key) - ed25519.PublicKeySize // the public key follows it (RFC 8032)
	return publicPrefix + base64.StdEncoding.EncodeToString(key[seed:]), nil
}

func privateKey(encoded string) (ed25519.PrivateKey, error) {
	raw, err := decodeKey(encoded)
	if err != nil {
		return nil, err
	}
	switch len(raw) {
	case ed25519.SeedSize:
		return ed25519.NewKeyFromSeed(raw), nil
	case ed25519.PrivateKeySize:
		// Signing with a public half that does not belong to the seed would reveal the private key.
		key := ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize])
		if !key.Equal(ed25519.PrivateKey(raw)) {
			return nil, fmt.Errorf("secret: the public half of the %s key does not belong to its seed", privatePrefix)
		}
		return key, nil
	default:
		return nil, fmt.Errorf("secret: an ed25519 %s key has %d or %d bytes, not %d",
			privatePrefix, ed25519.SeedSize, ed25519.PrivateKeySize, len(raw))
	}
}

// decodeKey is strict, because receivers' libraries are: no line breaks, no missing padding, no stray trailing bits.
func decodeKey(encoded string) ([]byte, error) {
	key, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || strings.ContainsAny(encoded, "\r\n") {
		return nil, errors.New("secret: what follows the prefix must be base64 with padding")
	}
	return key, nil
}

// hmacSHA256 returns the base64 of HMAC-SHA256 (RFC 2104).
func hmacSHA256(key, content []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write(content)
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
