package sender

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxRetryAfter bounds the accepted value. Callers apply their own, much lower, cap; this one keeps the arithmetic
// safe.
const maxRetryAfter = 365 * 24 * time.Hour

// retryAfter reads Retry-After (RFC 9110, 10.2.3) of a 429 or 503: seconds, or an HTTP date. It returns 0 if there is
// none, if it is invalid, or if it has passed.
func retryAfter(status int, header http.Header, now time.Time) time.Duration {
	if status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable {
		return 0
	}
	value := strings.TrimSpace(header.Get("Retry-After"))
	if value == "" {
		return 0
	}
	if isDigits(value) {
		seconds, err := strconv.ParseInt(value, 10, 64)
		if err != nil || seconds > int64(maxRetryAfter/time.Second) { // digits only: the only possible error is that it is too large
			return maxRetryAfter
		}
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}

func isDigits(s string) bool {
	return strings.Trim(s, "0123456789") == ""
}
