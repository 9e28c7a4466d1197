package secrets

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/mac"
)

func newKeyset(t *testing.T) string {
	t.Helper()
	text, err := NewKeyset()
	require.NoError(t, err)
	return text
}

func openBox(t *testing.T, keysetText string) *Box {
	t.Helper()
	box, err := OpenBox(keysetText)
	require.NoError(t, err)
	return box
}

func TestBox_OpensWhatItSealed(t *testing.T) {
	t.Parallel()
	box := openBox(t, newKeyset(t))
	for _, plain := range [][]byte{[]byte("whsec_abc"), {}, {0, 255}, bytes.Repeat([]byte("x"), 1<<16)} {
		sealed, err := box.Seal(plain, "webhook/wh_1")
		require.NoError(t, err)
		require.False(t, len(plain) > 2 && bytes.Contains(sealed, plain))
		opened, err := box.Open(sealed, "webhook/wh_1")
		require.NoError(t, err)
		require.True(t, bytes.Equal(plain, opened))
	}
	one, err := box.Seal([]byte("same"), "c")
	require.NoError(t, err)
	two, err := box.Seal([]byte("same"), "c")
	require.NoError(t, err)
	require.NotEqual(t, one, two, "equal secrets do not show as equal")
}

func TestBox_RefusesWhatItDidNotSeal(t *testing.T) {
	t.Parallel()
	box := openBox(t, newKeyset(t))
	sealed, err := box.Seal([]byte("secret"), "webhook/wh_1")
	require.NoError(t, err)
	altered := bytes.Clone(sealed)
	altered[len(altered)-1] ^= 1

	_, err = box.Open(sealed, "webhook/wh_2")
	require.ErrorIs(t, err, ErrOpen, "another context")
	_, err = box.Open(altered, "webhook/wh_1")
	require.ErrorIs(t, err, ErrOpen, "altered")
	_, err = openBox(t, newKeyset(t)).Open(sealed, "webhook/wh_1")
	require.ErrorIs(t, err, ErrOpen, "another keyset")
	for _, short := range [][]byte{nil, {}, sealed[:4], sealed[:5], sealed[:20]} {
		_, err = box.Open(short, "webhook/wh_1")
		require.ErrorIs(t, err, ErrOpen)
	}
}

func TestBox_OpenBoxAcceptsEveryForm(t *testing.T) {
	t.Parallel()
	printed := newKeyset(t)
	require.NotContains(t, printed, "\n")
	handle, err := readKeyset(printed)
	require.NoError(t, err)
	var json bytes.Buffer
	require.NoError(t, insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&json)))

	sealed, err := openBox(t, printed).Seal([]byte("secret"), "c")
	require.NoError(t, err)
	for name, form := range map[string]string{
		"as printed": printed, "with a line end": printed + "\n",
		"JSON": json.String(), "JSON in base64": base64.StdEncoding.EncodeToString(json.Bytes()),
	} {
		_, err := openBox(t, form).Open(sealed, "c")
		require.NoError(t, err, name)
	}
}

func TestBox_OpenBoxRefusesOtherThings(t *testing.T) {
	t.Parallel()
	handle, err := keyset.NewHandle(mac.HMACSHA256Tag256KeyTemplate())
	require.NoError(t, err)
	notAEAD, err := printKeyset(handle)
	require.NoError(t, err)
	encrypted, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	require.NoError(t, err)

	printed := newKeyset(t)
	for name, text := range map[string]string{
		"empty": "", "blank": " \n", "not base64": "§§§", "base64 of something else": "c2VjcmV0",
		"truncated": printed[:len(printed)/2/4*4], "broken JSON": `{"key":["hunter2"`, "another keyset": notAEAD,
		"info without material": encrypted.String(),
	} {
		_, err := OpenBox(text)
		require.ErrorIs(t, err, ErrKeyset, name)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestBox_Keys(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		key := NewAPIKey()
		require.Regexp(t, `^phk_[0-9A-Za-z]{43}$`, key)
		secret := NewSigningSecret()
		raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		require.NoError(t, err)
		require.Len(t, raw, 32)
		require.False(t, seen[key] || seen[secret])
		seen[key], seen[secret] = true, true
	}
}

func TestBox_HashAPIKey(t *testing.T) {
	t.Parallel()
	const sha256OfABC = "\xba\x78\x16\xbf\x8f\x01\xcf\xea\x41\x41\x40\xde\x5d\xae\x22\x23\xb0\x03\x61\xa3\x96\x17\x7a\x9c\xb4\x10\xff\x61\xf2\x00\x15\xad"
	require.Equal(t, []byte(sha256OfABC), HashAPIKey("abc"), "FIPS 180-4's example")
	require.NotEqual(t, HashAPIKey("abc"), HashAPIKey("abd"))
}

func TestBox_Mask(t *testing.T) {
	t.Parallel()
	tests := []struct{ secret, want string }{
		{"", ""},
		{"a", "…"},
		{"hunter2", "…"},
		{strings.Repeat("x", maskedFrom-1), "…"},
		{strings.Repeat("x", maskedFrom-4) + "abcd", "…abcd"},
		{strings.Repeat("ä", maskedFrom-4) + "äöüß", "…äöüß"},
		{"whsec_", "whsec_…"},
		{"whsec_c2hvcnQ=", "whsec_…"},
		{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_…LaSw"},
		{"whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsk_…LaSw"},
		{"phk_" + strings.Repeat("0", 39) + "wxyz", "phk_…wxyz"},
		{"mine_" + strings.Repeat("0", 39) + "wxyz", "…wxyz"},
	}
	for _, tt := range tests {
		require.Equal(t, tt.want, Mask(tt.secret), tt.secret)
	}
}

func BenchmarkOpen(b *testing.B) {
	text, err := NewKeyset()
	require.NoError(b, err)
	box, err := OpenBox(text)
	require.NoError(b, err)
	sealed, err := box.Seal([]byte(NewSigningSecret()), "webhook/wh_1")
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := box.Open(sealed, "webhook/wh_1"); err != nil {
			b.Fatal(err)
		}
	}
}
