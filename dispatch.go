package bsrpc

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bsrpc/bsrpc/internal/admission"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// Which requests run on goroutines of their own instead of on the leader.
const (
	minOwnGoroutine = 8 << 10 // bytes of a request
	slowRequests    = 1000    // requests of a method, after one of its handlers was slow
)

// stuckLog is the time between two log lines about a session that cannot leave.
const stuckLog = 10 * time.Second

// A dispatcher contains what the connections of a server share to serve calls. It is
// safe for concurrent use.
type dispatcher struct {
	registry     *registry
	settings     *settings
	handlers     atomic.Int64 // running handlers, counted by beginHandler
	atClients    sync.Map     // *serverConn: those of clients with it as ClientOptions.Handlers
	budget       limits.Budget
	turns        limits.Turns
	panics       atomic.Uint64
	onewayErrors atomic.Uint64
	log          *report.Log
	callEnd      callEnd // of calls with interceptors

	onRefused func(context.Context, *Session, Method, *Error) // nil for none
	refusals  *report.HookQueue                               // of calls of onRefused
}

// A nativeConn is a connection of a server that speaks the native wire. It is the
// transport.Handler of its Conn, whose lease holder calls it; its methods need no lock
// for the fields that the lease guards.
type nativeConn struct {
	*transport.Conn
	served *serverConn
}

// Dismiss is connection.Dismiss.
func (c *nativeConn) Dismiss(why *fault.Fault) {
	c.served.why.CompareAndSwap(nil, why)
	c.Conn.Dismiss(why)
	c.served.cancel(errorOf(why))
}

// Admit is transport.Handler.Admit.
func (c *nativeConn) Admit(f *wire.Frame) (*fault.Fault, error) {
	if len(f.Meta) > 0 {
		if _, err := wire.ReadRequestMetadata(f.Meta); err != nil {
			return fault.Refusal(fault.Unimplemented, "metadata: %v", err), nil
		}
	}
	switch v := c.served; {
	case !v.session.admitted.Load():
		return notAdmitted(), nil
	case f.Flags&wire.Callback != 0:
		return c.admitCallback(f)
	case int(f.Arg) >= len(v.numbers.Bound):
		return fault.Refusal(fault.Unimplemented, "no method is bound to the number %d on this connection", f.Arg), nil
	case v.numbers.Bound[f.Arg].denied:
		return fault.Refusal(fault.PermissionDenied, "%s: the client has no role that may call it", v.numbers.Bound[f.Arg].Name), nil
	case v.session.counted.Limited():
		return v.takeCall(limits.At(c.LastRead())), nil
	}
	return nil, nil
}

// takeCall refuses a call above PeerCallRate.
func (v *serverConn) takeCall(now time.Time) *fault.Fault {
	if v.session.counted.TakeCall(now) {
		return nil
	}
	return v.tooOften()
}

// tooOften is the refusal of a call above PeerCallRate.
func (v *serverConn) tooOften() *fault.Fault {
	return fault.Refusal(fault.ResourceExhausted, "the client makes more than the server's Limits.PeerCallRate (%d) calls a second", v.settings.Peers.CallRate)
}

// notAdmitted is the refusal of frames before ADMITTED.
func notAdmitted() *fault.Fault {
	return fault.Refusal(fault.FailedPrecondition, "the session is not admitted yet; wait for ADMITTED")
}

// Request is transport.Handler.Request. It returns a request that is expected to be quick
// as a job, and runs any other on a goroutine of its own.
func (c *nativeConn) Request(m *transport.Message) transport.Job {
	if m.Flags&wire.Callback != 0 {
		c.serveCallback(m)
		return nil
	}
	v := c.served
	called := v.numbers.Bound[m.Arg]
	inv := v.newInvocation(called, m.ID, c, c.LastRead())
	var refusal *fault.Fault
	if called.streams != nil {
		refusal = c.openStreams(inv)
	}
	if refusal != nil && !v.atClient {
		inv.Refuse(refusal)
		inv.recycle()
		return nil
	}
	waits := v.semaphore != nil || called.group != nil
	if called.TakesContext() || waits || called.chain != nil || called.authorize != nil || called.Sig.ParamFuncs() != nil {
		inv.setContext(v.ctx, c.deadline(m.Timeout), m.Meta)
	}
	if v.atClient && (!waits || refusal != nil) {
		c.requestAtClient(inv, m, refusal)
		return nil
	}
	if waits {
		v.uncountLeader() // the call counts for itself, and may run at once
		c.serveWaiting(inv, m)
		return nil
	}
	if !v.countLeader() {
		inv.Refuse(v.busy())
		inv.recycle()
		return nil
	}
	if len(m.Body) >= minOwnGoroutine || called.streams != nil || called.Sig.ParamFuncs() != nil || called.Sig.Args.UserCode() || called.isSlow() {
		v.leaderCounted, inv.counted = false, true // the count is inv's from here on
		c.serveConcurrently(inv, m)
		return nil
	}
	if err := inv.decode(m); err != nil {
		v.uncountLeader() // the refusal may wait for room
		inv.Refuse(err)
		inv.recycle()
		return nil
	}
	return inv
}

// deadline returns the deadline of a call, by limits.Monotonic, from the microseconds in its
// request. Zero means none.
func (c *nativeConn) deadline(us uint64) time.Duration {
	if us == 0 || us >= uint64((24*time.Hour)/time.Microsecond) {
		return 0
	}
	return cmp.Or(c.LastRead()+time.Duration(us)*time.Microsecond, 1)
}

// isSlow reports whether the next request of m runs on a goroutine of its own because an
// earlier one was slow, and counts it.
func (m *servedMethod) isSlow() bool { return m.slow.Load() > 0 && m.slow.Add(-1) >= 0 }

// serveConcurrently runs inv, which is counted as a handler, on a goroutine of its own. A request
// in the receive buffer is decoded here, before the buffer changes, unless that is user
// code: then it is copied. So is one without room to wait for its goroutine.
func (c *nativeConn) serveConcurrently(inv *invocation, m *transport.Message) {
	c.served.enterRunning(inv)
	var err *fault.Fault
	users := inv.method.Sig.Args.UserCode()
	if m.Own || users {
		inv.undecoded, err = c.Keep(m)
	}
	if inv.undecoded == nil && !users {
		err = inv.decode(m)
	}
	if err != nil {
		inv.Refuse(err)
		inv.Leave()
		return
	}
	go func() {
		defer inv.Leave()
		inv.serve()
	}()
}

// refused is transport.Config.OnRefused.
func (c *nativeConn) refused(head *wire.Frame, why *fault.Fault) {
	v := c.served
	m := v.registry.unknown
	if head.Flags&wire.Callback != 0 {
		m = &servedMethod{Func: m.Func}
		if funcs, _ := c.funcsOf(head); funcs != nil {
			if _, fn := funcs.Find(head.Arg); fn != nil {
				m = &servedMethod{Func: fn}
			}
		}
	} else if int(head.Arg) < len(v.numbers.Bound) {
		m = v.numbers.Bound[head.Arg]
	}
	v.refused(m, why)
}

// Idle is transport.Handler.Idle.
func (c *nativeConn) Idle() {
	c.served.uncountLeader()
	c.served.countCalls()
}

// Control is transport.Handler.Control.
func (c *nativeConn) Control(m *transport.Message) error { return fmt.Errorf("unexpected %v", m.Type) }

// Cancel is transport.Handler.Cancel.
func (c *nativeConn) Cancel(id uint64) error {
	if s, why := c.served.cancelRunning(id); s != nil {
		s.Cancel(why)
	}
	return nil
}

// The last sixteenth of MaxHandlers is for connections with fewEnough running handlers: some
// connections with many cannot take all.
const fewEnough = 4

// beginHandler counts a handler. It reports false if the connection may run no other one now.
func (c *serverConn) beginHandler() bool {
	most := int64(c.settings.MaxHandlers)
	left := most - c.handlers.Add(1)
	if left >= most/16 || left >= 0 && c.apart.Load() <= fewEnough {
		return true
	}
	c.endHandler()
	return false
}

// endHandler uncounts a handler.
func (d *dispatcher) endHandler() { d.handlers.Add(-1) }

// busy is the refusal of a call beyond MaxHandlers.
func (v *serverConn) busy() *fault.Fault {
	end, most := strings.TrimSuffix(v.limits.Owner, "'s"), v.settings.MaxHandlers
	if v.handlers.Load() < int64(most) {
		return fault.Refusal(fault.ResourceExhausted, "%s is busy: the last of Limits.MaxHandlers (%d) handlers are for other connections", end, most)
	}
	return fault.Refusal(fault.ResourceExhausted, "%s is busy: it runs Limits.MaxHandlers (%d) handlers", end, most)
}

// awaitHandlers is connection.awaitHandlers.
func (c *nativeConn) awaitHandlers() { c.served.awaitIdle(c.EndRequests()) }

// refused counts a refused call, and passes it to OnRefused, if it is set.
func (c *serverConn) refused(m *servedMethod, why *fault.Fault) {
	m.tally.Refuse(c.tally.Lane, why.Code)
	if c.onRefused != nil {
		d, v, of := c.dispatcher, c.session, Method(m.Description)
		d.refusals.Add(func() { d.onRefused(v.ctx, v, of, errorOf(why)) })
	}
}

// Calls of an exclusive group, and calls of a connection with MaxConcurrentCalls, run when
// their waiter has acquired the connection's semaphore and the group.

// serveWaiting runs a call when its waiter starts it. A deadline or a CANCEL also ends the
// waiting.
func (c *nativeConn) serveWaiting(inv *invocation, m *transport.Message) {
	v, since := c.served, limits.At(c.LastRead())
	var why *fault.Fault
	if inv.undecoded, why = c.Keep(m); why != nil || inv.method.authorize == nil {
		c.wait(inv, m, since, why)
		return
	}
	// A call that is denied takes no place in a line. Authorize may hang, so it has a goroutine
	// of its own, counted as a handler.
	v.enterRunning(inv)
	go func() {
		ok, counted := false, v.beginHandler()
		defer func() { // also after runtime.Goexit
			if counted {
				v.endHandler()
			}
			if ok {
				c.wait(inv, nil, since, nil)
			} else {
				inv.Leave()
			}
		}()
		if ok = counted && inv.permitted(); !counted {
			inv.Refuse(v.busy())
		}
	}()
}

// wait enters a call into the lines of its semaphores, unless there is a reason why not. At a
// client m is its request.
func (c *nativeConn) wait(inv *invocation, m *transport.Message, since time.Time, why *fault.Fault) {
	v := c.served
	var w *admission.Waiter
	if why == nil {
		if w = inv.newWaiter(v.semaphore); w == nil {
			why = fault.Refusal(fault.FailedPrecondition, "%s: called while already holding exclusive=%s: deadlock", inv.method.Name, inv.method.Exclusive)
		}
	}
	switch {
	case why == nil:
	case v.atClient:
		c.requestAtClient(inv, m, why)
		return
	default:
		inv.Refuse(why)
		inv.Leave()
		return
	}
	v.enterRunning(inv)
	call := inv.call
	inv.waiter = w
	if inv.streams != nil {
		inv.setLease(w)
	}
	stops := make(chan func(), 1) // the waiter may start the call before stop is known
	stop := func() {}
	if w.Start(func() { (<-stops)(); c.runWaiting(inv, since) }) {
		stop = call.OnGiveUp(func() {
			if g, holders, ok := w.GiveUp(); ok {
				inv.Refuse(fault.Waited(since, v.lineOf(g), holders, call.Err()))
				inv.Leave()
			}
		})
	}
	stops <- stop
}

// newWaiter returns the waiter of a call for a semaphore, nil for none, and its group. It
// returns nil if a caller of the call holds the group.
func (inv *invocation) newWaiter(s *admission.Semaphore) *admission.Waiter {
	w := inv.call.NewWaiter(s, inv.method.group)
	if w != nil && inv.method.group != nil {
		w.Owner, w.NoWait = &inv.served.session.owner, inv.method.NoWait
	}
	return w
}

// runWaiting runs a call started by its waiter.
func (c *nativeConn) runWaiting(inv *invocation, since time.Time) {
	defer inv.Leave()
	if why := inv.waiter.Refusal(); why != nil {
		inv.Refuse(denied(why))
	} else if err := inv.call.Err(); err != nil {
		inv.Refuse(fault.Waited(since, c.served.lineOf(inv.method.group), "", err))
	} else if why := c.served.beginCall(); why != nil {
		inv.Refuse(why)
	} else {
		inv.counted = true
		inv.noteWait(since)
		inv.serveAuthorized()
	}
}

// noteWait notes the end of a wait for the semaphores of the call.
func (inv *invocation) noteWait(since time.Time) {
	if inv.intercepted != nil {
		inv.call.NoteWait(since)
	}
}

// lineOf names what a call waits for: a group, or the semaphore if g is nil.
func (v *serverConn) lineOf(g *admission.Group) string {
	if g == nil {
		return fmt.Sprintf("its turn (the server's MaxConcurrentCalls is %d)", v.settings.MaxConcurrentCalls)
	}
	return "exclusive=" + g.Name
}

// onewayFailed counts and logs the error of a oneway call at the server. err may be the
// user's.
func (d *dispatcher) onewayFailed(m *servedMethod, err error) {
	d.onewayErrors.Add(1)
	d.log.Post(report.Oneway, slog.LevelWarn, "bsrpc: oneway call failed", "method", m.Name, "err", err)
}

// panicked counts and logs a func that did not return during a call: the handler, or another
// part of the user's code.
func (d *dispatcher) panicked(m *method.Description, what any, where string) *report.PanicError {
	d.panics.Add(1)
	return report.NewPanicError(d.log, m.Name, what, where)
}
