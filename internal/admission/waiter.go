package admission

import (
	"sync"
	"sync/atomic"
)

// A Waiter acquires a semaphore and groups, in this order, and then starts a func. The
// order keeps waiters of one semaphore out of the line of a group that others share.
//
// Call Start once, then GiveUp from any goroutine. Release and ReleaseGroup are for
// the started func. The zero Waiter needs nothing and holds nothing.
//
// Invariant: w holds the first held of its steps; while it waits, it is in line of the
// next, or about to be given a slot of that.
type Waiter struct {
	// Name, if not empty, is told to those that wait in vain for what w holds, perhaps for
	// long. It is set before Start, as all of these.
	Name string

	Owner  *Owner // the session; nil for none
	NoWait bool   // w is refused if it has to wait for a group

	// Moved is called with the position in the line of a group, 1 for the next one, when that
	// has changed, at most every tenth of a second. It must not wait. It returns false if the
	// position is to be passed again. Nil means that nothing is called.
	Moved func(group string, position int) bool

	overdue atomic.Pointer[func()] // see WhenWanted

	ID uint64 // of the use of its group; 0 without a group. Read only.

	chain  []use // of groups by the callers of the call, also in other processes
	keeps  bool  // w is of NewHold, with the next two
	wants  []*Group
	within *Waiter

	place // in line

	mu      sync.Mutex // guards the rest until run has started
	steps   []*Semaphore
	held    int
	run     func()
	started bool
	gaveUp  bool
	refusal *Refusal

	memory [2]*Semaphore // of steps
}

// NewWaiter returns a waiter for s and g; each may be nil. chain has the ids of the waiters of the
// callers of the call: if w has to wait, they do too.
func NewWaiter(s *Semaphore, g *Group, chain []uint64) *Waiter {
	w := new(Waiter)
	w.steps = w.memory[:0]
	if s != nil {
		w.steps = append(w.steps, s)
	}
	if g != nil {
		w.steps = append(w.steps, &g.one)
		w.chain, w.ID = g.all.chainOf(chain), g.newID()
	}
	return w
}

// Start acquires what w needs. With the last of it, perhaps before Start returns,
// run starts on a new goroutine; also with a refusal. Start reports whether w has to wait.
func (w *Waiter) Start(run func()) (waits bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.run = run
	w.proceedLocked()
	return !w.started
}

func (w *Waiter) proceedLocked() {
	for w.held < len(w.steps) && w.refusal == nil {
		switch w.steps[w.held].acquire(w) {
		case granted:
			w.held++
		case unneeded:
			w.steps = append(w.steps[:w.held:w.held], w.steps[w.held+1:]...)
		case queued:
			return
		}
	}
	w.startLocked()
}

// startLocked starts run. What w holds goes to others first, if w is refused or has acquired it
// for its owner: on that goroutine, which holds no lock.
func (w *Waiter) startLocked() {
	w.started = true
	if w.refusal == nil && !w.keeps {
		go w.run()
		return
	}
	go func() {
		if w.refusal == nil {
			w.keep()
		} else {
			w.Release()
		}
		w.run()
	}()
}

// Refusal returns why w does not get what it asks for, nil if it does. It is for the started
// func.
func (w *Waiter) Refusal() *Refusal { return w.refusal }

// refuse ends the waiting of w, which is in no line.
func (w *Waiter) refuse(why *Refusal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.gaveUp {
		w.refusal = why
		w.startLocked()
	}
}

// acquired goes on with a slot from the line. It reports false, and does not take
// the slot, if w has given up.
func (w *Waiter) acquired() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gaveUp {
		return false
	}
	w.steps[w.held].hold(w)
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
	for _, s := range w.steps {
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
// holders describes who holds it. GiveUp reports false if run has started,
// or w has given up before.
func (w *Waiter) GiveUp() (g *Group, holders string, ok bool) {
	w.mu.Lock()
	if w.started || w.gaveUp {
		w.mu.Unlock()
		return nil, "", false
	}
	w.gaveUp = true
	at := w.steps[w.held]
	at.remove(w)
	w.mu.Unlock()
	holders = at.holders()
	w.Release() // acquired does not touch w.held any more
	return at.group, holders, true
}

// Release releases all slots held. Doing so again has no effect.
func (w *Waiter) Release() {
	for w.held > 0 {
		w.releaseLast()
	}
}

// ReleaseGroup releases the group, and keeps the semaphore.
func (w *Waiter) ReleaseGroup() {
	if w.held > 0 && w.steps[w.held-1].group != nil {
		w.releaseLast()
	}
}

func (w *Waiter) releaseLast() {
	w.held--
	w.steps[w.held].release(w)
}
