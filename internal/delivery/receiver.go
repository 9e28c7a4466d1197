package delivery

import (
	"context"
	"errors"
	"sync"

	"github.com/posthorn/posthorn/internal/service"
)

// errGone means that a webhook has been deleted.
var errGone = errors.New("the webhook has been deleted")

// goneMost bounds how many deleted webhooks are remembered.
const goneMost = 10_000

// gone remembers deleted webhooks; a deletion is final. Asking the database for each of their deliveries would cost as
// much as their backlog is long. The zero value is ready.
type gone struct {
	mu  sync.Mutex
	ids map[string]bool
}

func (g *gone) has(webhookID string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ids[webhookID]
}

func (g *gone) add(webhookID string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ids == nil || len(g.ids) >= goneMost {
		g.ids = map[string]bool{}
	}
	g.ids[webhookID] = true
}

// receiver returns a delivery's webhook as it was at most a second ago: errGone if it has been deleted,
// service.ErrSealed if its secrets cannot be opened.
func (c *Courier) receiver(ctx context.Context, tenant, webhookID string) (*service.Receiver, error) {
	if c.gone.has(webhookID) {
		return nil, errGone
	}
	r, err := c.Service.Receiver(ctx, tenant, webhookID)
	if refused, ok := errors.AsType[*service.Error](err); ok && refused.Code == service.NotFound {
		c.gone.add(webhookID)
		return nil, errGone
	}
	return r, err
}
