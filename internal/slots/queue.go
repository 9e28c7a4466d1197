package slots

// tenant exists while it holds slots or waits for one.
type tenant struct {
	name  string
	held  int
	lanes map[string]*lane // its waiters, by host
	open  heap[*lane]      // the lanes that are not parked
	at    int              // place in Slots.ready
}

// host exists while it holds slots or callers wait for one.
//
// A host becomes tight when it reaches its limit, and stays so until half of its slots are free. So few hosts can be
// tight at a time, and as many releases pay for moving its lanes back and forth.
type host struct {
	name   string
	used   int
	lanes  int // waiting lanes
	tight  bool
	parked heap[*lane]
}

// lane holds the waiters of one tenant for one host, in order of arrival.
type lane struct {
	tenant      *tenant
	host        *host // nil if the waiters named none
	first, last *waiter
	parked      bool // in host.parked, not in tenant.open
	at          int  // place there
}

type waiter struct {
	lane       *lane
	arrival    uint64
	prev, next *waiter
	granted    chan struct{} // closed when it has a slot
	done       bool          // the same, guarded by the lock
}

// before orders lanes, and tenants by their best open lane, by which gets the next slot.
func (l *lane) before(o *lane) bool {
	if l.tenant.held != o.tenant.held {
		return l.tenant.held < o.tenant.held
	}
	return l.first.arrival < o.first.arrival
}

func (l *lane) place() *int { return &l.at }

func (t *tenant) before(o *tenant) bool { return t.open.top().before(o.open.top()) }

func (t *tenant) place() *int { return &t.at }

func (s *Slots) tenant(name string) *tenant {
	t, ok := s.tenants[name]
	if !ok {
		t = &tenant{name: name, at: nowhere}
		s.tenants[name] = t
	}
	return t
}

func (s *Slots) host(name string) *host {
	if name == "" || s.perHost == s.capacity {
		return nil
	}
	h, ok := s.hosts[name]
	if !ok {
		h = &host{name: name}
		s.hosts[name] = h
	}
	return h
}

// forget drops a tenant and a host that hold nothing and wait for nothing.
func (s *Slots) forget(t *tenant, h *host) {
	if t.held == 0 && len(t.lanes) == 0 {
		delete(s.tenants, t.name)
	}
	if h != nil && h.used == 0 && h.lanes == 0 {
		delete(s.hosts, h.name)
	}
}

func (s *Slots) enqueue(t *tenant, h *host) *waiter {
	s.arrivals++
	s.waiting++
	w := &waiter{arrival: s.arrivals, granted: make(chan struct{})}
	name := ""
	if h != nil {
		name = h.name
	}
	if l, ok := t.lanes[name]; ok {
		w.lane, w.prev = l, l.last
		l.last.next, l.last = w, w
		return w
	}
	w.lane = &lane{tenant: t, host: h, first: w, last: w, at: nowhere}
	if t.lanes == nil {
		t.lanes = make(map[string]*lane, 1)
	}
	if len(t.lanes) == 0 {
		s.waitingTenants++
	}
	t.lanes[name] = w.lane
	if h != nil {
		h.lanes++
	}
	if h != nil && h.tight {
		w.lane.park()
	} else {
		t.open.push(w.lane)
		s.refresh(t)
	}
	return w
}

// dequeue unlinks a waiter. The caller refreshes the tenant's place.
func (s *Slots) dequeue(w *waiter) {
	s.waiting--
	l := w.lane
	wasFirst := l.first == w
	if wasFirst {
		l.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		l.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	switch {
	case l.first == nil:
		s.close(l)
	case wasFirst:
		l.in().fix(l)
	}
}

// close removes an empty lane.
func (s *Slots) close(l *lane) {
	l.in().remove(l)
	name := ""
	if l.host != nil {
		name = l.host.name
		l.host.lanes--
	}
	delete(l.tenant.lanes, name)
	if len(l.tenant.lanes) == 0 {
		s.waitingTenants--
	}
}

// in returns the heap that contains the lane.
func (l *lane) in() *heap[*lane] {
	if l.parked {
		return &l.host.parked
	}
	return &l.tenant.open
}

func (l *lane) park() {
	l.parked = true
	l.host.parked.push(l)
}

// refresh restores the order after the number of t's slots, or its first open lane, has changed.
func (s *Slots) refresh(t *tenant) {
	switch {
	case t.open.empty():
		s.ready.remove(t)
	case t.at == nowhere:
		s.ready.push(t)
	default:
		s.ready.fix(t)
	}
	if len(t.lanes) == 0 {
		return
	}
	for _, h := range s.tight {
		if l := t.lanes[h.name]; l != nil && l.parked {
			h.parked.fix(l)
		}
	}
}

// next returns the lane whose first waiter gets the next slot, or nil if all lanes belong to hosts at their limit.
func (s *Slots) next() *lane {
	var best *lane
	for !s.ready.empty() {
		t := s.ready.top()
		l := t.open.top()
		if l.host == nil || !l.host.tight {
			best = l
			break
		}
		t.open.remove(l) // the host became tight while the lane waited
		l.park()
		s.refresh(t)
	}
	for _, h := range s.tight {
		if h.used < s.perHost && !h.parked.empty() && (best == nil || h.parked.top().before(best)) {
			best = h.parked.top()
		}
	}
	return best
}

// loosen returns the parked lanes of a host to their tenants.
func (s *Slots) loosen(h *host) {
	h.tight = false
	for i, other := range s.tight {
		if other == h {
			last := len(s.tight) - 1
			s.tight[i], s.tight[last] = s.tight[last], nil
			s.tight = s.tight[:last]
			break
		}
	}
	for !h.parked.empty() {
		l := h.parked.pop()
		l.parked = false
		l.tenant.open.push(l)
		s.refresh(l.tenant)
	}
}
