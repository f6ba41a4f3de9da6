package admission

import (
	"math/rand/v2"
	"slices"
	"sync"
)

// A Semaphore has a number of slots for waiters, first come, first served. It is
// safe for concurrent use.
//
// Invariant: a slot is free, held by a waiter, or on its way from one to the next;
// free > 0 only while the line is empty.
type Semaphore struct {
	group *Group // with this semaphore; nil for none

	mu          sync.Mutex // guards the rest, and the places in line of its waiters
	free        int
	first, last *Waiter   // of the line; nil if it is empty
	long        []*Waiter // that hold a slot and have a Name
}

// NewSemaphore returns a semaphore with n slots.
func NewSemaphore(n int) *Semaphore { return &Semaphore{free: n} }

// A Group is an exclusive group: one waiter at a time holds it. Its fields are
// read only.
type Group struct {
	Name string
	ID   uint64 // random; travels with calls, so that one made by a holder is recognised
	one  Semaphore
}

// NewGroup returns a group with a new ID.
func NewGroup(name string) *Group {
	g := &Group{Name: name, ID: rand.Uint64()}
	g.one.group, g.one.free = g, 1
	return g
}

// acquire takes a slot, or puts w in line and reports false. The caller holds w.mu.
func (s *Semaphore) acquire(w *Waiter) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free == 0 {
		s.enqueueLocked(w)
		return false
	}
	s.free--
	s.holdLocked(w)
	return true
}

// hold notes that w holds a slot.
func (s *Semaphore) hold(w *Waiter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holdLocked(w)
}

// holdLocked gives a place to w.
func (s *Semaphore) holdLocked(w *Waiter) {
	if w.Name != "" {
		s.long = append(s.long, w)
	}
}

// unhold is called before w releases its slot.
func (s *Semaphore) unhold(w *Waiter) {
	if w.Name == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.long = slices.DeleteFunc(s.long, func(o *Waiter) bool { return o == w })
}

// isWanted reports whether a waiter is in line.
func (s *Semaphore) isWanted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.first != nil
}

// maxNames is how many holders are named to a waiter.
const maxNames = 3

// holders returns the names of waiters that hold slots, each once, and at most maxNames.
func (s *Semaphore) holders() (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.long {
		if len(names) < maxNames && !slices.Contains(names, w.Name) {
			names = append(names, w.Name)
		}
	}
	return names
}

// release hands a slot to the first in line. A waiter may give up after next has
// taken it out of the line; then the one behind it gets the slot.
func (s *Semaphore) release() {
	for {
		w := s.next()
		if w == nil || w.acquired() {
			return
		}
	}
}

// next takes the first out of the line. If there is none, the slot becomes free.
func (s *Semaphore) next() *Waiter {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.first
	if w == nil {
		s.free++
		return nil
	}
	s.dequeueLocked(w)
	return w
}

// remove takes w out of the line, unless next has done so. The caller holds w.mu.
func (s *Semaphore) remove(w *Waiter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.queued {
		s.dequeueLocked(w)
	}
}

// enqueueLocked puts w at the end of the line.
func (s *Semaphore) enqueueLocked(w *Waiter) {
	w.place = place{queued: true, ahead: s.last}
	if s.last == nil {
		s.first = w
	} else {
		s.last.behind = w
	}
	s.last = w
	for _, h := range s.long {
		h.wanted()
	}
}

// dequeueLocked takes w out of the line.
func (s *Semaphore) dequeueLocked(w *Waiter) {
	if w.ahead == nil {
		s.first = w.behind
	} else {
		w.ahead.behind = w.behind
	}
	if w.behind == nil {
		s.last = w.ahead
	} else {
		w.behind.ahead = w.ahead
	}
	w.place = place{}
}
