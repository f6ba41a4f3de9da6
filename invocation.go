package bsrpc

import (
	"sync/atomic"

	"github.com/bsrpc/bsrpc/internal/method"
)

// An invocation is one call at the end that serves it, on either wire. It is pooled
// with its values.
type invocation struct {
	*method.Values

	method   *servedMethod
	recv     *method.Receiver // the session's own, nil for the registered one
	id       uint64           // of the call on the wire
	call     *callContext     // nil if neither the method nor a gate needs one
	refusal  *Error           // why it is not run
	answered bool             // with counts, guarded by conn.mu once it runs
	counts   bool             // it is one of the handlers, and not the leader for it
	full     bool             // its answer has made a batch full
	canceled atomic.Bool
	waits    atomic.Bool // its handler has returned, and its answer waits for room
	passage  *passage    // the gates that it has passed; nil for none
}

// newInvocation returns an invocation of m.
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

// free returns the invocation and its values to the pool.
func (inv *invocation) free() {
	inv.recv, inv.call, inv.refusal, inv.answered, inv.passage = nil, nil, nil, false, nil
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
