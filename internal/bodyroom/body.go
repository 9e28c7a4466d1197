package bodyroom

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"time"

	"github.com/posthorn/posthorn/internal/service"
)

// The times of a body.
const (
	// Wait is the longest wait of a body for room, before its sender gets an error.
	Wait = 5 * time.Second
	// Pause is how long a sender may send nothing.
	Pause = 5 * time.Second
	// Rate is how many bytes a second a sender must send, after Pause.
	Rate = 8 << 10
	// Whole is how long a body may take in total.
	Whole = time.Minute
	// most is how much is read at once.
	most = 64 << 10
)

// patience returns Wait or a little less. If bodies wait for each other, some give up first, and the others find room.
func patience() time.Duration {
	return Wait - rand.N(Wait/5) //nolint:gosec // spreads waits, not a secret
}

// body is a body within a Room.
type body struct {
	io.ReadCloser
	ctx         context.Context //nolint:containedctx // a Reader gets no context
	room        *Room
	tenant, key string
	connection  *http.ResponseController

	read, held int64    // bytes
	first      func()   // returns the first part of the room
	more       []func() // return the other parts
	failed     error

	begun time.Time
	until time.Time // when the sender counts as too slow
	set   time.Time // the deadline set on the connection
}

var (
	errSlow = service.Refuse(service.Slow, "the body did not arrive in time")
	errRoom = service.Refuse(service.Unavailable, "too many request bodies in flight; retry shortly")
)

// Read implements io.Reader. Its errors are refusals if the room or the sender's pace ends the body.
func (b *body) Read(p []byte) (int, error) {
	if b.failed != nil {
		return 0, b.failed
	}
	b.expect()
	n, err := b.ReadCloser.Read(p[:min(len(p), most)])
	b.read += int64(n)
	if n > 0 {
		b.grant(time.Duration(n) * time.Second / Rate)
		if !b.hold() {
			b.failed = errRoom
			return 0, b.failed
		}
	}
	if err != nil {
		err = b.end(err)
	}
	return n, err
}

// expect sets the deadline of the next wait for the sender.
func (b *body) expect() {
	if b.begun.IsZero() {
		b.begun = time.Now()
		b.until = b.begun.Add(Pause)
	}
	if b.until.Sub(b.set) > Pause/20 { // a slightly early deadline does no harm, and costs less
		b.set = b.until
		_ = b.connection.SetReadDeadline(b.until) // a test's recorder has none
	}
}

// grant gives the sender more time for what it has sent.
func (b *body) grant(d time.Duration) {
	b.until = b.until.Add(d)
	for _, end := range []time.Time{time.Now().Add(Pause), b.begun.Add(Whole)} {
		if b.until.After(end) {
			b.until = end
		}
	}
}

// end records that nothing more is read.
func (b *body) end(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		b.failed = errSlow
		return b.failed // the deadline stays: the server must not wait for the rest
	}
	b.failed = err
	if errors.Is(err, io.EOF) {
		_ = b.connection.SetReadDeadline(time.Time{}) // and the server must not mistake this deadline for the caller's end
	}
	return err
}

// hold takes room for the bytes that have been read. Waiting for it does not count against the sender.
func (b *body) hold() bool {
	for b.held < b.read {
		began := time.Now()
		release, bytes, err := b.room.take(b.ctx, b.tenant, b.key, b.held)
		if err != nil {
			return false
		}
		waited := time.Since(began)
		b.begun, b.until = b.begun.Add(waited), b.until.Add(waited)
		if b.held += bytes; b.first == nil {
			b.first = release
		} else {
			b.more = append(b.more, release)
		}
	}
	return true
}

// answered returns all room.
func (b *body) answered() {
	if b.first != nil {
		b.first()
	}
	for _, release := range b.more {
		release()
	}
	b.first, b.more = nil, nil
}
