package sender

import (
	"io"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"
)

// Outcome classifies how an exchange ended.
type Outcome int

const (
	// Failed is every other end: another status (3xx included), a timeout, no connection, a destination that is not
	// allowed.
	Failed Outcome = iota
	// Received is any 2xx status.
	Received
	// Gone is status 410: the receiver asks never to be called again.
	Gone
	// Local is a failure of Posthorn itself, such as a lack of file descriptors, or a caller that gave up. It says nothing
	// about the receiver and must not be counted against it. The receiver may still have got the request, so that
	// sending it again may send it twice.
	Local
)

// String returns the outcome in lower case, for logs and metric labels.
func (o Outcome) String() string {
	switch o {
	case Received:
		return "received"
	case Gone:
		return "gone"
	case Local:
		return "local"
	default:
		return "failed"
	}
}

// Result says how one exchange ended. Everything in it is bounded in size.
type Result struct {
	StartedAt time.Time
	Duration  time.Duration
	// URL is the canonical form of Request.URL, in which it was sent; as it was given if it is no destination.
	URL string
	// Tries are the two sendings of the request where there were two, else nil.
	Tries []Try
	// StatusCode is 0 if no status arrived.
	StatusCode int
	// Error is empty if Outcome is Received. It may be shown to the webhook's owner: it never holds request headers,
	// secrets, or the URL's path and query.
	Error string
	// Header holds every header of the answer, of which there are 64 KiB at most; cookies are masked.
	Header http.Header
	// Body is what was kept of the response body. Text that was cut ends with a whole character.
	Body []byte
	// BodyTruncated is true if the receiver sent, or meant to send, more than Body.
	BodyTruncated bool
	// RetryAfter is how long the receiver asked to be left alone, from a 429 or 503. 0 means it did not say.
	RetryAfter time.Duration
	Outcome    Outcome
	// Reason is set if Outcome is Local.
	Reason Reason
	// Aborted is true if the caller's context ended before an answer. Outcome is then Local.
	Aborted bool
}

func outcomeOf(status int) Outcome {
	switch {
	case status >= 200 && status <= 299:
		return Received
	case status == http.StatusGone:
		return Gone
	default:
		return Failed
	}
}

// statusText is Result.Error for an answered exchange, made from the code alone: the reason phrase is the receiver's.
func statusText(status int) string {
	if outcomeOf(status) == Received {
		return ""
	}
	text := strconv.Itoa(status)
	if name := http.StatusText(status); name != "" {
		text += " " + name
	}
	if status >= 300 && status <= 399 {
		text += " (redirects are not followed)"
	}
	return text
}

// drainLimit is how much of an over-long body is read and thrown away so that its connection can be used again. A longer
// rest costs more than a new connection.
const drainLimit = 64 << 10

// readBody reads up to limit bytes and, if little more follows, the rest. The request's context bounds the time.
func readBody(resp *http.Response, limit int64) (kept []byte, truncated bool) {
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return nil, false // what follows is not a body
	}
	kept, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if int64(len(kept)) <= limit {
		if err != nil {
			return wholeRunes(kept), true
		}
		return kept, false
	}
	if resp.ContentLength <= limit+drainLimit { // also if it is unknown (-1)
		// A failed read leaves the connection to be closed with the body, which is all that can be done.
		_, _ = io.CopyN(io.Discard, resp.Body, drainLimit)
	}
	return wholeRunes(kept[:limit]), true
}

// wholeRunes drops the character that UTF-8 text was cut in. Bytes that are no UTF-8 stay as they are.
func wholeRunes(text []byte) []byte {
	for cut := len(text) - 1; cut >= max(0, len(text)-utf8.UTFMax); cut-- {
		if utf8.RuneStart(text[cut]) {
			if !utf8.FullRune(text[cut:]) && utf8.Valid(text[:cut]) {
				return text[:cut]
			}
			break
		}
	}
	return text
}
