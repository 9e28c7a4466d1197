package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// sink is the receiver: an HTTP/1.1 server that knows POST and nothing else, and records into a ledger.
type sink struct {
	listener net.Listener
	ledger   *ledger
	strange  atomic.Int64 // requests that were not deliveries of this run

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	wg    sync.WaitGroup
}

// hookPath is the beginning of a hook's path; its index follows.
const hookPath = "/hooks/"

// listen opens a sink on the loopback interface.
func listen(ctx context.Context, address string) (*sink, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("receiver: %w", err)
	}
	if ip := listener.Addr().(*net.TCPAddr).IP; !ip.IsLoopback() {
		_ = listener.Close()
		return nil, fmt.Errorf("receiver: %s is not a loopback address", ip)
	}
	s := &sink{listener: listener, conns: map[net.Conn]struct{}{}}
	return s, nil
}

// url returns the address of the hook with this index.
func (s *sink) url(index int) string {
	return "http://" + s.listener.Addr().String() + hookPath + strconv.Itoa(index)
}

// serve receives into the ledger until close.
func (s *sink) serve(l *ledger) {
	s.ledger = l
	s.wg.Go(func() {
		for {
			conn, err := s.listener.Accept()
			if err != nil {
				return
			}
			if !s.open(conn) {
				return
			}
			s.wg.Go(func() {
				defer s.closed(conn)
				s.converse(conn)
			})
		}
	})
}

func (s *sink) open(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		_ = conn.Close()
		return false
	}
	s.conns[conn] = struct{}{}
	return true
}

func (s *sink) closed(conn net.Conn) {
	_ = conn.Close()
	s.mu.Lock()
	delete(s.conns, conn)
	s.mu.Unlock()
}

// close stops receiving and waits for the connections' ends.
func (s *sink) close() {
	_ = s.listener.Close()
	s.mu.Lock()
	for conn := range s.conns {
		_ = conn.Close()
	}
	s.conns = nil
	s.mu.Unlock()
	s.wg.Wait()
}

var (
	answer204 = []byte("HTTP/1.1 204 No Content\r\n\r\n")
	answer500 = []byte("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")
	answer410 = []byte("HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n")
	answer404 = []byte("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
)

// sinkBuffer holds a delivery's header and body of the usual size.
const sinkBuffer = 8 << 10

// converse answers one connection's requests, one after the other.
func (s *sink) converse(conn net.Conn) {
	in := bufio.NewReaderSize(conn, sinkBuffer)
	for {
		h, seq, err := s.read(in)
		if err != nil {
			if !errors.Is(err, errIdle) && !errors.Is(err, net.ErrClosed) {
				s.strange.Add(1)
			}
			return
		}
		reply := answer404
		if h != nil {
			stamp := s.ledger.stamp(time.Now())
			h.seen.arrive(stamp)
			if h.delay > 0 {
				time.Sleep(h.delay)
			}
			h.seen.leave()
			switch h.receive(seq, stamp) {
			case 500:
				reply = answer500
			case 410:
				reply = answer410
			default:
				reply = answer204
			}
		} else {
			s.strange.Add(1)
		}
		if _, err := conn.Write(reply); err != nil {
			return
		}
	}
}

// errIdle is returned when the connection ended between two requests.
var errIdle = errors.New("no further request")

// read reads one request. The hook is nil if it is not a delivery of this run.
func (s *sink) read(in *bufio.Reader) (*hook, int, error) {
	line, err := readLine(in)
	if err != nil {
		return nil, 0, errIdle
	}
	h, number := s.find(line)
	fields, err := readHeader(in)
	if err != nil {
		return nil, 0, err
	}
	if fields.chunked {
		return nil, 0, errors.New("a delivery without a length")
	}
	// The data begin with the sequence number, however long they are.
	start, err := in.Peek(min(fields.length, in.Size()))
	if err != nil {
		return nil, 0, err
	}
	seq := -1
	if _, after, ok := bytes.Cut(start, []byte(seqMark)); ok && len(after) > seqDigits {
		seq = digits(after[:seqDigits])
	}
	if h != nil && h.numbered {
		seq = number
	}
	if seq < 0 || seq >= maxEvents || !fields.named {
		h = nil
	}
	if _, err = in.Discard(fields.length); err != nil {
		return nil, 0, err
	}
	return h, seq, nil
}

// find returns the hook that a request line names, and the number after it if there is one: POST /hooks/7/123 HTTP/1.1.
func (s *sink) find(line []byte) (h *hook, number int) {
	rest, ok := bytes.CutPrefix(line, []byte("POST "+hookPath))
	path, _, _ := bytes.Cut(rest, []byte(" "))
	first, second, more := bytes.Cut(path, []byte("/"))
	index, err := strconv.Atoi(string(first))
	if !ok || err != nil || index < 0 || index >= len(s.ledger.hooks) {
		return nil, 0
	}
	h = s.ledger.hooks[index]
	if more {
		if number, err = strconv.Atoi(string(second)); err != nil || !h.numbered {
			return nil, 0
		}
	}
	return h, number
}
