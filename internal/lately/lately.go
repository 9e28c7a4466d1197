// Package lately remembers which tenants had traffic a moment ago, so that bulk work of one tenant can step back for
// another's.
//
// It must not import any package of Posthorn.
package lately

import "time"

// For is how long a tenant's traffic counts.
const For = 500 * time.Millisecond

// Tenants remembers the tenant that had traffic last, and the last other one. That is enough to know whether any
// tenant other than a given one has traffic. The zero value is ready; it is not safe for concurrent use.
type Tenants [2]struct {
	tenant string
	at     time.Time
}

// Note records traffic of a tenant.
func (t *Tenants) Note(tenant string, now time.Time) {
	if t[0].tenant != tenant {
		t[1], t[0].tenant = t[0], tenant
	}
	t[0].at = now
}

// Other reports whether another tenant has had traffic a moment ago.
func (t *Tenants) Other(tenant string, now time.Time) bool {
	for _, s := range t {
		if !s.at.IsZero() && s.tenant != tenant && now.Sub(s.at) < For {
			return true
		}
	}
	return false
}
