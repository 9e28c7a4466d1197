package worker

import (
	"context"
	"log/slog"
	"time"

	"github.com/posthorn/posthorn/internal/fault"
	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/internal/panics"
	"github.com/posthorn/posthorn/models"
)

// BatchStore is the part of models.Store that Batches needs.
type BatchStore interface {
	NextBatchTenant(ctx context.Context, after string) (tenant string, err error)
	RunBatch(ctx context.Context, tenant string, most int) (models.BatchPage, error)
	// LetGo lets others take over the deliveries that this process holds and has not started.
	LetGo()
}

// BatchEngine is the part of internal/engine that Batches needs.
type BatchEngine interface {
	// LaterPage returns how many deliveries a page may have now; 0 = there is no room for any.
	LaterPage() int
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
	Now    func() time.Time
	// Due has room for one signal, and gets it while a batch waits. Without a signal, an idle loop looks again after untilDue.
	Due chan struct{}

	tenant  string               // whose turn was the last
	made    bool                 // a page, since the first tenant's turn
	refused int                  // turns without a page, since the last page or pause
	failed  map[string]time.Time // until when a tenant is left out
}

const (
	// batchesFailed is the pause after a look that failed.
	batchesFailed = 500 * time.Millisecond
	// batchesFull is the time between two checks while there is no room, and refusedMost how many tenants may have none
	// in between.
	batchesFull = 50 * time.Millisecond
	refusedMost = 20
	// failedFor is how long a tenant whose page has failed is left out, and failedMost how many tenants are.
	failedFor  = time.Second
	failedMost = 1000
)

// Run does pages until ctx ends.
func (b *Batches) Run(ctx context.Context) {
	for ctx.Err() == nil {
		wait := batchesFailed // after a panic
		panics.Safely("a page of a batch", func() { wait = b.turn(ctx) })
		rest(ctx, wait, b.Due)
	}
}

// turn does a page of the next tenant's, if there is room for it, and returns how long to rest before the next.
func (b *Batches) turn(ctx context.Context) time.Duration {
	most := b.Engine.LaterPage()
	if most == 0 {
		return batchesFull
	}
	tenant, err := b.Store.NextBatchTenant(ctx, b.tenant)
	switch {
	case err != nil:
		if ctx.Err() == nil {
			b.Log.WarnContext(ctx, "batches not found; they are looked for again", "error", err)
		}
		return batchesFailed
	case tenant == "" && b.tenant == "":
		return untilDue
	case tenant == "": // each has had its turn
		made := b.made
		b.tenant, b.made = "", false
		if made {
			return 0
		}
		return batchesFull
	}
	b.tenant = tenant
	b.refused++
	if !b.Now().Before(b.failed[tenant]) && b.Engine.AdmitLater(tenant, most) {
		delete(b.failed, tenant)
		b.page(ctx, tenant, most)
	}
	if b.refused < refusedMost {
		return 0
	}
	b.refused = 0
	return batchesFull
}

// page does a page of a tenant's batch, for which there is room. If it fails the other tenants go on.
func (b *Batches) page(ctx context.Context, tenant string, most int) {
	queued, known := 0, false
	defer func() {
		b.Engine.Withdraw(tenant, most-queued)
		if !known { // this process may hold deliveries that it does not know of
			b.leaveOut(tenant)
			b.Store.LetGo()
		}
	}()
	page, err := b.Store.RunBatch(ctx, tenant, most)
	if err != nil {
		b.leaveOut(tenant)
		known = !models.IsOutage(err) // it was not committed
		if ctx.Err() == nil {
			b.Log.WarnContext(ctx, "a page of a batch failed; it is made again later", "tenant", tenant, "error", err)
		}
		return
	}
	fault.Point("after-page")
	work := make([]handoff.Work, len(page.Owed))
	for i, d := range page.Owed {
		work[i] = handoff.Work{Delivery: d, Event: page.Events[models.DeliveryKey{Tenant: d.Tenant, ID: d.EventID}]}
	}
	queued = len(work)
	b.Engine.Queue(work)
	known = true
	if page.BatchID != "" { // else other processes work on all that the tenant has
		b.refused, b.made = 0, true
	}
}

// leaveOut leaves a tenant out for a while.
func (b *Batches) leaveOut(tenant string) {
	if b.failed == nil || len(b.failed) >= failedMost {
		b.failed = map[string]time.Time{}
	}
	b.failed[tenant] = b.Now().Add(failedFor)
}
