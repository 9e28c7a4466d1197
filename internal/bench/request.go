package bench

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
)

// request is an HTTP request that is prepared once and sent many times. Only its sequence numbers change.
type request struct {
	bytes []byte
	slots []int // where the sequence numbers stand
}

// seqMark stands before each sequence number, in the request and in its deliveries.
const seqMark = `"seq":"`

const seqDigits = 8

// number writes first, first+1, … into the request.
func (r *request) number(first int) {
	for i, at := range r.slots {
		putDigits(r.bytes[at:at+seqDigits], first+i)
	}
}

func putDigits(to []byte, n int) {
	for i := len(to) - 1; i >= 0; i-- {
		to[i] = byte('0' + n%10)
		n /= 10
	}
}

// digits reads a number that putDigits wrote; -1 for anything else.
func digits(from []byte) int {
	n := 0
	for _, c := range from {
		if c < '0' || c > '9' {
			return -1
		}
		n = 10*n + int(c-'0')
	}
	return n
}

// labels are the tags and channels of each event. Tags serve to find it, and webhooks choose it by channels.
type labels struct{ tags, channels []string }

// named returns n names.
func named(what string, n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("%s-%d", what, i+1))
	}
	return names
}

// labels returns the labels of every event.
func (o Options) labels() labels { return labels{named("tag", o.Tags), named("channel", o.Channels)} }

// text returns the labels' part of an event's JSON.
func (l labels) text() (text string) {
	for _, field := range []struct {
		name   string
		values []string
	}{{"tags", l.tags}, {"channels", l.channels}} {
		if len(field.values) > 0 {
			text += fmt.Sprintf(`"%s":["%s"],`, field.name, strings.Join(field.values, `","`))
		}
	}
	return text
}

// publish prepares a request that publishes n events, each with size bytes of data: in one batch, or with n = 1 singly.
func publish(base *url.URL, key, tenant, eventType string, n, size int, l labels) *request {
	events := make([]string, n)
	for i := range events {
		events[i] = fmt.Sprintf(`{"type":%q,%s"data":%s}`, eventType, l.text(), data(size, uint64(i)))
	}
	path, body := "/v1/tenants/"+tenant+"/events", events[0]
	if n > 1 {
		path, body = path+"/batch", `{"events":[`+strings.Join(events, ",")+`]}`
	}
	text := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		strings.TrimRight(base.Path, "/")+path, base.Host, key, len(body), body)
	r := &request{bytes: []byte(text)}
	for at := 0; ; {
		i := strings.Index(text[at:], seqMark)
		if i < 0 {
			return r
		}
		at += i + len(seqMark)
		r.slots = append(r.slots, at)
	}
}

// data returns an object of exactly size bytes, or of the least size that holds a sequence number. It looks like an
// order. Compression on the way would reduce one repeated letter to nothing.
func data(size int, seed uint64) string {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789     "
	head, tail := `{`+seqMark+strings.Repeat("0", seqDigits)+`","note":"`, `"}`
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // Filling, the same in every run.
	note := make([]byte, max(0, size-len(head)-len(tail)))
	for i := range note {
		note[i] = letters[random.IntN(len(letters))]
	}
	return head + string(note) + tail
}
