package service

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/posthorn/posthorn/models"
)

// view is what is a tenant's own, as it was at a version. It is never changed, apart from when it was compared with the
// database and what is opened and compiled when it is first needed. Views that follow each other share what is the same.
type view struct {
	version  int64
	webhooks map[string]*entry
	exact    map[string][]*entry // webhooks without channels by the event types they name; those with channels by these
	patterns []*entry            // webhooks without channels that name no event type, or wildcards
	types    map[string]*eventType
	keys     map[string]models.APIKey // by hash
	owned    int                      // bytes of the webhooks
	bytes    int                      // of everything, about

	mu sync.Mutex
	at time.Time // of the last comparison; zero = it may be outdated
}

type entry struct {
	webhook models.Webhook
	open    sync.Once
	opened  *sealed
	err     error
}

// How much memory things take, about, in addition to their texts.
const (
	entryBytes = 700 // with its places in the maps and what is opened of it
	typeBytes  = 500
	keyBytes   = 500
)

// size is about what the webhook takes in memory, or less: lists of event types are shared by webhooks that have the same.
func (e *entry) size() int {
	w := &e.webhook
	n := entryBytes + len(w.URL) + len(w.Name) + 2*(len(w.Headers)+len(w.Secrets))
	for _, name := range w.EventTypes {
		n += 16 + len(name)
	}
	for _, name := range w.Channels {
		n += 2*16 + len(name)
	}
	return n
}

func (v *view) checked(at time.Time) {
	v.mu.Lock()
	v.at = at
	v.mu.Unlock()
}

func (v *view) checkedAt() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.at
}

// next makes the view that follows after changes of webhooks, with these types and keys.
func (v *view) next(version int64, changed []models.Webhook, schemas map[string]string, keys []models.APIKey) *view {
	n := &view{version: version, webhooks: v.webhooks, exact: v.exact, patterns: v.patterns, owned: v.owned,
		types: typesOf(schemas, v.types), keys: make(map[string]models.APIKey, len(keys))}
	n.change(changed)
	n.bytes = n.owned
	for _, key := range keys {
		n.keys[string(key.Hash)] = key
		n.bytes += keyBytes
	}
	for name, text := range schemas {
		n.bytes += typeBytes + len(name) + 2*len(text) // it is compiled too
	}
	return n
}

// change replaces the webhooks that have changed, in copies of the maps and lists that they are in.
func (v *view) change(changed []models.Webhook) {
	if len(changed) == 0 && v.webhooks != nil {
		return
	}
	all := maps.Clone(v.webhooks)
	if all == nil {
		all = make(map[string]*entry, len(changed))
	}
	v.webhooks = all
	last := make(map[string]int, len(changed)) // of a webhook that changed while it was read the last counts
	for i := range changed {
		last[changed[i].ID] = i
	}
	gone := map[*entry]bool{}
	var added []*entry
	for i := range changed {
		w := &changed[i]
		if last[w.ID] != i {
			continue
		}
		if old, ok := all[w.ID]; ok {
			delete(all, w.ID)
			v.owned -= old.size()
			gone[old] = true
		}
		if w.DeletedAt == nil {
			e := &entry{webhook: *w}
			all[w.ID] = e
			added = append(added, e)
			v.owned += e.size()
		}
	}
	v.refile(gone, added)
}

// anyType stands for the list of the webhooks that name no event type, or wildcards.
const anyType = ""

// onChannel begins the names of the lists of the webhooks that have a channel. No event type's name contains it.
const onChannel = "\x00"

// refile takes webhooks out of the lists where matching finds them and puts others in, in copies of those lists.
func (v *view) refile(gone map[*entry]bool, added []*entry) {
	fresh := map[string][]*entry{} // by each list that changes
	for e := range gone {
		for _, name := range e.lists() {
			fresh[name] = nil
		}
	}
	for _, e := range added {
		for _, name := range e.lists() {
			fresh[name] = append(fresh[name], e)
		}
	}
	exact := maps.Clone(v.exact)
	if exact == nil {
		exact = make(map[string][]*entry, len(fresh))
	}
	v.exact = exact
	for name := range fresh {
		if name == anyType {
			v.patterns = refiled(v.patterns, gone, fresh[name])
		} else {
			exact[name] = refiled(exact[name], gone, fresh[name])
		}
		if len(exact[name]) == 0 {
			delete(exact, name)
		}
	}
}

// refiled gives a copy of a list without what is gone and with what is fresh, in the order of the ids.
func refiled(list []*entry, gone map[*entry]bool, fresh []*entry) []*entry {
	byID := func(a, b *entry) int { return strings.Compare(a.webhook.ID, b.webhook.ID) }
	slices.SortFunc(fresh, byID)
	kept := make([]*entry, 0, len(list)+len(fresh))
	for _, e := range list {
		for len(fresh) > 0 && byID(fresh[0], e) < 0 {
			kept, fresh = append(kept, fresh[0]), fresh[1:]
		}
		if !gone[e] {
			kept = append(kept, e)
		}
	}
	return append(kept, fresh...)
}

// lists names the lists in which matching finds the webhook.
func (e *entry) lists() []string {
	if channels := e.webhook.Channels; len(channels) > 0 {
		names := make([]string, len(channels))
		for i, c := range channels {
			names[i] = onChannel + c
		}
		return names
	}
	types := e.webhook.EventTypes
	if len(types) == 0 || slices.ContainsFunc(types, func(pattern string) bool { return strings.HasSuffix(pattern, "*") }) {
		return []string{anyType}
	}
	return types
}

// match gives the webhooks that want events of this type with these channels, without looking at those of other types or
// channels.
func (v *view) match(eventType string, channels []string) []*entry {
	matched := append([]*entry(nil), v.exact[eventType]...)
	for _, e := range v.patterns {
		if e.webhook.Wants(eventType) {
			matched = append(matched, e)
		}
	}
	if len(channels) == 0 {
		return matched
	}
	seen := map[*entry]bool{} // one may have several of the channels
	for _, c := range channels {
		for _, e := range v.exact[onChannel+c] {
			if !seen[e] && e.webhook.Wants(eventType) {
				seen[e] = true
				matched = append(matched, e)
			}
		}
	}
	return matched
}

// typesOf makes types of schemas by name. A type whose schema is as before stays, with what is compiled of it.
func typesOf(schemas map[string]string, before map[string]*eventType) map[string]*eventType {
	types := make(map[string]*eventType, len(schemas))
	for name, text := range schemas {
		t, ok := before[name]
		if !ok || t.text != text {
			t = &eventType{text: text}
		}
		types[name] = t
	}
	return types
}

// sharedTypes are the event types that all tenants share, as they were at a version: once in a process, whatever the
// number of tenants.
type sharedTypes struct {
	version int64
	types   map[string]*eventType
}
