package delivery_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/delivery"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

// answers is a poster that returns the set results.
type answers struct {
	mu     sync.Mutex
	result sender.Result
	now    func() time.Time
}

func (a *answers) Post(context.Context, sender.Request) sender.Result {
	a.mu.Lock()
	defer a.mu.Unlock()
	result := a.result
	result.StartedAt = time.Now()
	if a.now != nil {
		result.StartedAt = a.now()
	}
	return result
}

func (a *answers) set(r sender.Result) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.result = r
}

var good = sender.Result{Outcome: sender.Received, StatusCode: http.StatusNoContent}

// Failures in Posthorn itself do not count against the receiver (A6).
func TestOwnFailure_AFailureOfOurOwnIsNoReception(t *testing.T) {
	t.Parallel()
	poster := &answers{result: sender.Result{Outcome: sender.Local, Error: "not sent"}}
	b := setup(t, servicetest.WithPoster(poster))
	w := b.hook("/a")
	d := b.publish()
	left := b.first(d.ID).Waiting
	require.Len(t, left, 1)
	require.GreaterOrEqual(t, left[0].Wait, time.Second)
	require.Less(t, left[0].Wait, 2*time.Second)
	require.Equal(t, 1, left[0].Number)
	require.Equal(t, 11, left[0].Remaining, "no retry is used up")
	row := b.delivery(d)
	require.Equal(t, models.Pending, row.Status)
	require.Contains(t, row.StatusReason, "Posthorn")
	require.WithinDuration(t, b.Clock.Now().Add(left[0].Wait), *row.NextAttemptAt, time.Second)
	require.Zero(t, row.Attempts)
	require.Zero(t, row.Failures)
	require.Empty(t, b.failed.list())

	b.Clock.Advance(time.Hour) // it lasts
	outcome, err := b.attempt(d.ID, left[0])
	require.NoError(t, err)
	require.False(t, outcome.Attempted)
	require.Equal(t, delivery.ForSlot, outcome.Left.Kind, "it asks again as a Temporal retry")
	require.GreaterOrEqual(t, outcome.Left.Wait, 30*time.Second)
	require.Less(t, outcome.Left.Wait, 40*time.Second)
	found, err := b.Env.Service.Webhook(t.Context(), tenant, w.ID)
	require.NoError(t, err)
	require.Zero(t, found.Health.Failed)

	poster.set(good)
	b.due(*outcome.Left)
	outcome, err = b.attempt(d.ID, *outcome.Left)
	require.NoError(t, err)
	require.Equal(t, delivery.Delivered, outcome.End)
	require.Empty(t, b.delivery(d).StatusReason)
}

func TestOwnFailure_ABatchThatFailsInPosthornAsksForItselfAgain(t *testing.T) {
	t.Parallel()
	poster := &answers{result: sender.Result{Outcome: sender.Local}}
	b := setup(t, servicetest.WithPoster(poster))
	b.hook("/a")
	d, left := b.shared(5)
	batch, err := b.many(d.ID, left...)
	require.NoError(t, err)
	require.Positive(t, batch.Again)
	require.NotEmpty(t, batch.Reason)
	poster.set(good)
	b.due(delivery.Leftover{Wait: batch.Again})
	batch, err = b.many(d.ID, left...)
	require.NoError(t, err)
	require.Equal(t, delivery.Batch{Delivered: 5}, batch)
}

// switched is a breaker.
type switched struct {
	open     bool
	observed []bool
}

func (s *switched) Observe(_, _ string, answered bool) { s.observed = append(s.observed, answered) }
func (s *switched) Open() bool                         { return s.open }

func TestOwnFailure_WhileTheBreakerIsOpenFailuresWithoutAStatusDoNotCount(t *testing.T) {
	t.Parallel()
	poster := &answers{result: sender.Result{Outcome: sender.Failed, Error: "no connection"}}
	b := setup(t, servicetest.WithPoster(poster))
	poster.now = b.Clock.Now
	w := b.hook("/a", retries(1))
	breaker := &switched{open: true}
	b.Breaker = breaker
	d := b.publish()
	left := b.first(d.ID).Waiting
	for n := 1; n <= 3; n++ { // more often than it has retries
		require.Len(t, left, 1)
		policy, _ := b.Env.Service.Effective(&w)
		require.InDelta(t, policy.Delay(left[0].Delivery, 1, 0), left[0].Wait, float64(time.Second))
		row := b.delivery(d)
		require.Equal(t, n, row.Attempts)
		require.Zero(t, row.Failures)
		b.due(left[0])
		left = b.first(d.ID).Waiting
	}
	require.Empty(t, b.failed.list())

	poster.set(sender.Result{Outcome: sender.Failed, StatusCode: 500, Error: "500"})
	b.due(left[0])
	require.Len(t, b.first(d.ID).Waiting, 1)
	require.Equal(t, 1, b.delivery(d).Failures, "an answer is the receiver's")
	require.Equal(t, []string{w.ID}, b.failed.list())
	require.Equal(t, []bool{false, false, false, false, true}, breaker.observed)
}

// A delivery that cannot be read affects only itself (A22).
func TestOwnFailure_ASecretThatCannotBeOpenedHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hook("/a")
	sealed := b.hook("/sealed")
	b.hook("/c")
	_, err := b.Env.Store.UpdateWebhook(t.Context(), tenant, sealed.ID, func(w *models.Webhook) error {
		w.Secrets = []byte("of another keyset")
		return nil
	})
	require.NoError(t, err)
	d := b.publish()
	began := b.Clock.Now()
	batch := b.first(d.ID)
	require.Equal(t, 2, batch.Delivered)
	require.Len(t, batch.Waiting, 1)
	require.Equal(t, sealed.ID, batch.Waiting[0].Webhook)
	require.GreaterOrEqual(t, batch.Waiting[0].Due.Sub(began), time.Minute)
	row := b.read(batch.Waiting[0].Delivery)
	require.Equal(t, models.Pending, row.Status)
	require.Contains(t, row.StatusReason, "secrets")
	require.Zero(t, row.Failures)

	b.Clock.Advance(2 * time.Minute)
	again, err := b.many(d.ID, batch.Waiting...)
	require.NoError(t, err)
	require.GreaterOrEqual(t, again.Again, time.Minute)
	b.Clock.Advance(2 * time.Minute)
	outcome, err := b.attempt(d.ID, batch.Waiting[0])
	require.NoError(t, err)
	require.Equal(t, delivery.ForSlot, outcome.Left.Kind)
}

// missing is a store without some events, or in which they have been erased.
type missing struct {
	*models.Store
	events map[string]bool // by id; true = erased
}

func (m *missing) EventsByID(ctx context.Context, keys []models.DeliveryKey) (map[models.DeliveryKey]*models.Event, error) {
	events, err := m.Store.EventsByID(ctx, keys)
	for key, e := range events {
		erased, ok := m.events[key.ID]
		switch {
		case ok && erased:
			e.ErasedAt = &e.CreatedAt
		case ok:
			delete(events, key)
		}
	}
	return events, err
}

func TestOwnFailure_AnEventThatCannotBeReadHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	for name, erased := range map[string]bool{"missing": false, "erased": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.hook("/a")
			d, left := b.shared(3)
			b.Courier.Store = &missing{Store: b.Env.Store, events: map[string]bool{b.read(left[1].Delivery).EventID: erased}}
			batch := b.first(d.ID)
			require.Equal(t, 2, batch.Delivered)
			require.Len(t, batch.Waiting, 1)
			require.Equal(t, left[1].Delivery, batch.Waiting[0].Delivery)
			require.Equal(t, 2, b.receiver.got("/a"))
		})
	}
}

// A POST's failure belongs to the epoch in which the POST began (A21).
func TestOwnFailure_TheEpochIsTheOneInWhichThePOSTBegan(t *testing.T) {
	t.Parallel()
	poster := &answers{result: sender.Result{Outcome: sender.Failed, StatusCode: 500, Error: "500"}}
	b := setup(t, servicetest.WithPoster(poster))
	w := b.hook("/a")
	_, err := b.Env.Service.Disable(t.Context(), tenant, w.ID, "", "test")
	require.NoError(t, err)
	_, err = b.Env.Service.Enable(t.Context(), tenant, w.ID, "test")
	require.NoError(t, err)
	now, err := b.Env.Service.Webhook(t.Context(), tenant, w.ID)
	require.NoError(t, err)
	require.Positive(t, now.Health.Epoch)
	b.Recorder = delivery.NewRecorder(attemptsFunc(func(ctx context.Context, group []*models.Record, done []string) ([]models.Recorded, error) {
		assert.Equal(t, now.Health.Epoch, group[0].Epoch)
		return b.Env.Store.Record(ctx, group, done)
	}), quiet)
	require.Len(t, b.first(b.publish().ID).Waiting, 1)
}

// Another transaction has locked the row of one record. Only this record waits (A2).
func TestOwnFailure_ALockedRecordWaitsAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		tries := 0
		busy := make(chan struct{})
		r := delivery.NewRecorder(attemptsFunc(func(_ context.Context, group []*models.Record, _ []string) ([]models.Recorded, error) {
			<-busy
			results := make([]models.Recorded, len(group))
			for i, record := range group {
				results[i].Applied = true
				if record.Attempt.DeliveryID == "locked" {
					if tries++; tries <= 3 {
						results[i] = models.Recorded{Locked: true}
					}
				}
			}
			return results, nil
		}), quiet)
		of := delivery.NewRemainder("dispatch", 3)
		took := map[string]time.Duration{}
		var mu sync.Mutex
		for _, id := range []string{"warm-1", "warm-2", "a", "locked", "b"} {
			go func() {
				recorded, err := r.Record(t.Context(), &models.Record{Status: models.Delivered, Attempt: models.Attempt{DeliveryID: id}}, of)
				assert.NoError(t, err)
				assert.True(t, recorded.Applied)
				mu.Lock()
				defer mu.Unlock()
				took[id] = time.Since(began)
			}()
			synctest.Wait()
		}
		close(busy)
		time.Sleep(10 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		require.Equal(t, delivery.RecordEvery, took["a"], "they share the second transaction")
		require.Equal(t, delivery.RecordEvery, took["b"])
		require.Equal(t, delivery.RecordEvery+700*time.Millisecond, took["locked"])
	})
}

func TestOwnFailure_ALockedRecordIsGivenUpInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := delivery.NewRecorder(attemptsFunc(func(context.Context, []*models.Record, []string) ([]models.Recorded, error) {
			return []models.Recorded{{Locked: true}}, nil
		}), quiet)
		began := time.Now()
		_, err := r.Record(t.Context(), &models.Record{Status: models.Delivered}, delivery.NewRemainder("dispatch", 1))
		require.ErrorContains(t, err, "locked")
		require.LessOrEqual(t, time.Since(began), delivery.Patience)
	})
}
