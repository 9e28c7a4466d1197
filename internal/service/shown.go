package service

import (
	"net/url"

	"github.com/posthorn/posthorn/models"
)

// URLWithoutQuery returns a webhook's URL for callers that may not see its query, which often holds a token: scheme,
// host and path.
func URLWithoutQuery(raw string) string { return models.AuditURL(raw) }

// URLOrigin returns a webhook's URL for callers that may only see where it leads: scheme and host.
func URLOrigin(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host}).String()
}
