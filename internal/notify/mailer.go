// Package notify tells a tenant's administrators by e-mail about their webhooks.
//
// It owns the texts and the connection to the mail server. It must not import the database or Temporal: other packages
// decide who gets a mail and when, and whether it has already been sent.
package notify

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
)

var (
	// ErrDisabled is returned by Send if no mail server is configured.
	ErrDisabled = errors.New("no mail server is configured")
	// ErrNoRecipients is returned for a mail without recipients.
	ErrNoRecipients = errors.New("the mail has no recipients")
	// ErrRefused is returned if the server permanently refused every recipient: sending again is useless.
	ErrRefused = errors.New("every recipient was refused")
)

const (
	// commandTimeout bounds connecting to the mail server, and each command after that.
	commandTimeout = 30 * time.Second

	submissionPort  = 587 // RFC 6409
	submissionsPort = 465 // RFC 8314, implicit TLS
)

// Mail is one message in two forms.
type Mail struct {
	// To holds the recipients. Each one gets a separate message and does not see the others.
	To []string
	// Subject may hold anything: characters that are not allowed in a header become blanks.
	Subject string
	Text    string
	// HTML may be empty.
	HTML string
	// MessageID is the same whenever the same notification is sent, so that mail programs show it once. It becomes a
	// Message-ID of the sender's domain. Empty means a random one.
	MessageID string
}

// Mailer sends mail through one SMTP server, with one connection for each Send. It is safe for concurrent use. A nil
// Mailer is legal and sends nothing.
type Mailer struct {
	host        string
	port        int
	implicitTLS bool
	user        string
	password    string
	from        *mail.Address
	tls         *tls.Config
}

// NewMailer returns a Mailer for smtpURL, "smtp[s]://user:pass@host:port", that sends as from; nil if smtpURL is
// empty.
//
// smtp (default port 587) uses STARTTLS if it is offered; smtps (default port 465) uses TLS from the start. Without a
// user there is no login. A password is never sent in clear, except to this machine itself.
func NewMailer(smtpURL, from string) (*Mailer, error) {
	if smtpURL == "" {
		return nil, nil //nolint:nilnil // a nil Mailer sends nothing
	}
	u, err := url.Parse(smtpURL)
	if err != nil || (u.Scheme != "smtp" && u.Scheme != "smtps") || u.Hostname() == "" {
		return nil, errors.New("the mail server must be smtp[s]://user:pass@host:port") // err would quote the password
	}
	sender, err := mail.ParseAddress(from)
	if err != nil {
		return nil, fmt.Errorf("the sender %q is not an e-mail address: %w", from, err)
	}
	if sender.Address, err = ASCIIAddress(sender.Address); err != nil {
		return nil, fmt.Errorf("the sender %q %w", from, err)
	}
	m := &Mailer{host: u.Hostname(), port: submissionPort, implicitTLS: u.Scheme == "smtps", from: sender, tls: tlsConfig(u)}
	if m.implicitTLS {
		m.port = submissionsPort
	}
	if text := u.Port(); text != "" {
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil || port == 0 {
			return nil, fmt.Errorf("the mail server's port %s is not valid", text)
		}
		m.port = int(port)
	}
	m.user = u.User.Username()
	m.password, _ = u.User.Password()
	return m, nil
}

// tlsConfig verifies the server's certificate wherever that protects anything. It does not on this machine itself, and
// not if TLS is used only because the server happens to offer it: an attacker who could forge the certificate could
// then also hide the offer, and refusing would mean sending in clear (RFC 7435, opportunistic security).
func tlsConfig(u *url.URL) *tls.Config {
	opportunistic := u.Scheme == "smtp" && u.User.Username() == ""
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         u.Hostname(),
		InsecureSkipVerify: opportunistic || isLoopback(u.Hostname()), //nolint:gosec // see above
	}
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// Enabled reports whether there is a mail server to send through.
func (m *Mailer) Enabled() bool { return m != nil }

// Receipt says for how many of a mail's recipients the server has accepted it. An address that is named twice counts
// once.
type Receipt struct{ Taken, Of int }

// Send delivers the mail to the server, one message per recipient, and returns without an error once the server has
// decided about each of them. A recipient whose address is invalid or permanently refused is left out, and missing in
// the receipt; if nobody is left, the error is ErrRefused. Any other error is worth another try: it sends to all
// again, with the same Message-ID.
func (m *Mailer) Send(ctx context.Context, letter Mail) (Receipt, error) {
	if !m.Enabled() {
		return Receipt{}, ErrDisabled
	}
	if len(letter.To) == 0 {
		return Receipt{}, ErrNoRecipients
	}
	messages, invalid, err := m.compose(letter)
	receipt := Receipt{Of: len(messages) + invalid}
	if err != nil {
		return receipt, err
	}
	if len(messages) == 0 {
		return receipt, fmt.Errorf("%w: no valid address among %d", ErrRefused, invalid)
	}
	if receipt.Taken, err = m.deliver(ctx, messages); err != nil {
		return receipt, fmt.Errorf("send mail: %w", err)
	}
	return receipt, nil
}

// compose makes a message for each recipient with a valid address, and counts the others.
func (m *Mailer) compose(letter Mail) (messages []*gomail.Msg, invalid int, err error) {
	seen := make(map[string]bool, len(letter.To))
	for _, to := range letter.To {
		recipient, err := mail.ParseAddress(to)
		if err == nil {
			recipient.Address, err = ASCIIAddress(recipient.Address)
		}
		if err != nil {
			invalid++
			continue
		}
		if key := strings.ToLower(recipient.Address); !seen[key] {
			seen[key] = true
			message, err := m.message(letter, recipient)
			if err != nil {
				return nil, invalid, err
			}
			messages = append(messages, message)
		}
	}
	return messages, invalid, nil
}

func (m *Mailer) message(letter Mail, to *mail.Address) (*gomail.Msg, error) {
	message := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := message.From(m.from.String()); err != nil {
		return nil, fmt.Errorf("set the sender: %w", err)
	}
	if err := message.To(to.String()); err != nil {
		return nil, fmt.Errorf("set the recipient: %w", err)
	}
	message.Subject(oneLine(letter.Subject))
	message.SetDate()
	if id := messageIDChars(letter.MessageID); id != "" {
		_, domain, _ := strings.Cut(m.from.Address, "@")
		message.SetMessageIDWithValue(id + "@" + domain)
	} else {
		message.SetMessageID()
	}
	message.SetGenHeader("Auto-Submitted", "auto-generated") // suppresses out-of-office answers (RFC 3834)
	message.SetBodyString(gomail.TypeTextPlain, letter.Text)
	if letter.HTML != "" {
		message.AddAlternativeString(gomail.TypeTextHTML, letter.HTML)
	}
	return message, nil
}

// messageIDChars removes from id what is not safe in a Message-ID.
func messageIDChars(id string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '+':
			return r
		case r == '.' || r == '/' || r == ':':
			return '-'
		default:
			return -1
		}
	}, id)
}

// deliver sends the messages and returns how many the server has accepted.
func (m *Mailer) deliver(ctx context.Context, messages []*gomail.Msg) (taken int, err error) {
	sending, done := context.WithCancel(ctx)
	defer done()
	client, err := m.newClient(sending)
	if err != nil {
		return 0, err
	}
	conn, err := client.DialToSMTPClientWithContext(sending)
	if err != nil {
		return 0, cmp.Or(ctx.Err(), fmt.Errorf("connect to the mail server: %w", err))
	}
	// Each message keeps its own error, so the joined one adds nothing; nor does a failure to close the connection.
	_ = client.SendWithSMTPClient(conn, messages...)
	_ = client.CloseWithSMTPClient(conn)
	return verdict(ctx, messages)
}

// newClient returns a client for one Send: unlike go-mail's own connections, its connection ends with ctx.
func (m *Mailer) newClient(ctx context.Context) (*gomail.Client, error) {
	options := []gomail.Option{
		gomail.WithPort(m.port),
		gomail.WithTimeout(commandTimeout),
		gomail.WithTLSConfig(m.tls),
		gomail.WithTLSPolicy(gomail.TLSOpportunistic),
		gomail.WithoutNoop(),
		gomail.WithDialContextFunc(func(dialing context.Context, network, address string) (net.Conn, error) {
			conn, err := m.dial(dialing, network, address)
			if err != nil {
				return nil, fmt.Errorf("dial: %w", err)
			}
			context.AfterFunc(ctx, func() { _ = conn.Close() })
			return conn, nil
		}),
	}
	if m.implicitTLS {
		options = append(options, gomail.WithSSL())
	}
	if m.user != "" {
		// go-mail refuses PLAIN and LOGIN on a connection in clear, unless it is to this machine.
		options = append(options, gomail.WithUsername(m.user), gomail.WithPassword(m.password), gomail.WithOpportunisticSMTPAuth(
			gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthSCRAMSHA1, gomail.SMTPAuthPlain, gomail.SMTPAuthLogin, gomail.SMTPAuthCramMD5))
	}
	client, err := gomail.NewClient(m.host, options...)
	if err != nil {
		return nil, fmt.Errorf("configure the mail client: %w", err)
	}
	return client, nil
}

func (m *Mailer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if m.implicitTLS {
		return (&tls.Dialer{Config: m.tls}).DialContext(ctx, network, address)
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// verdict sums up the results of the messages.
func verdict(ctx context.Context, messages []*gomail.Msg) (taken int, err error) {
	var refused, failed []error
	for _, message := range messages {
		err := message.SendError()
		switch {
		case message.IsDelivered(): // a later error does not matter
			taken++
		case isRefusal(err):
			refused = append(refused, withoutAddress(err))
		default:
			failed = append(failed, cmp.Or(withoutAddress(err), errors.New("the connection failed before the message was sent")))
		}
	}
	switch {
	case len(failed) > 0:
		return taken, cmp.Or(ctx.Err(), errors.Join(failed...))
	case len(refused) == len(messages):
		return 0, fmt.Errorf("%w: %w", ErrRefused, errors.Join(refused...))
	}
	return taken, nil
}

// isRefusal reports whether the server rejected the recipient, or the message to them, with a permanent (5xx) reply.
func isRefusal(err error) bool {
	sendErr, ok := errors.AsType[*gomail.SendError](err)
	return ok && sendErr.ErrorCode() >= 500 && (sendErr.Reason == gomail.ErrSMTPRcptTo || sendErr.Reason == gomail.ErrSMTPDataClose)
}

// withoutAddress returns what went wrong with a message, without its recipient: errors are logged, and appear in
// Temporal's histories. The server's own words may repeat the address, so only its codes are used.
func withoutAddress(err error) error {
	sendErr, ok := errors.AsType[*gomail.SendError](err)
	switch {
	case !ok:
		return err
	case sendErr.ErrorCode() == 0:
		return fmt.Errorf("%s failed", sendErr.Reason)
	}
	return fmt.Errorf("%s: the server answered %s", sendErr.Reason,
		strings.TrimSpace(strconv.Itoa(sendErr.ErrorCode())+" "+sendErr.EnhancedStatusCode()))
}
