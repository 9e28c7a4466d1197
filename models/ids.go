package models

import (
	"strings"
	"time"

	"github.com/google/uuid"
)

// The prefixes of Posthorn's ids. What follows the prefix is a UUIDv7 (RFC 9562), so ids sort by time and cannot
// be guessed.
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
)

// NewID makes an id with the given prefix.
func NewID(prefix string) string {
	return prefix + uuid.Must(uuid.NewV7()).String()
}

// IDBefore gives the smallest id with this prefix that could have been made at t: ids made earlier sort before it.
func IDBefore(prefix string, t time.Time) string {
	var u uuid.UUID
	ms := t.UnixMilli()
	for i := range 6 {
		u[i] = byte(ms >> (40 - 8*i)) //nolint:gosec // the lowest byte is what is wanted
	}
	return prefix + u.String()
}

// HasIDForm tells whether id is prefix followed by a UUID.
func HasIDForm(prefix, id string) bool {
	rest, ok := strings.CutPrefix(id, prefix)
	return ok && len(rest) == 36 && uuid.Validate(rest) == nil
}
