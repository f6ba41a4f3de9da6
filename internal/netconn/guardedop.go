package netconn

import (
	"sync"
	"sync/atomic"
	"time"
)

// A guardedOp checks one direction of a guardedConn: whether each Read, or each Write,
// returns by DeadlineGrace after its deadline. A timer makes the checks. Deadlines are
// set often and rarely reached, so an armed timer is not stopped if a deadline is moved
// or removed: it may fire early, never late, and check then arms it again.
type guardedOp struct {
	calls   atomic.Uint64 // beginnings and ends of calls; odd during a call
	changes atomic.Uint64 // of the deadline; written with mu held

	mu       sync.Mutex // guards the rest
	deadline time.Time  // zero for none
	timer    *time.Timer
	due      time.Time // of the timer; zero if it is not armed
	stopped  bool

	seen   uint64    // value of calls at the last check after a deadline
	seenAt time.Time // time of that check; the grace of an unchanged call begins here
}

func (o *guardedOp) begin() { o.calls.Add(1) }
func (o *guardedOp) end()   { o.calls.Add(1) }

// set sets the deadline, zero for none, and arms the timer if it would fire too late. A
// deadline in the past interrupts a call: its grace begins now, but only once, however
// often the deadline is set again. It returns the number of this change, for settle.
func (o *guardedOp) set(t time.Time, g *guardedConn) (n uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	old := o.deadline
	o.deadline, n = t, o.changes.Add(1)
	if t.IsZero() || o.stopped {
		return n
	}
	now := time.Now()
	if t.Before(now) {
		if calls := o.calls.Load(); calls != o.seen || old.IsZero() || old.After(now) {
			o.seen, o.seenAt = calls, now
		}
		t = o.seenAt.Add(DeadlineGrace)
	}
	if !o.due.IsZero() && !t.Before(o.due) {
		return n
	}
	o.due = t
	if o.timer == nil {
		o.timer = time.AfterFunc(t.Sub(now), func() { o.check(g) })
	} else {
		o.timer.Reset(t.Sub(now))
	}
	return n
}

// settle follows the set of change n, once that deadline has been set at nc with the result err.
// Goroutines that set deadlines at the same time may reach nc in another order. So each sets the
// newest one, until there has been no change: the last at nc is then the last here.
func (o *guardedOp) settle(n uint64, err error, set func(time.Time) error) error {
	for o.changes.Load() != n {
		o.mu.Lock()
		t := o.deadline
		n = o.changes.Load()
		o.mu.Unlock()
		err = set(t)
	}
	return err
}

// check closes the connection if a call has been running since its deadline, and for
// DeadlineGrace more. Otherwise it arms the timer for the next check.
func (o *guardedOp) check(g *guardedConn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.due = time.Time{}
	if o.deadline.IsZero() || o.stopped {
		return
	}
	now, calls := time.Now(), o.calls.Load()
	next := o.deadline
	if !now.Before(next) {
		if calls != o.seen || o.seenAt.Before(o.deadline) {
			o.seen, o.seenAt = calls, now
		}
		if next = o.seenAt.Add(DeadlineGrace); !now.Before(next) {
			if calls%2 == 1 {
				g.abort(errNoDeadlines)
				return
			}
			o.seenAt, next = now, now.Add(DeadlineGrace)
		}
	}
	o.due = next
	o.timer.Reset(next.Sub(now))
}

// isLate reports whether the deadline has passed.
func (o *guardedOp) isLate() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.deadline.IsZero() && !time.Now().Before(o.deadline)
}

// stop ends the checks, before the connection is closed.
func (o *guardedOp) stop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stopped = true
	if o.timer != nil {
		o.timer.Stop()
	}
}
