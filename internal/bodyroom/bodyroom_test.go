package bodyroom_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/bodyroom"
	"github.com/posthorn/posthorn/internal/service"
)

// The sizes of the tests: a thousandth of the usual ones.
const (
	scale   = 1024
	room    = bodyroom.Default / scale
	largest = bodyroom.Largest / scale
	kilo    = 1024 / scale
)

// desk is an API that reads bodies within a room, on connections in memory, and keeps each until it may answer.
type desk struct {
	t       *testing.T
	room    *bodyroom.Room
	client  *http.Client
	mu      sync.Mutex
	holds   map[string]chan struct{} // by tenant: closed when its held bodies may be answered
	answers chan string              // "tenant status" of each call that has ended
}

// newDesk must be called in a bubble. h2: HTTP/2, else HTTP/1.1.
func newDesk(t *testing.T, bytes int64, h2 bool) *desk {
	t.Helper()
	d := &desk{t: t, room: bodyroom.New(bytes), holds: map[string]chan struct{}{}, answers: make(chan string, 1000)}
	var protocols http.Protocols
	protocols.SetHTTP1(!h2)
	protocols.SetUnencryptedHTTP2(h2)
	listener := newPipes()
	server := &http.Server{Handler: d, Protocols: &protocols, ReadHeaderTimeout: time.Minute}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	transport := &http.Transport{Protocols: &protocols, DialContext: listener.dial}
	d.client = &http.Client{Transport: transport}
	t.Cleanup(func() {
		_ = server.Close()
		<-done
		transport.CloseIdleConnections()
	})
	return d
}

// ServeHTTP implements http.Handler.
func (d *desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answered := d.room.Bound(w, r)
	if answered != nil {
		defer answered()
	}
	bodyroom.Charge(r, r.Header.Get("Tenant"), r.Header.Get("Key"))
	_, err := io.Copy(io.Discard, r.Body)
	var refused *service.Error
	switch {
	case errors.As(err, &refused):
		w.WriteHeader(map[service.Code]int{service.Slow: http.StatusRequestTimeout, service.Unavailable: http.StatusServiceUnavailable}[refused.Code])
	case err != nil:
		w.WriteHeader(http.StatusBadRequest)
	case r.Header.Get("Hold") != "":
		select {
		case <-d.hold(r.Header.Get("Tenant")):
		case <-r.Context().Done():
		}
	}
}

func (d *desk) hold(tenant string) chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.holds[tenant] == nil {
		d.holds[tenant] = make(chan struct{})
	}
	return d.holds[tenant]
}

// release lets a tenant's held bodies be answered.
func (d *desk) release(tenant string) {
	close(d.hold(tenant))
	synctest.Wait()
}

// upload is a body on its way.
type upload struct {
	*io.PipeWriter
	d *desk
}

// post begins a call whose body is sent bit by bit, in chunks where length is -1. Its answer goes to answers.
func (d *desk) post(tenant, key string, length int64, hold bool) *upload {
	d.t.Helper()
	body, sender := io.Pipe()
	r, err := http.NewRequestWithContext(d.t.Context(), http.MethodPost, "http://posthorn.test/", body)
	require.NoError(d.t, err)
	r.ContentLength = length
	r.Header.Set("Tenant", tenant)
	r.Header.Set("Key", key)
	if hold {
		r.Header.Set("Hold", "1")
	}
	go func() {
		answer, err := d.client.Do(r)
		if err != nil {
			d.answers <- tenant + " " + err.Error()
			return
		}
		_ = answer.Body.Close()
		_ = body.CloseWithError(io.ErrClosedPipe)
		d.answers <- fmt.Sprint(tenant, " ", answer.StatusCode)
	}()
	return &upload{sender, d}
}

// send sends so many bytes, or as many as are taken.
func (u *upload) send(n int) *upload {
	go func() { _, _ = u.Write(make([]byte, n)) }()
	synctest.Wait()
	return u
}

// end says that the body has ended.
func (u *upload) end() {
	_ = u.Close()
	synctest.Wait()
}

// call is a whole call.
func (d *desk) call(tenant, key string, size int) {
	d.t.Helper()
	d.post(tenant, key, -1, false).send(size).end()
}

// ended returns the answers that have come since the last call.
func (d *desk) ended() (all []string) {
	synctest.Wait()
	for {
		select {
		case a := <-d.answers:
			all = append(all, a)
		default:
			return all
		}
	}
}

func protocols(t *testing.T, do func(t *testing.T, h2 bool)) {
	t.Helper()
	t.Parallel()
	for name, h2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { do(t, h2) })
		})
	}
}

// A body takes room as its bytes arrive, whatever length it announces, and returns it with the answer.
func TestBodyRoom_ABodyTakesRoomAsItArrives(t *testing.T) {
	protocols(t, func(t *testing.T, h2 bool) {
		d := newDesk(t, room, h2)
		u := d.post("acme", "k", largest, true)
		synctest.Wait()
		held, _ := d.room.Held()
		require.Zero(t, held, "a length is a promise")
		u.send(3000)
		held, _ = d.room.Held()
		require.InDelta(t, 3000, held, 64)
		u.send(largest - 3000).end()
		held, _ = d.room.Held()
		require.InDelta(t, largest, held, 64)
		d.release("acme")
		require.Equal(t, []string{"acme 200"}, d.ended())
		held, _ = d.room.Held()
		require.Zero(t, held)
	})
}

// B3: whatever one key sends without finishing it, small bodies of its tenant and all bodies of another tenant pass at
// once.
func TestBodyRoom_OneKeyTakesItsShare(t *testing.T) {
	protocols(t, func(t *testing.T, h2 bool) {
		for _, length := range []int64{-1, largest} {
			d := newDesk(t, room, h2)
			var hostile []*upload
			for range 10 {
				hostile = append(hostile, d.post("hostile", "k1", length, false).send(largest-1))
			}
			require.Empty(t, d.ended())
			held, waiting := d.room.Held()
			require.Positive(t, waiting, "it wants more than its share")
			require.Less(t, held, int64(room)/2)

			d.call("hostile", "k2", kilo)
			require.Equal(t, []string{"hostile 200"}, d.ended(), "another key of the tenant")
			for range 20 {
				d.call("neighbour", "k", kilo)
			}
			d.call("neighbour", "k", largest)
			require.Len(t, d.ended(), 21, "nothing waits")
			for _, u := range hostile {
				_ = u.CloseWithError(io.ErrUnexpectedEOF)
			}
			time.Sleep(bodyroom.Whole)
			d.ended()
			held, _ = d.room.Held()
			require.Zero(t, held)
		}
	})
}

// However many tenants fill the room, one that holds nothing finds a place.
func TestBodyRoom_ATenthIsKeptForTenantsThatHoldNothing(t *testing.T) {
	protocols(t, func(t *testing.T, h2 bool) {
		d := newDesk(t, room, h2)
		for i := range 6 {
			for j := range 4 {
				d.post(fmt.Sprint("hostile", i), fmt.Sprint("k", i, j), -1, false).send(largest - 1)
			}
		}
		d.ended()
		d.call("neighbour", "k", kilo)
		require.Equal(t, []string{"neighbour 200"}, d.ended())
		time.Sleep(2 * bodyroom.Whole)
	})
}

// Of those that wait for room the tenant that holds the fewest bytes is next, however long another has waited.
func TestBodyRoom_TheTenantThatHoldsFewestIsNext(t *testing.T) {
	protocols(t, func(t *testing.T, h2 bool) {
		d := newDesk(t, room, h2)
		bit := d.post("bit", "k", -1, true).send(1000)
		bit.end()
		for i := range 2 {
			d.post(fmt.Sprint("full", i), fmt.Sprint("k", i), -1, true).send(largest - 1).end()
		}
		big := d.post("big", "k2", -1, false).send(largest / 2) // all that is left
		_, waiting := d.room.Held()
		require.Equal(t, 1, waiting)
		small := d.post("small", "k3", -1, false).send(100) // one part more than is kept for a tenant that holds nothing
		small.end()
		_, waiting = d.room.Held()
		require.Equal(t, 2, waiting)
		require.Empty(t, d.ended())

		d.release("bit")
		require.ElementsMatch(t, []string{"bit 200", "small 200"}, d.ended())
		d.release("full0")
		big.end()
		require.ElementsMatch(t, []string{"full0 200", "big 200"}, d.ended())
		d.release("full1")
	})
}

// A sender that is too slow loses its room and gets 408.
func TestBodyRoom_ASlowSenderIsEnded(t *testing.T) {
	type pace struct {
		first, then int           // bytes
		every       time.Duration // between two of then
	}
	for name, p := range map[string]pace{
		"nothing":                         {0, 0, time.Second},
		"a little, then nothing":          {100, 0, time.Second},
		"much, then nothing":              {largest - 100, 0, time.Second},
		"a byte at a time":                {0, 1, 100 * time.Millisecond},
		"much, then a byte at a time":     {largest - 1000, 1, 100 * time.Millisecond},
		"a little below the minimum rate": {0, bodyroom.Rate * 8 / 100, 100 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			protocols(t, func(t *testing.T, h2 bool) {
				for _, length := range []int64{-1, 1 << 20} {
					d := newDesk(t, bodyroom.Default, h2)
					u := d.post("hostile", "k", length, false)
					began := time.Now()
					u.send(p.first)
					var answers []string
					for len(answers) == 0 && time.Since(began) < 2*bodyroom.Whole {
						time.Sleep(p.every)
						u.send(p.then)
						answers = d.ended()
					}
					require.Equal(t, []string{"hostile 408"}, answers)
					require.Less(t, time.Since(began), bodyroom.Whole/2)
					held, _ := d.room.Held()
					require.Zero(t, held)
				}
			})
		})
	}
}

// A sender that is slow, and not too slow, is served; one that takes for ever is not.
func TestBodyRoom_ASenderHasAMinute(t *testing.T) {
	protocols(t, func(t *testing.T, h2 bool) {
		d := newDesk(t, bodyroom.Default, h2)
		u := d.post("slow", "k", -1, false)
		for range 50 {
			u.send(bodyroom.Rate)
			time.Sleep(time.Second)
		}
		require.Empty(t, d.ended())
		u.end()
		require.Equal(t, []string{"slow 200"}, d.ended())

		u = d.post("slow", "k", -1, false)
		for range 70 {
			u.send(2 * bodyroom.Rate)
			time.Sleep(time.Second)
		}
		require.Equal(t, []string{"slow 408"}, d.ended())
		_ = u.CloseWithError(io.ErrUnexpectedEOF)
	})
}

// After a handler has read the body, its work may take any time.
func TestBodyRoom_TheEndOfABodyEndsItsDeadline(t *testing.T) {
	protocols(t, func(t *testing.T, h2 bool) {
		d := newDesk(t, room, h2)
		d.post("acme", "k", -1, true).send(kilo).end()
		time.Sleep(10 * bodyroom.Pause)
		require.Empty(t, d.ended())
		d.release("acme")
		require.Equal(t, []string{"acme 200"}, d.ended())
		d.call("acme", "k", kilo) // on the same connection
		require.Equal(t, []string{"acme 200"}, d.ended())
	})
}

// Bodies that hold all room and wait for each other do not all give up: some do, and the others get on.
func TestBodyRoom_BodiesThatWaitForEachOtherGetOn(t *testing.T) {
	protocols(t, func(t *testing.T, h2 bool) {
		d := newDesk(t, room, h2)
		for i := range 3 {
			u := d.post(fmt.Sprint("t", i), fmt.Sprint("k", i), -1, false)
			go func() {
				_, _ = u.Write(make([]byte, largest-1))
				_ = u.Close()
			}()
		}
		time.Sleep(2 * bodyroom.Wait)
		answers := d.ended()
		require.Len(t, answers, 3)
		served := 0
		for _, a := range answers {
			if strings.HasSuffix(a, " 200") {
				served++
			}
		}
		require.GreaterOrEqual(t, served, 2, answers)
	})
}

// pipes is a listener whose connections are in memory.
type pipes struct {
	accepted chan net.Conn
	closed   chan struct{}
	close    sync.Once
}

func newPipes() *pipes { return &pipes{accepted: make(chan net.Conn), closed: make(chan struct{})} }

// Accept implements net.Listener.
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accepted:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *pipes) Close() error {
	p.close.Do(func() { close(p.closed) })
	return nil
}

// Addr implements net.Listener.
func (*pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.accepted <- server:
		return client, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
