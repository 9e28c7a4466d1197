// Package egress detects that not receivers fail, but the network path to all of them.
//
// It decides only from how exchanges end. It must not import anything of this module.
package egress

import (
	"container/list"
	"log/slog"
	"sync"
	"time"
)

// When the breaker opens.
const (
	// Window is how far back an exchange counts.
	Window = 30 * time.Second
	// Memory is how recently a host must have answered for its failure to count: a host that never answered, or has
	// been dead for long, says nothing about the path to it.
	Memory = 10 * time.Minute
	// MinHosts and MinTenants are the fewest hosts and tenants that must fail.
	MinHosts   = 20
	MinTenants = 3
	// MostAnswering: fewer than one in this many hosts may still answer.
	MostAnswering = 10
)

// The bounds of what is remembered, in pairs of a host and a tenant. The pair that answered longest ago is dropped
// first.
const (
	maxPairs          = 10_000
	maxPairsPerTenant = maxPairs / 10
)

// Options of a Breaker.
type Options struct {
	Log *slog.Logger     // default slog.Default
	Now func() time.Time // default time.Now
}

// Breaker is open while nearly all hosts fail without a status. It is safe for concurrent use. An observation costs
// the same however much is remembered.
//
// It opens when, within Window, at least MinHosts hosts of at least MinTenants tenants fail that had answered in the
// last Memory, and fewer than a tenth of such hosts still answer. It closes when a tenth answers again, or no host
// fails any more. Until then the failed hosts count as having answered recently, however long the outage is.
//
// One tenant can never open it. What a tenant sees of a host counts for that tenant alone. A host that answers another
// tenant counts as answering. If any host answers, a tenant's failing hosts weigh at most as much as those of all
// others together.
type Breaker struct {
	log *slog.Logger
	now func() time.Time

	mu      sync.Mutex
	open    bool
	hosts   map[string]*host
	tenants map[string]*tenant
	memory  *list.List // of all pairs, the last to answer first
	window  *list.List // of the pairs seen within Window, the last seen first
	tally   tally
}

// pair is one host as seen by one tenant.
type pair struct {
	host           *host
	tenant         *tenant
	failing        bool // how the last exchange ended
	seen, answered time.Time
	inMemory       *list.Element
	inTenant       *list.Element
	inWindow       *list.Element // nil if it was not seen within Window
}

type host struct {
	name               string
	pairs              int // remembered
	answering, failing int // pairs in the window
}

type tenant struct {
	name    string
	byHost  map[string]*pair
	pairs   *list.List // the last to answer first
	failing int        // pairs in the window
}

// New returns a closed Breaker.
func New(o Options) *Breaker {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Breaker{log: o.Log, now: o.Now, hosts: make(map[string]*host), tenants: make(map[string]*tenant),
		memory: list.New(), window: list.New()}
}

// Observe records the end of an exchange with a host for a tenant. answered reports whether a status arrived, whatever
// it was. Exchanges that failed because of Posthorn itself must not be observed.
func (b *Breaker) Observe(host, tenant string, answered bool) {
	b.mu.Lock()
	now := b.now()
	b.expire(now)
	p := b.find(host, tenant)
	if p == nil && answered {
		p = b.add(host, tenant)
	}
	if p != nil {
		b.leaveWindow(p)
		p.seen, p.failing = now, !answered
		if answered {
			p.answered = now
			b.memory.MoveToFront(p.inMemory)
			p.tenant.pairs.MoveToFront(p.inTenant)
		}
		p.inWindow = b.window.PushFront(p)
		b.tally.add(p, 1)
	}
	report := b.judge()
	b.mu.Unlock()
	report()
}

// Open reports whether failures currently say nothing about receivers.
func (b *Breaker) Open() bool {
	b.mu.Lock()
	b.expire(b.now())
	report, open := b.judge(), b.open
	b.mu.Unlock()
	report()
	return open
}

// judge opens or closes the breaker and returns a function that logs it.
func (b *Breaker) judge() (report func()) {
	failing, tenants, answering := b.tally.failingHosts, b.tally.failingTenants, b.tally.answeringHosts
	open := b.tally.nearlyAllFail()
	if !b.open {
		open = open && failing >= MinHosts && tenants >= MinTenants
	}
	if open == b.open {
		return func() {}
	}
	b.open = open
	if open {
		return func() {
			b.log.Error("egress breaker opened: nearly all hosts fail at once, so failures are charged to nobody",
				"hosts_failing", failing, "hosts_answering", answering, "tenants", tenants)
		}
	}
	return func() {
		b.log.Info("egress breaker closed: failures count again", "hosts_failing", failing, "hosts_answering", answering)
	}
}

func (b *Breaker) find(host, tenant string) *pair {
	if t, ok := b.tenants[tenant]; ok {
		return t.byHost[host]
	}
	return nil
}

// add remembers a pair, and drops the oldest one if there are too many.
func (b *Breaker) add(hostName, tenantName string) *pair {
	if t, ok := b.tenants[tenantName]; ok && t.pairs.Len() >= maxPairsPerTenant {
		b.forget(t.pairs.Back().Value.(*pair))
	}
	if b.memory.Len() >= maxPairs {
		b.forget(b.memory.Back().Value.(*pair))
	}
	t, ok := b.tenants[tenantName]
	if !ok {
		t = &tenant{name: tenantName, byHost: make(map[string]*pair, 1), pairs: list.New()}
		b.tenants[tenantName] = t
	}
	h, ok := b.hosts[hostName]
	if !ok {
		h = &host{name: hostName}
		b.hosts[hostName] = h
	}
	h.pairs++
	p := &pair{host: h, tenant: t}
	t.byHost[hostName] = p
	p.inTenant, p.inMemory = t.pairs.PushFront(p), b.memory.PushFront(p)
	return p
}

func (b *Breaker) forget(p *pair) {
	b.leaveWindow(p)
	b.memory.Remove(p.inMemory)
	p.tenant.pairs.Remove(p.inTenant)
	delete(p.tenant.byHost, p.host.name)
	if len(p.tenant.byHost) == 0 {
		delete(b.tenants, p.tenant.name)
	}
	if p.host.pairs--; p.host.pairs == 0 {
		delete(b.hosts, p.host.name)
	}
}

func (b *Breaker) leaveWindow(p *pair) {
	if p.inWindow != nil {
		b.tally.add(p, -1)
		b.window.Remove(p.inWindow)
		p.inWindow = nil
	}
}

// expire drops what is too old. While the breaker is open no host can be expected to have answered recently.
func (b *Breaker) expire(now time.Time) {
	for last := b.window.Back(); last != nil && now.Sub(last.Value.(*pair).seen) > Window; last = b.window.Back() {
		b.leaveWindow(last.Value.(*pair))
	}
	if b.open && b.tally.nearlyAllFail() {
		return
	}
	for last := b.memory.Back(); last != nil && now.Sub(last.Value.(*pair).answered) > Memory; last = b.memory.Back() {
		b.forget(last.Value.(*pair))
	}
}
