package systems

import (
	"maps"
	"slices"
	"strings"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/wire"
	"github.com/posthorn/posthorn/models"
)

// Create registers a webhook of this system, or returns everything that is wrong with the request.
func (q *Request) Create(c service.WebhookChange) (w models.Webhook, err error) {
	c.Profile, c.By = q.API.System, q.Who.Name
	if c.Secret != nil && *c.Secret == wire.Masked {
		q.Problemf(q.API.fieldName("secret"), "must be the secret itself, not its mask")
	}
	if err := q.check(c); err != nil {
		return w, err
	}
	err = q.API.Service.WithCatalog(q.Ctx(), q.Tenant, c, func() error {
		w, _, err = q.API.Service.CreateWebhook(q.Ctx(), q.Tenant, c)
		return err
	})
	return w, err
}

// Update changes a webhook of this system, or returns everything that is wrong with the request. Sending a webhook
// back as it was read changes nothing.
func (q *Request) Update(w models.Webhook, c service.WebhookChange) (models.Webhook, error) {
	id := w.ID
	c.Profile, c.By = q.API.System, q.Who.Name
	q.sameID(&w)
	if err := q.keep(&w, &c); err != nil {
		return w, err
	}
	if err := q.check(c); err != nil || nothing(&c) {
		return w, err
	}
	err := q.API.Service.WithCatalog(q.Ctx(), q.Tenant, c, func() (err error) {
		w, err = q.API.Service.UpdateWebhook(q.Ctx(), q.Tenant, id, c)
		return err
	})
	return w, err
}

// CheckURL returns everything that is wrong with a request that contains a receiver's URL, which need not belong to a
// webhook.
func (q *Request) CheckURL(address *string) error {
	if address == nil {
		return q.Err()
	}
	return q.check(service.WebhookChange{Profile: q.API.System, URL: address})
}

// sameID refuses an id in the body that differs from the path's.
func (q *Request) sameID(w *models.Webhook) {
	for i := range q.operation.Fields {
		f := &q.operation.Fields[i]
		if id := q.In.Text(f.Name); f.Identity && id != nil && *id != ID(w) && *id != w.ID {
			q.Problemf(f.Name, "is not the id of this webhook")
		}
	}
}

// keep removes from a change what already is so. Saving an unchanged webhook then neither resumes nor disables it,
// ends no overlap of secrets, and does not count as a change. A mask stands for the current secret.
func (q *Request) keep(w *models.Webhook, c *service.WebhookChange) error {
	drop(&c.URL, w.URL)
	drop(&c.Name, w.Name)
	drop(&c.Description, w.Description)
	if c.EventTypes != nil && (slices.Equal(*c.EventTypes, w.EventTypes) || slices.Equal(*c.EventTypes, q.Events(w))) {
		c.EventTypes = nil
	}
	if c.Settings != nil && maps.Equal(c.Settings, w.Settings) {
		c.Settings = nil
	}
	if c.Active != nil && *c.Active == (w.Status == models.WebhookActive) {
		c.Active = nil
	}
	if c.Secret == nil {
		return nil
	}
	drop(&c.Secret, wire.Masked)
	secret, err := q.API.Service.Secret(w)
	drop(&c.Secret, secret)
	return err
}

func drop(change **string, has string) {
	if *change != nil && **change == has {
		*change = nil
	}
}

func nothing(c *service.WebhookChange) bool {
	return c.URL == nil && c.Name == nil && c.Description == nil && c.EventTypes == nil && c.Settings == nil && c.Active == nil &&
		c.Secret == nil && c.Timeout == nil
}

// check reports what is wrong with the request: what reading it found, and what the webhook rules find in the rest.
func (q *Request) check(c service.WebhookChange) error {
	found, err := q.API.Service.CheckWebhook(q.Ctx(), q.Tenant, c)
	if err != nil {
		return err
	}
	for _, f := range found {
		field := q.API.fieldName(f.Field)
		if base, _, _ := strings.Cut(field, "["); !q.blames(base) {
			q.Problemf(field, "%s", f.Message)
		}
	}
	return q.Err()
}
