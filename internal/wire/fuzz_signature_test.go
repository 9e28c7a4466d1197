package wire_test

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"golang.org/x/net/http/httpguts"

	"github.com/posthorn/posthorn/internal/wire"
)

// eventID matches the allowed ids of an event.
var eventID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_:-]{0,127}$`)

// verified reports whether a receiver that has the newest secret accepts a message, by the rules of its profile. It is
// written from the documents, and uses nothing of the package.
func verified(profile, secret string, m wire.Message) bool {
	content := m.Header.Get("Webhook-Id") + "." + m.Header.Get("Webhook-Timestamp") + "." + string(m.Body)
	first, _, _ := strings.Cut(m.Header.Get("Webhook-Signature"), " ")
	switch profile {
	case wire.ProfileIM4:
		return m.Header.Get("Signature") == secret
	case wire.ProfilePhrase:
		return m.Header.Get("X-Memsource-Token") == secret
	case wire.ProfileEWarehousing:
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(m.Body)
		return m.Header.Get("X-Hmac-SHA256") == base64.StdEncoding.EncodeToString(mac.Sum(nil))
	case wire.ProfileUP42:
		if secret == "" {
			return m.Header.Get("Webhook-Signature") == ""
		}
		verifier, err := standardwebhooks.NewWebhookRaw([]byte(secret))
		return err == nil && verifier.VerifyIgnoringTimestamp(m.Body, m.Header) == nil
	}
	if encoded, ok := strings.CutPrefix(secret, "whsk_"); ok {
		raw, err := base64.StdEncoding.DecodeString(encoded)
		signature, signatureErr := base64.StdEncoding.DecodeString(strings.TrimPrefix(first, "v1a,"))
		if err != nil || signatureErr != nil {
			return false
		}
		public, _ := ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize]).Public().(ed25519.PublicKey)
		return ed25519.Verify(public, []byte(content), signature)
	}
	verifier, err := standardwebhooks.NewWebhook(secret)
	return err == nil && verifier.VerifyIgnoringTimestamp(m.Body, m.Header) == nil
}

// Every secret is either refused when it is set, or a receiver that has it can verify the messages, under every
// profile. A changed message is not accepted, and no header can be injected.
func FuzzSignature(f *testing.F) {
	seed := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for _, secret := range []string{"", " ", "a", secretA, secretB, "whsec_", "whsec_AA==", "whsk_" + seed, "whsk_" + seed + "AA==", "u_key-1",
		"a\r\nX-Evil: 1", "ä", "\x00", strings.Repeat("x", 1024), strings.Repeat("x", 1025), "whsec_" + seed + "\n"} {
		for i := range wire.Profiles() {
			f.Add(secret, secretA, `{"id":1}`, "evt_1", i)
		}
	}
	f.Add(secretA, "", `[]`, "evt_019b7c1e-7d2a-7c3b-9f00-1234567890ab", 0)
	f.Add("x", "y", `{"event":"other","id":"7"}`, "evt_1", 2)
	f.Fuzz(func(t *testing.T, secret, older, data, id string, which int) {
		profiles := wire.Profiles()
		profile := profiles[uint(which)%uint(len(profiles))]
		if !json.Valid([]byte(data)) || !eventID.MatchString(id) {
			return // refused before it is an event
		}
		ev := wire.Event{ID: id, Tenant: "acme", Type: "order.created", Timestamp: time.Unix(1_767_323_349, 0), Data: json.RawMessage(data)}
		wh := wire.Webhook{ID: "wh_1", Tenant: "acme", Profile: profile, Secrets: []string{secret}}
		if wire.ValidSecret(profile, older) == nil {
			wh.Secrets = append(wh.Secrets, older)
		}
		invalid := wire.ValidSecret(profile, secret)
		if invalid != nil && len(secret) > 8 && strings.Contains(invalid.Error(), secret) {
			t.Fatal("the error repeats the secret")
		}
		m, err := wire.Build(wh, ev, time.Unix(1_767_323_400, 0))
		if errors.Is(err, wire.ErrMalformedData) {
			return
		}
		if (err == nil) != (invalid == nil) {
			t.Fatalf("%s: the secret is said to be %v, and signing says %v", profile, invalid, err)
		}
		if err != nil {
			return
		}
		for name, values := range m.Header {
			if !httpguts.ValidHeaderFieldName(name) || slices.ContainsFunc(values, func(v string) bool { return !httpguts.ValidHeaderFieldValue(v) }) {
				t.Fatalf("%s: not a header: %q: %q", profile, name, values)
			}
		}
		if secret == "" && older != "" {
			return // of UP42: the older one signs alone
		}
		if !verified(profile, secret, m) {
			t.Fatalf("%s: a receiver does not accept what was signed", profile)
		}
		if sharedToken := profile == wire.ProfileIM4 || profile == wire.ProfilePhrase; sharedToken || secret == "" {
			return
		}
		altered := wire.Message{Header: m.Header.Clone(), Body: append(slices.Clone(m.Body), ' ')}
		if verified(profile, secret, altered) {
			t.Fatalf("%s: a receiver accepts what was altered", profile)
		}
	})
}
