package service

import (
	"context"
	"strings"

	"github.com/posthorn/posthorn/models"
)

// Recipients are webhooks that an event can be sent to again.
type Recipients struct {
	Webhooks []models.Webhook
	More     bool  // than are listed
	Matching int64 // whatever the text
}

// Recipients lists the webhooks that match an event now and whose name, URL, id or uid contains a text, whatever its case. It lists
// at most so many.
func (s *Service) Recipients(ctx context.Context, e *models.Event, text string, most int) (r Recipients, err error) {
	v, err := s.directory.load(ctx, e.Tenant)
	if err != nil {
		return r, err
	}
	matching := v.match(e.Type, e.Channels)
	r.Matching = int64(len(matching))
	text = strings.ToLower(text)
	for _, entry := range matching {
		w := &entry.webhook
		if text != "" && !strings.Contains(strings.ToLower(strings.Join([]string{w.Name, w.URL, w.ID, w.UID}, "\n")), text) {
			continue
		}
		if len(r.Webhooks) == most {
			r.More = true
			return r, nil
		}
		r.Webhooks = append(r.Webhooks, *w)
	}
	return r, nil
}
