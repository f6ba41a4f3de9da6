package bsrpc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bsrpc/bsrpc/internal/admission"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/transport"
)

// Calls of an exclusive group, and calls of a connection with MaxConcurrentCalls, run when
// their waiter has acquired the connection's semaphore and the group.

// serveWaiting runs a call when its waiter starts it. A deadline or a CANCEL also ends the
// waiting.
func (c *nativeConn) serveWaiting(inv *invocation, m *transport.Message) {
	v, g := c.served, inv.method.group
	if g != nil {
		if slices.Contains(inv.call.within, g.ID) {
			inv.Refuse(fault.Refusal(fault.FailedPrecondition, "%s: called while already holding exclusive=%s: deadlock", inv.method.Name, g.Name))
			inv.Free()
			return
		}
		inv.call.within = append(inv.call.within, g.ID)
	}
	v.enterRunning(inv)
	kept, since, call := m.Keep(), c.LastRead(), inv.call
	inv.undecoded = &kept
	w := admission.NewWaiter(v.semaphore, g)
	inv.waiter = w
	stops := make(chan func(), 1) // the waiter may start the call before stop is known
	stop := func() {}
	if w.Start(func() { (<-stops)(); c.runWaiting(inv, since) }) {
		stop = call.onGiveUp(func() {
			if g, ok := w.GiveUp(); ok {
				inv.Refuse(v.waited(since, g, call.Err()))
				inv.Leave()
			}
		})
	}
	stops <- stop
}

// onGiveUp calls f when the call is cancelled, and when its deadline is near.
func (x *callContext) onGiveUp(f func()) (stop func()) {
	stopEnd, stopLate := x.AfterFunc(f), x.beforeDeadline(f)
	return func() {
		stopEnd()
		stopLate()
	}
}

// runWaiting runs a call started by its waiter.
func (c *nativeConn) runWaiting(inv *invocation, since time.Time) {
	defer inv.Leave()
	switch {
	case inv.call.Err() != nil:
		inv.Refuse(c.served.waited(since, inv.method.group, inv.call.Err()))
	case !c.served.beginHandler():
		inv.Refuse(c.served.busy())
	default:
		inv.counts = true
		inv.serve()
	}
}

// waited returns the fault of a call that gave up waiting for a group, or for the semaphore
// if g is nil. cause is the error of its context; nil means that its deadline is near.
func (v *serverConn) waited(since time.Time, g *admission.Group, cause error) *fault.Fault {
	what := fmt.Sprintf("its turn (MaxConcurrentCalls is %d)", v.settings.maxConcurrentCalls)
	if g != nil {
		what = "exclusive=" + g.Name
	}
	code, text := fault.DeadlineExceeded, "waited %v for %s"
	if errors.Is(cause, context.Canceled) {
		code, text = fault.Canceled, "canceled: waited %v for %s"
	}
	return fault.Refusal(code, text, roundTime(time.Since(since)), what)
}

// roundTime rounds d to about three digits.
func roundTime(d time.Duration) time.Duration {
	for unit := time.Second; unit > time.Nanosecond; unit /= 10 {
		if d >= unit {
			return d.Round(unit / 100)
		}
	}
	return d
}
