package console

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/posthorn/posthorn/internal/service"
)

// The bounds of live pages in one process.
const (
	maxStreams  = 1000
	streamsEach = 20 // of one session
	// lookEvery is how often a live page is checked. looksASecond limits the checks of all live pages together: when
	// there are more pages, each is looked at less often.
	lookEvery    = 2 * time.Second
	looksASecond = 25
	// askEvery is how often a stream checks that its session is still in force and that its reader is there.
	askEvery = 15 * time.Second
	// streamFor is how long a stream lasts. Its reader opens another one.
	streamFor = 10 * time.Minute
	writeFor  = 10 * time.Second
)

// streams are the live pages that are open in this process. People who see the same page share the looks at it.
type streams struct {
	mu       sync.Mutex
	open     int
	sessions map[string]int
	pages    map[string]*look

	end  chan struct{} // closed when the process stops
	once sync.Once
}

// look is the last seen state of a page.
type look struct {
	streams int

	mu   sync.Mutex // held while somebody looks
	at   time.Time
	mark uint64
}

func newStreams() *streams {
	return &streams{sessions: map[string]int{}, pages: map[string]*look{}, end: make(chan struct{})}
}

// enter takes a place for a stream of a session on a page. ok is false if there is none.
func (s *streams) enter(session, page string) (l *look, leave func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open >= maxStreams || s.sessions[session] >= streamsEach {
		return nil, nil, false
	}
	if l = s.pages[page]; l == nil {
		l = &look{}
		s.pages[page] = l
	}
	s.open++
	s.sessions[session]++
	l.streams++
	return l, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.open--
		if s.sessions[session]--; s.sessions[session] == 0 {
			delete(s.sessions, session)
		}
		if l.streams--; l.streams == 0 {
			delete(s.pages, page)
		}
	}, true
}

// every returns the pause between two looks at a page.
func (s *streams) every() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(lookEvery, time.Duration(len(s.pages))*time.Second/looksASecond)
}

// since returns the page's mark, not older than a time. It calls see if nobody has looked since.
func (l *look) since(t time.Time, see func() (uint64, error)) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at.After(t) {
		return l.mark, nil
	}
	begun := time.Now()
	mark, err := see()
	if err == nil {
		l.at, l.mark = begun, mark
	}
	return mark, err
}

// EndStreams ends the live pages. Their readers connect to another process.
func (c *Console) EndStreams() { c.streams.once.Do(func() { close(c.streams.end) }) }

// asksForStream reports whether a request asks for the changes of a page instead of the page.
func asksForStream(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.HasPrefix(r.Header.Get("Accept"), "text/event-stream")
}

// stream reports each change of the page, until its reader leaves, its session ends or the process stops. After a
// change, the reader asks for the new page itself.
func (v *visit) stream(p page) error {
	query := v.r.URL.Query()
	query.Del("done")
	key := strings.Join([]string{v.at.base, v.tenant, string(v.session.Role), strings.Join(v.session.Capabilities, " "), fmt.Sprint(v.session.Link), v.r.URL.Path, query.Encode()}, "\n")
	l, leave, ok := v.streams.enter(v.session.ID, key)
	if !ok {
		return service.Refuse(service.Unavailable, "Too many live pages are open.")
	}
	defer leave()
	writer := http.NewResponseController(v.w)
	if err := writer.SetReadDeadline(time.Time{}); err != nil { // that of requests
		return err
	}
	v.w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	v.w.Header().Set("X-Accel-Buffering", "no") // nginx would keep it back
	v.w.WriteHeader(http.StatusOK)
	send := func(text string) bool {
		_ = writer.SetWriteDeadline(time.Now().Add(writeFor))
		_, err := fmt.Fprintf(v.w, "%s\n\n", text)
		return err == nil && writer.Flush() == nil
	}
	look := func() (uint64, error) {
		return l.since(time.Now().Add(-v.streams.every()/2), func() (uint64, error) { return v.mark(p) })
	}
	last, err := look()
	if err != nil {
		last = 0 // the next look may succeed, and is a change
	}
	if !send("retry: 3000") { // every later change is reported
		return nil
	}
	end := time.NewTimer(streamFor)
	defer end.Stop()
	for asked := time.Now(); ; {
		select {
		case <-time.After(v.streams.every()):
		case <-end.C:
			return nil
		case <-v.streams.end:
			return nil
		case <-v.r.Context().Done():
			return nil
		}
		if mark, err := look(); err == nil && mark != last {
			if last = mark; !send("event: change\ndata: " + fmt.Sprintf("%x", mark)) {
				return nil
			}
		}
		if time.Since(asked) >= askEvery {
			if asked = time.Now(); !v.inForce() || !send(": still here") {
				return nil
			}
		}
	}
}

// inForce reports whether the stream's session is still in force.
func (v *visit) inForce() bool {
	_, err := v.Service.SessionOf(v.r.Context(), cookieOf(v.r, v.at))
	return err == nil
}

// mark returns a checksum of the page's content, independent of the time.
func (v *visit) mark(p page) (uint64, error) {
	ctx, cancel := context.WithTimeout(v.r.Context(), lookFor)
	defer cancel()
	ctx, leave, err := v.Service.Enter(ctx, v.tenant)
	if err != nil {
		return 0, err
	}
	defer leave()
	sum := summing{header: http.Header{}}
	looked := *v
	looked.w, looked.r, looked.frozen = &sum, v.r.WithContext(ctx), true
	err = p.do(&looked)
	if refused, ok := errors.AsType[*service.Error](err); ok && refused.Code == service.NotFound {
		return 0, nil // the shown thing is gone
	}
	return sum.sum, err
}

// lookFor is how long one look may take.
const lookFor = 10 * time.Second

// summing receives a page and adds up its checksum.
type summing struct {
	header http.Header
	sum    uint64
}

// Header implements http.ResponseWriter.
func (s *summing) Header() http.Header { return s.header }

// Write implements http.ResponseWriter.
func (s *summing) Write(b []byte) (int, error) {
	h := fnv.New64a()
	_, _ = h.Write(b)
	s.sum ^= h.Sum64()
	return len(b), nil
}

// WriteHeader implements http.ResponseWriter.
func (*summing) WriteHeader(int) {}
