package crash

import (
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/test/harness"
	"github.com/posthorn/posthorn/test/pgtest"
)

// steps are the fault points that an event passes, with the largest number of POSTs after a death
// there. Only a POST that was made and not recorded is made again.
var steps = []struct {
	name        string
	inAPI       bool // else in the worker
	least, most int
}{
	{"before-accept", true, 1, 1},
	{"after-accept", true, 1, 1},
	{"after-start", true, 1, 2}, // the POST may be on its way by then
	{"before-post", false, 1, 1},
	{"after-post", false, 2, 2},
	{"after-record", false, 1, 1},
}

// retries has workflows only for deliveries that are not received.
const retries = "POSTHORN_WORKFLOWS=retries"

// apart is the shape in which the API survives a death of the worker.
const apart = "api and worker"

// shapes are the ways to run Posthorn. Each starts an installation that dies at a step, and gives its API and the
// process that will die. Where one process accepts and has a worker, it makes first attempts outside of workflows, and
// the reconciler keeps its usual pace: deliveries are found because their process is gone.
var shapes = []struct {
	name  string
	start func(t *testing.T, temporal *harness.Temporal, fault string, inAPI bool) (api harness.API, mortal *harness.Server)
}{
	{"dev", func(t *testing.T, _ *harness.Temporal, fault string, _ bool) (harness.API, *harness.Server) {
		t.Helper()
		s := harness.NewDev(t, &programs).Start(t, "dev", fault)
		return s.API, s
	}},
	{"serve", func(t *testing.T, temporal *harness.Temporal, fault string, _ bool) (harness.API, *harness.Server) {
		t.Helper()
		s := newProduction(t, temporal).Start(t, "serve", fault)
		return s.API, s
	}},
	{apart, func(t *testing.T, temporal *harness.Temporal, fault string, inAPI bool) (harness.API, *harness.Server) {
		t.Helper()
		i := newProduction(t, temporal, impatient...)
		if inAPI {
			i.Start(t, "worker")
			s := i.Start(t, "api", fault)
			return s.API, s
		}
		return i.Start(t, "api").API, i.Start(t, "worker", fault)
	}},
	{"dev, retries", func(t *testing.T, _ *harness.Temporal, fault string, _ bool) (harness.API, *harness.Server) {
		t.Helper()
		s := harness.NewDev(t, &programs, retries).Start(t, "dev", fault)
		return s.API, s
	}},
	{"serve, retries", func(t *testing.T, temporal *harness.Temporal, fault string, _ bool) (harness.API, *harness.Server) {
		t.Helper()
		s := newProduction(t, temporal, retries).Start(t, "serve", fault)
		return s.API, s
	}},
}

// startsNone reports whether a shape starts no workflow for deliveries that are received at once.
func startsNone(shape string) bool { return strings.HasSuffix(shape, ", retries") }

func TestCrash_DeathAtEveryStep(t *testing.T) {
	t.Parallel()
	temporal := harness.NewTemporal(t, &programs, harness.Sibling(t, pgtest.URL(t), "temporal"))
	for _, shape := range shapes {
		t.Run(shape.name, func(t *testing.T) {
			t.Parallel()
			for _, step := range steps {
				if step.name == "after-start" && startsNone(shape.name) {
					continue
				}
				t.Run(step.name, func(t *testing.T) {
					t.Parallel()
					api, mortal := shape.start(t, temporal, "POSTHORN_FAULT="+step.name, step.inAPI)
					r := harness.NewReceiver(t, nil)
					x := harness.NewTenant(t, api)
					w := x.Hook(t, r.URL)

					first, unknown := publish(t, x)
					requireKilled(t, mortal.AwaitEnd(t))
					// Where both are one process, the worker may die before the API has answered.
					require.True(t, unknown == nil || step.inAPI || shape.name != apart, "nothing has happened to the API: %v", unknown)
					mortal.Again(t, "POSTHORN_FAULT=")
					accepted := first
					if unknown != nil {
						harness.Until(t, func() (err error) {
							accepted, err = publish(t, x)
							return err
						})
					}

					again, err := publish(t, x)
					require.NoError(t, err)
					require.Equal(t, accepted, again, "the key still stands for the same event")
					require.Len(t, harness.All[harness.Event](t, x, "/events?"), 1)
					d := awaitDelivered(t, x)
					require.Equal(t, accepted.ID, d.EventID)
					require.Len(t, d.Attempts, 1, "it is on record once")
					require.True(t, d.Attempts[0].Received())
					posts := r.Posts()
					require.GreaterOrEqual(t, len(posts), step.least)
					require.LessOrEqual(t, len(posts), step.most)
					for _, p := range posts {
						require.Equal(t, accepted.ID, p.ID())
						require.Equal(t, string(posts[0].Body), string(p.Body))
						require.NoError(t, p.Verify(w.Secret))
					}
				})
			}
		})
	}
}

// A process that makes first attempts outside of workflows may die between the record of a failed attempt and the start
// of the workflow. Its successor makes the retry soon after it is due.
func TestCrash_DeathBeforeTheWorkflow(t *testing.T) {
	t.Parallel()
	temporal := harness.NewTemporal(t, &programs, harness.Sibling(t, pgtest.URL(t), "temporal"))
	for _, shape := range shapes {
		if shape.name == apart {
			continue
		}
		t.Run(shape.name, func(t *testing.T) {
			t.Parallel()
			api, mortal := shape.start(t, temporal, "POSTHORN_FAULT=after-record", false)
			r := harness.NewReceiver(t, harness.FailFirst(1))
			x := harness.NewTenant(t, api)
			x.Hook(t, r.URL, harness.Retries(5, "20s"))
			accepted, unknown := publish(t, x) // it may die before it answers
			requireKilled(t, mortal.AwaitEnd(t))
			recorded := time.Now()
			mortal.Again(t, "POSTHORN_FAULT=")
			d := awaitDelivered(t, x)
			require.True(t, unknown != nil || accepted.ID == d.EventID)
			require.Len(t, d.Attempts, 2)
			require.NotEmpty(t, d.WorkflowID)
			require.Len(t, r.Posts(), 2)
			require.Less(t, time.Since(recorded), 50*time.Second, "it was overdue by less than a minute")
		})
	}
}

// Batches of a tenant with much waiting wait in the database. A process that dies right after it has stored the
// deliveries of one, and before it has queued them, loses none of them, and none of the batches that still wait.
func TestCrash_DeathWhileBatchesWait(t *testing.T) {
	t.Parallel()
	temporal := harness.NewTemporal(t, &programs, harness.Sibling(t, pgtest.URL(t), "temporal"))
	s := newProduction(t, temporal, "POSTHORN_GROUP_MAX=4").Start(t, "serve", "POSTHORN_FAULT=after-page") // much is 65
	r := harness.NewReceiver(t, nil)
	x := harness.NewTenant(t, s.API)
	w := x.Hook(t, r.URL)
	const batches, size = 4, 200
	var accepted []harness.Accepted
	publish := func(i int) error {
		body := harness.Object{"events": slices.Repeat([]harness.Object{event(i)}, size)}
		reply, err := x.Do(t.Context(), "POST "+x.Path("/events/batch"), body, "Idempotency-Key", fmt.Sprint("batch-", i))
		if err != nil {
			return err
		}
		require.Equal(t, http.StatusAccepted, reply.Status, "%s", reply.Body)
		accepted = append(accepted, harness.Read[struct{ Data []harness.Accepted }](t, reply).Data...)
		return nil
	}
	published := 0
	for published < batches && publish(published) == nil { // it may die before the last is accepted
		published++
	}
	requireKilled(t, s.AwaitEnd(t))
	s.Again(t, "POSTHORN_FAULT=")
	for ; published < batches; published++ {
		require.NoError(t, publish(published))
	}
	require.Len(t, accepted, batches*size)
	harness.Until(t, func() error {
		counts := r.Counts()
		for _, a := range accepted {
			if counts[a.ID] == 0 {
				return fmt.Errorf("%d of %d events have arrived", len(counts), len(accepted))
			}
		}
		return nil
	})
	harness.Until(t, func() error {
		list := harness.All[harness.Delivery](t, x, "/deliveries?webhook_id="+w.ID+"&status=delivered&")
		if len(list) != len(accepted) {
			return fmt.Errorf("%d of %d deliveries are recorded", len(list), len(accepted))
		}
		return nil
	})
	require.Less(t, len(r.Posts()), len(accepted)+100, "only those in flight at the death are sent twice")
	require.True(t, harness.Get[struct {
		FannedOut bool `json:"fanned_out"`
	}](t, x.API, x.Path("/events/"+accepted[len(accepted)-1].ID)).FannedOut)
}

// publish publishes the one event of a test. An error means that it is not known whether it was accepted.
func publish(t *testing.T, x harness.Tenant) (harness.Accepted, error) {
	t.Helper()
	reply, err := x.Do(t.Context(), "POST "+x.Path("/events"), event(1), "Idempotency-Key", "only")
	if err == nil && reply.Status >= http.StatusInternalServerError {
		err = fmt.Errorf("answered %d", reply.Status)
	}
	if err != nil {
		return harness.Accepted{}, err
	}
	require.Equal(t, http.StatusAccepted, reply.Status, "%s", reply.Body)
	return harness.Read[harness.Accepted](t, reply), nil
}

// awaitDelivered waits until the one delivery of a test is delivered.
func awaitDelivered(t *testing.T, x harness.Tenant) (d harness.Timeline) {
	t.Helper()
	harness.Until(t, func() error {
		list := harness.All[harness.Delivery](t, x, "/deliveries?")
		if len(list) != 1 {
			return fmt.Errorf("there are %d deliveries", len(list))
		}
		d = harness.Get[harness.Timeline](t, x.API, x.Path("/deliveries/"+list[0].ID))
		if d.Status != "delivered" {
			return fmt.Errorf("the delivery is %s after %d attempts", d.Status, len(d.Attempts))
		}
		return nil
	})
	return d
}

func requireKilled(t *testing.T, err error) {
	t.Helper()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	status, ok := exit.Sys().(syscall.WaitStatus)
	require.True(t, ok)
	require.Equal(t, syscall.SIGKILL, status.Signal())
}
