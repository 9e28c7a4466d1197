package workflows_test

import (
	"context"
	"errors"
	"sync"

	"github.com/posthorn/posthorn/internal/notify"
)

// mailer is a mail server that is down for the first mails.
type mailer struct {
	mu       sync.Mutex
	down     int
	refusals int
	sent     []notify.Mail
}

func (m *mailer) Enabled() bool { return true }

func (m *mailer) Send(_ context.Context, mail notify.Mail) (notify.Receipt, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down > 0 {
		m.down--
		m.refusals++
		return notify.Receipt{Of: len(mail.To)}, errors.New("the mail server is down")
	}
	m.sent = append(m.sent, mail)
	return notify.Receipt{Taken: len(mail.To), Of: len(mail.To)}, nil
}

// subjects returns the subjects of the sent mails.
func (m *mailer) subjects() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []string
	for _, mail := range m.sent {
		all = append(all, mail.Subject)
	}
	return all
}
