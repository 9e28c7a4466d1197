package activities

import (
	"context"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/posthorn/posthorn/internal/panics"
)

// Processes knows which processes run; *models.Store does.
type Processes interface {
	// ProcessID is this process's id; 0 = the process is not registered.
	ProcessID() int64
	// IsThis reports whether an id is one of this process's.
	IsThis(process int64) bool
	// Runs reports whether a process is known to run.
	Runs(ctx context.Context, process int64) (bool, error)
}

// beatEvery is how often an activity that makes POSTs sends a heartbeat, well within the heartbeat timeout. An
// activity that ends sooner sends none.
const beatEvery = 2 * time.Second

// sign is the content of a heartbeat: which process makes the POSTs. The zero sign says that the call has ended.
type sign struct {
	Process int64
	At      time.Time
}

// beat sends heartbeats until stop is called.
func (a *Deliveries) beat(ctx context.Context) (stop func()) {
	said := false
	end := every(beatEvery, func() {
		said = true
		activity.RecordHeartbeat(ctx, a.sign())
	})
	return func() {
		end()
		if said { // the next call need not wait for this one
			activity.RecordHeartbeat(ctx, sign{})
		}
	}
}

func (a *Deliveries) sign() sign {
	if a.Processes == nil {
		return sign{}
	}
	return sign{a.Processes.ProcessID(), a.Courier.Now()}
}

const (
	// elsewhereAgain is the wait after a call that found another process at work.
	elsewhereAgain = 2 * time.Second
	// elsewhereMost is how long a process may work without sending heartbeats: as long as one POST and its record may
	// take.
	elsewhereMost = 90 * time.Second
)

// elsewhere asks for a later call if an earlier one still makes its POSTs in another process. On a starved machine, or
// with a slow Temporal, heartbeats may be missed although the worker is alive, and deliveries that it has sent but not
// recorded yet would be sent twice. Within one process the Courier prevents this.
func (a *Deliveries) elsewhere(ctx context.Context) error {
	if a.Processes == nil || !activity.HasHeartbeatDetails(ctx) {
		return nil
	}
	var s sign
	if err := activity.GetHeartbeatDetails(ctx, &s); err != nil {
		s = sign{} // an earlier build's heartbeat had another form
	}
	busy, err := a.busy(ctx, s)
	if err != nil || !busy {
		return err
	}
	return again("another worker is still at it", NoPlace, elsewhereAgain)
}

// busy reports whether another process, which gave a sign, may still be making POSTs.
func (a *Deliveries) busy(ctx context.Context, s sign) (bool, error) {
	if a.Processes == nil || s.Process == 0 || a.Processes.IsThis(s.Process) || a.Courier.Now().Sub(s.At) > elsewhereMost {
		return false, nil
	}
	return a.Processes.Runs(ctx, s.Process)
}

// every calls do at each interval until stop is called, which waits for the last call to end.
func every(interval time.Duration, do func()) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				panics.Safely("a heartbeat", do)
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
	}
}
