package secrets

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"math/big"
	"strings"
)

// The prefixes of secrets that open a session. They distinguish a token from an API key.
const (
	PrefixToken  = "pht_"
	PrefixCookie = "phs_"
	PrefixCode   = "phc_"
)

const (
	apiKeyPrefix        = "phk_"
	signingSecretPrefix = "whsec_"

	keyBytes = 32
	// base62Digits is how many base-62 digits 32 bytes need at most.
	base62Digits = 43
)

// NewAPIKey returns "phk_" and 256 random bits in base 62: 47 characters that survive double-click, URLs and Basic
// authentication.
func NewAPIKey() string { return NewToken(apiKeyPrefix) }

// NewToken returns a prefix and 256 random bits in base 62.
func NewToken(prefix string) string {
	digits := new(big.Int).SetBytes(randomBytes()).Text(62)
	return prefix + strings.Repeat("0", base62Digits-len(digits)) + digits
}

// HashAPIKey returns the SHA-256 of key, which is stored and looked up. A slow password hash makes guessing expensive;
// 256 random bits cannot be guessed at all, so they need none. Do not use it for secrets that people choose.
func HashAPIKey(key string) []byte {
	sum := sha256.Sum256([]byte(key))
	return sum[:]
}

// NewSigningSecret returns "whsec_" and 32 random bytes in base64, as Standard Webhooks requires for a symmetric
// secret (24 to 64 bytes).
func NewSigningSecret() string {
	return signingSecretPrefix + base64.StdEncoding.EncodeToString(randomBytes())
}

func randomBytes() []byte {
	bytes := make([]byte, keyBytes)
	_, _ = rand.Read(bytes) // never fails: it ends the program instead of returning fewer random bytes
	return bytes
}

// maskedFrom is the length, without the prefix, from which Mask shows the end of a secret: the rest stays too long to
// guess.
const maskedFrom = 24

// Mask returns secret for display, for example "whsec_…abcd": a prefix that only names its kind, and the last four
// characters if the secret is long. Of a short secret it shows nothing; an empty one is empty.
func Mask(secret string) string {
	const ellipsis = "…"
	if secret == "" {
		return ""
	}
	prefix := ""
	for _, known := range []string{apiKeyPrefix, PrefixToken, signingSecretPrefix, "whsk_", "whpk_"} { // the last two are ed25519 keys
		if strings.HasPrefix(secret, known) {
			prefix = known
		}
	}
	rest := []rune(strings.TrimPrefix(secret, prefix))
	if len(rest) < maskedFrom {
		return prefix + ellipsis
	}
	return prefix + ellipsis + string(rest[len(rest)-4:])
}
