package systems

import (
	"context"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/posthorn/posthorn/internal/catalog"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// Request is an authorized request, with the use cases in the form that the systems need.
type Request struct {
	*gin.Context
	API    *API
	Who    service.Principal
	Tenant string
	In     Values // the values of the operation's fields

	arrived   []byte // the body, or its first MaxBody+1 bytes
	operation *Operation
	problems  []service.FieldError
}

// Ctx returns the request's context.
func (q *Request) Ctx() context.Context { return q.Request.Context() }

// MaySeeSecrets reports whether the answer may show what the system's API shows of a webhook's secret. A key that can
// only read must not be able to forge deliveries.
func (q *Request) MaySeeSecrets() bool { return q.Who.May(q.Tenant) }

// EventNames returns the event types of the system that webhooks can be registered for.
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

// Events returns the names of the event types that a webhook gets: those it names, and those in the system's catalogue
// that its wildcards match, or every type if it names none.
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

// CheckEvents reports names that are not event types of the system, and an empty list, which would mean every type. A
// webhook may keep the types that it has, whatever they are. w is nil if there is no webhook yet.
func (q *Request) CheckEvents(field string, names []string, w *models.Webhook) {
	known := q.EventNames()
	if w != nil {
		has := q.Events(w)
		if slices.Equal(names, has) {
			return
		}
		for _, name := range has {
			if !slices.Contains(known, name) {
				known = append(known, name)
			}
		}
	}
	if len(names) == 0 {
		q.Problemf(field, "must name at least one event")
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			q.Problemf(field, "must be of %s", strings.Join(known, ", "))
			return
		}
	}
}

// ID returns a webhook's id as the systems show it: the bare UUID that their clients expect.
func ID(w *models.Webhook) string { return strings.TrimPrefix(w.ID, models.PrefixWebhook) }

// Webhook reads the webhook of this system whose id is in a path parameter, with or without Posthorn's prefix.
func (q *Request) Webhook(param string) (models.Webhook, error) {
	none := service.Refuse(service.NotFound, "there is no such webhook")
	id := q.Param(param)
	id = models.PrefixWebhook + strings.TrimPrefix(strings.ToLower(id), models.PrefixWebhook)
	if !models.HasIDForm(models.PrefixWebhook, id) {
		return models.Webhook{}, none
	}
	w, err := q.API.Service.Webhook(q.Ctx(), q.Tenant, id)
	if err == nil && w.Profile != q.API.System {
		return models.Webhook{}, none
	}
	return w, err
}

// Webhooks returns all webhooks of this system in the tenant, oldest first.
func (q *Request) Webhooks() ([]models.Webhook, error) {
	return q.API.Service.SystemWebhooks(q.Ctx(), q.Tenant, q.API.System)
}

// BaseURL returns the installation's base URL for links in answers.
func (q *Request) BaseURL() string {
	switch {
	case q.API.PublicURL != "":
		return q.API.PublicURL
	case q.API.Gate.Secure(q.Request):
		return "https://" + q.Request.Host
	}
	return "http://" + q.Request.Host
}

// Contains reports whether text contains part, ignoring case.
func Contains(text, part string) bool {
	return strings.Contains(strings.ToLower(text), strings.ToLower(part))
}

// Slice returns limit entries of all, starting at offset.
func Slice[T any](all []T, offset, limit int) []T {
	offset = min(offset, len(all))
	return all[offset:min(offset+limit, len(all))]
}
