package systems

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"github.com/posthorn/posthorn/internal/catalog"
	"github.com/posthorn/posthorn/internal/hooks"
	"github.com/posthorn/posthorn/models"
)

// Request is a request that is allowed: whose it is, and the use cases as the system needs them.
type Request struct {
	*gin.Context
	API    *API
	Who    hooks.Principal
	Tenant string
}

// Ctx is the request's context.
func (q *Request) Ctx() context.Context { return q.Request.Context() }

// MaySeeSecrets tells whether what the system's own API shows of a webhook's secret may be shown: a key that can only
// read must not be able to forge deliveries with what it reads.
func (q *Request) MaySeeSecrets() bool { return q.Who.May(q.Tenant) }

// Invalid refuses the request for one field.
func (q *Request) Invalid(field, format string, args ...any) error {
	return &Refusal{Status: q.API.Invalid, Message: "the request is not valid",
		Fields: []hooks.FieldError{{Field: field, Message: fmt.Sprintf(format, args...)}}}
}

// Int reads a whole number from the query. "" and absence are otherwise.
func (q *Request) Int(name string, otherwise, least, most int) (int, error) {
	text := q.Query(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, q.Invalid(name, "must be a whole number from %d to %d", least, most)
	}
	return n, nil
}

// EventNames are the event types of the system that webhooks can be registered for.
func (q *Request) EventNames() []string {
	listed, _ := catalog.Load(q.API.System)
	var names []string
	for _, t := range listed {
		if !t.TestOnly {
			names = append(names, t.Name)
		}
	}
	return names
}

// Events are the event types that a webhook gets, by name: those it names, and those of the system's catalogue that
// its wildcards cover, or every type if it names none.
func (q *Request) Events(w *models.Webhook) []string {
	names := []string{}
	for _, name := range w.EventTypes {
		if name != models.NoEventTypes && !strings.HasSuffix(name, "*") {
			names = append(names, name)
		}
	}
	for _, name := range q.EventNames() {
		if w.Wants(name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// CheckEvents refuses names that are no event types of the system, and an empty list: it would mean every type.
func (q *Request) CheckEvents(field string, names []string) error {
	known := q.EventNames()
	if len(names) == 0 {
		return q.Invalid(field, "must name at least one event")
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return q.Invalid(field, "must be of %s", strings.Join(known, ", "))
		}
	}
	return nil
}

// ID is a webhook's id as the systems show it: the bare UUID that their clients expect.
func ID(w *models.Webhook) string { return strings.TrimPrefix(w.ID, models.PrefixWebhook) }

// Webhook reads a webhook of this system by its id, with or without Posthorn's prefix.
func (q *Request) Webhook(id string) (models.Webhook, error) {
	none := hooks.Refuse(hooks.NotFound, "there is no such webhook")
	id = models.PrefixWebhook + strings.TrimPrefix(strings.ToLower(id), models.PrefixWebhook)
	if !models.HasIDForm(models.PrefixWebhook, id) {
		return models.Webhook{}, none
	}
	w, err := q.API.Hooks.Webhook(q.Ctx(), q.Tenant, id)
	if err == nil && w.Profile != q.API.System {
		return models.Webhook{}, none
	}
	return w, err
}

// Webhooks gives all of the tenant's webhooks of this system, oldest first.
func (q *Request) Webhooks() ([]models.Webhook, error) {
	return q.API.Hooks.SystemWebhooks(q.Ctx(), q.Tenant, q.API.System)
}

// Create registers a webhook of this system.
func (q *Request) Create(c hooks.WebhookChange) (w models.Webhook, err error) {
	c.Profile, c.By = q.API.System, q.Who.Name
	err = q.API.Hooks.WithCatalog(q.Ctx(), q.Tenant, q.API.System, func() error {
		w, _, err = q.API.Hooks.CreateWebhook(q.Ctx(), q.Tenant, c)
		return err
	})
	return w, err
}

// Update changes a webhook of this system. Active is left alone where it is so already, so that saving a webhook as
// it was neither resumes nor disables it.
func (q *Request) Update(w models.Webhook, c hooks.WebhookChange) (models.Webhook, error) {
	id := w.ID
	c.By = q.Who.Name
	if c.Active != nil && *c.Active == (w.Status == models.WebhookActive) {
		c.Active = nil
	}
	err := q.API.Hooks.WithCatalog(q.Ctx(), q.Tenant, q.API.System, func() (err error) {
		w, err = q.API.Hooks.UpdateWebhook(q.Ctx(), q.Tenant, id, c)
		return err
	})
	return w, err
}

// BaseURL is where the installation is reached, for links in answers.
func (q *Request) BaseURL() string {
	switch {
	case q.API.PublicURL != "":
		return q.API.PublicURL
	case q.API.Gate.Secure(q.Request):
		return "https://" + q.Request.Host
	}
	return "http://" + q.Request.Host
}

// Slice takes limit of all after the first offset.
func Slice[T any](all []T, offset, limit int) []T {
	offset = min(offset, len(all))
	return all[offset:min(offset+limit, len(all))]
}

// Plain tells whether a text can be looked up in every database.
func Plain(text string) bool { return utf8.ValidString(text) && !strings.ContainsRune(text, 0) }
