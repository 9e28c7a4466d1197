// Package bodyroom bounds the memory that the bodies of all requests take together, and shares it fairly among tenants
// and their keys.
//
// A body takes room as its bytes arrive, whatever length it announces, and keeps it until its request is answered. A
// body that arrives too slowly is ended. The package must not import an API package.
package bodyroom

import (
	"context"
	"net/http"

	"github.com/posthorn/posthorn/internal/slots"
)

const (
	// Largest is the largest body of all APIs, in bytes: one key of one tenant has room for one of them.
	Largest = 32 << 20
	// Default is how many bytes of bodies there is room for by default.
	Default = 3 * Largest
	// smallest is how many bytes of each body are taken from the room reserved for small ones.
	smallest = 8 << 10
	// larger is how many times that amount is taken at once for the rest of a body.
	larger = 8
)

// The shares of a tenant and a key, and the share reserved for tenants that hold nothing.
const (
	reserve   = 0.1
	perTenant = 0.5  // while others wait
	perKey    = 0.4  // of the room for larger parts: Largest of Default
	smallKey  = 0.75 // of the room for small bodies
)

// Room is the room of a process. It is safe for concurrent use.
//
// A sixth of it is for the first bytes of every body. Small bodies need no other, so that they pass however much room large
// ones hold. A tenth of each part is kept for tenants that hold nothing of it. When there is none left, the next goes to
// the tenant that holds the fewest bytes of those that wait.
type Room struct {
	small, large         *slots.Slots
	smallPart, largePart int64 // bytes of a slot
}

// New returns a Room of this many bytes; 0 = Default.
func New(bytes int64) *Room {
	if bytes == 0 {
		bytes = Default
	}
	forSmall := bytes / 6
	part := min(smallest, max(1, bytes/(Default/smallest)))
	return &Room{
		smallPart: part,
		largePart: larger * part,
		small:     slots.New(slots.Options{Capacity: int(forSmall / part), Reserve: reserve, MaxPerTenant: perTenant, MaxPerHost: smallKey}),
		large: slots.New(slots.Options{Capacity: int((bytes - forSmall) / (larger * part)), Reserve: reserve, MaxPerTenant: perTenant,
			MaxPerHost: perKey}),
	}
}

// Held returns how many bytes of room are taken, and how many bodies wait for some.
func (r *Room) Held() (bytes int64, waiting int) {
	small, large := r.small.Usage(), r.large.Usage()
	return int64(small.Used)*r.smallPart + int64(large.Used)*r.largePart, small.Waiting + large.Waiting
}

// Bound puts the body of a request within the room. The returned function releases its room and must be called when
// the request is answered; it is nil if the request has no body.
func (r *Room) Bound(w http.ResponseWriter, request *http.Request) (answered func()) {
	if request.Body == nil || request.Body == http.NoBody {
		return nil
	}
	b := &body{ReadCloser: request.Body, ctx: request.Context(), room: r, connection: http.NewResponseController(w)}
	request.Body = b
	return b.answered
}

// Charge assigns the body to a tenant and the key it came with, "" = a key of no tenant. A body that is read before
// that belongs to nobody, and all such bodies share like one tenant.
func Charge(request *http.Request, tenant, key string) {
	if b, ok := request.Body.(*body); ok {
		b.tenant, b.key = tenant, key
	}
}

// take takes the next part of the room for a body that already holds some. It waits until ctx ends.
func (r *Room) take(ctx context.Context, tenant, key string, held int64) (release func(), bytes int64, err error) {
	pool, bytes := r.large, r.largePart
	if held == 0 {
		pool, bytes = r.small, r.smallPart
	}
	if release, ok := pool.TryAcquire(tenant, key); ok {
		return release, bytes, nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience())
	defer cancel()
	release, err = pool.Acquire(ctx, tenant, key)
	return release, bytes, err
}
