package systems

import (
	"bytes"
	"crypto/sha256"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/posthorn/posthorn/internal/service"
)

// The bounds of the answers that are kept for repeated idempotency keys.
const (
	repeatsFor  = 12 * time.Hour
	maxRepeats  = 4096
	maxRepeated = 4 << 10 // bytes of an answer; longer ones are not kept
	maxKey      = 255     // bytes of an idempotency key
)

// repeats holds the answers of POSTs by idempotency key, in this process. None of them shows a secret.
type repeats struct {
	answers *lru.Cache[[sha256.Size]byte, *repeat]
}

// repeat is the answer for all requests with one key.
type repeat struct {
	turn   chan struct{} // holds a token while no request is running
	at     time.Time     // zero = no answer yet
	status int
	kind   string
	body   []byte
}

func newRepeats() *repeats {
	answers, err := lru.New[[sha256.Size]byte, *repeat](maxRepeats)
	if err != nil {
		panic(err) // the size is positive
	}
	return &repeats{answers}
}

func (r *repeats) find(name string) *repeat {
	fresh := &repeat{turn: make(chan struct{}, 1)}
	fresh.turn <- struct{}{}
	if known, ok, _ := r.answers.PeekOrAdd(sha256.Sum256([]byte(name)), fresh); ok {
		return known
	}
	return fresh
}

// once carries a request out. If the request repeats the idempotency key of one that has succeeded, it returns the
// same answer instead. Keys belong to an API key and a URL; bodies are not compared. Of several concurrent requests
// the others wait for the first.
func (q *Request) once(o *Operation, do func() error) error {
	key := q.GetHeader("Idempotency-Key")
	if q.API.repeats == nil || o.Method != http.MethodPost || o.Publishes || o.Private || key == "" {
		return do()
	}
	if len(key) > maxKey {
		q.Problemf("Idempotency-Key", "must be at most %d characters", maxKey)
		return q.Err()
	}
	known := q.API.repeats.find(strings.Join([]string{q.Who.KeyID, q.Tenant, q.Request.URL.RequestURI(), key}, "\x00"))
	select {
	case <-known.turn:
		defer func() { known.turn <- struct{}{} }()
	case <-q.Ctx().Done():
		return service.Refuse(service.Unavailable, "another request with this idempotency key is in progress; retry shortly")
	}
	now := q.API.Service.Now()
	if !known.at.IsZero() && now.Sub(known.at) < repeatsFor {
		q.Header("Idempotency-Replayed", "true")
		if len(known.body) == 0 {
			q.Status(known.status)
			return nil
		}
		q.Data(known.status, known.kind, known.body)
		return nil
	}
	kept := &copying{ResponseWriter: q.Writer}
	q.Writer = kept
	if err := do(); err != nil {
		return err
	}
	if kept.Status() < http.StatusMultipleChoices && kept.body.Len() <= maxRepeated {
		known.at, known.status, known.kind, known.body = now, kept.Status(), kept.Header().Get("Content-Type"), kept.body.Bytes()
	}
	return nil
}

// copying keeps the beginning of what is written.
type copying struct {
	gin.ResponseWriter

	body bytes.Buffer
}

// Write implements io.Writer.
func (c *copying) Write(p []byte) (int, error) {
	if c.body.Len() <= maxRepeated {
		c.body.Write(p)
	}
	return c.ResponseWriter.Write(p)
}

// WriteString implements io.StringWriter.
func (c *copying) WriteString(s string) (int, error) { return c.Write([]byte(s)) }
