package app

import (
	"github.com/posthorn/posthorn/internal/egress"
	"github.com/posthorn/posthorn/internal/metrics"
	"github.com/posthorn/posthorn/internal/slots"
)

// newPosts returns this process's POST slots, for deliveries and for tests: a quarter is reserved for tenants that
// hold none, one host has at most a quarter, and no tenant more than half while others wait.
func (a *App) newPosts() *slots.Slots {
	posts := slots.New(slots.Options{Capacity: a.Config.PostLimit(), Reserve: 0.25, MaxPerTenant: 0.5, MaxPerHost: 0.25})
	metrics.WatchPosts(a.registry, func() metrics.Posts {
		u := posts.Usage()
		return metrics.Posts{Max: u.Capacity, InFlight: u.Used, Waiting: u.Waiting}
	})
	if a.Config.TooManyPosts() {
		a.Log.Warn("POSTHORN_MAX_POSTS is high for this process's file-descriptor limit: raise the limit (ulimit -n)",
			"max_posts", a.Config.PostLimit())
	}
	return posts
}

// newBreaker returns the circuit breaker that keeps an outage of this process's network from counting against
// receivers.
func (a *App) newBreaker() *egress.Breaker {
	breaker := egress.New(egress.Options{Log: a.Log})
	metrics.WatchBreaker(a.registry, breaker.Open)
	return breaker
}
