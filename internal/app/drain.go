package app

import (
	"context"
	"net/http"
	"time"

	"github.com/posthorn/posthorn/internal/engine"
)

// DrainFor is how long a process takes to stop at most, from the signal to its end, all phases together. Supervisors
// that kill processes (docker stop, systemd, Kubernetes) must wait longer.
const DrainFor = 45 * time.Second

const (
	// lingerFor is how long a process that is no longer ready keeps serving, so that load balancers remove it before
	// its listener closes.
	lingerFor = 5 * time.Second
	// requestsFor is how long requests in flight may take once the listener is closed. POSTs to receivers then have at
	// least 18 s left, more than receivers have to answer by default.
	requestsFor = 15 * time.Second
)

// drain stops the process in the order that loses nothing: it reports that it is not ready, closes the listener, lets
// requests end, then POSTs. After that Close starts the deliveries that wait for a workflow. stopWorker is nil if no
// worker runs, and linger is 0 if no load balancer sends requests.
func (a *App) drain(server *http.Server, linger time.Duration, background func(), stopWorker func(context.Context)) {
	deadline := time.Now().Add(DrainFor - engine.CloseFor - leaveFor)
	a.draining.Store(true)
	a.pages.EndStreams()
	a.Log.Info("draining", "at most", DrainFor)
	time.Sleep(linger)
	requests, cancel := context.WithTimeout(context.Background(), requestsFor)
	defer cancel()
	if err := server.Shutdown(requests); err != nil {
		a.Log.Warn("requests were cut off at shutdown", "error", err)
		_ = server.Close()
	}
	background()
	if stopWorker == nil {
		return
	}
	posts, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	stopWorker(posts)
}

// closing makes a draining process close each connection after its answer, so that clients send no further request on
// it.
func (a *App) closing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.draining.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}
