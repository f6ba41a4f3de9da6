package transport

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// An eager call is one whose caller does not wait for the answer. The goroutine with its
// end, usually the reader, runs Call.over instead of waking the caller. While one is open,
// it counts as a long call, because the leader must read.

// Start sends the request of a call, and does not wait for the answer. After success it
// calls call.Over once, from any goroutine, with the error of the call or nil; the answer
// then stays in call. Over must not wait, and call is not used again.
//
// If bound is true, the call ends with ctx. Otherwise ctx limits sending only. A callback
// in chunks is written before Start returns: those after it, and the answer to the call,
// must not pass it.
func Start(ctx context.Context, c *Conn, call *Call, body *wire.Body, bound bool) error {
	if ctx.Err() != nil {
		return c.contextFault(ctx, &call.Timeout, fault.NotRun)
	}
	e := &eagerCall{c: c, call: call, ctx: context.Background()}
	if bound {
		e.ctx = ctx
	}
	now := limits.Monotonic()
	call.Timeout.Start(now)
	call.Began = cmp.Or(call.Began, now)
	call.eager, call.over = true, e.answered
	if err := c.calls.send(ctx, call, ownBody(body)); err != nil {
		return err
	}
	c.countEager()
	if bound {
		e.watch.begin(ctx, c, &call.Timeout, e.cancel)
	}
	if m := call.chunked; m != nil && call.Head.Flags&wire.Callback != 0 && !c.awaitSent(ctx, m) {
		e.cancel(c.contextFault(ctx, &call.Timeout, fault.OutcomeUnknown))
	}
	return nil
}

// ownBody returns body with memory of its own if it is sent in chunks: the caller does
// not wait for the last one.
func ownBody(body *wire.Body) *wire.Body {
	if body.Size() > wire.MaxUnchunked {
		return &wire.Body{Buf: wire.AppendBody(nil, body)}
	}
	return body
}

// countEager counts an eager call as long, and makes the leader read.
func (c *Conn) countEager() {
	c.calls.long.Add(1)
	c.reader.wakeLeader()
}

// An eagerCall is a call of Start.
type eagerCall struct {
	c     *Conn
	call  *Call
	ctx   context.Context // ends the call
	watch watch
}

// answered is Call.over: the call has its answer, or an error.
func (e *eagerCall) answered() {
	if e.call.chunked != nil {
		e.c.writer.drop(e.call)
	}
	e.end(e.call.result(e.ctx, e.c))
}

// cancel ends the call for its caller, unless the answer is being delivered.
func (e *eagerCall) cancel(why *fault.Fault) {
	if outcome, ok := e.c.calls.abandon(e.call); ok {
		e.end(why.WithOutcome(outcome))
	}
}

// end is called once.
func (e *eagerCall) end(err error) {
	e.watch.end()
	e.c.calls.long.Add(-1)
	e.call.Over(err)
}

// AnyHandedOver reports whether a call with HandedOver has no answer yet. Then Close, and not
// Fail, makes sure that its request reaches the peer.
func (c *Conn) AnyHandedOver() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, call := range c.calls.slots {
		if call != nil && call.HandedOver {
			return true
		}
	}
	return false
}

// A watch ends a call without a waiting caller with its context and its time.
type watch struct {
	mu    sync.Mutex // guards the rest
	stops []func() bool
	over  bool
}

// begin begins the watch, unless the call is over already. cancel is called with an
// unknown outcome, on a goroutine of its own.
func (w *watch) begin(ctx context.Context, c *Conn, t *limits.Timeout, cancel func(why *fault.Fault)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return
	}
	if ctx.Done() != nil {
		w.stops = append(w.stops, context.AfterFunc(limits.Plain(ctx), func() { cancel(c.contextFault(ctx, t, fault.OutcomeUnknown)) }))
	}
	if left, ok := t.Remaining(); ok && t.Set() {
		w.stops = append(w.stops, time.AfterFunc(left, func() { cancel(t.Fault(fault.OutcomeUnknown)) }).Stop)
	}
}

// atEnd calls f, which must not wait, at the end of the watch.
func (w *watch) atEnd(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		f()
		return
	}
	w.stops = append(w.stops, func() bool { f(); return true })
}

// end ends the watch. It may be called again.
func (w *watch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, stop := range w.stops {
		stop()
	}
	w.stops, w.over = nil, true
}
