package sender

import (
	"io"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"
)

// Outcome classifies the end of an exchange.
type Outcome int

const (
	// Failed is every other end: another status (including 3xx), a timeout, no connection, a forbidden destination.
	Failed Outcome = iota
	// Received is any 2xx status.
	Received
	// Gone is status 410: the receiver asks never to be called again.
	Gone
	// Local is a failure of Posthorn itself, such as a lack of file descriptors, or a caller that gave up. It says
	// nothing about the receiver and must not count against it. The receiver may still have got the request, so that
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

// Result is the result of one exchange. Everything in it is bounded in size.
type Result struct {
	StartedAt time.Time
	Duration  time.Duration
	// URL is the canonical form of Request.URL, in which it was sent; the given form if it is not a valid destination.
	URL string
	// Tries are the two transmissions of the request if there were two, else nil.
	Tries []Try
	// StatusCode is 0 if no status arrived.
	StatusCode int
	// Error is empty if Outcome is Received. It may be shown to the webhook's owner: it never holds request headers,
	// secrets, or the URL's path and query.
	Error string
	// Header holds every header of the answer, at most 64 KiB; cookies are masked.
	Header http.Header
	// Body is the kept part of the response body. Cut text ends with a whole character.
	Body []byte
	// BodyTruncated is true if the receiver sent, or meant to send, more than Body.
	BodyTruncated bool
	// RetryAfter is the wait that the receiver requested with a 429 or 503. 0 means none.
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

// statusText returns Result.Error for an answered exchange, made from the code alone, because the receiver chooses the
// reason phrase.
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

// drainLimit is how much of an overlong body is read and discarded so that its connection can be reused. A longer rest
// costs more than a new connection.
const drainLimit = 64 << 10

// readBody reads up to limit bytes and, if little more follows, the rest. The request's context bounds the time.
func readBody(resp *http.Response, limit int64) (kept []byte, truncated bool) {
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return nil, false // the rest is not a body
	}
	kept, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if int64(len(kept)) <= limit {
		if err != nil {
			return wholeRunes(kept), true
		}
		return kept, false
	}
	if resp.ContentLength <= limit+drainLimit { // also if it is unknown (-1)
		// If this read fails, the connection is closed with the body, which is all that can be done.
		_, _ = io.CopyN(io.Discard, resp.Body, drainLimit)
	}
	return wholeRunes(kept[:limit]), true
}

// wholeRunes drops an incomplete last character of UTF-8 text. Bytes that are not UTF-8 stay as they are.
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
