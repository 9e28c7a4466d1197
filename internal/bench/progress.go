package bench

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// progress is one line on a terminal that shows the current state. A nil *progress shows nothing.
type progress struct {
	out  io.Writer
	name string
	quit chan struct{}
	done sync.WaitGroup

	mu     sync.Mutex
	what   string
	since  time.Time
	stream *stream
	then   int64 // received when the phase began
}

const redrawEvery = 200 * time.Millisecond

func startProgress(out io.Writer, name string) *progress {
	if out == nil {
		return nil
	}
	p := &progress{out: out, name: name, quit: make(chan struct{}), what: "starting", since: time.Now()}
	p.done.Go(func() {
		ticker := time.NewTicker(redrawEvery)
		defer ticker.Stop()
		for {
			select {
			case <-p.quit:
				_, _ = io.WriteString(p.out, "\r\x1b[K")
				return
			case <-ticker.C:
				_, _ = io.WriteString(p.out, "\r\x1b[K"+p.line(time.Now()))
			}
		}
	})
	return p
}

func (p *progress) line(now time.Time) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	elapsed := now.Sub(p.since)
	line := fmt.Sprintf("%s: %s, %.0f s", p.name, p.what, elapsed.Seconds())
	if s := p.stream; s != nil {
		n := received(s.hooks)
		line += fmt.Sprintf("; %d accepted, %d received, %.0f/s", s.accepted.Load(), n, float64(n-p.then)/max(elapsed.Seconds(), .1))
	}
	return line
}

// phase names the phase that begins now.
func (p *progress) phase(what string) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.what, p.since = what, time.Now()
	if p.stream != nil {
		p.then = received(p.stream.hooks)
	}
}

// follow shows the stream's figures from now on.
func (p *progress) follow(s *stream) {
	if p == nil {
		return
	}
	p.mu.Lock()
	p.stream = s
	p.mu.Unlock()
}

// stop clears the line.
func (p *progress) stop() {
	if p == nil {
		return
	}
	close(p.quit)
	p.done.Wait()
}
