package systems

import (
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// shownField is the key in the Gin context under which the ids of webhooks are kept whose secrets the answer shows.
const shownField = "systems.shown"

// Secret returns a webhook's newest signing secret for the answer; "" if it has none or the key may not see it. The
// handler must call NoteShown before it answers.
func (q *Request) Secret(w *models.Webhook) (string, error) {
	if !q.MaySeeSecrets() {
		return "", nil
	}
	secret, err := q.API.Service.Secret(w)
	if secret != "" {
		q.Set(shownField, append(q.GetStringSlice(shownField), w.ID))
	}
	return secret, err
}

// URL returns a receiver's URL for the answer. A key that may only read gets it without its query, which often holds a
// token.
func (q *Request) URL(whole string) string {
	if q.MaySeeSecrets() {
		return whole
	}
	return service.URLWithoutQuery(whole)
}

// NoteShown audits that the answer shows secrets. One entry names all their webhooks.
func (q *Request) NoteShown() error {
	return q.API.Service.NoteShown(q.Ctx(), q.Tenant, q.GetStringSlice(shownField)...)
}
