package delivery

import (
	"context"
	"errors"
	"sync"

	"github.com/posthorn/posthorn/internal/service"
)

// errDeleted means that a webhook has been deleted.
var errDeleted = errors.New("the webhook has been deleted")

// deletedMost bounds how many deleted webhooks are remembered.
const deletedMost = 10_000

// deleted remembers deleted webhooks; a deletion is final. Asking the database for each of their deliveries would cost as
// much as their backlog is long. The zero value is ready.
type deleted struct {
	mu  sync.Mutex
	ids map[string]bool
}

func (d *deleted) has(webhookID string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ids[webhookID]
}

func (d *deleted) add(webhookID string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ids == nil || len(d.ids) >= deletedMost {
		d.ids = map[string]bool{}
	}
	d.ids[webhookID] = true
}

// receiver returns a delivery's webhook as it was at most a second ago: errDeleted if it has been deleted,
// service.ErrSealed if its secrets cannot be opened.
func (c *Courier) receiver(ctx context.Context, tenant, webhookID string) (*service.Receiver, error) {
	if c.deleted.has(webhookID) {
		return nil, errDeleted
	}
	r, err := c.Service.Receiver(ctx, tenant, webhookID)
	if refused, ok := errors.AsType[*service.Error](err); ok && refused.Code == service.NotFound {
		c.deleted.add(webhookID)
		return nil, errDeleted
	}
	return r, err
}
