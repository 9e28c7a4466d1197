package wire_test

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/wire"
)

const keyUP42 = "QWZTFnMEXhqZKNmu" // the sample secret of UP42's document

func build(t *testing.T, profile string, secrets ...string) wire.Message {
	t.Helper()
	m, err := wire.Build(wire.Webhook{Profile: profile, Secrets: secrets}, event("order.created", `{"id":1}`), attempted)
	require.NoError(t, err)
	return m
}

// Receivers verify with the Standard Webhooks library. So that library must accept the signature with every active
// secret, for every profile that signs in this way, and for nothing else.
func TestSignature_StandardWebhooksLibraryVerifies(t *testing.T) {
	t.Parallel()
	const native = "evt_019b7c1e-7d2a-7c3b-9f00-1234567890ab"
	for _, tc := range []struct {
		profile, id    string
		active, stale  []string
		verifierOfThis func(secret string) (*standardwebhooks.Webhook, error)
	}{
		{wire.ProfileStandard, native, []string{secretA}, []string{secretB}, standardwebhooks.NewWebhook},
		{wire.ProfileStandard, native, []string{secretB, secretA}, nil, standardwebhooks.NewWebhook},
		{wire.ProfileLanguageWeaver, native, []string{secretA, secretB}, nil, standardwebhooks.NewWebhook},
		{wire.ProfileSvix, "msg_019b7c1e-7d2a-7c3b-9f00-1234567890ab", []string{secretA, secretB}, nil, standardwebhooks.NewWebhook},
		{wire.ProfileUP42, native, []string{keyUP42}, []string{"other"}, func(s string) (*standardwebhooks.Webhook, error) {
			return standardwebhooks.NewWebhookRaw([]byte(s))
		}},
	} {
		m := build(t, tc.profile, tc.active...)
		require.Len(t, strings.Fields(m.Header.Get("Webhook-Signature")), len(tc.active))
		require.Equal(t, "1767323349", m.Header.Get("Webhook-Timestamp"), "seconds of the attempt, cut off")
		require.Equal(t, tc.id, m.Header.Get("Webhook-Id"))

		for _, secret := range tc.active {
			verifier, err := tc.verifierOfThis(secret)
			require.NoError(t, err)
			require.NoError(t, verifier.VerifyIgnoringTimestamp(m.Body, m.Header), tc.profile)
			require.Error(t, verifier.VerifyIgnoringTimestamp(append(m.Body, ' '), m.Header), tc.profile)
		}
		for _, secret := range tc.stale {
			verifier, err := tc.verifierOfThis(secret)
			require.NoError(t, err)
			require.Error(t, verifier.VerifyIgnoringTimestamp(m.Body, m.Header), tc.profile)
		}
	}
}

func TestSignature_CoversTheAttemptsTime(t *testing.T) {
	t.Parallel()
	wh := wire.Webhook{Profile: wire.ProfileStandard, Secrets: []string{secretA}}
	now := time.Now() // the library compares with the wall clock
	m, err := wire.Build(wh, event("a", `1`), now)
	require.NoError(t, err)

	verifier, err := standardwebhooks.NewWebhook(secretA)
	require.NoError(t, err)
	require.NoError(t, verifier.Verify(m.Body, m.Header))

	m.Header.Set("Webhook-Timestamp", "1")
	require.ErrorIs(t, verifier.VerifyIgnoringTimestamp(m.Body, m.Header), standardwebhooks.ErrNoMatchingSignature)
}

func TestSignature_Ed25519(t *testing.T) {
	t.Parallel()
	public, private, err := ed25519.GenerateKey(strings.NewReader(strings.Repeat("posthorn", 8)))
	require.NoError(t, err)
	encode := base64.StdEncoding.EncodeToString

	for name, secret := range map[string]string{
		"seed alone":          "whsk_" + encode(private.Seed()),
		"seed and public key": "whsk_" + encode(private),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.NoError(t, wire.ValidSecret(wire.ProfileStandard, secret))
			m := build(t, wire.ProfileStandard, secret, secretA)
			signatures := strings.Fields(m.Header.Get("Webhook-Signature"))
			require.Len(t, signatures, 2)

			signature, found := strings.CutPrefix(signatures[0], "v1a,")
			require.True(t, found)
			raw, err := base64.StdEncoding.DecodeString(signature)
			require.NoError(t, err)
			content := m.Header.Get("Webhook-Id") + "." + m.Header.Get("Webhook-Timestamp") + "." + string(m.Body)
			require.True(t, ed25519.Verify(public, []byte(content), raw))

			verifier, err := standardwebhooks.NewWebhook(secretA)
			require.NoError(t, err)
			require.NoError(t, verifier.VerifyIgnoringTimestamp(m.Body, m.Header), "both kinds side by side")
		})
	}
}

func TestSignature_EWarehousingReceiverVerifies(t *testing.T) {
	t.Parallel()
	m := build(t, wire.ProfileEWarehousing, "ABC12345", "older")

	// As https://api.docs.ewarehousing-solutions.com/webhook-setup asks receivers to: base64 of the HMAC of the raw
	// body under the secret's bytes.
	mac := hmac.New(sha256.New, []byte("ABC12345"))
	mac.Write(m.Body)
	require.Equal(t, base64.StdEncoding.EncodeToString(mac.Sum(nil)), m.Header.Get("X-Hmac-SHA256"))
	require.Equal(t, "019b7c1e-7d2a-7c3b-9f00-1234567890ab", m.Header.Get("X-Webhook-Id"))
}

func TestSignature_EWarehousingWebhookID(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"evt_019b7c1e-7d2a-7c3b-9f00-1234567890ab":   "019b7c1e-7d2a-7c3b-9f00-1234567890ab",
		"evt_019b7c1e7d2a7c3b9f001234567890ab":       "019b7c1e-7d2a-7c3b-9f00-1234567890ab",
		"019b7c1e-7d2a-7c3b-9f00-1234567890ab":       "019b7c1e-7d2a-7c3b-9f00-1234567890ab",
		"order_019b7c1e-7d2a-7c3b-9f00-1234567890ab": "order_019b7c1e-7d2a-7c3b-9f00-1234567890ab",
		"evt_019b7c1e-7d2a-7c3b-9f00-1234567890ag":   "evt_019b7c1e-7d2a-7c3b-9f00-1234567890ag",
		"evt_019b7c1e-7d2a-7c3b-9f001-234567890ab":   "evt_019b7c1e-7d2a-7c3b-9f001-234567890ab",
		"evt_42": "evt_42",
		"mine":   "mine",
	} {
		ev := event("stock.updated", `{}`)
		ev.ID = id
		m, err := wire.Build(wire.Webhook{Profile: wire.ProfileEWarehousing}, ev, attempted)
		require.NoError(t, err)
		require.Equal(t, want, m.Header.Get("X-Webhook-Id"))
	}
}

func TestSignature_SharedTokensAreTheNewestSecret(t *testing.T) {
	t.Parallel()
	require.Equal(t, "key-2", build(t, wire.ProfileIM4, "key-2", "key-1").Header.Get("Signature"))
	require.Equal(t, "token-2", build(t, wire.ProfilePhrase, "token-2", "token-1").Header.Get("x-memsource-token"))
}

func TestSignature_WithoutSecretsNothingIsSigned(t *testing.T) {
	t.Parallel()
	for profile, want := range map[string][]string{
		wire.ProfileStandard:       {"Content-Type", "Webhook-Id", "Webhook-Timestamp"},
		wire.ProfileIM4:            {"Content-Type"},
		wire.ProfilePhrase:         {"Content-Type"},
		wire.ProfileLanguageWeaver: {"Content-Type", "Webhook-Id", "Webhook-Timestamp"},
		wire.ProfileEWarehousing:   {"Content-Type", "X-Webhook-Id"},
		wire.ProfileUP42:           {"Content-Type", "Webhook-Id", "Webhook-Timestamp"},
	} {
		require.ElementsMatch(t, want, headerNames(build(t, profile).Header), profile)
	}
	require.Empty(t, build(t, wire.ProfileUP42, "").Header.Get("Webhook-Signature"), "an empty secret is none")
}

func TestSignature_ValidSecret(t *testing.T) {
	t.Parallel()
	encoded := func(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n)) }
	mismatched := append(make([]byte, 32), []byte(strings.Repeat("x", 32))...)
	long := strings.Repeat("x", 1025)

	for _, tc := range []struct {
		profile, secret string
		valid           bool
	}{
		{wire.ProfileStandard, "whsec_" + encoded(24), true},
		{wire.ProfileStandard, "whsec_" + encoded(64), true},
		{wire.ProfileStandard, "whsec_" + encoded(23), false},
		{wire.ProfileStandard, "whsec_" + encoded(65), false},
		{wire.ProfileStandard, encoded(24), false},
		{wire.ProfileStandard, "", false},
		{wire.ProfileStandard, "whsec_", false},
		{wire.ProfileStandard, "whsec_" + encoded(25)[:34], false},                          // padding left out
		{wire.ProfileStandard, "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=", false}, // stray bits
		{wire.ProfileStandard, "whsec_" + encoded(12) + "\n" + encoded(12), false},
		{wire.ProfileStandard, "whsec_--__" + encoded(24), false}, // URL alphabet
		{wire.ProfileStandard, "whsk_" + encoded(32), true},
		{wire.ProfileStandard, "whsk_" + encoded(33), false},
		{wire.ProfileStandard, "whsk_" + base64.StdEncoding.EncodeToString(mismatched), false},
		{wire.ProfileStandard, "whsk_no", false},
		{wire.ProfileLanguageWeaver, secretA, true},
		{wire.ProfileLanguageWeaver, "plain", false},
		{wire.ProfileIM4, "u_key-1", true},
		{wire.ProfileIM4, "", false},
		{wire.ProfileIM4, "a\r\nX-Evil: 1", false},
		{wire.ProfileIM4, long, false},
		{wire.ProfilePhrase, "token with spaces", true},
		{wire.ProfilePhrase, " token", false},
		{wire.ProfilePhrase, "", false},
		{wire.ProfileEWarehousing, "ABC12345", true},
		{wire.ProfileEWarehousing, "\n ", true},
		{wire.ProfileEWarehousing, "", false},
		{wire.ProfileEWarehousing, long, false},
		{wire.ProfileUP42, keyUP42, true},
		{wire.ProfileUP42, "", true},
		{wire.ProfileUP42, long, false},
	} {
		err := wire.ValidSecret(tc.profile, tc.secret)
		if tc.valid {
			require.NoError(t, err, "%s %q", tc.profile, tc.secret)
			continue
		}
		require.Error(t, err, "%s %q", tc.profile, tc.secret)
		if len(tc.secret) > len("whsec_") {
			require.NotContains(t, err.Error(), tc.secret)
		}
	}
}

func TestSignature_BuildRefusesSecretsThatCannotSign(t *testing.T) {
	t.Parallel()
	for profile, secret := range map[string]string{
		wire.ProfileStandard:       "plain",
		wire.ProfileLanguageWeaver: "whsec_AA==",
		wire.ProfileIM4:            "a\nb",
		wire.ProfilePhrase:         "",
		wire.ProfileEWarehousing:   "",
	} {
		_, err := wire.Build(wire.Webhook{Profile: profile, Secrets: []string{secret}}, event("a", `{}`), attempted)
		require.Error(t, err, profile)
	}
}

// Svix's headers have the same values as those of Standard Webhooks. A publisher's own event id is the message's id
// too.
func TestSignature_SvixSendsBothFamiliesOfHeaders(t *testing.T) {
	t.Parallel()
	for _, secrets := range [][]string{{secretA, secretB}, nil} {
		m := build(t, wire.ProfileSvix, secrets...)
		require.Equal(t, `{"id":1}`, string(m.Body))
		for _, name := range []string{"Id", "Timestamp", "Signature"} {
			require.Equal(t, m.Header.Values("Webhook-"+name), m.Header.Values("Svix-"+name))
		}
		require.NotEmpty(t, m.Header.Get("Svix-Id"))
		require.Equal(t, len(secrets) > 0, m.Header.Get("Svix-Signature") != "")
	}
	require.Equal(t, "msg_order-1", wire.MessageID("order-1"))
}
