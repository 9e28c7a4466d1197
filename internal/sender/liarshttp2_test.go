package sender

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	goAwayText  = "the receiver ended the HTTP/2 connection (GOAWAY) without an answer"
	refusedText = "the receiver refused the HTTP/2 request (REFUSED_STREAM)"
	floodText   = "the receiver sent more than an answer takes"
)

// h2lie is a connection of a liar that speaks HTTP/2.
type h2lie struct {
	*http2.Framer
	*lie
	conn   io.ReadWriter // beneath the framer
	stream uint32        // of the request
}

// headers writes a header block of one frame, or of several. A name and a value follow each other in fields.
func (c *h2lie) headers(end bool, fields ...string) {
	block := headerBlock(fields...)
	first := block[:min(len(block), 16<<10)]
	_ = c.WriteHeaders(http2.HeadersFrameParam{StreamID: c.stream, BlockFragment: first, EndStream: end, EndHeaders: len(first) == len(block)})
	for rest := block[len(first):]; len(rest) > 0; {
		next := rest[:min(len(rest), 16<<10)]
		rest = rest[len(next):]
		_ = c.WriteContinuation(c.stream, len(rest) == 0, next)
	}
}

func headerBlock(fields ...string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for i := 0; i+1 < len(fields); i += 2 {
		_ = e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return b.Bytes()
}

// hold reads frames until the client closes the connection.
func (c *h2lie) hold() {
	for {
		if _, err := c.ReadFrame(); err != nil {
			return
		}
	}
}

// until calls write until it fails.
func until(write func() error) {
	for write() == nil {
	}
}

// flood calls write until it fails, and reads frames meanwhile, so that the client does not wait.
func (c *h2lie) flood(write func() error) {
	var reading sync.WaitGroup
	reading.Go(c.hold)
	until(write)
	_ = c.Close()
	reading.Wait() // a Framer has one reader
}

// raw writes an unchecked frame.
func (c *h2lie) raw(kind byte, flags byte, stream uint32, payload []byte) error {
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	frame = binary.BigEndian.AppendUint32(append(frame, flags), stream)
	_, err := c.conn.Write(append(frame, payload...))
	return err
}

// overHTTP2 answers each request on a connection by answer; settings are sent first.
func overHTTP2(answer func(c *h2lie), settings ...http2.Setting) func(*lie) {
	return func(l *lie) {
		conn, err := secured(l, "h2")
		if err != nil {
			return
		}
		preface := make([]byte, len(http2.ClientPreface))
		if _, err := io.ReadFull(conn, preface); err != nil {
			return
		}
		c := &h2lie{Framer: http2.NewFramer(conn, conn), lie: l, conn: conn}
		c.AllowIllegalWrites = true
		if err := c.WriteSettings(settings...); err != nil {
			return
		}
		for {
			frame, err := c.ReadFrame()
			if err != nil {
				return
			}
			switch f := frame.(type) {
			case *http2.SettingsFrame:
				if !f.IsAck() {
					_ = c.WriteSettingsAck()
				}
			case *http2.HeadersFrame:
				c.stream = f.StreamID
				if f.StreamEnded() {
					answer(c)
				}
			case *http2.DataFrame:
				if f.StreamEnded() {
					answer(c)
				}
			}
		}
	}
}

// http2Liars are liars over HTTP/2. Their connection stays open after an answer, unless they close it.
func http2Liars() []liar {
	reset := func(code http2.ErrCode) func(*lie) {
		return overHTTP2(func(c *h2lie) { _ = c.WriteRSTStream(c.stream, code) })
	}
	status := func(code string) func(*lie) {
		return overHTTP2(func(c *h2lie) { c.headers(true, ":status", code) })
	}
	goAway := func(last uint32, code http2.ErrCode, debug string) func(*lie) {
		return overHTTP2(func(c *h2lie) { _ = c.WriteGoAway(last, code, []byte(debug)); _ = c.Close() })
	}
	then := func(write func(c *h2lie) error) func(*lie) { // 200, and then something without end
		return overHTTP2(func(c *h2lie) {
			c.headers(false, ":status", "200")
			until(func() error { return write(c) })
		})
	}
	instead := func(write func(c *h2lie) error) func(*lie) { // something without end instead of an answer
		return overHTTP2(func(c *h2lie) { c.flood(func() error { return write(c) }) })
	}
	once := func(write func(c *h2lie)) func(*lie) { return overHTTP2(write) }
	return []liar{
		{name: "plain", serve: once(func(c *h2lie) { c.headers(false, ":status", "200"); _ = c.WriteData(c.stream, true, []byte("hi")) }), status: 200, body: "hi"},

		// GOAWAY and RST_STREAM.
		{name: "GOAWAY, nothing done, no error", serve: goAway(0, http2.ErrCodeNo, ""), error: goAwayText, tries: 2},
		{name: "GOAWAY, nothing done, an error", serve: goAway(0, http2.ErrCodeEnhanceYourCalm, ""), error: goAwayText},
		{name: "GOAWAY that has the request", serve: goAway(1, http2.ErrCodeNo, ""), error: goAwayText},
		{name: "GOAWAY with a text", serve: goAway(0, http2.ErrCodeProtocol, strings.Repeat("secret", 1000)), error: goAwayText},
		{name: "GOAWAY for a later request, and an answer", serve: once(func(c *h2lie) {
			_ = c.WriteGoAway(c.stream, http2.ErrCodeNo, nil)
			c.headers(true, ":status", "204")
		}), status: 204},
		{name: "GOAWAY without end", serve: instead(func(c *h2lie) error { return c.WriteGoAway(1<<31-1, http2.ErrCodeNo, nil) }), error: floodText},
		{name: "REFUSED_STREAM", serve: reset(http2.ErrCodeRefusedStream), error: refusedText, tries: 2},
		{name: "REFUSED_STREAM once", serve: once(func(c *h2lie) {
			if c.stream == 1 {
				_ = c.WriteRSTStream(c.stream, http2.ErrCodeRefusedStream)
				return
			}
			c.headers(true, ":status", "200")
		}), status: 200, tries: 2},
		{name: "RST_STREAM PROTOCOL_ERROR", serve: reset(http2.ErrCodeProtocol), error: improperText, tries: 2},
		{name: "RST_STREAM INTERNAL_ERROR", serve: reset(http2.ErrCodeInternal), error: improperText},
		{name: "RST_STREAM CANCEL", serve: reset(http2.ErrCodeCancel), error: improperText},
		{name: "RST_STREAM ENHANCE_YOUR_CALM", serve: reset(http2.ErrCodeEnhanceYourCalm), error: improperText},
		{name: "RST_STREAM NO_ERROR", serve: reset(http2.ErrCodeNo), error: improperText},
		{name: "RST_STREAM after headers", serve: once(func(c *h2lie) {
			c.headers(false, ":status", "200")
			_ = c.WriteData(c.stream, false, []byte("hi"))
			_ = c.WriteRSTStream(c.stream, http2.ErrCodeInternal)
		}), status: 200, cut: true},

		// Silence and windows.
		{name: "nothing", serve: once(func(*h2lie) {}), timeout: hung, error: hungText},
		{name: "no settings", serve: func(l *lie) {
			if conn, err := secured(l, "h2"); err == nil {
				_, _ = io.Copy(io.Discard, conn)
			}
		}, timeout: hung, error: hungText},
		{name: "no streams", serve: overHTTP2(func(*h2lie) {}, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 0}), timeout: hung, error: hungText},
		{name: "no window", serve: overHTTP2(func(*h2lie) {}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}), request: 1 << 20, timeout: hung, error: hungText},
		{name: "a window that overflows", serve: once(func(c *h2lie) { _ = c.raw(8, 0, 0, []byte{0x7f, 0xff, 0xff, 0xff}); c.hold() }), error: improperText},
		{name: "a window of 0 more", serve: once(func(c *h2lie) { _ = c.raw(8, 0, c.stream, []byte{0, 0, 0, 0}); c.hold() }), error: improperText},

		// Floods.
		{name: "PINGs", serve: instead(func(c *h2lie) error { return c.WritePing(false, [8]byte{}) }), error: floodText},
		{name: "answers to PINGs never sent", serve: instead(func(c *h2lie) error { return c.WritePing(true, [8]byte{}) }), error: floodText},
		{name: "SETTINGS", serve: instead(func(c *h2lie) error {
			return c.WriteSettings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1 << 15})
		}), error: floodText},
		{name: "WINDOW_UPDATEs", serve: instead(func(c *h2lie) error { return c.WriteWindowUpdate(0, 1) }), error: floodText},
		{name: "PRIORITYs", serve: instead(func(c *h2lie) error { return c.WritePriority(c.stream, http2.PriorityParam{Weight: 1}) }), error: floodText},
		{name: "frames of no kind", serve: instead(func(c *h2lie) error { return c.raw(0xfa, 0, 0, make([]byte, 1000)) }), error: floodText},
		{name: "103 without end", serve: instead(func(c *h2lie) error { c.headers(false, ":status", "103"); return c.WritePing(false, [8]byte{}) }), error: improperText},
		{name: "CONTINUATIONs", serve: once(func(c *h2lie) {
			_ = c.WriteHeaders(http2.HeadersFrameParam{StreamID: c.stream, BlockFragment: headerBlock(":status", "200")})
			field := headerBlock("x-a", strings.Repeat("b", 1000))
			c.flood(func() error { return c.WriteContinuation(c.stream, false, field) })
		}), error: improperText},
		{name: "empty CONTINUATIONs", serve: once(func(c *h2lie) {
			_ = c.WriteHeaders(http2.HeadersFrameParam{StreamID: c.stream, BlockFragment: headerBlock(":status", "200")})
			c.flood(func() error { return c.WriteContinuation(c.stream, false, nil) })
		}), error: floodText},
		{name: "a body without end", serve: then(func(c *h2lie) error { return c.WriteData(c.stream, false, make([]byte, 16<<10)) }), status: 200, cut: true},
		{name: "a body of single bytes without end", serve: then(func(c *h2lie) error { return c.WriteData(c.stream, false, []byte("x")) }), status: 200, body: "xx", cut: true},
		{name: "empty DATA frames without end", serve: then(func(c *h2lie) error { return c.WriteData(c.stream, false, nil) }), status: 200, cut: true},
		{name: "padding without end", serve: then(func(c *h2lie) error { return c.WriteDataPadded(c.stream, false, nil, make([]byte, 255)) }), status: 200, cut: true},
		{name: "a body that drips", serve: once(func(c *h2lie) {
			c.headers(false, ":status", "200")
			_ = c.WriteData(c.stream, false, []byte("hi"))
			c.hold()
		}), status: 200, body: "hi", cut: true, timeout: slow},

		// Headers.
		{name: "headers of a megabyte", serve: once(func(c *h2lie) { c.headers(true, ":status", "200", "x-a", strings.Repeat("b", 1<<20)) }), error: improperText},
		{name: "an HPACK bomb", serve: once(func(c *h2lie) {
			fields, value := []string{":status", "200"}, strings.Repeat("b", 3000)
			for range 10_000 {
				fields = append(fields, "x-a", value)
			}
			c.headers(true, fields...)
		}), error: hugeText},
		{name: "HPACK that is none", serve: once(func(c *h2lie) {
			_ = c.WriteHeaders(http2.HeadersFrameParam{StreamID: c.stream, BlockFragment: []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, EndHeaders: true, EndStream: true})
		}), error: improperText},
		{name: "no status", serve: once(func(c *h2lie) { c.headers(true, "x-a", "b") }), error: improperText},
		{name: "two statuses", serve: once(func(c *h2lie) { c.headers(true, ":status", "200", ":status", "500") }), error: improperText},
		{name: "status abc", serve: status("abc"), error: improperText},
		{name: "status 0", serve: status("0"), error: statusText99},
		{name: "status 99", serve: status("99"), error: statusText99},
		{name: "status -200", serve: status("-200"), error: statusText99},
		{name: "status 2147483648", serve: status("2147483648"), error: statusText99},
		{name: "status 99999999999999999999", serve: status("99999999999999999999"), error: improperText},
		{name: "status 999", serve: status("999"), status: 999, error: "999"},
		{name: "101", serve: status("101"), error: improperText},
		{name: "a name in upper case", serve: once(func(c *h2lie) { c.headers(true, ":status", "200", "X-A", "b") }), error: improperText},
		{name: "a line feed in a header", serve: once(func(c *h2lie) { c.headers(true, ":status", "200", "x-a", "b\nc") }), error: improperText},
		{name: "a NUL in a header", serve: once(func(c *h2lie) { c.headers(true, ":status", "200", "x-a", "b\x00c") }), error: improperText},
		{name: "headers of HTTP 1", serve: once(func(c *h2lie) {
			c.headers(true, ":status", "200", "connection", "close", "transfer-encoding", "chunked")
		}), status: 200},
		{name: "no end of a length", serve: once(func(c *h2lie) {
			c.headers(false, ":status", "200", "content-length", "9")
			_ = c.WriteData(c.stream, true, []byte("hi"))
		}), status: 200, body: "hi", cut: true},
		{name: "more than its length", serve: once(func(c *h2lie) {
			c.headers(false, ":status", "200", "content-length", "1")
			_ = c.WriteData(c.stream, true, []byte("hi"))
		}), status: 200, cut: true},
		{name: "headers twice", serve: once(func(c *h2lie) {
			c.headers(false, ":status", "200")
			c.headers(false, ":status", "500")
			c.hold()
		}), status: 200, cut: true},
		{name: "trailers", serve: once(func(c *h2lie) {
			c.headers(false, ":status", "200", "trailer", "x-a")
			_ = c.WriteData(c.stream, false, []byte("hi"))
			c.headers(true, "x-a", "b")
		}), status: 200, body: "hi"},

		// Forbidden frames.
		{name: "DATA before headers", serve: once(func(c *h2lie) { _ = c.WriteData(c.stream, true, []byte("hi")); c.hold() }), error: improperText},
		{name: "DATA on no stream", serve: once(func(c *h2lie) { _ = c.raw(0, 1, 0, []byte("hi")); c.hold() }), error: improperText},
		{name: "an answer to a request never made", serve: once(func(c *h2lie) { c.stream += 2; c.headers(true, ":status", "200"); c.hold() }), timeout: hung, error: hungText},
		{name: "a promise", serve: once(func(c *h2lie) {
			_ = c.WritePushPromise(http2.PushPromiseParam{StreamID: c.stream, PromiseID: 2, BlockFragment: headerBlock(":method", "GET", ":path", "/", ":scheme", "https", ":authority", "a.test"), EndHeaders: true})
			c.hold()
		}), error: improperText},
		{name: "a frame of 16 MiB", serve: once(func(c *h2lie) { _, _ = c.conn.Write([]byte{0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1}); c.hold() }), error: improperText},
		{name: "settings that push", serve: overHTTP2(func(c *h2lie) { c.hold() }, http2.Setting{ID: http2.SettingEnablePush, Val: 1}), timeout: hung, error: hungText},
		{name: "settings of frames too small", serve: overHTTP2(func(c *h2lie) { c.hold() }, http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1}), error: improperText},
		{name: "settings of a window too large", serve: overHTTP2(func(c *h2lie) { c.hold() }, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 31}), error: improperText},
		{name: "SETTINGS of 5 bytes", serve: once(func(c *h2lie) { _ = c.raw(4, 0, 0, make([]byte, 5)); c.hold() }), error: improperText},
		{name: "half a frame", serve: once(func(c *h2lie) { _, _ = c.conn.Write([]byte{0, 0, 9, 1}); _ = c.Close() }), error: closedText},
		{name: "HTTP 1 inside", serve: once(func(c *h2lie) { _, _ = io.WriteString(c.conn, ok+"Content-Length: 0\r\n\r\n"); c.hold() }), error: improperText},
		{name: "closes", serve: once(func(c *h2lie) { _ = c.Close() }), error: closedText},
		{name: "a redirect", serve: once(func(c *h2lie) { c.headers(true, ":status", "302", "location", "https://169.254.169.254/") }), status: 302, error: "302 Found (redirects are not followed)"},
	}
}
