package service

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/posthorn/posthorn/models"
)

// view is a tenant's own data as of a version. It never changes, except for the time of its last comparison with the
// database, and for parts that are opened and compiled when first needed. Successive views share their common parts.
type view struct {
	version  int64
	webhooks map[string]*entry
	exact    map[string][]*entry // webhooks without channels by the event types they name, the others by their channels
	patterns []*entry            // webhooks without channels that name no event type, or wildcards
	types    map[string]*eventType
	keys     map[string]models.APIKey // by hash
	rate     float64                  // deliveries a second to all webhooks together; 0 = no limit
	owned    int                      // size of the webhooks in bytes
	bytes    int                      // approximate size of everything

	mu sync.Mutex
	at time.Time // the last comparison; zero = the view may be outdated
}

type entry struct {
	webhook models.Webhook
	open    sync.Once
	opened  *sealed
	err     error
}

// About how much memory things need in addition to their texts.
const (
	entryBytes = 700 // including its places in the maps and its decrypted part
	typeBytes  = 500
	keyBytes   = 500
)

// size returns about how much memory the webhook takes, or less: webhooks with the same list of event types share it.
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

// next returns the view that follows after changes of webhooks, with these types and keys.
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

// change replaces the webhooks that have changed, in copies of the maps and lists that contain them.
func (v *view) change(changed []models.Webhook) {
	if len(changed) == 0 && v.webhooks != nil {
		return
	}
	all := maps.Clone(v.webhooks)
	if all == nil {
		all = make(map[string]*entry, len(changed))
	}
	v.webhooks = all
	last := make(map[string]int, len(changed)) // if a webhook changed during the read, its last version counts
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

// anyType is the name of the list of webhooks that name no event type, or wildcards.
const anyType = ""

// onChannel is the prefix of the names of the lists of webhooks with a channel. No event type's name contains it.
const onChannel = "\x00"

// refile removes webhooks from the lists that matching uses and adds others, in copies of those lists.
func (v *view) refile(gone map[*entry]bool, added []*entry) {
	fresh := map[string][]*entry{} // by list that changes
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

// refiled returns a copy of a list without gone and with fresh, in the order of the ids.
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

// lists returns the names of the lists in which matching finds the webhook.
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

// match returns the webhooks that match events of this type with these channels, without examining those of other
// types or channels.
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

// typesOf makes types from schemas by name. A type whose schema has not changed stays, with its compiled form.
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

// sharedTypes are the event types that all tenants share, as of a version. They are in a process once, whatever the
// number of tenants.
type sharedTypes struct {
	version int64
	types   map[string]*eventType
}
