package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// callTimeout limits one publish call. Posthorn lets a caller wait for room for a shorter time.
const callTimeout = 30 * time.Second

// caller is one client of the API with one kept connection. It is not safe for concurrent use.
type caller struct {
	address string
	conn    net.Conn
	in      *bufio.Reader
}

func newCaller(address string) *caller { return &caller{address: address} }

// answer is the relevant part of an HTTP answer.
type answer struct {
	status     int
	retryAfter time.Duration
}

// call sends the request and reads the answer. After an error it is unknown whether the request was carried out.
func (c *caller) call(ctx context.Context, r *request) (answer, error) {
	if c.conn == nil {
		conn, err := (&net.Dialer{Timeout: callTimeout}).DialContext(ctx, "tcp", c.address)
		if err != nil {
			return answer{}, err
		}
		c.conn, c.in = conn, bufio.NewReaderSize(conn, 16<<10)
	}
	a, keep, err := c.exchange(r)
	if err != nil || !keep {
		c.close()
	}
	return a, err
}

func (c *caller) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

func (c *caller) exchange(r *request) (a answer, keep bool, err error) {
	if err := c.conn.SetDeadline(time.Now().Add(callTimeout)); err != nil {
		return a, false, err
	}
	if _, err := c.conn.Write(r.bytes); err != nil {
		return a, false, err
	}
	line, err := readLine(c.in)
	if err != nil {
		return a, false, err
	}
	if len(line) < len("HTTP/1.1 200") || string(line[:5]) != "HTTP/" {
		return a, false, fmt.Errorf("not an HTTP answer: %q", line)
	}
	if a.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return a, false, fmt.Errorf("not an HTTP answer: %q", line)
	}
	h, err := readHeader(c.in)
	if err != nil {
		return a, false, err
	}
	a.retryAfter = h.retryAfter
	return a, !h.close, h.skipBody(c.in)
}

// header is the relevant part of a message's header, on either side.
type header struct {
	length     int // of the body; 0 if it says nothing
	chunked    bool
	close      bool
	retryAfter time.Duration
	named      bool // has a webhook-id
}

var errHeader = errors.New("malformed HTTP header")

// readHeader reads up to the empty line.
func readHeader(in *bufio.Reader) (h header, err error) {
	for {
		line, err := readLine(in)
		if err != nil || len(line) == 0 {
			return h, err
		}
		name, value, ok := cutHeader(line)
		if !ok {
			return h, errHeader
		}
		switch {
		case equalFold(name, "content-length"):
			if h.length, err = strconv.Atoi(string(value)); err != nil || h.length < 0 {
				return h, errHeader
			}
		case equalFold(name, "transfer-encoding"):
			h.chunked = true
		case equalFold(name, "connection"):
			h.close = equalFold(value, "close")
		case equalFold(name, "retry-after"):
			seconds, _ := strconv.Atoi(string(value)) // a date counts as "at once"
			h.retryAfter = time.Duration(seconds) * time.Second
		case equalFold(name, "webhook-id"):
			h.named = len(value) > 0
		}
	}
}

// skipBody reads past the body.
func (h *header) skipBody(in *bufio.Reader) error {
	if !h.chunked {
		_, err := in.Discard(h.length)
		return err
	}
	for {
		line, err := readLine(in)
		if err != nil {
			return err
		}
		size, err := strconv.ParseUint(string(line), 16, 31)
		if err != nil {
			return fmt.Errorf("chunk size: %w", err)
		}
		if size == 0 {
			_, err := readHeader(in) // the trailer
			return err
		}
		if _, err := in.Discard(int(size) + len("\r\n")); err != nil {
			return err
		}
	}
}

// readLine reads a line without its end. It is valid until the next read.
func readLine(in *bufio.Reader) ([]byte, error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, io.EOF) && len(line) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	line = line[:len(line)-1]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line, nil
}

func cutHeader(line []byte) (name, value []byte, ok bool) {
	for i, c := range line {
		if c == ':' {
			value = line[i+1:]
			for len(value) > 0 && value[0] == ' ' {
				value = value[1:]
			}
			return line[:i], value, true
		}
	}
	return nil, nil, false
}

// equalFold compares with a word in lower-case ASCII.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i := range b {
		c := b[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
