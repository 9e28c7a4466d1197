package worker

import (
	"context"
	"log/slog"
	"time"

	"github.com/posthorn/posthorn/internal/fault"
	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/internal/panics"
	"github.com/posthorn/posthorn/internal/pause"
	"github.com/posthorn/posthorn/models"
)

// BatchStore is the part of models.Store that Batches needs.
type BatchStore interface {
	NextBatchTenant(ctx context.Context, after string) (tenant string, err error)
	RunBatch(ctx context.Context, tenant string) (models.BatchPage, error)
}

// BatchEngine is the part of internal/engine that Batches needs.
type BatchEngine interface {
	// AdmitLater takes room for n deliveries of a tenant, if there is any. Withdraw or Queue must follow for each.
	AdmitLater(tenant string, n int) bool
	Withdraw(tenant string, n int)
	Queue(work []handoff.Work)
}

// Batches stores the deliveries of batches that wait in the database, page by page, as soon as this process has room
// for them, and queues them. Every worker runs one, without a leader. Tenants take turns.
type Batches struct {
	Store  BatchStore
	Engine BatchEngine
	Log    *slog.Logger

	tenant string // whose turn was the last
	made   bool   // a page, since the first tenant's turn
}

const (
	// batchesIdle is the time between two checks while there are no batches.
	batchesIdle = 500 * time.Millisecond
	// batchesFull is the time between two checks while there is no room.
	batchesFull = 50 * time.Millisecond
)

// Run does pages until ctx ends.
func (b *Batches) Run(ctx context.Context) {
	for ctx.Err() == nil {
		wait := batchesIdle // after a panic
		panics.Safely("a page of a batch", func() { wait = b.turn(ctx) })
		_ = pause.For(ctx, wait)
	}
}

// turn does a page of the next tenant's, if there is room for it, and returns how long to wait before the next.
func (b *Batches) turn(ctx context.Context) time.Duration {
	tenant, err := b.Store.NextBatchTenant(ctx, b.tenant)
	switch {
	case err != nil:
		return b.failed(ctx, tenant, err)
	case tenant == "" && b.tenant == "":
		return batchesIdle
	case tenant == "": // each has had its turn
		made := b.made
		b.tenant, b.made = "", false
		if made {
			return 0
		}
		return batchesFull
	}
	b.tenant = tenant
	if !b.Engine.AdmitLater(tenant, models.BatchRows) {
		return 0
	}
	queued := 0
	defer func() { b.Engine.Withdraw(tenant, models.BatchRows-queued) }()
	page, err := b.Store.RunBatch(ctx, tenant)
	if err != nil {
		return b.failed(ctx, tenant, err)
	}
	fault.Point("after-page")
	b.made = b.made || page.BatchID != ""
	if len(page.Owed) > 0 {
		work := make([]handoff.Work, len(page.Owed))
		for i, d := range page.Owed {
			work[i] = handoff.Work{Delivery: d, Event: page.Events[models.DeliveryKey{Tenant: d.Tenant, ID: d.EventID}]}
		}
		queued = len(work)
		b.Engine.Queue(work)
	}
	if page.Done {
		b.Log.DebugContext(ctx, "the deliveries of a batch are stored", "batch", page.BatchID, "tenant", tenant)
	}
	return 0
}

func (b *Batches) failed(ctx context.Context, tenant string, err error) time.Duration {
	if ctx.Err() == nil {
		b.Log.WarnContext(ctx, "a page of a batch failed; it is made again later", "tenant", tenant, "error", err)
	}
	return batchesIdle
}
