//go:build linux

package chaos

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// manner is how a receiver behaves.
type manner string

const (
	succeeds manner = "ok"    // receives at once
	slow     manner = "slow"  // receives after half a second
	fails    manner = "fails" // fails each event's first POST
	flaps    manner = "flaps" // is down half of the time
)

// manners are the receivers of a tenant.
var manners = []manner{succeeds, slow, fails, flaps}

const (
	slowFor   = 500 * time.Millisecond
	flapEvery = 3 * time.Second
)

// receivers are the other ends of all webhooks. Once calm is set, all of them succeed.
type receivers struct {
	ledger *ledger
	server *http.Server
	addr   string
	calm   atomic.Bool
	began  time.Time
	served sync.WaitGroup
}

func newReceivers(ctx context.Context, l *ledger) (*receivers, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &receivers{ledger: l, addr: listener.Addr().String(), began: time.Now()}
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: time.Minute}
	r.served.Go(func() { _ = r.server.Serve(listener) })
	return r, nil
}

func (r *receivers) close() {
	_ = r.server.Close()
	r.served.Wait()
}

// hookPath is the path of a hook, without its number.
const hookPath = "/hooks/"

// ServeHTTP receives one POST. It is in the ledger before it is answered.
func (r *receivers) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	number, err := strconv.Atoi(strings.TrimPrefix(request.URL.Path, hookPath))
	_, bodyErr := io.Copy(io.Discard, request.Body)
	if err := errors.Join(err, bodyErr); err != nil || request.Method != http.MethodPost {
		http.Error(w, "want a whole POST", http.StatusBadRequest)
		return
	}
	p := r.ledger.arrive(pair{request.Header.Get("Webhook-Id"), number}, request.Header.Get("Webhook-Timestamp"))
	status := r.answer(p.first, number)
	r.ledger.leave(p, status)
	w.WriteHeader(status)
}

// answer decides on the status of a POST.
func (r *receivers) answer(first bool, hook int) int {
	switch manners[hook%len(manners)] {
	case slow:
		time.Sleep(slowFor)
	case fails:
		if first && !r.calm.Load() {
			return http.StatusInternalServerError
		}
	case flaps:
		if time.Since(r.began)%flapEvery < flapEvery/2 && !r.calm.Load() {
			return http.StatusServiceUnavailable
		}
	case succeeds:
	}
	return http.StatusNoContent
}
