package bsrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"sync/atomic"
	"time"

	"github.com/bsrpc/bsrpc/internal/callctx"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/report"
)

// Interceptors at both ends, and OnRefused for the calls that do not reach them.

// A CallFunc carries out a call. At a server the innermost one runs the handler, at a
// client it sends the call and waits for the answer. Its error is the error of the call.
type CallFunc func(ctx context.Context, call *Call) error

// An Interceptor wraps all calls of a server or a client, see
// ServerOptions.Interceptors and ClientOptions.Interceptors. It returns a CallFunc that
// runs in place of next, and usually calls next:
//
//	func count(next bsrpc.CallFunc) bsrpc.CallFunc {
//		return func(ctx context.Context, call *bsrpc.Call) error {
//			calls.Add(1)
//			return next(ctx, call)
//		}
//	}
//
// The Interceptor itself is called once for each server or client. Its CallFunc is called
// concurrently.
//
// The CallFunc may call next with another context, derived from its own. It may change
// arguments before next, and results after it. It may return without calling next: its
// error, or the results it has set, are the answer then. A stream or reader left nil is
// empty. It may replace the error of next;
// a server sends the new one, a client returns it to the caller.
//
// At a server, next may be called once. It returns when the call is over, its result stream
// included, with the last error of the stream. At a client, next returns when the func of
// the proxy can, and OnEnd waits for the streams. There it may be called repeatedly, one
// call after the other, for example to retry; each sends the call anew, so none may follow
// one that has sent a stream. Any other next returns an *Error with CodeInternal.
//
// next may run on another goroutine. If the CallFunc returns earlier, the call waits for
// this next, and at a server the context of the call ends.
//
// A panic or runtime.Goexit in a CallFunc fails its call only, with CodeInternal. At a
// client, Goexit also ends the goroutine of the caller, to whom it belongs. A panic in a
// handler is an error of next.
type Interceptor func(next CallFunc) CallFunc

// A Kind tells which parts of a call are streams, and whether it is oneway or a callback. It
// belongs to the method: a call with a Future has the same kind as one that waits.
type Kind uint8

// The kinds of calls.
const (
	KindUnary        Kind = iota // one message in each direction
	KindClientStream             // the caller sends a stream
	KindServerStream             // the handler sends a stream
	KindBidiStream               // both do
	KindCallback                 // a func among the arguments of another call is called
	KindOneway                   // the caller does not wait for the answer; at a client, next returns when the request is in the send queue
)

// String returns the kind in words, such as "server stream".
func (k Kind) String() string {
	switch k {
	case KindUnary:
		return "unary"
	case KindClientStream:
		return "client stream"
	case KindServerStream:
		return "server stream"
	case KindBidiStream:
		return "bidirectional stream"
	case KindCallback:
		return "callback"
	case KindOneway:
		return "oneway"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// A Call describes one call to interceptors, at a server or a client. It is created by the
// library, and pointers from Args and Results are valid until the interceptor has
// returned. The methods are for the goroutine of the interceptor.
//
// Its size matters, as each call with interceptors allocates one at each end.
type Call struct {
	method  *method.Description // nil in a Call of a user, which is unusable
	end     *callEnd
	session *Session       // nil at a client
	values  *method.Values // nil after the interceptors have returned
	ctx     callContext    // of the call; at a client only used if it has the library's deadline

	state     atomic.Uint32
	kind      Kind
	attempted bool               // next has been called
	returned  chan struct{}      // closed by a next that returns after the interceptors
	collapsed *report.PanicError // why handler or interceptor did not return
	observers *observers         // nil without any
	streams   *clientStreams     // at a client: of the last next; nil without streams

	argsSize, resultsSize uint32 // once values is nil
}

// A callContext is the context of a call with interceptors.
type callContext struct {
	callctx.Context
	call *Call // at a client
}

// clientStreams are the streams of a call at a client.
type clientStreams struct{ openStreams }

type openStreams interface {
	HasResult() bool                   // there is a result stream
	CloseResult()                      // ends the call
	ParamsRead() bool                  // streams among the arguments may have been read
	WhenOver(f func(why *fault.Fault)) // calls f on a goroutine of its own when the call is over
}

// The states of a Call.
const (
	callReady   uint32 = iota // next may be called
	callNext                  // next runs
	callHandled               // the handler has returned
	callOver                  // the interceptors have returned
)

// observers are the funcs given to OnItem and OnEnd.
type observers struct {
	item []func(in bool, item any) error
	end  []func(error)
}

// Format implements fmt.Formatter. It prints the method alone: metadata and arguments may be secrets.
func (c *Call) Format(f fmt.State, _ rune) { io.WriteString(f, "bsrpc: call of "+c.Method().Name) }

// Method returns the description of the called method.
func (c *Call) Method() Method {
	if c.method == nil {
		return Method{}
	}
	return Method(*c.method)
}

// Kind returns the kind of the call.
func (c *Call) Kind() Kind { return c.kind }

// Session returns the session of the caller at a server, and nil at a client.
func (c *Call) Session() *Session { return c.session }

// RemoteAddr returns the address of the other end of the connection.
func (c *Call) RemoteAddr() net.Addr {
	switch {
	case c.session != nil:
		return c.session.peer.Addr
	case c.end != nil:
		return c.end.remote.addr
	}
	return nil
}

// Dialed returns the network and the address given to Dial, at a client that Dial has
// created. Otherwise they are empty.
func (c *Call) Dialed() (network, address string) {
	if c.end == nil || c.end.remote == nil {
		return "", ""
	}
	return c.end.remote.network, c.end.remote.address
}

// Metadata returns the metadata of the request: that of MetadataFrom at a server, and at a
// client what WithMetadata has added before the interceptors. An interceptor adds some by
// calling next with a context from WithMetadata, see CarriesMetadata. The map belongs to
// the caller.
func (c *Call) Metadata() Metadata {
	if !c.ctx.AtClient {
		return c.ctx.Received()
	}
	if out := callctx.OutgoingOf(c.ctx.Context.Context); out != nil && len(out.Entries) > 0 {
		return maps.Clone(out.Entries)
	}
	return Metadata{}
}

// Args returns pointers to the arguments, without the context: a *string for a string.
// The caller owns the slice.
func (c *Call) Args() []any {
	if c.values == nil {
		return nil
	}
	return method.ArgPointers(c.values)
}

// Results returns pointers to the results, without the error. The results are zero before
// next has returned, and are dropped if the call fails. The caller owns the slice.
func (c *Call) Results() []any {
	if c.values == nil {
		return nil
	}
	return method.ResultPointers(c.values)
}

// ArgsSize returns the size of the encoded arguments in bytes. At a client it is 0 before
// next has returned.
func (c *Call) ArgsSize() int {
	if c.values != nil {
		return c.values.ArgsSize
	}
	return int(c.argsSize)
}

// ResultsSize returns the size of the encoded results in bytes, 0 for a failed call. A
// client knows it after next, a server in funcs given to OnEnd.
func (c *Call) ResultsSize() int {
	if c.session == nil && c.values != nil {
		return c.values.ResultsSize
	}
	return int(c.resultsSize)
}

// Waited returns how long the call has waited at a server for its exclusive group and for
// MaxConcurrentCalls. The interceptors run after this wait.
func (c *Call) Waited() time.Duration { return c.ctx.Waited() }

// OnItem makes the call pass a pointer to a copy of each item of its streams to f, before the
// item is sent or after it is received. in is true for items this end receives. An error
// from f ends the stream, with this error, and a panic with CodeInternal. A reader has no items. The streams of one call
// may call f at the same time. OnItem must be called before next.
func (c *Call) OnItem(f func(in bool, item any) error) {
	if o := c.observed(); o != nil {
		o.item = append(o.item, f)
	}
}

// OnEnd makes the library call f once when the call is over, streams included, with its final
// error or nil. At a server this is after the answer has been encoded, with the error that
// was sent. At a client the end of a stream may arrive before its items have been read.
// Several funcs are called in reverse order, as deferred ones are. A panic in f is logged
// and has no other effect. OnEnd must be called before the interceptor returns.
func (c *Call) OnEnd(f func(err error)) {
	if o := c.observed(); o != nil {
		o.end = append(o.end, f)
	}
}

// observed returns the observers of a call that is not over, otherwise nil.
func (c *Call) observed() *observers {
	if c.method == nil || c.state.Load() == callOver {
		return nil
	}
	if c.observers == nil {
		c.observers = new(observers)
	}
	return c.observers
}

// run passes the call through its interceptors. The error is what the caller gets, or a
// *report.PanicError.
func (c *Call) run(ctx context.Context, chain CallFunc) (err error) {
	returned := false
	defer func() {
		if !returned {
			err = c.collapse(recover(), "interceptor")
		}
		c.finish()
	}()
	err = chain(ctx, c)
	returned, c.collapsed = true, nil
	return err
}

// begin begins a next, or returns the error of one that must not run.
func (c *Call) begin(ctx context.Context) error {
	var why string
	switch {
	case c == nil || c.method == nil:
		return &Error{Code: CodeInternal, Message: fault.Prefix + "next called with a *Call that is not its interceptor's"}
	case ctx == nil:
		why = "next called with a nil context"
	case c.state.CompareAndSwap(callReady, callNext):
		return nil
	default:
		switch c.state.Load() {
		case callOver:
			why = "next called after its interceptor has returned"
		case callHandled:
			why = "next called again; at a server it runs the handler once"
		default:
			why = "next called while another one runs; call it again after that"
		}
	}
	return &Error{Code: CodeInternal, Message: fault.Prefix + c.method.Name + ": " + why}
}

// finishNext ends a next, and lets the call end if it waits for that.
func (c *Call) finishNext(state uint32) {
	if !c.state.CompareAndSwap(callNext, state) {
		close(c.returned)
	}
}

// finish makes the call unusable after its interceptors. It waits for a next that still runs.
func (c *Call) finish() {
	for s := c.state.Load(); s != callOver; s = c.state.Load() {
		if s == callNext {
			c.returned = make(chan struct{})
			c.ctx.Cancel()
		}
		if c.state.CompareAndSwap(s, callOver) && s == callNext {
			<-c.returned
		}
	}
	c.argsSize = uint32(c.values.ArgsSize)
	if c.session == nil { // a server encodes the results later
		c.resultsSize = uint32(c.values.ResultsSize)
	}
	c.values = nil
}

// collapse logs a func that did not return, and returns the error of its call. A nil what
// means runtime.Goexit, which may have been logged further inside.
func (c *Call) collapse(what any, where string) *report.PanicError {
	if what != nil || c.collapsed == nil {
		c.collapsed = c.panicked(what, where)
	}
	return c.collapsed
}

// panicked logs a func that did not return, and counts it at a server.
func (c *Call) panicked(what any, where string) *report.PanicError {
	if c.end.panics != nil {
		c.end.panics.Add(1)
	}
	return report.NewPanicError(c.end.log, c.method.Name, what, where)
}

// over calls the funcs given to OnEnd, with the public form of err. Each func is user code.
func (c *Call) over(err error) {
	for o := c.observers; o != nil && len(o.end) > 0; {
		c.observeEnd(err)
	}
}

// observeEnd calls the last OnEnd func, which may panic or call Goexit.
func (c *Call) observeEnd(err error) {
	o := c.observers
	f := o.end[len(o.end)-1]
	o.end = o.end[:len(o.end)-1]
	returned := false
	defer func() {
		if !returned {
			c.panicked(recover(), "OnEnd func")
			c.over(err) // Goexit ends the loop of the others
		}
	}()
	f(err)
	returned = true
}

// carryOut is the CallFunc within all interceptors. A panic in a handler is its error.
func carryOut(ctx context.Context, c *Call) (err error) {
	if err := c.begin(ctx); err != nil {
		return err
	}
	returned, after := false, callReady
	if c.session != nil {
		after = callHandled
	}
	defer func() {
		if !returned && c.session != nil {
			err = errorOf(c.collapse(recover(), userCode(c.kind)).Fault(c.method.Name, fault.Answered))
		}
		c.finishNext(after)
	}()
	again := c.attempted
	c.attempted = true
	err = c.end.carryOut(ctx, c, again)
	returned = true
	return err
}

// notRun reports whether err says that the call was not run, and no handler was.
func (c *Call) notRun(err error) bool {
	var e *Error
	return !c.attempted && errors.As(err, &e) && e.Outcome == OutcomeNotRun
}
