package harness

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// Post is one POST that arrived.
type Post struct {
	At     time.Time
	Header http.Header
	Body   []byte
}

// ID returns the event's id.
func (p Post) ID() string { return p.Header.Get("webhook-id") }

// Verify checks the signature with the library of the Standard Webhooks project.
func (p Post) Verify(secret string) error {
	w, err := webhooks.NewWebhook(secret)
	if err != nil {
		return err
	}
	return w.Verify(p.Body, p.Header)
}

// Answer answers POST number n, from 1, of one event.
type Answer func(w http.ResponseWriter, n int)

// Status answers every POST with this status.
func Status(code int) Answer {
	return func(w http.ResponseWriter, _ int) { w.WriteHeader(code) }
}

// FailFirst answers the first POSTs of every event with 500, and receives the later ones.
func FailFirst(failures int) Answer {
	return func(w http.ResponseWriter, n int) {
		if n <= failures {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}
}

// Receiver is a webhook's other end. It remembers the POSTs that arrive.
type Receiver struct {
	URL string

	mu     sync.Mutex
	answer Answer
	posts  []Post
	counts map[string]int
}

// NewReceiver starts a receiver that ends with the test. answer nil receives everything.
func NewReceiver(tb testing.TB, answer Answer) *Receiver {
	tb.Helper()
	r := &Receiver{counts: map[string]int{}}
	r.SetAnswer(answer)
	server := httptest.NewServer(http.HandlerFunc(r.receive))
	tb.Cleanup(server.Close)
	r.URL = server.URL + "/hook"
	return r
}

// SetAnswer changes how the receiver answers from now on.
func (r *Receiver) SetAnswer(answer Answer) {
	if answer == nil {
		answer = Status(http.StatusNoContent)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

func (r *Receiver) receive(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil || request.Method != http.MethodPost {
		http.Error(w, "want a whole POST", http.StatusBadRequest)
		return
	}
	p := Post{At: time.Now(), Header: request.Header, Body: body}
	r.mu.Lock()
	r.posts = append(r.posts, p)
	r.counts[p.ID()]++
	n, answer := r.counts[p.ID()], r.answer
	r.mu.Unlock()
	answer(w, n)
}

// Posts returns the POSTs that have arrived, in order.
func (r *Receiver) Posts() []Post {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.posts)
}

// Counts returns how many POSTs of each event have arrived.
func (r *Receiver) Counts() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.counts)
}

// Await waits until at least n POSTs have arrived, and returns them.
func (r *Receiver) Await(tb testing.TB, n int) []Post {
	tb.Helper()
	Until(tb, func() error {
		if have := len(r.Posts()); have < n {
			return fmt.Errorf("%d of %d POSTs have arrived", have, n)
		}
		return nil
	})
	return r.Posts()
}
