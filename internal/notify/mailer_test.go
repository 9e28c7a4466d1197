package notify

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/notify/smtptest"
)

const sender = "Posthorn <posthorn@hooks.example>"

func newMailer(t *testing.T, smtpURL string) *Mailer {
	t.Helper()
	mailer, err := NewMailer(smtpURL, sender)
	require.NoError(t, err)
	return mailer
}

func letter() Mail {
	return Mail{To: []string{"admin@example.com"}, Subject: "Größe", Text: "für Sie\n", HTML: "<p>für Sie</p>\n", MessageID: "ntf_1/warn:50"}
}

// serverTLS is a configuration with a certificate that no client trusts.
func serverTLS(t *testing.T) *tls.Config {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	t.Cleanup(server.Close)
	return &tls.Config{Certificates: server.TLS.Certificates, MinVersion: tls.VersionTLS12}
}

// send sends a mail and requires that no recipient is refused.
func send(t *testing.T, mailer *Mailer, l Mail) {
	t.Helper()
	receipt, err := mailer.Send(t.Context(), l)
	require.NoError(t, err)
	require.Equal(t, Receipt{Taken: len(l.To), Of: len(l.To)}, receipt)
}

func received(t *testing.T, server *smtptest.Server) smtptest.Message {
	t.Helper()
	select {
	case message := <-server.Messages:
		return message
	default: // Send returns after the server has taken it
		t.Fatal("nothing arrived")
		return smtptest.Message{}
	}
}

func TestMailer_Send(t *testing.T) {
	t.Parallel()
	untrusted := serverTLS(t)
	tests := []struct {
		name   string
		server smtptest.Config
		scheme string
		user   string
		tls    bool
	}{
		{"plain", smtptest.Config{}, "smtp://", "", false},
		{"login on this machine", smtptest.Config{User: "post horn", Password: "p@ss/w:rd"}, "smtp://post%20horn:p%40ss%2Fw%3Ard@", "post horn", false},
		{"STARTTLS", smtptest.Config{TLS: untrusted}, "smtp://", "", true},
		{"STARTTLS and login", smtptest.Config{TLS: untrusted, User: "u", Password: "p"}, "smtp://u:p@", "u", true},
		{"implicit TLS and login", smtptest.Config{TLS: untrusted, Implicit: true, User: "u", Password: "p"}, "smtps://u:p@", "u", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := smtptest.New(t, tt.server)
			mailer := newMailer(t, tt.scheme+server.Addr)
			require.True(t, mailer.Enabled())
			send(t, mailer, letter())

			got := received(t, server)
			require.Equal(t, tt.tls, got.TLS)
			require.Equal(t, tt.user, got.User)
			require.Equal(t, "posthorn@hooks.example", got.From)
			require.Equal(t, "admin@example.com", got.To)
			require.Equal(t, "Größe", got.Subject)
			require.Equal(t, "für Sie\n", got.Text)
			require.Equal(t, "<p>für Sie</p>\n", got.HTML)
			require.Equal(t, `"Posthorn" <posthorn@hooks.example>`, got.Header.Get("From"))
			require.Equal(t, "<admin@example.com>", got.Header.Get("To"))
			require.Equal(t, "<ntf_1-warn-50@hooks.example>", got.Header.Get("Message-Id"))
			require.Equal(t, "auto-generated", got.Header.Get("Auto-Submitted"))
			_, err := got.Header.Date()
			require.NoError(t, err)
		})
	}
}

func TestMailer_SendKeepsTheMessageID(t *testing.T) {
	t.Parallel()
	server := smtptest.New(t, smtptest.Config{})
	mailer := newMailer(t, "smtp://"+server.Addr)
	send(t, mailer, letter())
	send(t, mailer, letter())
	first, again := received(t, server), received(t, server)
	require.Equal(t, first.Header.Get("Message-Id"), again.Header.Get("Message-Id"))

	nameless := letter()
	nameless.MessageID, nameless.HTML = "", ""
	send(t, mailer, nameless)
	send(t, mailer, nameless)
	one, two := received(t, server), received(t, server)
	require.NotEmpty(t, one.Header.Get("Message-Id"))
	require.NotEqual(t, one.Header.Get("Message-Id"), two.Header.Get("Message-Id"))
	require.Empty(t, one.HTML)
	require.True(t, strings.HasPrefix(one.Header.Get("Content-Type"), "text/plain"))
}

func TestMailer_SendWritesToEachRecipientAlone(t *testing.T) {
	t.Parallel()
	server := smtptest.New(t, smtptest.Config{})
	l := letter()
	l.To = []string{"one@example.com", "Two <two@example.com>", "ONE@example.com", "not an address", "three@example.com\r\nBcc: evil@example.com"}
	receipt, err := newMailer(t, "smtp://"+server.Addr).Send(t.Context(), l)
	require.NoError(t, err)
	require.Equal(t, Receipt{Taken: 2, Of: 4}, receipt, "two are invalid, and one is named twice")
	one, two := received(t, server), received(t, server)
	require.Equal(t, []string{"one@example.com", "two@example.com"}, []string{one.To, two.To})
	require.Equal(t, `"Two" <two@example.com>`, two.Header.Get("To"))
	require.Empty(t, server.Messages)
}

func TestMailer_SendIsSafeFromHeaderInjection(t *testing.T) {
	t.Parallel()
	server := smtptest.New(t, smtptest.Config{})
	l := letter()
	l.Subject = "Hi\r\nBcc: evil@example.com\r\n\r\n<script>"
	l.MessageID = "a>\r\nBcc: evil@example.com"
	l.Text = "line\r\n.\r\nMAIL FROM:<evil@example.com>\n"
	send(t, newMailer(t, "smtp://"+server.Addr), l)
	got := received(t, server)
	require.Equal(t, "Hi Bcc: evil@example.com <script>", got.Subject)
	require.NotContains(t, got.Header, "Bcc")
	require.Equal(t, "<aBcc-evilexample-com@hooks.example>", got.Header.Get("Message-Id"))
	require.Equal(t, "line\n.\nMAIL FROM:<evil@example.com>\n", got.Text)
	require.Empty(t, server.Messages)
}

func TestMailer_SendTellsRefusalFromFailure(t *testing.T) {
	t.Parallel()
	refuse := &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "<gone@a.test> is no user here"}
	later := &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "try later"}
	reply := func(to string) error {
		switch {
		case strings.HasPrefix(to, "gone"):
			return refuse
		case strings.HasPrefix(to, "busy"):
			return later
		default:
			return nil
		}
	}
	tests := []struct {
		name    string
		server  smtptest.Config
		to      string
		refused bool
		failed  bool
		arrived int
	}{
		{"one of two refused", smtptest.Config{Rcpt: reply}, "gone@a.test ok@a.test", false, false, 1},
		{"all refused", smtptest.Config{Rcpt: reply}, "gone1@a.test gone2@a.test", true, true, 0},
		{"one of two later", smtptest.Config{Rcpt: reply}, "busy@a.test ok@a.test", false, true, 1},
		{"refused and later", smtptest.Config{Rcpt: reply}, "gone@a.test busy@a.test", false, true, 0},
		{"message refused", smtptest.Config{Data: reply}, "gone@a.test", true, true, 0},
		{"message later", smtptest.Config{Data: reply}, "busy@a.test", false, true, 0},
		{"no valid address", smtptest.Config{}, "nobody", true, true, 0},
		{"login wanted", smtptest.Config{User: "u", Password: "p"}, "ok@a.test", false, true, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := smtptest.New(t, tt.server)
			l := letter()
			l.To = strings.Fields(tt.to)
			receipt, err := newMailer(t, "smtp://"+server.Addr).Send(t.Context(), l)
			require.Equal(t, tt.failed, err != nil, "%v", err)
			require.Equal(t, Receipt{Taken: tt.arrived, Of: len(l.To)}, receipt)
			if err != nil {
				require.NotContains(t, err.Error(), "a.test", "addresses have no place in logs and histories")
			}
			require.Equal(t, tt.refused, errors.Is(err, ErrRefused), "%v", err)
			require.Len(t, server.Messages, tt.arrived)
		})
	}
}

func TestMailer_SendFails(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	_, err = newMailer(t, "smtp://"+closed.Addr().String()).Send(t.Context(), letter())
	require.Error(t, err, "nobody listens")

	locked := smtptest.New(t, smtptest.Config{User: "u", Password: "p"})
	_, err = newMailer(t, "smtp://u:hunter2@"+locked.Addr).Send(t.Context(), letter())
	require.Error(t, err, "wrong password")
	require.NotContains(t, err.Error(), "hunter2")
	require.NotErrorIs(t, err, ErrRefused)

	open := smtptest.New(t, smtptest.Config{})
	_, err = newMailer(t, "smtp://u:hunter2@"+open.Addr).Send(t.Context(), letter())
	require.Error(t, err, "no login offered")
	require.Empty(t, open.Messages)

	nobody := letter()
	nobody.To = nil
	_, err = newMailer(t, "smtp://"+open.Addr).Send(t.Context(), nobody)
	require.ErrorIs(t, err, ErrNoRecipients)
}

func TestMailer_SendVerifiesTheCertificate(t *testing.T) {
	t.Parallel()
	for _, implicit := range []bool{false, true} {
		server := smtptest.New(t, smtptest.Config{TLS: serverTLS(t), Implicit: implicit})
		mailer := newMailer(t, "smtp://"+server.Addr)
		mailer.implicitTLS = implicit
		mailer.tls.InsecureSkipVerify = false // as for another machine
		_, err := mailer.Send(t.Context(), letter())
		require.ErrorContains(t, err, "certificate")
		require.Empty(t, server.Messages)
	}
	for smtpURL, verified := range map[string]bool{
		"smtp://mail.example":        false,
		"smtp://u:p@mail.example":    true,
		"smtps://mail.example":       true,
		"smtps://u:p@mail.example":   true,
		"smtp://u:p@localhost":       false,
		"smtps://u:p@[::1]:465":      false,
		"smtps://u:p@127.0.0.1:1465": false,
		"smtps://u:p@127.example":    true,
	} {
		u, err := url.Parse(smtpURL)
		require.NoError(t, err)
		require.Equal(t, verified, !tlsConfig(u).InsecureSkipVerify, smtpURL)
		require.Equal(t, u.Hostname(), tlsConfig(u).ServerName)
	}
}

// A server that greets and then says nothing holds Send no longer than its context.
func TestMailer_SendEndsWithItsContext(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = conn.Write([]byte("220 ready\r\n"))
		lines := bufio.NewScanner(conn)
		lines.Scan() // EHLO
		cancel()
		for lines.Scan() {
			continue
		}
	}()
	started := time.Now()
	_, err = newMailer(t, "smtp://"+listener.Addr().String()).Send(ctx, letter())
	require.ErrorIs(t, err, context.Canceled)
	require.Less(t, time.Since(started), commandTimeout/2)
	<-ended
}

func TestMailer_NewMailer(t *testing.T) {
	t.Parallel()
	none, err := NewMailer("", "")
	require.NoError(t, err)
	require.Nil(t, none)
	require.False(t, none.Enabled())
	_, err = none.Send(t.Context(), letter())
	require.ErrorIs(t, err, ErrDisabled)

	for smtpURL, port := range map[string]int{
		"smtp://mail.example": 587, "smtps://mail.example": 465, "smtp://mail.example:25": 25, "smtps://[::1]:1465": 1465,
	} {
		require.Equal(t, port, newMailer(t, smtpURL).port)
	}
	for _, smtpURL := range []string{"mail.example:25", "http://u:hunter2@mail.example", "smtp://", "smtp://u:hunter2@:25", "smtp://u:hunter2@h:0", "smtp://u:hunter2@h:65536", "smtp://u:hunter2@h:x"} {
		_, err := NewMailer(smtpURL, sender)
		require.Error(t, err, smtpURL)
		require.NotContains(t, err.Error(), "hunter2")
	}
	_, err = NewMailer("smtp://mail.example", "posthorn")
	require.Error(t, err)
}
