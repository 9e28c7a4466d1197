package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"path"
	"sync"
	"time"
)

// secretPath begins the path of every receiver. Like the contents of payloads and headers, it must not appear in any
// history.
const secretPath = "/secret-path/"

// slowness is longer than a first attempt waits for room at a webhook.
const slowness = time.Second

// receivers answer according to the last part of the path.
type receivers struct {
	url    string
	server *http.Server

	mu   sync.Mutex
	seen map[string]int // POSTs by path and webhook-id
}

func listen(ctx context.Context) (*receivers, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &receivers{url: "http://" + listener.Addr().String() + secretPath, seen: map[string]int{}}
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: time.Minute}
	go func() {
		if err := r.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			panic(err)
		}
	}()
	return r, nil
}

func (r *receivers) close() { _ = r.server.Close() }

// ServeHTTP implements http.Handler.
func (r *receivers) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r.mu.Lock()
	key := request.URL.Path + " " + request.Header.Get("Webhook-Id")
	r.seen[key]++
	n := r.seen[key]
	r.mu.Unlock()
	status := http.StatusNoContent
	switch path.Base(request.URL.Path) {
	case "fails":
		status = http.StatusInternalServerError
	case "fails-twice":
		if n <= 2 {
			status = http.StatusServiceUnavailable
		}
	case "fails-often":
		if n <= 3 { // six deliveries stay below the threshold
			status = http.StatusServiceUnavailable
		}
	case "gone-then":
		status = http.StatusGone
		if n == 1 {
			status = http.StatusInternalServerError
		}
	case "slow":
		time.Sleep(slowness)
	}
	w.WriteHeader(status)
}
