package notify

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/notify/smtptest"
)

func TestMailAddress_ASCIIAddress(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"ops@example.com":                        "ops@example.com",
		"Ops+hooks.2@Example.com":                "Ops+hooks.2@Example.com",
		"o'brien@example.com":                    "o'brien@example.com",
		"root@localhost":                         "root@localhost",
		"ops@bücher.example":                     "ops@xn--bcher-kva.example",
		"ops@BÜCHER.example":                     "ops@xn--bcher-kva.example",
		"ops@日本語.jp":                             "ops@xn--wgv71a119e.jp",
		strings.Repeat("a", 64) + "@example.com": strings.Repeat("a", 64) + "@example.com",
	} {
		got, err := ASCIIAddress(address)
		require.NoError(t, err, address)
		require.Equal(t, want, got)
	}
	for address, want := range map[string]error{
		"":                                 errNoAddress,
		"ops":                              errNoAddress,
		"@example.com":                     errNoAddress,
		"ops@":                             errNoAddress,
		"Ops <ops@example.com>":            errNoAddress,
		"ops@example.com, eve@example.com": errNoAddress,
		"ops@example.com\r\nBcc: eve@example.com":     errNoAddress,
		"ops@example.com\n":                           errNoAddress,
		"ops\x00@example.com":                         errNoAddress,
		`"a b"@example.com`:                           errNoAddress,
		strings.Repeat("a", 65) + "@example.com":      errNoAddress,
		"jürgen@example.com":                          errLocal,
		"日本@example.com":                              errLocal,
		"ops@a..b":                                    errNoAddress,
		"ops@" + strings.Repeat("a", 64) + ".example": errDomain,
		"ops@" + strings.Repeat("ü", 60) + ".example": errDomain,
		"ops@a℀b.example":                             errDomain,
		"ops@[127.0.0.1]":                             errDomain,
	} {
		_, err := ASCIIAddress(address)
		require.ErrorIs(t, err, want, address)
	}
}

// A domain beyond ASCII goes out as A-labels, in the envelope and in the header, whether the server offers SMTPUTF8 or not.
func TestMailAddress_SendWritesDomainsAsALabels(t *testing.T) {
	t.Parallel()
	server := smtptest.New(t, smtptest.Config{})
	l := letter()
	l.To = []string{"ops@bücher.example", "OPS@xn--bcher-kva.example", "jürgen@example.com"}
	receipt, err := newMailer(t, "smtp://"+server.Addr).Send(t.Context(), l)
	require.NoError(t, err)
	require.Equal(t, Receipt{Taken: 1, Of: 2}, receipt, "one is named twice, and one cannot be sent to")
	got := received(t, server)
	require.Equal(t, "ops@xn--bcher-kva.example", got.To)
	require.Equal(t, "<ops@xn--bcher-kva.example>", got.Header.Get("To"))
	require.Empty(t, server.Messages)

	_, err = NewMailer("smtp://mail.example", "Jürgen <jürgen@example.com>")
	require.Error(t, err)
	mailer, err := NewMailer("smtp://mail.example", "Posthorn <posthorn@bücher.example>")
	require.NoError(t, err)
	require.Equal(t, "posthorn@xn--bcher-kva.example", mailer.from.Address)
}
