// Package smtptest is a mail server for tests: it speaks SMTP on a free port of this machine and keeps what it receives.
//
// It must be imported by tests only.
package smtptest

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// Config of a Server. The zero value accepts everything, in clear.
type Config struct {
	// User and Password must be given at login, if User is set.
	User, Password string
	// TLS offers STARTTLS, or with Implicit speaks TLS from the start.
	TLS      *tls.Config
	Implicit bool
	// Rcpt and Data decide about a recipient or a message: an error, such as *smtp.SMTPError, is the reply.
	Rcpt func(to string) error
	Data func(to string) error
}

// Message is one received mail.
type Message struct {
	From, To string // of the envelope
	Header   mail.Header
	// Subject is decoded. Text and HTML are the decoded parts.
	Subject, Text, HTML string
	// TLS and User tell how it came.
	TLS  bool
	User string
}

// Server is a running mail server.
type Server struct {
	// Addr is the server's address, as host:port.
	Addr string
	// Messages delivers what arrives, in order. It holds 1,000 before senders wait.
	Messages <-chan Message
}

// New starts a Server that stops with the test.
func New(tb testing.TB, cfg Config) *Server {
	tb.Helper()
	listener, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	addr := listener.Addr().String()
	if cfg.Implicit {
		listener = tls.NewListener(listener, cfg.TLS)
	}
	messages := make(chan Message, 1000)
	server := smtp.NewServer(smtp.BackendFunc(func(conn *smtp.Conn) (smtp.Session, error) {
		session := &session{cfg: cfg, conn: conn, messages: messages}
		if cfg.User != "" {
			return &authSession{session}, nil
		}
		return session, nil
	}))
	server.Domain = "localhost"
	server.ErrorLog = log.New(io.Discard, "", 0) // it would tell of clients that hang up, which tests do
	server.AllowInsecureAuth = true
	if !cfg.Implicit {
		server.TLSConfig = cfg.TLS
	}
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(listener) }) // it ends with an error when it is closed
	tb.Cleanup(func() {
		_ = listener.Close() // the server does not know its listener yet if it has not come to run
		_ = server.Close()
		running.Wait()
	})
	return &Server{Addr: addr, Messages: messages}
}

type session struct {
	cfg      Config
	conn     *smtp.Conn
	messages chan<- Message
	message  Message
	user     string
}

var _ smtp.Session = (*session)(nil)

func (s *session) Reset()        { s.message = Message{} }
func (s *session) Logout() error { return nil }

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if s.cfg.User != "" && s.user == "" {
		return smtp.ErrAuthRequired
	}
	s.message.From = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if s.cfg.Rcpt != nil {
		if err := s.cfg.Rcpt(to); err != nil {
			return err
		}
	}
	s.message.To = to
	return nil
}

func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("read the message: %w", err)
	}
	if s.cfg.Data != nil {
		if err := s.cfg.Data(s.message.To); err != nil {
			return err
		}
	}
	message := s.message
	_, message.TLS = s.conn.TLSConnectionState()
	message.User = s.user
	if err := message.parse(raw); err != nil {
		return err
	}
	s.messages <- message
	return nil
}

// authSession is a session of a server that wants a login.
type authSession struct{ *session }

var _ smtp.AuthSession = (*authSession)(nil)

func (s *authSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *authSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != s.cfg.User || password != s.cfg.Password {
			return smtp.ErrAuthFailed
		}
		s.user = user
		return nil
	}), nil
}

func (m *Message) parse(raw []byte) error {
	parsed, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return fmt.Errorf("parse the message: %w", err)
	}
	m.Header = parsed.Header
	if m.Subject, err = new(mime.WordDecoder).DecodeHeader(parsed.Header.Get("Subject")); err != nil {
		return fmt.Errorf("decode the subject: %w", err)
	}
	return m.parsePart(parsed.Header.Get("Content-Type"), parsed.Header.Get("Content-Transfer-Encoding"), parsed.Body)
}

func (m *Message) parsePart(contentType, encoding string, body io.Reader) error {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return fmt.Errorf("parse the content type %q: %w", contentType, err)
	}
	if strings.HasPrefix(kind, "multipart/") {
		reader := multipart.NewReader(body, params["boundary"])
		for {
			part, err := reader.NextRawPart()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("read a part: %w", err)
			}
			if err := m.parsePart(part.Header.Get("Content-Type"), part.Header.Get("Content-Transfer-Encoding"), part); err != nil {
				return err
			}
		}
	}
	if strings.EqualFold(encoding, "quoted-printable") {
		body = quotedprintable.NewReader(body)
	}
	decoded, err := io.ReadAll(body)
	if err != nil {
		return fmt.Errorf("decode %s: %w", kind, err)
	}
	text := strings.ReplaceAll(string(decoded), "\r\n", "\n")
	if kind == "text/html" {
		m.HTML = text
	} else {
		m.Text = text
	}
	return nil
}
