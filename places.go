package bsrpc

import (
	"slices"
	"sync"
)

// places are what the sessions of a server hold, and the queue for them: first
// come, first served. A place goes from hand to hand under one lock, so nobody
// else can be given it in between.
type places struct {
	max  int // how many there are
	room int // how many may wait

	mu      sync.Mutex // guards the rest
	held    int
	queue   []*visitor
	overdue []*visitor // hold a place for longer than they may while others wait
	closed  bool       // nobody is let in any more
}

// A visitor holds a place, or waits for one, or has left. Its fields are
// guarded by the lock of its places.
type visitor struct {
	granted chan struct{} // closed when it has been given a place
	moved   chan struct{} // capacity 1: a token when its position may have changed
	evict   func()        // asks it to leave, because others wait
	holds   bool
}

func newVisitor(evict func()) *visitor {
	return &visitor{granted: make(chan struct{}), moved: make(chan struct{}, 1), evict: evict}
}

// enter gives v a place, or a position in the queue: 1 is next, 0 has a place.
// If v may not even wait, it says why.
func (p *places) enter(v *visitor) (position int, refuse *Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return 0, refusalf(CodeUnavailable, "the server is shutting down")
	case p.held >= p.max && len(p.queue) >= p.room:
		return 0, p.full()
	}
	p.queue = append(p.queue, v)
	p.grantLocked()
	if v.holds {
		return 0, nil
	}
	for _, o := range p.overdue {
		go o.evict()
	}
	p.overdue = nil
	return len(p.queue), nil
}

func (p *places) full() *Error {
	if p.room == 0 {
		return refusalf(CodeResourceExhausted, "the server is full: it has MaxSessions (%d) sessions, and RefuseWhenFull is set", p.max)
	}
	return refusalf(CodeResourceExhausted, "queue full: MaxWaiting (%d) clients wait", p.room)
}

// leave takes v out of the queue, or its place away, which goes to the next.
// Doing so again does nothing.
func (p *places) leave(v *visitor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if v.holds {
		v.holds = false
		p.held--
		p.overdue = remove(p.overdue, v)
		p.grantLocked()
		return
	}
	if i := slices.Index(p.queue, v); i >= 0 {
		p.queue = slices.Delete(p.queue, i, i+1)
		tellMoved(p.queue[i:])
	}
}

// grantLocked gives the places that are free to those who are next.
func (p *places) grantLocked() {
	if p.closed {
		return
	}
	n := min(p.max-p.held, len(p.queue))
	if n <= 0 {
		return
	}
	for _, v := range p.queue[:n] {
		v.holds = true
		close(v.granted)
	}
	p.held += n
	p.queue = slices.Delete(p.queue, 0, n)
	tellMoved(p.queue)
}

func tellMoved(queue []*visitor) {
	for _, v := range queue {
		select {
		case v.moved <- struct{}{}:
		default:
		}
	}
}

// position returns v's place in the queue, 0 if it is not in it.
func (p *places) position(v *visitor) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Index(p.queue, v) + 1
}

// hasHeldLong tells that v has held its place for as long as it may while
// others wait: it is asked to leave as soon as one does.
func (p *places) hasHeldLong(v *visitor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !v.holds:
	case len(p.queue) > 0:
		go v.evict()
	default:
		p.overdue = append(p.overdue, v)
	}
}

// close ends the queue: whoever waits will not be given a place.
func (p *places) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
}

func remove[T comparable](list []T, v T) []T {
	if i := slices.Index(list, v); i >= 0 {
		return slices.Delete(list, i, i+1)
	}
	return list
}

// popFirst takes the first of a list that is not empty. The others, of which
// there may be thousands, are not moved.
func popFirst[T any](list *[]T) (first T) {
	first, (*list)[0] = (*list)[0], first
	*list = (*list)[1:]
	return first
}
