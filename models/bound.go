package models

import "time"

// The times that every database can store, compare and sort: from the beginning of UNIX time, before which no row and
// no id exists, to the last millisecond with a four-digit year.
var (
	firstTime = time.Unix(0, 0).UTC()
	lastTime  = time.Date(9999, time.December, 31, 23, 59, 59, int(999*time.Millisecond), time.UTC)
)

// Bound turns any time into a bound of a time window: in UTC, in whole milliseconds as everything is stored, and
// within what every database can compare. A window with this bound holds the same rows as one with t: rows have whole
// milliseconds, so a fraction rounds up. The result is never zero.
func Bound(t time.Time) time.Time {
	t = t.UTC()
	switch {
	case !t.After(firstTime):
		return firstTime
	case !t.Before(lastTime):
		return lastTime
	}
	if whole := t.Truncate(time.Millisecond); whole.Before(t) {
		return whole.Add(time.Millisecond)
	}
	return t
}

// boundText returns a bound's text for a cursor; "" if there is none.
func boundText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return Bound(t).Format(time.RFC3339Nano)
}
