package bsrpc

import (
	"sync/atomic"

	"github.com/bsrpc/bsrpc/internal/admission"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// An invocation is one call at a server, on either wire, from its request to its reply. It
// is pooled together with its values. The goroutine that runs the call owns it; answered
// and counts also change under the lock of transport.Conn, and the atomics at any time.
type invocation struct {
	*method.Values

	conn      *nativeConn // nil on the basic wire
	method    *servedMethod
	recv      *method.Receiver // the session's own; nil for the registered one
	id        uint64           // of the call on the wire
	call      *callContext     // nil if neither the method nor a waiter needs a context
	refusal   *fault.Fault     // why the handler does not run
	err       error            // the result of the handler
	head      wire.Frame       // of the reply
	answered  bool             // the reply is queued
	counts    bool             // it is counted as a handler, in place of the leader
	full      bool             // the reply has filled a batch
	canceled  atomic.Bool
	waits     atomic.Bool        // the handler has returned, and the reply waits for room
	undecoded *transport.Message // the request, if Run decodes it
	waiter    *admission.Waiter  // holds its semaphores; nil without any
}

// newInvocation returns an invocation of m from the pool.
func newInvocation(m *servedMethod, id uint64, recv *method.Receiver) *invocation {
	v := m.Sig.NewValues()
	inv, ok := v.State.(*invocation)
	if !ok {
		inv = &invocation{Values: v}
		v.State = inv
	}
	inv.method, inv.id, inv.recv = m, id, recv
	return inv
}

// setContext makes x the context of the call.
func (inv *invocation) setContext(x *callContext) { inv.call, inv.Ctx = x, x }

// invoke calls the method.
func (inv *invocation) invoke() error { return inv.method.Invoke(inv.recv, inv.Values) }

// decode decodes the arguments.
func (inv *invocation) decode(m *transport.Message) *fault.Fault {
	inv.conn.served.settings.decode(&inv.Dec, m.Body, m.Own)
	if err := inv.ReadArgs(); err != nil {
		return fault.Refusal(fault.InvalidArgument, "%s, %v", inv.method.Name, err)
	}
	return nil
}

// Run is transport.Job.Run. Every native call runs through it, on any goroutine. A panic,
// or runtime.Goexit, is answered with an error.
func (inv *invocation) Run() (full bool) {
	defer inv.recoverPanic()
	if m := inv.undecoded; m != nil {
		if err := inv.decode(m); err != nil { // user code may have run
			inv.Refuse(err)
			return inv.full
		}
	}
	inv.conn.answer(inv, inv.invoke())
	return inv.full
}

// recoverPanic, deferred around a handler, answers the call of one that did not return.
func (inv *invocation) recoverPanic() {
	if !inv.answered {
		inv.conn.answer(inv, inv.conn.served.panicked(inv.method, recover()))
	}
}

// Refuse is transport.Job.Refuse: it answers an admitted request that does not run.
func (inv *invocation) Refuse(why *fault.Fault) {
	inv.refusal = why
	inv.conn.answer(inv, why)
}

// Detach is transport.Job.Detach. The leader's count as a handler becomes inv's, unless inv
// is answered, and the method counts as slow, unless the reply waits for room.
func (inv *invocation) Detach() {
	v := inv.conn.served
	if !inv.answered { // otherwise the next leader inherits the count
		v.counted, inv.counts = false, v.counted
	}
	v.enterRunning(inv)
	if !inv.waits.Load() {
		inv.method.slow.Store(apartAgain)
	}
}

// Leave is transport.Job.Leave, and ends every call that does not run on the leader.
func (inv *invocation) Leave() {
	c, w := inv.conn, inv.waiter
	c.served.leaveRunning(inv)
	c.served.discount(inv) // the connection may have ended before the reply
	inv.Free()
	c.Flush()
	if w != nil {
		w.Release()
	}
}

// Free is transport.Job.Free. It returns the invocation and its values to the pool.
func (inv *invocation) Free() {
	inv.conn, inv.recv, inv.call, inv.refusal, inv.undecoded, inv.waiter = nil, nil, nil, nil, nil, nil
	inv.err, inv.answered, inv.counts = nil, false, false
	if inv.canceled.Load() {
		inv.canceled.Store(false)
	}
	if inv.waits.Load() {
		inv.waits.Store(false)
	}
	inv.Values.Free()
}

// end ends the call's context, if it has one.
func (inv *invocation) end(err error) {
	if inv.call != nil {
		inv.call.end(err)
	}
}
