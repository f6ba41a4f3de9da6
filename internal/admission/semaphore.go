package admission

import (
	"slices"
	"strings"
	"sync"
)

// A Semaphore has a number of slots for waiters, first come, first served. It is
// safe for concurrent use.
//
// Invariant: a slot is free, held by a waiter, or on its way from one to the next;
// free > 0 only while no waiter in line may have a slot.
type Semaphore struct {
	group *Group // with this semaphore; nil for none

	mu   *sync.Mutex // guards the rest, and the places in line; that of Groups for a group
	free int
	line list
	long []*Waiter // that hold a slot and have a Name
}

// NewSemaphore returns a semaphore with n slots.
func NewSemaphore(n int) *Semaphore { return &Semaphore{mu: new(sync.Mutex), free: n} }

// A verdict is the answer to a waiter that asks for a slot.
type verdict uint8

const (
	granted   verdict = iota
	queued            // it is in line
	unneeded          // its owner holds the group, or the call that it belongs to does
	forbidden         // its refusal is set
)

// acquire gives a slot to w, or puts it in line. The caller holds w.mu.
func (s *Semaphore) acquire(w *Waiter) verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.group != nil:
		return s.group.acquireLocked(w)
	case s.free > 0:
		s.free--
		s.holdLocked(w)
		return granted
	}
	s.enqueueLocked(&s.line, w)
	return queued
}

// hold notes that w holds a slot.
func (s *Semaphore) hold(w *Waiter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holdLocked(w)
}

// holdLocked gives a slot to w.
func (s *Semaphore) holdLocked(w *Waiter) {
	if s.group != nil {
		s.group.user = w
	}
	if w.Name != "" {
		s.long = append(s.long, w)
	}
}

// isWanted reports whether a waiter is in line.
func (s *Semaphore) isWanted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.line.first != nil || s.group != nil && s.group.own.first != nil
}

// maxNames is how many holders are named to a waiter.
const maxNames = 3

// holders describes who holds slots, for a waiter in vain: the names of at most maxNames
// waiters, each once, or another session. It is empty if that is not known.
func (s *Semaphore) holders() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, w := range s.long {
		if len(names) < maxNames && !slices.Contains(names, w.Name) {
			names = append(names, w.Name)
		}
	}
	switch {
	case names != nil:
		return "a stream of " + strings.Join(names, ", ")
	case s.group != nil && s.group.owner != nil:
		return "a session"
	}
	return ""
}

// release takes the slot of w and hands it to the first in line.
func (s *Semaphore) release(w *Waiter) {
	s.mu.Lock()
	if s.group != nil {
		s.group.user = nil
	}
	if w.Name != "" {
		s.long = slices.DeleteFunc(s.long, func(o *Waiter) bool { return o == w })
	}
	next := s.nextLocked()
	s.mu.Unlock()
	s.handOver(next)
}

// handOver gives a slot to w, which nextLocked has returned. A waiter may give up after that
// has taken it out of the line; then the one behind it gets the slot.
func (s *Semaphore) handOver(w *Waiter) {
	for w != nil && !w.acquired() {
		s.mu.Lock()
		w = s.nextLocked()
		s.mu.Unlock()
	}
}

// nextLocked takes the first that may have a slot out of the line. If there is none, the slot
// becomes free.
func (s *Semaphore) nextLocked() *Waiter {
	l := &s.line
	if g := s.group; g != nil && g.owner != nil && !g.takeOverdueLocked() {
		l = &g.own
	}
	w := l.first
	if w == nil {
		s.free++
		return nil
	}
	s.dequeueLocked(w)
	return w
}

// remove takes w out of the line, unless nextLocked has done so. The caller holds w.mu.
func (s *Semaphore) remove(w *Waiter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.at != nil {
		s.dequeueLocked(w)
	}
}

// enqueueLocked puts w at the end of a line of s.
func (s *Semaphore) enqueueLocked(l *list, w *Waiter) {
	w.place = place{at: s, line: l}
	l.push(w, inLine)
	if s.group != nil {
		s.group.enqueuedLocked(w)
	}
	for _, h := range s.long {
		h.wanted()
	}
}

// dequeueLocked takes w out of its line.
func (s *Semaphore) dequeueLocked(w *Waiter) {
	w.line.remove(w, inLine)
	if s.group != nil {
		s.group.dequeuedLocked(w)
	}
	w.place = place{}
}

// A place is the place of a waiter in a line. The lock of the semaphore guards it.
type place struct {
	at    *Semaphore // nil for a waiter in no line
	line  *list      // of at
	told  int        // the position passed to Waiter.Moved last
	links [2]link    // its neighbours, by kind of list
}

// The kinds of lists: a waiter in line is in one of each.
const (
	inLine  = iota
	ofOwner // the waiters of an owner, in any line of a group
)

type link struct{ ahead, behind *Waiter }

// A list is a list of waiters.
type list struct{ first, last *Waiter }

// push puts w at the end of a list of a kind.
func (l *list) push(w *Waiter, kind int) {
	w.links[kind] = link{ahead: l.last}
	if l.last == nil {
		l.first = w
	} else {
		l.last.links[kind].behind = w
	}
	l.last = w
}

// remove takes w out of a list of a kind.
func (l *list) remove(w *Waiter, kind int) {
	at := w.links[kind]
	if at.ahead == nil {
		l.first = at.behind
	} else {
		at.ahead.links[kind].behind = at.behind
	}
	if at.behind == nil {
		l.last = at.ahead
	} else {
		at.behind.links[kind].ahead = at.ahead
	}
	w.links[kind] = link{}
}

// all returns the waiters of a list of a kind.
func (l *list) all(kind int) func(yield func(*Waiter) bool) {
	return func(yield func(*Waiter) bool) {
		for w := l.first; w != nil; {
			next := w.links[kind].behind // yield may remove w
			if !yield(w) {
				return
			}
			w = next
		}
	}
}
