package bsrpc

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// Which requests run on goroutines of their own instead of on the leader.
const (
	apartSize  = 8 << 10 // those of at least this many bytes
	apartAgain = 1000    // the next of a method after one of its handlers was slow
)

// stuckLog is the time between two log lines about a session that cannot leave.
const stuckLog = 10 * time.Second

// A dispatcher contains what the connections of a server share to serve calls. It is
// safe for concurrent use.
type dispatcher struct {
	registry *registry
	settings *settings
	handlers atomic.Int64 // running handlers, counted by beginHandler
	budget   limits.Budget
	panics   atomic.Uint64
	log      *report.Log
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
	c.Conn.Dismiss(why)
	c.served.cancel(errorOf(why))
}

// Admit is transport.Handler.Admit.
func (c *nativeConn) Admit(f *wire.Frame) (*fault.Fault, error) {
	if _, err := wire.ReadMetadata(f.Meta); err != nil {
		return fault.Refusal(fault.Unimplemented, "metadata: %v", err), nil
	}
	switch v := c.served; {
	case !v.session.admitted.Load():
		return notAdmitted(), nil
	case int(f.Arg) >= len(v.bound):
		return fault.Refusal(fault.Unimplemented, "no method is bound to the number %d on this connection", f.Arg), nil
	}
	return nil, nil
}

func notAdmitted() *fault.Fault {
	return fault.Refusal(fault.FailedPrecondition, "the session is not admitted yet; wait for ADMITTED")
}

// Request is transport.Handler.Request. It returns a request that is expected to be quick
// as a job, and runs any other on a goroutine of its own.
func (c *nativeConn) Request(m *transport.Message) transport.Job {
	v := c.served
	called := v.bound[m.Arg]
	inv := v.newInvocation(called, m.ID, c)
	waits := v.semaphore != nil || called.group != nil
	if called.TakesContext() || waits {
		inv.setContext(&callContext{Context: v.ctx, deadline: c.deadline(m.Timeout)})
		if len(m.Meta) > 0 {
			inv.call.within, _ = wire.ReadMetadata(m.Meta) // Admit has judged it
		}
	}
	if waits {
		v.uncount() // the call counts for itself, and may run at once
		c.serveWaiting(inv, m)
		return nil
	}
	if !v.count() {
		inv.Refuse(v.busy())
		inv.Free()
		return nil
	}
	if len(m.Body) >= apartSize || called.Sig.Args.UserCode() || called.isSlow() {
		v.counted, inv.counts = false, true // the count is inv's from here on
		c.serveApart(inv, m)
		return nil
	}
	if err := inv.decode(m); err != nil {
		v.uncount() // the refusal may wait for room
		inv.Refuse(err)
		inv.Free()
		return nil
	}
	return inv
}

// deadline returns the deadline of a call with so many microseconds left, zero for none.
func (c *nativeConn) deadline(us uint64) time.Time {
	if us == 0 || us >= uint64((24*time.Hour)/time.Microsecond) {
		return time.Time{}
	}
	return c.LastRead().Add(time.Duration(us) * time.Microsecond)
}

// isSlow reports whether the next request of m runs on a goroutine of its own because an
// earlier one was slow, and counts it.
func (m *servedMethod) isSlow() bool { return m.slow.Load() > 0 && m.slow.Add(-1) >= 0 }

// serveApart runs inv, which is counted as a handler, on a goroutine of its own. A request
// in the receive buffer is decoded here, before the buffer changes, unless that is user
// code: then it is copied.
func (c *nativeConn) serveApart(inv *invocation, m *transport.Message) {
	c.served.enterRunning(inv)
	if m.Own || inv.method.Sig.Args.UserCode() {
		kept := m.Keep()
		inv.undecoded = &kept
	} else if err := inv.decode(m); err != nil {
		inv.Refuse(err)
		inv.Leave()
		return
	}
	go func() {
		defer inv.Leave()
		inv.serve()
	}()
}

// Idle is transport.Handler.Idle.
func (c *nativeConn) Idle() { c.served.uncount() }

// Control is transport.Handler.Control.
func (c *nativeConn) Control(m *transport.Message) error { return fmt.Errorf("unexpected %v", m.Type) }

// Cancel is transport.Handler.Cancel.
func (c *nativeConn) Cancel(id uint64) error {
	c.served.cancelRunning(id)
	return nil
}

// beginHandler counts a handler. It reports false if Limits.MaxHandlers run.
func (d *dispatcher) beginHandler() bool {
	if d.handlers.Add(1) <= int64(d.settings.maxHandlers) {
		return true
	}
	d.endHandler()
	return false
}

// endHandler uncounts a handler.
func (d *dispatcher) endHandler() { d.handlers.Add(-1) }

func (d *dispatcher) busy() *fault.Fault {
	return fault.Refusal(fault.ResourceExhausted, "the server is busy: it runs Limits.MaxHandlers (%d) handlers", d.settings.maxHandlers)
}

// awaitHandlers is connection.awaitHandlers.
func (c *nativeConn) awaitHandlers() { c.served.awaitIdle(c.EndRequests()) }
