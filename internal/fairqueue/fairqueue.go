// Package fairqueue is a queue whose keys take turns: first in, first out within a key, and round robin between keys.
// An item of a new key is next but one, however many items of another key wait.
//
// It must not import any package of Posthorn.
package fairqueue

// Queue holds items by key. The zero value is empty and ready. It is not safe for concurrent use.
type Queue[K comparable, T any] struct {
	lanes map[K]*lane[K, T] // all, except perhaps a single one
	first *lane[K, T]       // the lane whose turn it is; nil if nothing waits
	last  *lane[K, T]
	spare *lane[K, T] // an empty lane for reuse
	n     int
	keys  int
	peak  int // most keys since the map was created
}

// lane holds the waiting items of one key, at least one: items[head:]. Lanes are linked in the order of their turns.
type lane[K comparable, T any] struct {
	key   K
	items []T
	head  int
	next  *lane[K, T]
}

func (l *lane[K, T]) len() int { return len(l.items) - l.head }

// When the queue is empty, it keeps a map of at most keepLanes keys and room for keepItems items, and releases the
// memory of a burst.
const (
	keepLanes = 64
	keepItems = 1024
)

// Len returns how many items wait.
func (q *Queue[K, T]) Len() int { return q.n }

// Of returns how many items of a key wait.
func (q *Queue[K, T]) Of(key K) int {
	if l := q.find(key); l != nil {
		return l.len()
	}
	return 0
}

func (q *Queue[K, T]) find(key K) *lane[K, T] {
	if q.first == nil || q.first.key == key {
		return q.first
	}
	return q.lanes[key]
}

// Keys returns how many keys have waiting items.
func (q *Queue[K, T]) Keys() int { return q.keys }

// Push appends an item to its key's items.
func (q *Queue[K, T]) Push(key K, item T) {
	q.n++
	l := q.find(key)
	if l == nil {
		l = q.open(key)
	}
	if len(l.items) == cap(l.items) && l.head > len(l.items)/2 {
		n := copy(l.items, l.items[l.head:])
		clear(l.items[n:])
		l.items, l.head = l.items[:n], 0
	}
	l.items = append(l.items, item)
}

func (q *Queue[K, T]) open(key K) *lane[K, T] {
	l := q.spare
	if q.spare = nil; l == nil {
		l = &lane[K, T]{}
	}
	l.key = key
	if q.first != nil {
		if q.lanes == nil {
			q.lanes = map[K]*lane[K, T]{}
		}
		q.lanes[q.first.key], q.lanes[key] = q.first, l
	}
	q.keys++
	q.peak = max(q.peak, q.keys)
	q.append(l)
	return l
}

// Peek returns the next item and its key without taking it. The queue must not be empty.
func (q *Queue[K, T]) Peek() (K, T) { return q.first.key, q.first.items[q.first.head] }

// Pop takes the next item. The queue must not be empty.
func (q *Queue[K, T]) Pop() T {
	l := q.first
	item := l.items[l.head]
	q.take(l, 1)
	return item
}

// PopMany takes up to most items of the key whose turn it is, and appends them to items. The queue must not be empty.
func (q *Queue[K, T]) PopMany(items []T, most int) []T {
	l := q.first
	n := min(most, l.len())
	items = append(items, l.items[l.head:l.head+n]...)
	q.take(l, n)
	return items
}

// take removes n items of the first lane, and ends its turn.
func (q *Queue[K, T]) take(l *lane[K, T], n int) {
	clear(l.items[l.head : l.head+n]) // the array may live on for long
	l.head += n
	q.n -= n
	if l.len() > 0 {
		if l != q.last {
			q.first = l.next
			q.append(l)
		}
		return
	}
	if q.first = l.next; q.first == nil {
		q.last = nil
	}
	q.keys--
	delete(q.lanes, l.key)
	if q.n == 0 && q.peak > keepLanes {
		q.lanes, q.peak = nil, 0
	}
	l.next = nil
	if l.items, l.head = l.items[:0], 0; cap(l.items) <= keepItems {
		q.spare = l
	}
}

func (q *Queue[K, T]) append(l *lane[K, T]) {
	l.next = nil
	if q.last == nil {
		q.first = l
	} else {
		q.last.next = l
	}
	q.last = l
}
