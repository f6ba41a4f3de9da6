package admission

import (
	"sync"
	"sync/atomic"
)

// A Waiter acquires a semaphore and a group, in this order, and then starts a
// func. The order keeps waiters of one semaphore out of the line of a group that
// others share, and rules out deadlock.
//
// Call Start once, then GiveUp from any goroutine. Release and ReleaseGroup are for
// the started func. The zero Waiter needs nothing and holds nothing.
//
// Invariant: w holds the first held of its semaphores; while it waits, it is in
// line of the next, or about to be given a slot of that.
type Waiter struct {
	// Name, if not empty, is told to those that wait in vain for what w holds, perhaps for
	// long. It is set before Start.
	Name string

	overdue atomic.Pointer[func()] // see WhenWanted

	semaphores []*Semaphore
	place      // in the line of a semaphore, and guarded by it

	mu      sync.Mutex // guards the rest until run has started
	held    int
	run     func()
	started bool
	gaveUp  bool
}

// A place is the place of a waiter in a line.
type place struct {
	queued        bool
	ahead, behind *Waiter // its neighbours
}

// NewWaiter returns a waiter for s and g; each may be nil.
func NewWaiter(s *Semaphore, g *Group) *Waiter {
	w := &Waiter{semaphores: make([]*Semaphore, 0, 2)}
	if s != nil {
		w.semaphores = append(w.semaphores, s)
	}
	if g != nil {
		w.semaphores = append(w.semaphores, &g.one)
	}
	return w
}

// Start acquires what w needs. With the last of it, perhaps before Start returns,
// run starts on a new goroutine. Start reports whether w has to wait.
func (w *Waiter) Start(run func()) (waits bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.run = run
	w.proceedLocked()
	return !w.started
}

func (w *Waiter) proceedLocked() {
	for w.held < len(w.semaphores) {
		if !w.semaphores[w.held].acquire(w) {
			return
		}
		w.held++
	}
	w.started = true
	go w.run()
}

// acquired goes on with a slot from the line. It reports false, and does not take
// the slot, if w has given up.
func (w *Waiter) acquired() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gaveUp {
		return false
	}
	w.semaphores[w.held].hold(w)
	w.held++
	w.proceedLocked()
	return true
}

// WhenWanted calls f once, on a goroutine of its own, when another waiter is in line for
// what w holds, now or later; w has a Name. A second call, with nil for none, replaces
// the first. It is for any goroutine, after run has started.
func (w *Waiter) WhenWanted(f func()) {
	if f == nil {
		w.overdue.Store(nil)
		return
	}
	// Store first, then look at the line; a waiter does the reverse.
	w.overdue.Store(&f)
	for _, s := range w.semaphores {
		if s.isWanted() {
			w.wanted()
		}
	}
}

// wanted acts on another waiter in line.
func (w *Waiter) wanted() {
	if f := w.overdue.Swap(nil); f != nil {
		go (*f)()
	}
}

// GiveUp ends the waiting and releases what w holds; run will not start. The
// result g is the group w waited for, or nil if it waited for its semaphore, and
// holders are the names of some that hold it. GiveUp reports false if run has started,
// or w has given up before.
func (w *Waiter) GiveUp() (g *Group, holders []string, ok bool) {
	w.mu.Lock()
	if w.started || w.gaveUp {
		w.mu.Unlock()
		return nil, nil, false
	}
	w.gaveUp = true
	at := w.semaphores[w.held]
	at.remove(w)
	w.mu.Unlock()
	holders = at.holders()
	w.Release() // acquired does not touch w.held any more
	return at.group, holders, true
}

// Release releases everything held. Doing so again has no effect.
func (w *Waiter) Release() {
	for w.held > 0 {
		w.releaseLast()
	}
}

// ReleaseGroup releases the group, and keeps the semaphore.
func (w *Waiter) ReleaseGroup() {
	if w.held > 0 && w.semaphores[w.held-1].group != nil {
		w.releaseLast()
	}
}

func (w *Waiter) releaseLast() {
	w.held--
	s := w.semaphores[w.held]
	s.unhold(w)
	s.release()
}
