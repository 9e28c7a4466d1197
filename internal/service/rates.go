package service

import (
	"math"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

const (
	// tenantRate: a tenant, with all its keys together, has this many times the rate of one key.
	tenantRate = 10
	// rateBurst is how many seconds' worth of calls may come at once.
	rateBurst = 2
	// ratesKept bounds the remembered keys and tenants. A forgotten one starts with its full burst.
	ratesKept = 100_000
)

// rates limits how often keys may call this process. nil = no limit.
type rates struct {
	perSecond float64
	buckets   *lru.Cache[string, *rate.Limiter] // by id of the key or the tenant
}

func newRates(perSecond float64) *rates {
	if perSecond <= 0 {
		return nil
	}
	return &rates{perSecond, newLRU[string, *rate.Limiter](ratesKept)}
}

// take counts a call of a key, or refuses it without counting.
func (r *rates) take(p Principal, now time.Time) error {
	if r == nil {
		return nil
	}
	own := r.bucket(p.KeyID, r.perSecond).ReserveN(now, 1)
	wait := own.DelayFrom(now)
	if wait <= 0 && p.Tenant != "" {
		all := r.bucket(p.Tenant, tenantRate*r.perSecond).ReserveN(now, 1)
		if wait = all.DelayFrom(now); wait > 0 {
			all.CancelAt(now)
		}
	}
	if wait <= 0 {
		return nil
	}
	own.CancelAt(now)
	return tooMany(wait, "too many calls: this installation allows %g a second for a key, and %g for a tenant", r.perSecond, tenantRate*r.perSecond)
}

func (r *rates) bucket(id string, perSecond float64) *rate.Limiter {
	return limiterOf(r.buckets, id, perSecond, max(1, int(math.Ceil(rateBurst*perSecond))))
}

// tooMany refuses a call that comes too early.
func tooMany(wait time.Duration, format string, args ...any) *Error {
	e := Refuse(TooMany, format, args...)
	e.RetryAfter = max(1, int(math.Ceil(wait.Seconds())))
	return e
}
