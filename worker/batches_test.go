package worker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/worker"
)

// batches are tenants' pages, in memory. A page of a tenant has one delivery less than a page may have.
type batches struct {
	mu    sync.Mutex
	pages map[string]int
	fail  map[string]error // the next page of a tenant
	panic bool             // at the next page
	turns []string         // whose pages were made
	asked int
	most  int // pages whose deliveries may wait
	room  map[string]int
	n     int // deliveries that wait
	away  bool
	letGo int
	due   chan struct{}
}

func (b *batches) NextBatchTenant(_ context.Context, after string) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	var next []string
	for tenant, n := range b.pages {
		if n > 0 && tenant > after {
			next = append(next, tenant)
		}
	}
	if len(next) == 0 {
		return "", nil
	}
	return slices.Min(next), nil
}

func (b *batches) RunBatch(_ context.Context, tenant string, most int) (models.BatchPage, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.panic {
		b.panic = false
		panic("the cat sat on the keyboard")
	}
	if err := b.fail[tenant]; err != nil {
		delete(b.fail, tenant)
		return models.BatchPage{}, err
	}
	b.turns = append(b.turns, tenant)
	b.pages[tenant]--
	page := models.BatchPage{BatchID: "bat_1", Done: true, Rows: most - 1, Events: map[models.DeliveryKey]*models.Event{}}
	for i := range page.Rows {
		d := models.Delivery{Tenant: tenant, ID: fmt.Sprint("dlv_", i), EventID: fmt.Sprint("evt_", i)}
		page.Owed = append(page.Owed, d)
		page.Events[models.DeliveryKey{Tenant: tenant, ID: d.EventID}] = &models.Event{ID: d.EventID}
	}
	return page, nil
}

func (b *batches) LetGo() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.letGo++
}

func (b *batches) LaterPage() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away {
		return 0
	}
	return models.BatchRows
}

func (b *batches) AdmitLater(tenant string, n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.room[tenant]+n > b.most*models.BatchRows {
		return false
	}
	b.room[tenant] += n
	return true
}

func (b *batches) Withdraw(tenant string, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.room[tenant] -= n
}

func (b *batches) Queue(work []handoff.Work) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range work {
		if w.Event.ID == w.Delivery.EventID {
			b.n++
		}
	}
}

// running runs the loop for a while, in a bubble.
func (b *batches) running(t *testing.T, d time.Duration, meanwhile func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	loop := &worker.Batches{Store: b, Engine: b, Log: slog.New(slog.DiscardHandler), Now: time.Now, Due: b.due}
	done := make(chan struct{})
	go func() {
		defer close(done)
		loop.Run(ctx)
	}()
	time.Sleep(d)
	synctest.Wait()
	func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		meanwhile()
	}()
	time.Sleep(d)
	cancel()
	<-done
}

// Tenants take turns, each as long as there is room for it. When there is room again the loop goes on; what a page did
// not need is returned.
func TestBatches_TenantsTakeTurnsWhileThereIsRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &batches{pages: map[string]int{"acme": 5, "globex": 1, "initech": 3}, most: 1, room: map[string]int{}}
		b.running(t, time.Second, func() {
			require.Equal(t, []string{"acme", "globex", "initech"}, b.turns, "999 wait: there is no room for a second page")
			require.Equal(t, map[string]int{"acme": 999, "globex": 999, "initech": 999}, b.room)
			require.Equal(t, 3*999, b.n)
			require.LessOrEqual(t, b.asked, 4*25, "it looks 20 times a second")
			b.turns, b.room = nil, map[string]int{}
		})
		require.Equal(t, []string{"acme", "initech"}, b.turns)
	})
}

// Without room it does not ask the database, and tenants without room cost a bounded number of queries, however many
// they are.
func TestBatches_WaitingForRoomCostsLittle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &batches{pages: map[string]int{}, room: map[string]int{}, away: true}
		for i := range 500 {
			b.pages[fmt.Sprint("tenant-", i)] = 1
		}
		b.running(t, time.Second, func() {
			require.Zero(t, b.asked)
			b.away = false // but there is room for none
		})
		require.LessOrEqual(t, b.asked, 20*21)
		require.Greater(t, b.asked, 20*15)
	})
}

// A page that fails leaves its tenant out for a second. The other tenants go on at once.
func TestBatches_OneTenantsFailuresDoNotStopOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &batches{pages: map[string]int{"acme": 1, "globex": 100}, fail: map[string]error{"acme": models.ErrStale}, most: 100, room: map[string]int{}}
		b.running(t, 10*time.Millisecond, func() {
			require.Len(t, b.turns, 100)
			require.NotContains(t, b.turns, "acme")
		})
		b.running(t, time.Second, func() {})
		require.Contains(t, b.turns, "acme")
		require.Equal(t, map[string]int{"acme": 999, "globex": 99_900}, b.room, "no room is lost")
	})
}

// After an outage during a page, and after a panic, it is unknown whether the page's deliveries are stored. Then this
// process lets go of what it holds, so that they are found.
func TestBatches_APageOfWhichTheEndIsUnknown(t *testing.T) {
	t.Parallel()
	for name, b := range map[string]*batches{
		"outage": {fail: map[string]error{"acme": errors.New("conn closed")}},
		"panic":  {panic: true},
		"locked": {fail: map[string]error{"acme": models.ErrConflict}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b.pages, b.most, b.room = map[string]int{"acme": 1, "globex": 1}, 9, map[string]int{}
				b.running(t, 3*time.Second, func() {})
				require.ElementsMatch(t, []string{"acme", "globex"}, b.turns)
				require.Equal(t, map[string]int{"acme": 999, "globex": 999}, b.room, "no room is lost")
				require.Equal(t, name != "locked", b.letGo == 1)
			})
		})
	}
}
