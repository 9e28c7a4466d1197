package systems

import (
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// shownField keeps in the Gin context the ids of the webhooks whose secrets the answer shows.
const shownField = "systems.shown"

// Secret gives a webhook's newest signing secret for the answer; "" if it has none, or the key may not see it. The handler
// calls NoteShown before it answers.
func (q *Request) Secret(w *models.Webhook) (string, error) {
	if !q.MaySeeSecrets() {
		return "", nil
	}
	secret, err := q.API.Hooks.Secret(w)
	if secret != "" {
		q.Set(shownField, append(q.GetStringSlice(shownField), w.ID))
	}
	return secret, err
}

// URL gives a receiver's URL for the answer: without its query, which often holds a token, for a key that may only read.
func (q *Request) URL(whole string) string {
	if q.MaySeeSecrets() {
		return whole
	}
	return service.URLWithoutQuery(whole)
}

// NoteShown logs whose secrets the answer is about to show, all of them in one entry.
func (q *Request) NoteShown() error {
	return q.API.Hooks.NoteShown(q.Ctx(), q.Tenant, q.GetStringSlice(shownField)...)
}
