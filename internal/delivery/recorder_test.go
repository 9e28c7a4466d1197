package delivery_test

import (
	"context"
	"database/sql/driver"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/delivery"
	"github.com/posthorn/posthorn/models"
)

// attemptsFunc is a delivery.Attempts.
type attemptsFunc func(ctx context.Context, group []*models.Record, done []string) ([]models.Recorded, error)

func (f attemptsFunc) Record(ctx context.Context, group []*models.Record, done []string) ([]models.Recorded, error) {
	return f(ctx, group, done)
}

// errAway is the error of an unavailable database.
var errAway = fmt.Errorf("cannot connect: %w", driver.ErrBadConn)

// poisonError is SQLite's error for a refused value.
type poisonError struct{}

func (poisonError) Error() string { return "constraint failed" }
func (poisonError) Code() int     { return 275 }

func TestRecorder_ARecordOutlastsAnOutage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hook("/a")
	calls := 0
	b.Recorder = delivery.NewRecorder(attemptsFunc(func(ctx context.Context, group []*models.Record, done []string) ([]models.Recorded, error) {
		if calls++; calls <= 3 {
			return nil, errAway
		}
		return b.Env.Store.Record(ctx, group, done)
	}), quiet)
	d := b.publish()

	require.Equal(t, delivery.Batch{Delivered: 1}, b.first(d.ID))
	require.Equal(t, 4, calls)
	require.Equal(t, 1, b.receiver.got("/a"), "it is not POSTed again")
	require.Equal(t, 1, b.delivery(d).Attempts)
	require.True(t, b.finished(d.ID))
}

// The database commits, and goes away before it can report the commit.
func TestRecorder_ARecordWhoseAnswerWasLostIsNotRepeated(t *testing.T) {
	t.Parallel()
	for name, status := range map[string]int{"received": 200, "failed": 500} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.hook("/a")
			b.receiver.answer("/a", status)
			lost := false
			b.Recorder = delivery.NewRecorder(attemptsFunc(func(ctx context.Context, group []*models.Record, done []string) ([]models.Recorded, error) {
				results, err := b.Env.Store.Record(ctx, group, done)
				if !lost && err == nil {
					lost = true
					return nil, errAway
				}
				return results, err
			}), quiet)
			d := b.publish()

			_, err := b.First(t.Context(), delivery.FirstInput{DispatchID: d.ID})
			require.Error(t, err, "what has become of it must be looked up")
			round := b.first(d.ID)
			require.Equal(t, 1, b.receiver.got("/a"))
			row := b.delivery(d)
			require.Equal(t, 1, row.Attempts)
			if status == 200 {
				require.Equal(t, models.Delivered, row.Status)
				require.Zero(t, round)
				return
			}
			require.Equal(t, 1, row.Failures)
			require.Len(t, round.Waiting, 1)
			require.Positive(t, round.Waiting[0].Wait)
		})
	}
}

func TestRecorder_TheOutboxEntryOutlastsEveryRecord(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]bool{"another is recorded a moment later": false, "another cannot be recorded": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.hook("/slow")
			b.hook("/fast")
			recording, recorded := make(chan struct{}), make(chan struct{})
			b.receiver.handle("/slow", func(w http.ResponseWriter, _ *http.Request) {
				<-recording // the other's record is in a separate flush
				w.WriteHeader(http.StatusNoContent)
			})
			d := b.publish()
			var first atomic.Pointer[models.Record]
			b.Recorder = delivery.NewRecorderOfTwoLanes(attemptsFunc(func(ctx context.Context, group []*models.Record, done []string) ([]models.Recorded, error) {
				if first.CompareAndSwap(nil, group[0]) {
					close(recording)
					<-recorded
				} else if first.Load().Attempt.ID != group[0].Attempt.ID {
					defer close(recorded)
					results, err := b.Env.Store.Record(ctx, group, done)
					_, missing := b.Env.Store.Dispatch(ctx, d.ID)
					assert.NoError(t, missing, "a kill now must leave something to find the other by")
					return results, err
				}
				if fails {
					return nil, poisonError{}
				}
				return b.Env.Store.Record(ctx, group, done)
			}), quiet)

			round, err := b.First(t.Context(), delivery.FirstInput{DispatchID: d.ID})
			if fails {
				require.ErrorAs(t, err, &poisonError{})
				require.False(t, b.finished(d.ID))
				b.Recorder = delivery.NewRecorder(b.Env.Store, quiet)
				require.Equal(t, delivery.Batch{Delivered: 2}, b.first(d.ID), "one of them before")
			} else {
				require.NoError(t, err)
				require.Equal(t, delivery.Batch{Delivered: 2}, round)
			}
			require.Equal(t, 1, b.receiver.got("/slow"))
			require.True(t, b.finished(d.ID))
		})
	}
}

func TestRecorder_TheLastRecordTakesTheOutboxEntryWithIt(t *testing.T) {
	t.Parallel()
	var groups [][]string
	r := delivery.NewRecorder(attemptsFunc(func(_ context.Context, group []*models.Record, done []string) ([]models.Recorded, error) {
		groups = append(groups, done)
		return make([]models.Recorded, len(group)), nil
	}), quiet)
	of := delivery.NewRemainder("dispatch", 2)
	for _, status := range []models.DeliveryStatus{models.Pending, models.Delivered, models.Failed} {
		_, err := r.Record(t.Context(), &models.Record{Status: status}, of)
		require.NoError(t, err)
	}
	require.Equal(t, [][]string{nil, nil, {"dispatch"}}, groups)
}

// A few records that wait share the next transaction, and begin none beside the one under way.
func TestRecorder_AFewRecordsShareTheNextTransaction(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		busy := make(chan struct{})
		var groups []int
		r := delivery.NewRecorder(attemptsFunc(func(_ context.Context, group []*models.Record, _ []string) ([]models.Recorded, error) {
			groups = append(groups, len(group))
			<-busy
			return make([]models.Recorded, len(group)), nil
		}), quiet)
		for range 4 {
			go func() {
				_, err := r.Record(t.Context(), &models.Record{Status: models.Delivered}, nil)
				assert.NoError(t, err)
			}()
			settle()
		}
		require.Equal(t, []int{1}, groups)
		close(busy)
		settle()
		require.Equal(t, []int{1, 3}, groups)
	})
}

// settle waits, in a bubble, until the next transaction has begun.
func settle() {
	time.Sleep(delivery.RecordEvery)
	synctest.Wait()
}

func TestRecorder_TheLastRecordsTakeTheOutboxEntryWithThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		busy := make(chan struct{})
		finished := map[int][]string{} // by the size of the group
		var mu sync.Mutex
		r := delivery.NewRecorderOfTwoLanes(attemptsFunc(func(_ context.Context, group []*models.Record, done []string) ([]models.Recorded, error) {
			<-busy
			mu.Lock()
			defer mu.Unlock()
			finished[len(group)] = done
			return make([]models.Recorded, len(group)), nil
		}), quiet)
		of := delivery.NewRemainder("dispatch", 3)
		for _, of := range []*delivery.Remainder{nil, nil, of, of, of} { // each of the two flushes is kept busy by one
			go func() {
				_, err := r.Record(t.Context(), &models.Record{Status: models.Delivered}, of)
				assert.NoError(t, err)
			}()
			settle()
		}
		close(busy)
		settle()
		mu.Lock()
		defer mu.Unlock()
		require.Equal(t, map[int][]string{1: nil, 3: {"dispatch"}}, finished)
	})
}

func TestRecorder_ARecordIsGivenUpWhenTheOutageLasts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := delivery.NewRecorder(attemptsFunc(func(context.Context, []*models.Record, []string) ([]models.Recorded, error) {
			return nil, errAway
		}), quiet)
		started := time.Now()
		_, err := r.Record(t.Context(), &models.Record{}, nil)
		require.ErrorIs(t, err, driver.ErrBadConn)
		require.InDelta(t, delivery.Patience, time.Since(started), float64(2*time.Second))
		require.LessOrEqual(t, time.Since(started), delivery.Patience)
	})
}

// A connection whose other end has gone is silent. Data sent over it is neither answered nor refused.
func TestRecorder_ARecordOutlastsASilentConnection(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		silent int // connections
		want   error
		took   time.Duration
	}{
		"the next one answers": {1, nil, delivery.TryFor + 50*time.Millisecond},
		"none answers":         {100, context.DeadlineExceeded, delivery.Patience},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				r := delivery.NewRecorder(attemptsFunc(func(ctx context.Context, group []*models.Record, _ []string) ([]models.Recorded, error) {
					if calls++; calls <= c.silent {
						<-ctx.Done()
						return nil, ctx.Err()
					}
					return make([]models.Recorded, len(group)), nil
				}), quiet)
				started := time.Now()
				_, err := r.Record(t.Context(), &models.Record{}, nil)
				require.ErrorIs(t, err, c.want)
				require.Equal(t, c.took, time.Since(started))
			})
		})
	}
}

func TestRecorder_APoisonousRecordFailsAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		busy := make(chan struct{})
		var groups []int
		var finished []string
		var mu sync.Mutex
		r := delivery.NewRecorderOfTwoLanes(attemptsFunc(func(_ context.Context, group []*models.Record, done []string) ([]models.Recorded, error) {
			<-busy
			mu.Lock()
			defer mu.Unlock()
			groups = append(groups, len(group))
			for _, record := range group {
				if string(record.Attempt.ResponseBody) == "poison" {
					return nil, poisonError{}
				}
			}
			finished = append(finished, done...)
			results := make([]models.Recorded, len(group))
			for i := range results {
				results[i].Applied = true
			}
			return results, nil
		}), quiet)

		applied := map[string]bool{}
		record := func(id, done string) {
			go func() {
				result, err := r.Record(t.Context(), &models.Record{Attempt: models.Attempt{DeliveryID: id, ResponseBody: []byte(id)}},
					delivery.NewRemainder(done, 1))
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				applied[id] = result.Applied
			}()
			settle()
		}
		record("first", "dispatch-1") // each of the two flushes is kept busy by one
		record("second", "dispatch-2")
		record("third", "dispatch-3")
		record("poison", "dispatch-4")
		record("fifth", "dispatch-5")
		close(busy)
		settle()

		mu.Lock()
		defer mu.Unlock()
		require.Equal(t, map[string]bool{"first": true, "second": true, "third": true, "poison": true, "fifth": true}, applied)
		require.ElementsMatch(t, []int{1, 1, 3, 1, 1, 1, 1}, groups)
		require.ElementsMatch(t, []string{"dispatch-1", "dispatch-2", "dispatch-3", "dispatch-4", "dispatch-5"}, finished)
	})
}

func TestRecorder_AnOutageEndsTheSearchForPoison(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first := true
		r := delivery.NewRecorder(attemptsFunc(func(context.Context, []*models.Record, []string) ([]models.Recorded, error) {
			if first {
				first = false
				return nil, poisonError{}
			}
			return nil, errAway
		}), quiet)
		started := time.Now()
		_, err := r.Record(t.Context(), &models.Record{}, nil)
		require.ErrorIs(t, err, driver.ErrBadConn)
		require.LessOrEqual(t, time.Since(started), delivery.Patience)
	})
}
