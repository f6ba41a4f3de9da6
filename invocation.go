package bsrpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/bsrpc/bsrpc/internal/admission"
	"github.com/bsrpc/bsrpc/internal/callctx"
	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/internal/errtree"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/streams"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// An invocation is one call at a server, on either wire, from its request to its reply. It
// is pooled together with its values. The goroutine that runs the call owns it; answered
// and counts also change under the lock of transport.Conn, and the atomics at any time.
type invocation struct {
	*method.Values

	out       replier // the connection
	served    *serverConn
	method    *servedMethod
	recv      *method.Receiver // the session's own; nil for the registered one
	id        uint64           // of the call on the wire
	call      *callctx.Context // nil if neither the method nor a waiter needs a context
	refusal   *fault.Fault     // why the handler does not run
	err       error            // the result of the handler
	head      wire.Frame       // of the reply
	answered  bool             // the reply is queued
	counted   bool             // it is counted as a handler, in place of the leader
	full      bool             // the reply has filled a batch
	code      fault.Code       // of the answer; Canceled for a call without one
	canceled  atomic.Bool
	waits     atomic.Bool        // the handler has returned, and the reply waits for room
	undecoded *transport.Message // the request, if Run decodes it
	streams   *streams.Served    // nil without streams
	waiter    *admission.Waiter  // holds its semaphores; nil without any

	intercepted *Call // nil without interceptors
}

// A replier is the connection of a call, on either wire.
type replier interface {
	// reply sends the results of inv, or err, once. It calls user code.
	reply(inv *invocation, err error)

	// Flush writes replies that wait for others.
	Flush()

	// PeerMaxMessage limits the bytes of an item, as of a reply.
	PeerMaxMessage() uint64
}

// newInvocation returns an invocation of m from the pool, on a connection. The call began, by
// limits.Monotonic, with the arrival of its request.
func (c *serverConn) newInvocation(m *servedMethod, id uint64, out replier, began time.Duration) *invocation {
	v := m.Sig.NewValues()
	inv, ok := v.State.(*invocation)
	if !ok {
		inv = &invocation{Values: v}
		v.State = inv
	}
	inv.method, inv.id, inv.recv = m, id, c.session.receiver(m)
	inv.served, inv.out = c, out
	inv.Began, inv.code = began, fault.Canceled
	c.session.calls.Add(1)
	return inv
}

// setContext gives the call a context, with a parent, a deadline by limits.Monotonic, 0 for none,
// and the metadata of its request, nil for none. A call with interceptors always has one.
func (inv *invocation) setContext(parent context.Context, deadline time.Duration, meta []byte) {
	if inv.method.chain == nil {
		inv.call = &callctx.Context{Context: parent, Until: deadline}
	} else {
		v := inv.served
		c := &Call{method: &inv.method.Description, kind: inv.method.kind, end: &v.callEnd, session: v.session, values: inv.Values}
		c.ctx.Context.Context, c.ctx.Until = parent, deadline
		inv.intercepted, inv.call = c, &c.ctx.Context
	}
	if inv.Ctx = inv.call; len(meta) > 0 && inv.call.Receive(meta) {
		out, id := inv.out.(*nativeConn), inv.id
		inv.call.SendPositions(func(group string, n int) bool { return out.Position(id, group, n) })
	}
}

// invoke calls the method, through the interceptors.
func (inv *invocation) invoke() error {
	if inv.intercepted != nil {
		return errtree.Bounded(inv.intercepted.run(inv.call, inv.method.chain))
	}
	return errtree.Bounded(inv.method.Invoke(inv.recv, inv.Values))
}

// carryOutServed is callEnd.carryOut: it calls the method with the context of the interceptors,
// and sends its result stream.
func carryOutServed(ctx context.Context, c *Call, _ bool) error {
	inv := c.values.State.(*invocation)
	inv.Ctx = ctx
	err := errtree.Bounded(inv.method.Invoke(inv.recv, inv.Values))
	if err == nil && inv.streams != nil && inv.streams.Out != nil {
		err = inv.sendResult(true)
	}
	return err
}

// decode decodes the arguments.
func (inv *invocation) decode(m *transport.Message) *fault.Fault {
	inv.served.settings.Bounds.Begin(&inv.Dec, m.Body, m.Own)
	_, basic := inv.out.(*basicConn)
	inv.Dec.Lenient, inv.ArgsSize = basic, len(m.Body)
	if inv.method.Sig.ParamFuncs() != nil {
		inv.storeFuncs()
	}
	if err := inv.ReadArgs(); err != nil {
		return fault.Refusal(fault.InvalidArgument, "%s, %v", inv.method.Name, codec.LimitOf(inv.served.limits.Owner, err))
	}
	if inv.streams != nil {
		inv.storeParams()
	}
	return nil
}

// serve runs the call: it decodes the arguments, calls the handler and replies, exactly
// once. Every call of either wire passes here, on whatever goroutine it runs. A panic, or
// runtime.Goexit, in the handler or another part of the user's code is answered with an
// error.
func (inv *invocation) serve() {
	if inv.method.authorize == nil || inv.permitted() {
		inv.serveAuthorized()
	}
}

// serveAuthorized is serve for a call that Authorize has allowed.
func (inv *invocation) serveAuthorized() {
	defer inv.recoverPanic()
	if m := inv.undecoded; m != nil {
		if err := inv.decode(m); err != nil {
			inv.Refuse(err)
			return
		}
		m.Release()
		inv.undecoded = nil
	}
	inv.answer(inv.invoke())
}

// recoverPanic, deferred by serve, answers the call of a handler that did not return.
func (inv *invocation) recoverPanic() {
	if inv.answered {
		if c := inv.intercepted; c != nil && c.collapsed != nil && inv.streams != nil && inv.streams.Out != nil {
			inv.answer(c.collapsed) // Goexit in a stream, or after it
		}
		return
	}
	what := recover()
	if c := inv.intercepted; c != nil && what == nil && c.collapsed != nil { // already logged
		inv.answer(c.collapsed)
		return
	}
	p := inv.served.panicked(&inv.method.Description, what, userCode(inv.method.kind))
	if inv.undecoded != nil {
		inv.served.refused(inv.method, fault.Refusal(fault.Internal, "%s: %w", inv.method.Name, p))
	}
	inv.answer(p)
}

// answer replies to the call, and ends it for its interceptors.
func (inv *invocation) answer(err error) {
	if inv.intercepted != nil {
		defer inv.endIntercepted() // also after runtime.Goexit in the methods of err
	}
	switch {
	case inv.streams == nil:
		inv.out.reply(inv, err)
	case inv.answered: // by next
		inv.endResult(err)
	default:
		inv.serveStreams(err)
	}
}

// endIntercepted ends a call for its interceptors, once it is answered.
func (inv *invocation) endIntercepted() {
	c, err := inv.intercepted, inv.err
	if !inv.answered { // recoverPanic answers it
		return
	}
	if p, ok := err.(*report.PanicError); ok {
		err = p.Fault(inv.method.Name, fault.Answered)
	} else if err == nil {
		c.resultsSize = uint32(inv.ResultsSize)
	}
	c.over(publicError(err))
}

// Run is transport.Job.Run.
func (inv *invocation) Run() (full bool) {
	inv.serve()
	return inv.full
}

// Refuse is transport.Job.Refuse: it answers an admitted request that does not run.
func (inv *invocation) Refuse(why *fault.Fault) {
	inv.refusal = why
	inv.served.refused(inv.method, why)
	inv.out.reply(inv, why)
}

// Detach is transport.Job.Detach. The leader's count as a handler becomes inv's, unless inv
// is answered, and the method counts as slow, unless the reply waits for room.
func (inv *invocation) Detach() {
	v := inv.served
	if !inv.answered { // otherwise the next leader inherits the count
		v.leaderCounted, inv.counted = false, v.leaderCounted
	}
	v.enterRunning(inv)
	if !inv.waits.Load() {
		inv.method.slow.Store(slowRequests)
	}
}

// Leave is transport.Job.Leave, and ends every call that does not run on the leader.
func (inv *invocation) Leave() {
	out, w := inv.out, inv.waiter
	inv.served.leaveRunning(inv)
	inv.served.uncountCall(inv) // the connection may have ended before the reply
	if t := inv.method.tally; t != nil && inv.refusal == nil && inv.undecoded == nil {
		t.Add(inv.served.tally.Lane, 1, inv.code, limits.Monotonic()-inv.Began)
	}
	inv.recycle()
	out.Flush()
	if w != nil {
		w.Release()
	}
}

// Free is transport.Job.Free. The call is counted together with the others of this read.
func (inv *invocation) Free() {
	v, full := inv.served, inv.full
	if inv.refusal == nil {
		v.tally.Add(inv.method.tally, inv.code, inv.Began)
	}
	inv.recycle()
	if full { // and written now
		v.countCalls()
	}
}

// recycle returns the invocation and its values to the pool.
func (inv *invocation) recycle() {
	inv.endStreams()
	if inv.undecoded != nil {
		inv.undecoded.Release()
	}
	inv.out, inv.served, inv.recv, inv.call, inv.refusal, inv.undecoded, inv.waiter = nil, nil, nil, nil, nil, nil, nil
	inv.err, inv.answered, inv.counted, inv.full, inv.intercepted = nil, false, false, false, nil
	if inv.head.Meta != nil {
		inv.head.Meta = nil
	}
	if inv.canceled.Load() {
		inv.canceled.Store(false)
	}
	if inv.waits.Load() {
		inv.waits.Store(false)
	}
	inv.Values.Free()
}

// The one reply to a call: its results, its error, or the error of a handler that did not
// return.

// reply is replier.reply.
func (c *nativeConn) reply(inv *invocation, err error) {
	if inv.err = err; inv.streams != nil && inv.streams.Out != nil {
		if err != nil {
			inv.call.EndReplied()
		} else if inv.call != nil {
			inv.call.SendHead()
		}
		inv.full = c.ReplyBefore(inv, inv.streams.Out.(*transport.Sender))
		return
	}
	inv.call.EndReplied()
	inv.full = c.Reply(inv)
	if err != nil && inv.method.Sig.Oneway() { // once: the methods of err may have panicked before
		inv.served.onewayFailed(inv.method, err)
	}
}

// Refused is transport.Answer.Refused.
func (inv *invocation) Refused() bool { return inv.refusal != nil }

// Await is transport.Answer.Await. A peer that reads nothing delays only itself, so the
// call leaves its exclusive group.
func (inv *invocation) Await() {
	inv.waits.Store(true)
	if inv.waiter != nil && !inv.continues() {
		inv.waiter.ReleaseGroup()
	}
}

// MayHang is transport.Answer.MayHang: the encoder of a user's type and the methods of an
// error are user code.
func (inv *invocation) MayHang() bool { return inv.err != nil || inv.method.Sig.Results.UserCode() }

// Queued is transport.Answer.Queued. Until then user code may panic.
func (inv *invocation) Queued(retained bool) {
	if inv.answered = true; !inv.continues() {
		inv.served.uncountCall(inv)
	}
	if retained {
		inv.Enc = codec.Encoder{}
	}
}

// Encode is transport.Answer.Encode. Results that cannot be sent become an error.
func (inv *invocation) Encode() (*wire.Frame, *wire.Body) {
	inv.ResetEncoder()
	c := inv.out.(*nativeConn)
	if inv.err == nil && inv.canceled.Load() {
		inv.err = context.Canceled
	}
	meta := wire.ReplyMetadata{Entries: inv.call.ReplyEntries()}
	if inv.err == nil {
		if inv.err = c.served.encodeResults(inv, c.PeerMaxMessage(), wire.MinCut); inv.err == nil {
			inv.code = fault.OK
			inv.setHead(wire.Frame{Type: wire.Response}, &meta)
			return &inv.head, &inv.Enc.Body
		}
	}
	inv.ResetEncoder() // user code may have stopped halfway
	if why := c.Dismissed(); why != nil {
		inv.err = why // of a call that is not run: others get no reply
	}
	code, failure := c.served.failureOf(inv, inv.err, &meta)
	inv.Enc.Buf = failure.Append(inv.Enc.Buf)
	inv.setHead(wire.Frame{Type: wire.Error, Flags: inv.Fails(code), Arg: uint16(code)}, &meta)
	return &inv.head, &inv.Enc.Body
}

// setHead sets the head of the reply to inv.
func (inv *invocation) setHead(head wire.Frame, meta *wire.ReplyMetadata) {
	head.ID = inv.id
	if head.Meta = wire.AppendReplyMetadata(nil, meta); head.Meta != nil {
		head.Flags |= wire.Metadata
	}
	inv.head = head
}

// encodeResults encodes the results into inv.Enc. most is the MaxMessage of the caller.
func (v *serverConn) encodeResults(inv *invocation, most uint64, minCut int) error {
	inv.Enc.Max = int(min(most, 1<<30))
	inv.Enc.MinCut, inv.Enc.Depth = minCut, v.settings.Bounds.Depth
	if err := inv.AppendResults(); err != nil {
		code := fault.Internal
		if errors.Is(err, codec.ErrSize) {
			code, err = fault.ResourceExhausted, fmt.Errorf("%w (%s MaxMessage is %d)", err, v.limits.PeerName(), most)
		}
		v.report(report.Result, slog.LevelError, "bsrpc: result cannot be sent", "method", inv.method.Name, "err", err)
		return fault.New(code, fault.Answered, "%s, %v", inv.method.Name, codec.LimitOf(v.limits.Owner, err))
	}
	inv.ResultsSize = int(inv.Enc.Size())
	return nil
}

// failureOf returns the code and the parts of an error for the caller. It adds the identities
// of a handler's error to meta, as far as its entries leave room.
func (v *serverConn) failureOf(inv *invocation, err error, meta *wire.ReplyMetadata) (fault.Code, wire.Failure) {
	if err == context.Canceled { // the error of most canceled calls; it has no name and no identities
		return fault.Canceled, wire.Failure{Message: fault.Cut(err.Error(), v.limits.MaxErrorText)}
	}
	var p *report.PanicError
	if errors.As(err, &p) {
		f := p.Fault(inv.method.Name, fault.Answered)
		return f.Code, wire.Failure{Message: f.Message, LogID: f.LogID}
	}
	s := &v.settings.Settings
	if inv.method.kind == KindCallback { // a part of a call by this end
		s = nativeOf(v.session.caller.(link)).Settings
	}
	code, failure, ids := failureOf(s, err, v.log, inv.method.Name, wire.IdentityRoom(meta.Entries))
	meta.Identities = ids
	return code, failure
}
