package models

import (
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// The prefixes of Posthorn's ids. A UUIDv7 (RFC 9562) follows the prefix, so ids sort by time and cannot be guessed.
const (
	PrefixWebhook      = "wh_"
	PrefixEvent        = "evt_"
	PrefixDelivery     = "dlv_"
	PrefixAttempt      = "att_"
	PrefixDispatch     = "dsp_"
	PrefixKey          = "key_"
	PrefixRecovery     = "rec_"
	PrefixNotification = "ntf_"
	PrefixJob          = "job_"
	PrefixBatch        = "bat_"
	PrefixInstallation = "ins_"
	PrefixAudit        = "aud_"
	PrefixErasure      = "era_"
	PrefixSession      = "ses_"
	PrefixLink         = "lnk_"
)

// idsClock is the clock for ids, because the times in ids are compared with stored times; nil = the process's clock.
var idsClock atomic.Pointer[clock]

// idsAhead is by how many milliseconds idsClock is ahead of the process's clock, which is used to make UUIDs.
var idsAhead atomic.Int64

// idsSlack is how many milliseconds idsAhead may be off. Without it, successive ids would not always be in order,
// because the two clocks are not read at the same instant.
const idsSlack = 2

// NewID returns a new id with the given prefix.
func NewID(prefix string) string { return newID(prefix, idsOffset(time.Now())) }

// idsOffset returns how far idsClock is ahead of the process's clock, which shows wall. It changes when either is set.
func idsOffset(wall time.Time) int64 {
	kept := idsAhead.Load()
	c := idsClock.Load()
	if c == nil {
		return kept
	}
	if ahead := c.now().Sub(wall.Round(0)).Milliseconds(); ahead > kept+idsSlack || ahead < kept-idsSlack {
		idsAhead.Store(ahead)
		return ahead
	}
	return kept
}

func newID(prefix string, ahead int64) string {
	u := uuid.Must(uuid.NewV7())
	if ahead != 0 {
		var ms int64
		for _, b := range u[:6] {
			ms = ms<<8 | int64(b)
		}
		putMillis(&u, ms+ahead)
	}
	return prefix + u.String()
}

// putMillis writes the time into a UUIDv7.
func putMillis(u *uuid.UUID, ms int64) {
	for i := range 6 {
		u[i] = byte(ms >> (40 - 8*i)) //nolint:gosec // only the lowest byte is needed
	}
}

// IDBefore returns the smallest id with this prefix that could have been made at t: ids made earlier sort before it.
func IDBefore(prefix string, t time.Time) string {
	var u uuid.UUID
	putMillis(&u, min(max(t.UnixMilli(), 0), lastTime.UnixMilli())) // 48 bits, and no sign
	return prefix + u.String()
}

// HasIDForm reports whether id is prefix followed by a UUID.
func HasIDForm(prefix, id string) bool {
	rest, ok := strings.CutPrefix(id, prefix)
	return ok && len(rest) == 36 && uuid.Validate(rest) == nil
}
