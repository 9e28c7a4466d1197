package sender

import (
	"bytes"
	"io"
)

// Quiet returns a writer for package log that leaves out what net/http says of misbehaving receivers. It prints what they
// sent, as often as they like, and that may repeat what was sent to them.
func Quiet(w io.Writer) io.Writer { return quiet{w} }

type quiet struct{ w io.Writer }

// chatter is how the lines begin.
var chatter = [][]byte{[]byte("Unsolicited response received"), []byte("http2: "), []byte("protocol error: received"), []byte("Transport: unhandled")}

func (q quiet) Write(line []byte) (int, error) {
	for _, start := range chatter {
		if bytes.Contains(line[:min(len(line), 80)], start) { // after a date, or whatever package log is set to put first
			return len(line), nil
		}
	}
	return q.w.Write(line)
}
