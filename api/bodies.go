package api

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/sync/semaphore"

	"github.com/posthorn/posthorn/internal/hooks"
)

const (
	// bodyRoom is how many bytes of bodies all requests together may hold: two of the largest.
	bodyRoom = 2 * maxBatchBody
	// bodyWait is how long a body waits for room, before its sender is told to come back.
	bodyWait = 5 * time.Second
)

// boundBodies keeps the bodies of all requests that are under way within room bytes: each is bounded by itself, but a
// thousand callers are not. What has arrived counts until the request is answered.
func boundBodies(room int64) gin.HandlerFunc {
	held := semaphore.NewWeighted(room)
	return func(c *gin.Context) {
		r := c.Request
		if r.Body == nil || r.Body == http.NoBody {
			return
		}
		body := &heldBody{ReadCloser: r.Body, ctx: r.Context(), room: held}
		r.Body = body
		defer func() { held.Release(body.size) }()
		c.Next()
	}
}

// heldBody is a body that takes room for what has been read of it.
type heldBody struct {
	io.ReadCloser
	ctx  context.Context //nolint:containedctx // a Reader is given none
	room *semaphore.Weighted
	size int64
}

// Read implements io.Reader.
func (b *heldBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 && !b.hold(int64(n)) {
		return 0, hooks.Refuse(hooks.Unavailable, "more requests are under way than there is memory for just now")
	}
	return n, err
}

func (b *heldBody) hold(n int64) bool {
	ctx, cancel := context.WithTimeout(b.ctx, bodyWait)
	defer cancel()
	if b.room.Acquire(ctx, n) != nil {
		return false
	}
	b.size += n
	return true
}
