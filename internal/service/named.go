package service

import "github.com/posthorn/posthorn/internal/sender"

// Named returns a webhook's name and the host of its URL as this process last knew them; "" = unknown. It never
// queries the database.
func (s *Service) Named(tenant, webhookID string) (name, host string) {
	v, ok := s.directory.views.Get(tenant)
	if !ok {
		return "", ""
	}
	e, ok := v.webhooks[webhookID]
	if !ok {
		return "", ""
	}
	return e.webhook.Name, sender.Host(e.webhook.URL)
}
