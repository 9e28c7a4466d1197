package egress

// tally counts the pairs of the window. Its counts are updated incrementally, never recounted.
type tally struct {
	answeringHosts int // hosts that answer at least one tenant
	failingHosts   int // hosts that fail for at least one tenant and answer none
	failingPairs   int
	failingTenants int
	byFailing      [maxPairsPerTenant + 1]int // tenants, by how many of their pairs fail
	most           int                        // failing pairs of the tenant with the most
}

// add counts p in (by = 1) or out (by = -1).
func (c *tally) add(p *pair, by int) {
	c.addHost(p.host, -1)
	if p.failing {
		p.host.failing += by
		c.failingPairs += by
		c.moveTenant(p.tenant, by)
	} else {
		p.host.answering += by
	}
	c.addHost(p.host, 1)
}

func (c *tally) addHost(h *host, by int) {
	switch {
	case h.answering > 0:
		c.answeringHosts += by
	case h.failing > 0:
		c.failingHosts += by
	}
}

func (c *tally) moveTenant(t *tenant, by int) {
	if t.failing > 0 {
		c.byFailing[t.failing]--
		c.failingTenants--
	}
	t.failing += by
	if t.failing > 0 {
		c.byFailing[t.failing]++
		c.failingTenants++
	}
	c.most = max(c.most, t.failing)
	if c.most > 0 && c.byFailing[c.most] == 0 {
		c.most-- // the tenant with the most has one less
	}
}

// nearlyAllFail reports whether hosts fail and fewer than a tenth of all answer. If some answer, the tenant with the
// most failing hosts weighs only as much as all others together.
func (c *tally) nearlyAllFail() bool {
	if c.answeringHosts == 0 {
		return c.failingHosts > 0
	}
	others := c.failingPairs - c.most
	weight := c.failingHosts - max(0, c.most-others)
	return c.answeringHosts*MostAnswering < c.answeringHosts+weight
}
