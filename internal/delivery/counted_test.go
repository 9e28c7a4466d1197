package delivery_test

import (
	"context"
	"sync"

	"github.com/posthorn/posthorn/models"
)

// counted is a store that counts the calls it gets.
type counted struct {
	*models.Store
	mu    sync.Mutex
	calls map[string]int
	rows  int // handed to SetAside
}

func (b *bundle) count() *counted {
	c := &counted{Store: b.Env.Store, calls: map[string]int{}}
	b.Courier.Store = c
	return c
}

func (c *counted) called(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[what]++
}

// take returns the calls so far, and resets the count.
func (c *counted) take() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	calls := c.calls
	c.calls = map[string]int{}
	return calls
}

func (c *counted) Dispatch(ctx context.Context, id string) (models.Dispatch, error) {
	c.called("Dispatch")
	return c.Store.Dispatch(ctx, id)
}

func (c *counted) Delivery(ctx context.Context, tenant, id string) (models.Delivery, error) {
	c.called("Delivery")
	return c.Store.Delivery(ctx, tenant, id)
}

func (c *counted) DeliveriesByID(ctx context.Context, keys []models.DeliveryKey) ([]models.Delivery, error) {
	c.called("DeliveriesByID")
	return c.Store.DeliveriesByID(ctx, keys)
}

func (c *counted) EventsByID(ctx context.Context, keys []models.DeliveryKey) (map[models.DeliveryKey]*models.Event, error) {
	c.called("EventsByID")
	return c.Store.EventsByID(ctx, keys)
}

func (c *counted) SetAside(ctx context.Context, deliveries []models.Delivery) ([]models.DeliveryKey, error) {
	c.called("SetAside")
	c.rows += len(deliveries)
	return c.Store.SetAside(ctx, deliveries)
}

func (c *counted) Postpone(ctx context.Context, deliveries []models.Postponed) error {
	c.called("Postpone")
	return c.Store.Postpone(ctx, deliveries)
}

func (c *counted) FinishDispatch(ctx context.Context, id string) error {
	c.called("FinishDispatch")
	return c.Store.FinishDispatch(ctx, id)
}
