package sender

import (
	"bytes"
	"io"
)

// Quiet returns a writer for package log that drops net/http's messages about misbehaving receivers. These contain
// bytes from the receiver, any number of times, and may repeat what was sent to it.
func Quiet(w io.Writer) io.Writer { return quiet{w} }

type quiet struct{ w io.Writer }

// chatter are the beginnings of these lines.
var chatter = [][]byte{[]byte("Unsolicited response received"), []byte("http2: "), []byte("protocol error: received"), []byte("Transport: unhandled")}

func (q quiet) Write(line []byte) (int, error) {
	for _, start := range chatter {
		if bytes.Contains(line[:min(len(line), 80)], start) { // after a date, or another prefix of package log
			return len(line), nil
		}
	}
	return q.w.Write(line)
}
