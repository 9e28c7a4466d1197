package sender

import (
	"bytes"
	"compress/gzip"
	"io"
	"strings"
	"time"
)

const (
	ok           = "HTTP/1.1 200 OK\r\n"
	closedText   = "connection closed by the receiver without an answer"
	resetText    = "connection reset by the receiver"
	improperText = "the receiver did not answer in proper HTTP"
	hugeText     = "response headers larger than 64 KiB"
	hungText     = "timeout after 100ms"
	statusText99 = "the receiver answered with a status that HTTP does not have"
)

// bomb is gzip of a megabyte of zeros a thousand times over, in a kilobyte or so.
func bomb() string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.CopyN(w, zeros{}, 1<<20)
	_ = w.Close()
	return b.String()
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

func retries(status, value string) func(*lie) {
	return says("HTTP/1.1 " + status + " x\r\nContent-Length: 0\r\nRetry-After: " + value + "\r\n\r\n")
}

var http1Liars = []liar{
	{name: "plain", serve: says(ok + "Content-Length: 2\r\n\r\nhi"), status: 200, body: "hi"},

	// No answer.
	{name: "closes", serve: func(*lie) {}, error: closedText},
	{name: "resets", serve: func(c *lie) { _ = c.tcp.SetLinger(0) }, error: resetText},
	{name: "says nothing", serve: (*lie).wait, timeout: hung, error: hungText},
	{name: "says nothing and does not read", serve: func(c *lie) { <-c.over }, early: true, request: 32 << 20, timeout: hung, error: hungText},
	{name: "half a status line and silence", serve: holds("HTTP/1.1 20"), timeout: hung, error: hungText},
	{name: "half a status line and the end", serve: says("HTTP/1.1 20"), error: improperText},
	{name: "half the headers and silence", serve: holds(ok + "X-A: b\r\n"), timeout: hung, error: hungText},
	{name: "half the headers and the end", serve: says(ok + "X-A: b\r\n"), error: closedText},
	{name: "drips a status line", serve: func(c *lie) { c.drip("H") }, timeout: hung, error: hungText},
	{name: "drips headers", serve: drips(ok, "X-A: b\r\n"), timeout: hung, error: hungText},
	{name: "drips one header", serve: drips(ok+"X-A: ", "b"), timeout: hung, error: hungText},
	{name: "floods headers", serve: floods(ok, "X-A: b\r\n"), error: hugeText},
	{name: "floods one header", serve: floods(ok+"X-A: ", "b"), error: hugeText},
	{name: "floods a header's name", serve: floods(ok, "X"), error: hugeText},
	{name: "floods the status line", serve: floods("HTTP/1.1 200 ", "O"), error: hugeText},
	{name: "floods blank lines", serve: floods("", "\r\n"), error: improperText},

	// Not HTTP.
	{name: "a JSON text", serve: says(`{"ok":true}` + "\r\n"), error: improperText},
	{name: "SSH", serve: says("SSH-2.0-OpenSSH_9.6\r\n"), error: improperText},
	{name: "SMTP", serve: says("220 mail.example ESMTP\r\n"), error: improperText},
	{name: "a TLS alert", serve: says("\x15\x03\x01\x00\x02\x02\x28"), error: improperText},
	{name: "HTTP/2 frames", serve: says("\x00\x00\x00\x04\x00\x00\x00\x00\x00"), error: improperText},
	{name: "NULs", serve: says(strings.Repeat("\x00", 1000) + "\r\n"), error: improperText},
	{name: "HTTP 0.9", serve: says("<html></html>\n"), error: improperText},
	{name: "HTTP in lower case", serve: says("http/1.1 200 OK\r\n\r\n"), error: improperText},
	{name: "no version", serve: says("200 OK\r\n\r\n"), error: improperText},
	{name: "a blank line first", serve: says("\r\n" + ok + "\r\n"), error: improperText},

	// Status codes.
	{name: "no reason", serve: says("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"), status: 200},
	{name: "status 000", serve: says("HTTP/1.1 000 Nothing\r\nContent-Length: 0\r\n\r\n"), error: statusText99},
	{name: "status 099", serve: says("HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n"), error: statusText99},
	{name: "status 99", serve: says("HTTP/1.1 99 Low\r\nContent-Length: 0\r\n\r\n"), error: improperText},
	{name: "status 1000", serve: says("HTTP/1.1 1000 High\r\nContent-Length: 0\r\n\r\n"), error: improperText},
	{name: "status 999", serve: says("HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n"), status: 999, error: "999"},
	{name: "status 299", serve: says("HTTP/1.1 299 Odd\r\nContent-Length: 0\r\n\r\n"), status: 299},
	{name: "status -20", serve: says("HTTP/1.1 -20 Odd\r\nContent-Length: 0\r\n\r\n"), error: improperText},
	{name: "status abc", serve: says("HTTP/1.1 abc Odd\r\n\r\n"), error: improperText},
	{name: "no status", serve: says("HTTP/1.1\r\n\r\n"), error: improperText},
	{name: "a reason that colours terminals", serve: says("HTTP/1.1 500 \x1b[31msecret\r\nContent-Length: 0\r\n\r\n"), status: 500, error: "500 Internal Server Error"},
	{name: "410", serve: says("HTTP/1.1 410 Fine\r\nContent-Length: 0\r\n\r\n"), status: 410, error: "410 Gone"},

	// 1xx.
	{name: "100 without end, fast", serve: floods("", "HTTP/1.1 100 Continue\r\n\r\n"), error: hugeText},
	{name: "103 without end, slow", serve: drips("", "HTTP/1.1 103 Early Hints\r\n\r\n"), timeout: hung, error: hungText},
	{name: "103 with a header without end", serve: floods("HTTP/1.1 103 Early Hints\r\nLink: ", "a"), error: hugeText},
	{name: "102 and then 200", serve: says("HTTP/1.1 102 Processing\r\n\r\n" + ok + "Content-Length: 0\r\n\r\n"), status: 200},
	{name: "199 and then the end", serve: says("HTTP/1.1 199 Odd\r\n\r\n"), error: closedText},
	{name: "101", serve: says("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nrest"), status: 101, error: "101 Switching Protocols"},

	// Headers.
	{name: "a blank before the colon", serve: says(ok + "X-A : b\r\nContent-Length: 0\r\n\r\n"), status: 200},
	{name: "no colon", serve: says(ok + "X-A b\r\n\r\n"), error: improperText},
	{name: "no name", serve: says(ok + ": b\r\n\r\n"), error: improperText},
	{name: "a NUL in a header", serve: says(ok + "X-A: a\x00b\r\n\r\n"), error: improperText},
	{name: "a line feed alone in a header", serve: says(ok + "X-A: a\nX-B: b\nContent-Length: 0\r\n\r\n"), status: 200},
	{name: "a carriage return alone in a header", serve: says(ok + "X-A: a\rX-B: b\r\nContent-Length: 0\r\n\r\n"), error: improperText},
	{name: "a folded header", serve: says(ok + "X-A: a\r\n b\r\nContent-Length: 0\r\n\r\n"), status: 200},
	{name: "a header beyond ASCII", serve: says(ok + "X-A: caf\xe9 \xf0\x9f\xa6\x8a\r\nContent-Length: 0\r\n\r\n"), status: 200},
	{name: "a header's name beyond ASCII", serve: says(ok + "X-\xe9: a\r\nContent-Length: 0\r\n\r\n"), error: improperText},
	{name: "a thousand headers", serve: says(ok + strings.Repeat("X-A: b\r\n", 1000) + "Content-Length: 0\r\n\r\n"), status: 200},
	{name: "a header of 60 KiB", serve: says(ok + "X-A: " + strings.Repeat("b", 60<<10) + "\r\nContent-Length: 0\r\n\r\n"), status: 200},

	// Lengths.
	{name: "two equal lengths", serve: says(ok + "Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi"), status: 200, body: "hi"},
	{name: "two lengths", serve: says(ok + "Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi!"), error: improperText},
	{name: "a length below 0", serve: says(ok + "Content-Length: -1\r\n\r\n"), error: improperText},
	{name: "a length with a plus", serve: says(ok + "Content-Length: +2\r\n\r\nhi"), error: improperText},
	{name: "a list of lengths", serve: says(ok + "Content-Length: 2, 2\r\n\r\nhi"), error: improperText},
	{name: "a length beyond 63 bits", serve: says(ok + "Content-Length: 99999999999999999999\r\n\r\nhi"), error: improperText},
	{name: "the greatest length", serve: says(ok + "Content-Length: 9223372036854775807\r\n\r\nhi"), status: 200, body: "hi", cut: true},
	{name: "more than the length", serve: says(ok + "Content-Length: 2\r\n\r\nhi and more"), status: 200, body: "hi"},
	{name: "less than the length, and silence", serve: holds(ok + "Content-Length: 5\r\n\r\nhi"), status: 200, body: "hi", cut: true, timeout: slow},
	{name: "no length, and silence", serve: holds(ok + "\r\nhi"), status: 200, body: "hi", cut: true, timeout: slow},
	{name: "length and chunks", serve: says(ok + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"), status: 200, body: "hi"},
	{name: "204 with a body", serve: says("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello"), status: 204},
	{name: "304 with a body", serve: says("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello"), status: 304, error: "304 Not Modified (redirects are not followed)"},
	{name: "HTTP 1.0 without a length", serve: says("HTTP/1.0 200 OK\r\n\r\nhi"), status: 200, body: "hi"},

	// Chunks.
	{name: "an unknown transfer encoding", serve: says(ok + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), error: improperText},
	{name: "a chunk's size that is none", serve: says(ok + "Transfer-Encoding: chunked\r\n\r\nzz\r\nhi\r\n0\r\n\r\n"), status: 200, cut: true},
	{name: "a chunk's size below 0", serve: says(ok + "Transfer-Encoding: chunked\r\n\r\n-2\r\nhi\r\n0\r\n\r\n"), status: 200, cut: true},
	{name: "a chunk's size beyond 64 bits", serve: says(ok + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhi\r\n"), status: 200, cut: true},
	{name: "a chunk longer than its size", serve: says(ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi!\r\n0\r\n\r\n"), status: 200, body: "hi", cut: true},
	{name: "no last chunk", serve: says(ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"), status: 200, body: "hi", cut: true},
	{name: "a chunk's extension without end", serve: floods(ok+"Transfer-Encoding: chunked\r\n\r\n2;", "a"), status: 200, cut: true},
	{name: "extensions longer than their chunks", serve: floods(ok+"Transfer-Encoding: chunked\r\n\r\n", "1;"+strings.Repeat("a", 2000)+"\r\nx\r\n"), status: 200, cut: true},
	{name: "chunks of one byte without end", serve: floods(ok+"Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n"), status: 200, body: "xx", cut: true},
	{name: "chunks that drip", serve: drips(ok+"Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n"), status: 200, body: "x", cut: true, timeout: slow},
	{name: "trailers", serve: says(ok + "Transfer-Encoding: chunked\r\nTrailer: X-A\r\n\r\n2\r\nhi\r\n0\r\nX-A: b\r\n\r\n"), status: 200, body: "hi"},
	{name: "trailers without end", serve: floods(ok+"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n", "X-A: b\r\n"), status: 200, body: "hi", cut: true},
	{name: "trailers that may not be", serve: says(ok + "Transfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n0\r\nContent-Length: 9\r\n\r\n"), error: improperText},

	// Bodies.
	{name: "a body without end", serve: floods(ok+"\r\n", "x"), status: 200, body: "xx", cut: true},
	{name: "a body that drips", serve: drips(ok+"\r\n", "x"), status: 200, body: "x", cut: true, timeout: slow},
	{name: "an error with a body without end", serve: floods("HTTP/1.1 500 No\r\n\r\n", "x"), status: 500, error: "500 Internal Server Error", body: "xx", cut: true},
	{name: "a body cut within a character", serve: floods(ok+"\r\n", "日本"), status: 200, body: "日本", cut: true},
	{name: "a gzip bomb", serve: says(ok + "Content-Encoding: gzip\r\n\r\n" + bomb()), status: 200, body: "\x1f\x8b"},
	{name: "a body that is not what it is said to be", serve: says(ok + "Content-Encoding: br\r\nContent-Type: a/b/c; =\r\n\r\nhi"), status: 200, body: "hi"},
	{name: "NULs in the body", serve: says(ok + "Content-Length: 3\r\n\r\na\x00b"), status: 200, body: "a\x00b"},
	{name: "UTF-16", serve: says(ok + "Content-Length: 6\r\n\r\n\xff\xfeh\x00i\x00"), status: 200, body: "\xff\xfeh\x00i\x00"},

	// Redirects and other answers that ask for a second request.
	{name: "301 to itself", serve: says("HTTP/1.1 301 Moved\r\nLocation: /hook\r\nContent-Length: 0\r\n\r\n"), status: 301, error: "301 Moved Permanently (redirects are not followed)"},
	{name: "307 to a metadata service", serve: says("HTTP/1.1 307 Temporary\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"), status: 307, error: "307 Temporary Redirect (redirects are not followed)"},
	{name: "308 to a file", serve: says("HTTP/1.1 308 Permanent\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n"), status: 308, error: "308 Permanent Redirect (redirects are not followed)"},
	{name: "a Location that is none", serve: says("HTTP/1.1 302 Found\r\nLocation: http://[::1\r\nContent-Length: 0\r\n\r\n"), status: 302, error: "302 Found (redirects are not followed)"},
	{name: "Refresh", serve: says(ok + "Refresh: 0; url=http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n"), status: 200},
	{name: "401", serve: says("HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n"), status: 401, error: "401 Unauthorized"},
	{name: "407", serve: says("HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n"), status: 407, error: "407 Proxy Authentication Required"},
	{name: "408 and the end", serve: says("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"), status: 408, error: "408 Request Timeout"},
	{name: "421", serve: says("HTTP/1.1 421 Misdirected\r\nContent-Length: 0\r\n\r\n"), status: 421, error: "421 Misdirected Request"},
	{name: "425", serve: says("HTTP/1.1 425 Too Early\r\nContent-Length: 0\r\n\r\n"), status: 425, error: "425 Too Early"},

	// Retry-After.
	{name: "Retry-After", serve: retries("429", "7"), status: 429, error: "429 Too Many Requests", after: 7 * time.Second},
	{name: "Retry-After below 0", serve: retries("429", "-7"), status: 429, error: "429 Too Many Requests"},
	{name: "Retry-After beyond 64 bits", serve: retries("503", "99999999999999999999999"), status: 503, error: "503 Service Unavailable", after: maxRetryAfter},
	{name: "Retry-After of the year 9999", serve: retries("503", "Fri, 31 Dec 9999 23:59:59 GMT"), status: 503, error: "503 Service Unavailable", after: maxRetryAfter},
	{name: "Retry-After long ago", serve: retries("503", "Mon, 01 Jan 0001 00:00:00 GMT"), status: 503, error: "503 Service Unavailable"},
	{name: "Retry-After of a fraction", serve: retries("503", "1e9"), status: 503, error: "503 Service Unavailable"},
	{name: "Retry-After of NaN", serve: retries("429", "NaN"), status: 429, error: "429 Too Many Requests"},
	{name: "Retry-After in other digits", serve: retries("429", "٣"), status: 429, error: "429 Too Many Requests"},
	{name: "Retry-After twice", serve: retries("429", "3\r\nRetry-After: 99"), status: 429, error: "429 Too Many Requests", after: 3 * time.Second},
	{name: "Retry-After with success", serve: retries("200", "7"), status: 200},

	// Connections.
	{name: "answers before it is asked, on a new connection", serve: holds(ok + "Content-Length: 0\r\n\r\n"), early: true, status: 200},
	{name: "two answers at once", serve: says(ok + "Content-Length: 1\r\n\r\na" + ok + "Content-Length: 1\r\n\r\nb"), status: 200, body: "a"},
	{name: "keeps a connection that it said it would close", serve: holds(ok + "Connection: close\r\nContent-Length: 0\r\n\r\n"), status: 200},
	{name: "closes one half", serve: func(c *lie) {
		c.say(ok + "\r\nhi")
		if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
		c.wait()
	}, status: 200, body: "hi"},
}
