package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/engine"
	"github.com/posthorn/posthorn/workflows"
)

const threshold = 3000

func withThreshold(o *engine.Options) { o.Threshold = threshold }

// judgements counts the calls of a fallback. A call may fail, and takes as long as the test says.
type judgements struct {
	mu  sync.Mutex
	err error
	all []time.Time
}

func (j *judgements) option(o *engine.Options) {
	o.Threshold = threshold
	o.Judge = func(context.Context, string) error {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.all = append(j.all, time.Now())
		return j.err
	}
}

func (j *judgements) made() []time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.all)
}

func (j *judgements) fail(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.err = err
}

func TestSignals_AFailureThatChangesNothingIsSignalledOnceAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, _ := setup(withThreshold)
		for second := range int64(600) {
			for webhook := range 20 {
				e.Failed(fmt.Sprint("wh_", webhook), second, second+1)
			}
			time.Sleep(time.Second)
		}
		synctest.Wait()
		require.Len(t, c.signaled(), 20*10)
		e.Close()
	})
}

func TestSignals_TheFirstFailureOfAFlappingWebhookIsSignalledOnceAMinuteToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, _ := setup(withThreshold)
		for range 120 { // a success between any two
			e.Failed("wh_1", 0, 1)
			time.Sleep(time.Second)
		}
		synctest.Wait()
		require.Equal(t, []string{workflows.NewQueues("test").WatchID("wh_1"), workflows.NewQueues("test").WatchID("wh_1")}, c.signaled())
		e.Close()
	})
}

func TestSignals_EachMarkIsSignalledAtOnceAndOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, _ := setup(withThreshold)
		var at []int64
		for before := int64(0); before < 4000; before += 16 { // all within a minute
			for range 16 { // each record of the group says so
				e.Failed("wh_1", before, before+16)
			}
			synctest.Wait()
			if n := len(c.signaled()); n > len(at) {
				require.Len(t, c.signaled(), len(at)+1)
				at = append(at, before+16)
			}
			time.Sleep(100 * time.Millisecond)
		}
		require.Equal(t, []int64{16, 1504, 2704, 3008}, at, "the first failure, 50 %, 90 % and the threshold")
		e.Close()
	})
}

func TestSignals_AFailureThatWasNotCountedIsNotSignalled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, _ := setup(withThreshold)
		e.Failed("wh_1", 0, 0)
		synctest.Wait()
		require.Empty(t, c.signaled())
		e.Close()
	})
}

func TestSignals_MoreFailingWebhooksThanAreRememberedAreNotSignalledMoreOften(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, _ := setup(withThreshold)
		for range 3 {
			for webhook := range 12_000 {
				e.Failed(fmt.Sprint("wh_", webhook), 0, 1)
			}
			synctest.Wait()
		}
		require.Len(t, c.signaled(), 10_000, "there is no memory for the others")
		e.Failed("wh_11999", threshold-1, threshold)
		synctest.Wait()
		require.Len(t, c.signaled(), 10_001, "a mark is signalled nevertheless")
		time.Sleep(time.Minute)
		e.Failed("wh_11998", 1, 2)
		synctest.Wait()
		require.Len(t, c.signaled(), 10_002, "there is room again")
		e.Close()
	})
}

func TestSignals_AtTheThresholdTheWebhookIsJudgedThoughTemporalIsAway(t *testing.T) {
	t.Parallel()
	for name, outage := range map[string]func(*frontend){"down": (*frontend).down, "silent": func(f *frontend) { f.answer(silent) }} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f, client := connect(t)
				var judged judgements
				e, _, _ := setup(func(o *engine.Options) { o.Client = client }, judged.option)
				outage(f)
				began := time.Now()
				for range 16 {
					e.Failed("wh_1", threshold-10, threshold+6)
				}
				e.Failed("wh_1", threshold+6, threshold+7)
				time.Sleep(2 * time.Second)
				require.Len(t, judged.made(), 1)
				require.Equal(t, 500*time.Millisecond, judged.made()[0].Sub(began))
				e.Close()
				if name == "down" {
					f.up()
				}
			})
		})
	}
}

func TestSignals_AJudgementThatFailsIsMadeAgainWithinTwoSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		judged := &judgements{err: errors.New("the row is locked")}
		e, c, _ := setup(judged.option)
		e.Failed("wh_1", threshold-1, threshold)
		time.Sleep(1200 * time.Millisecond)
		require.Len(t, judged.made(), 2)
		judged.fail(nil)
		time.Sleep(time.Minute)
		require.Len(t, judged.made(), 3)
		require.Len(t, c.signaled(), 1)
		e.Close()

		judged = &judgements{err: errors.New("for good")}
		e, _, _ = setup(judged.option)
		e.Failed("wh_1", threshold-1, threshold)
		time.Sleep(time.Minute)
		require.Len(t, judged.made(), 4, "the reconciler has it")
		e.Failed("wh_2", threshold-1, threshold)
		e.Close()
		time.Sleep(time.Minute)
		require.Len(t, judged.made(), 4, "a closed engine judges nobody")
	})
}

func TestSignals_AreFewAtOnceAndTheUrgentDoNotWaitBehindTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, _ := setup(withThreshold)
		c.signalTakes = 100 * time.Millisecond
		for webhook := range 1000 {
			e.Failed(fmt.Sprint("wh_", webhook), 0, 1)
		}
		e.WakeHealth("wh_urgent")
		e.WakeHealth("wh_urgent")
		time.Sleep(250 * time.Millisecond)
		require.Contains(t, c.signaled(), workflows.NewQueues("test").WatchID("wh_urgent"))
		require.LessOrEqual(t, len(c.signaled()), 8)
		time.Sleep(time.Minute)
		require.Len(t, c.signaled(), 1001, "what waits already is not queued again")
		e.Close()
	})
}
