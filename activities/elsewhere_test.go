package activities_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/workflows"
)

// processes says which processes run; this one is 1.
type processes map[int64]bool

func (processes) ProcessID() int64 { return 1 }

func (processes) IsThis(process int64) bool { return process == 1 }

func (p processes) Runs(_ context.Context, process int64) (bool, error) { return p[process], nil }

// next calls Attempt after a call with this last heartbeat.
func (b *bundle) next(said any, in workflows.AttemptInput) error {
	b.t.Helper()
	suite := &testsuite.WorkflowTestSuite{}
	suite.SetLogger(log.NewStructuredLogger(quiet))
	env := suite.NewTestActivityEnvironment()
	env.SetHeartbeatDetails(said)
	env.RegisterActivityWithOptions(b.Deliveries.Attempt, activity.RegisterOptions{Name: workflows.Attempt})
	_, err := env.ExecuteActivity(workflows.Attempt, in)
	return err
}

// twoRun is an installation with a webhook, in which this process and process 2 run. It counts its POSTs.
func twoRun(t *testing.T) (b *bundle, posts *int) {
	t.Helper()
	posts = new(int)
	b = setup(t, servicetest.WithPoster(posterFunc(func(context.Context, sender.Request) sender.Result {
		*posts++
		return sender.Result{Outcome: sender.Received, StatusCode: 204, StartedAt: time.Now()}
	})))
	b.Processes = processes{1: true, 2: true}
	b.hook("/a")
	return b, posts
}

// A missed heartbeat does not mean that the worker is dead. While a running process still makes a POST, no other
// process makes it.
func TestOtherProcess_WhatAnotherProcessStillMakesIsNotMadeTwice(t *testing.T) {
	t.Parallel()
	type said struct {
		Process int64
		At      time.Time
	}
	for name, c := range map[string]struct {
		said said
		ago  time.Duration
		made bool
	}{
		"it runs":                   {said{Process: 2}, 7 * time.Second, false},
		"it was killed":             {said{Process: 3}, 7 * time.Second, true},
		"it is this one":            {said{Process: 1}, 7 * time.Second, true},
		"its call has ended":        {said{}, 7 * time.Second, true},
		"no POST takes so long":     {said{Process: 2}, 91 * time.Second, true},
		"it may take a while still": {said{Process: 2}, 89 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, posts := twoRun(t)
			d, l := b.waiting()
			c.said.At = b.Clock.Now().Add(-c.ago)
			err := b.next(c.said, workflows.AttemptInput{DispatchID: d.ID, Delivery: l})
			if c.made {
				require.NoError(t, err)
				require.Equal(t, 1, *posts)
				return
			}
			require.Equal(t, 2*time.Second, asked(t, err).NextRetryDelay())
			require.Zero(t, *posts)
		})
	}
}

// A delivery that fails because of Posthorn itself is called again after the retry policy's interval, however many
// attempts the receiver has had. A batch fails for no other reason, and asks for more time with each call.
func TestOtherProcess_TroubleOfOurOwnIsSoonTriedAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hook("/a")
	d, l := b.waiting()
	require.NoError(t, b.Store.Close())
	_, err := b.attempt(d.ID, l)
	var again *temporal.ApplicationError
	require.ErrorAs(t, err, &again)
	require.Zero(t, again.NextRetryDelay(), "the policy's own interval")
	require.False(t, again.NonRetryable())
	_, err = run[workflows.Round](b, workflows.AttemptMany, b.AttemptMany, workflows.AttemptManyInput{DispatchID: d.ID, Deliveries: []workflows.Leftover{l}})
	require.ErrorAs(t, err, &again)
	require.Equal(t, time.Second, again.NextRetryDelay())
}

// A workflow may start while a process still makes its first attempts, and its task may come to another one.
func TestOtherProcess_FirstAttemptsBegunElsewhereAreNotMadeTwice(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		by   int64
		ago  time.Duration
		made bool
	}{
		"it runs":                   {2, 7 * time.Second, false},
		"it was killed":             {3, 7 * time.Second, true},
		"it is this one":            {1, 7 * time.Second, true},
		"no POST takes so long":     {2, 91 * time.Second, true},
		"it may take a while still": {2, 89 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, posts := twoRun(t)
			d := b.publish()
			round, err := b.FirstAttempts(t.Context(), workflows.FirstAttemptsInput{DispatchID: d.ID, Size: 1,
				By: &workflows.Maker{Process: c.by, At: b.Clock.Now().Add(-c.ago)}})
			if c.made {
				require.NoError(t, err)
				require.Equal(t, 1, round.Delivered)
				require.Equal(t, 1, *posts)
				return
			}
			require.ErrorContains(t, err, "another process")
			require.Zero(t, *posts)
		})
	}
}

// What the other process has made and recorded is followed at once, although it still runs.
func TestOtherProcess_FirstAttemptsThatEndedElsewhereAreFollowed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receiver.answer("/a", http.StatusInternalServerError)
	b.Processes = processes{1: true, 2: true}
	b.hook("/a")
	d := b.publish()
	in := workflows.FirstAttemptsInput{DispatchID: d.ID, Size: 1}
	first, err := b.FirstAttempts(t.Context(), in)
	require.NoError(t, err)
	require.Len(t, first.Waiting, 1)
	in.By = &workflows.Maker{Process: 2, At: b.Clock.Now()}
	again, err := b.FirstAttempts(t.Context(), in)
	require.NoError(t, err)
	require.Len(t, again.Waiting, 1)
	require.Equal(t, 2, again.Waiting[0].Number)
}
