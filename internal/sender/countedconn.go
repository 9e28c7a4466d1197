package sender

import (
	"net"
	"sync/atomic"
)

// How many bytes are read from a connection. The limits of headers, bodies and HTTP/2 windows bound an answer. Beyond
// those, a receiver can only send useless bytes that cost time, such as PINGs.
const (
	readForHandshake = 1 << 20
	readForAnswer    = 512 << 10
	// readAtOnce bounds what may be read without another request: a hundred answers on one HTTP/2 connection.
	readAtOnce = 32 << 20
)

// countedConn bounds what is read from a connection, and records whether anything has been read since a request was
// written.
type countedConn struct {
	net.Conn
	read    atomic.Int64 // bytes
	allowed atomic.Int64 // bytes in all
	before  atomic.Int64 // bytes read before the request was written
	asking  atomic.Bool  // the request has not been written yet
}

func newCountedConn(conn net.Conn) *countedConn {
	c := &countedConn{Conn: conn}
	c.allowed.Store(readForHandshake)
	return c
}

// expect must be called before a request is written.
func (c *countedConn) expect() {
	c.allowed.Store(min(c.allowed.Load()+readForAnswer, c.read.Load()+readAtOnce)) // for two concurrent requests one may count for both
	c.asking.Store(true)
}

// readSinceAsked reports whether a byte was read after the first one of the request was written.
func (c *countedConn) readSinceAsked() bool {
	return !c.asking.Load() && c.read.Load() > c.before.Load()
}

// Read fails permanently once more has been read than the requested answers take.
func (c *countedConn) Read(b []byte) (int, error) {
	if c.read.Load() > c.allowed.Load() {
		return 0, errFlood
	}
	n, err := c.Conn.Read(b)
	c.read.Add(int64(n))
	return n, err
}

func (c *countedConn) Write(b []byte) (int, error) {
	if c.asking.Load() {
		c.before.Store(c.read.Load())
		c.asking.Store(false)
	}
	return c.Conn.Write(b)
}
