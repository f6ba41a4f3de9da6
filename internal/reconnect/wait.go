package reconnect

import (
	"context"
	"fmt"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
)

// The calls that wait for a connection, at most.
const (
	mostWaiters = 1024
	mostWaiting = 8 << 20 // bytes of their arguments
)

// A Wait is how a call waits for a connection.
type Wait struct {
	Ctx     context.Context
	Time    *limits.Timeout // begun and started
	Bytes   int             // of its arguments
	Patient bool            // it waits also while no attempt is under way
}

// wait waits until usable, which must not block, returns true. The error has the cause of the
// newest loss.
func (g *Group[E, B]) wait(w *Wait, usable func() bool) *fault.Fault {
	g.mu.Lock()
	defer g.mu.Unlock()
	if done, why := g.decideLocked(w, usable); done {
		return why
	}
	if g.waiters >= mostWaiters || g.waiters > 0 && g.bytes+w.Bytes > mostWaiting {
		return fault.New(fault.ResourceExhausted, fault.NotRun, "not connected, and too many calls wait for a connection (at most %d, with %d bytes): %w", mostWaiters, mostWaiting, g.causeLocked())
	}
	g.waiters, g.bytes = g.waiters+1, g.bytes+w.Bytes
	defer func() { g.waiters, g.bytes = g.waiters-1, g.bytes-w.Bytes }()
	expired := w.Time.Expired()
	defer w.Time.Stop()
	for {
		changed := g.changed
		g.mu.Unlock()
		var late *fault.Fault
		select {
		case <-changed:
		case <-w.Ctx.Done():
			late = w.Time.ContextFault(w.Ctx.Err(), fault.NotRun)
		case <-expired:
			late = w.Time.Fault(fault.NotRun)
		}
		g.mu.Lock()
		if late != nil {
			return g.tooLateLocked(late)
		}
		if done, why := g.decideLocked(w, usable); done {
			return why
		}
	}
}

// decideLocked reports whether the wait is over, and why it has failed.
func (g *Group[E, B]) decideLocked(w *Wait, usable func() bool) (done bool, why *fault.Fault) {
	if g.why != nil {
		return true, g.why.WithOutcome(fault.NotRun)
	}
	if usable() {
		return true, nil
	}
	if len(g.keepers) == 0 {
		return false, nil // the last one is about to end the group
	}
	for _, k := range g.keepers {
		// The keeper of a connection that has just ended does not know it yet.
		if k.hopes || k.conn != nil && !k.conn.Usable() || w.Patient || g.cfg.Patient {
			return false, nil
		}
	}
	return true, fault.New(fault.Unavailable, fault.NotRun, "not connected: %w", g.causeLocked())
}

// causeLocked returns why there is no connection.
func (g *Group[E, B]) causeLocked() error {
	if g.cause == nil {
		return errNone
	}
	return &plain{g.cause}
}

var errNone = fault.New(fault.Unavailable, fault.NotRun, "no endpoint has a connection yet")

// A plain error is a fault without the prefix of its text, for use within another one.
type plain struct{ *fault.Fault }

func (p *plain) Error() string { return p.Fault.Plain() }
func (p *plain) Unwrap() error { return p.Fault.Err }

// tooLateLocked adds the cause of the wait to the error of a call whose time is over.
func (g *Group[E, B]) tooLateLocked(why *fault.Fault) *fault.Fault {
	late := fault.New(why.Code, fault.NotRun, "%s; it waited for a connection: %w", why.Plain(), g.causeLocked())
	late.Err = &both{why.Err, late.Err}
	return late
}

// A both is an error with two causes.
type both struct{ first, second error }

func (b *both) Error() string   { return b.first.Error() }
func (b *both) Unwrap() []error { return []error{b.first, b.second} }

// mostAgain is how often a call is sent again.
const mostAgain = 3

// A Call is a call that may be sent again.
type Call interface {
	// Wait returns how the call waits, within the time left since its first attempt.
	Wait(ctx context.Context) *Wait

	// Choose chooses a usable connection other than except. It reports false without one,
	// and does not block.
	Choose(except ...*Conn) bool

	// Send sends the call on the chosen connection, which it returns.
	Send(ctx context.Context) (*Conn, error)
}

// ErrNotConnected is the error of a call that had no connection. It is shared, and must not be
// changed.
var ErrNotConnected = fault.Refusal(fault.Unavailable, "not connected")

// Again sends a call again that has failed on c with err, as long as that is safe: the call has
// surely not run, or it is idempotent and its connection has been lost. A call that has not run,
// and whose context has ended, waits too: its error must have the newest cause, and not that of
// a connection that has ended long ago.
func (g *Group[E, B]) Again(ctx context.Context, call Call, c *Conn, idempotent bool, err error) (last error) {
	unsure := false      // an earlier attempt may have run
	var refusers []*Conn // each is asked once
	defer func() {
		if f, ok := last.(*fault.Fault); ok && unsure && f.Outcome == fault.NotRun {
			last = f.WithOutcome(fault.OutcomeUnknown)
		}
	}()
	for n := 0; ; n++ {
		f, ok := err.(*fault.Fault)
		if !ok || f.Outcome != fault.NotRun && ctx.Err() != nil {
			return err
		}
		if why := g.declined(f, c, idempotent, n); why != nil {
			return why
		}
		var why *fault.Fault
		if c != nil && c.Usable() && refused(f) {
			// Not by a server that drains, as it says so first: by an interceptor or Authorize. The
			// connection is in order, and another server may take the call.
			if refusers = append(refusers, c); !call.Choose(refusers...) {
				return err
			}
		} else {
			why = g.wait(call.Wait(ctx), func() bool { return call.Choose(c) })
		}
		switch {
		case why != nil && f.Outcome == fault.NotRun && (!f.Remote || c.Ended()):
			return why // newer than the end of that connection
		case why != nil:
			return err
		}
		unsure = unsure || f.Outcome != fault.NotRun
		if c, err = call.Send(ctx); err == nil {
			return nil
		}
	}
}

// declined returns the error of a call that has failed with f on c, after it was sent again n
// times. It is nil if the call may be sent again.
func (g *Group[E, B]) declined(f *fault.Fault, c *Conn, idempotent bool, n int) *fault.Fault {
	notRun := f == ErrNotConnected || refused(f)
	if !notRun {
		if c == nil || c.Why() == nil {
			return f
		}
		<-c.Done // closed soon after Why is set
		if why := c.Why(); f.Code != why.Code || f.Message != why.Message {
			return f // it has failed for another reason
		}
		if notRun = f.Outcome == fault.NotRun; !notRun && (f.Outcome != fault.OutcomeUnknown || !idempotent) {
			return f
		}
	}
	switch {
	case n == mostAgain:
		return noted(f, fmt.Sprintf("it was sent again %d times", n))
	case !notRun && !g.spend():
		return noted(f, fmt.Sprintf("it was not sent again: of the calls of the last %d s one in %d is, or %d if that is more", budgetSeconds, budgetShare, budgetLeast))
	}
	return nil
}

// refused reports whether the server has refused the call as unavailable.
func refused(f *fault.Fault) bool {
	return f.Remote && f.Code == fault.Unavailable && f.Outcome == fault.NotRun
}

// noted returns f with a note in its text.
func noted(f *fault.Fault, note string) *fault.Fault {
	e := *f
	e.Message += "; " + note
	return &e
}

// spend takes one call from the budget.
func (g *Group[E, B]) spend() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.budget.spend(limits.Monotonic())
}
