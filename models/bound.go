package models

import "time"

// The times that can be stored, compared and sorted in every database: from the beginning of UNIX time, before which
// nothing was made and no id exists, to the last millisecond that has a year of four digits.
var (
	firstTime = time.Unix(0, 0).UTC()
	lastTime  = time.Date(9999, time.December, 31, 23, 59, 59, int(999*time.Millisecond), time.UTC)
)

// Bound makes a bound of a time window out of any time: in UTC, in whole milliseconds as everything is stored, and within
// what every database can compare. A window with this bound holds the same rows as one with t: rows have whole milliseconds,
// so a fraction counts up. The result is never zero.
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

// boundText names a bound in a cursor; "" if there is none.
func boundText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return Bound(t).Format(time.RFC3339Nano)
}
