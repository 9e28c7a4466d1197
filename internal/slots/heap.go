package slots

// nowhere is the place of an element that is in no heap.
const nowhere = -1

// element knows its order and remembers its place, so that it can be moved or removed when its order changes.
type element[T any] interface {
	comparable
	before(other T) bool
	place() *int
}

// heap is a binary heap. container/heap would need more code: an adapter for each type.
type heap[T element[T]] struct{ items []T }

func (h *heap[T]) empty() bool { return len(h.items) == 0 }

func (h *heap[T]) top() T { return h.items[0] }

func (h *heap[T]) push(item T) {
	*item.place() = len(h.items)
	h.items = append(h.items, item)
	h.up(len(h.items) - 1)
}

func (h *heap[T]) pop() T {
	item := h.items[0]
	h.remove(item)
	return item
}

// remove does nothing if item is nowhere.
func (h *heap[T]) remove(item T) {
	i, last := *item.place(), len(h.items)-1
	if i == nowhere {
		return
	}
	h.swap(i, last)
	var none T
	h.items[last] = none
	h.items = h.items[:last]
	*item.place() = nowhere
	if i < last {
		h.fix(h.items[i])
	}
	if last == 0 {
		h.items = nil // releases the memory of a queue that was long
	}
}

// fix restores the order after item's order has changed.
func (h *heap[T]) fix(item T) {
	if i := *item.place(); !h.up(i) {
		h.down(i)
	}
}

func (h *heap[T]) up(i int) (moved bool) {
	for i > 0 {
		parent := (i - 1) / 2
		if !h.items[i].before(h.items[parent]) {
			break
		}
		h.swap(i, parent)
		i, moved = parent, true
	}
	return moved
}

func (h *heap[T]) down(i int) {
	for {
		least := 2*i + 1
		if least >= len(h.items) {
			return
		}
		if right := least + 1; right < len(h.items) && h.items[right].before(h.items[least]) {
			least = right
		}
		if !h.items[least].before(h.items[i]) {
			return
		}
		h.swap(i, least)
		i = least
	}
}

func (h *heap[T]) swap(i, j int) {
	h.items[i], h.items[j] = h.items[j], h.items[i]
	*h.items[i].place(), *h.items[j].place() = i, j
}
