package bsrpc

import (
	"context"
	"sync"

	"github.com/bsrpc/bsrpc/internal/callback"
	"github.com/bsrpc/bsrpc/internal/callctx"
	"github.com/bsrpc/bsrpc/internal/caller"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/transport"
)

// Calls whose caller does not wait for the answer: funcs that return a *Future, and those
// with oneway in their tag.

// A Future is the result of a call, available later. In a contract, a func with a
// *Future[T] as its only result returns once its request is in the send queue:
//
//	Price func(ctx context.Context, item string) *bsrpc.Future[float64]
//
// On the wire and at the server, this is a method with the result T and an error. The func
// waits for a free call first, as every call does (the server's MaxInflight). It never
// returns nil: if the call cannot be made, Wait returns the error.
//
// The context of the func limits the call, and cancels it also after the func has returned.
// Without a deadline there, timeout= of the method or ClientOptions.DefaultCallTimeout
// limits the call. The call of a dropped Future runs to its end. Until then it counts among
// the open calls. A Future has no goroutine of its own.
//
// All methods are safe for concurrent use. A nil or zero Future has failed.
type Future[T any] struct {
	_    method.FutureOf[T] // makes internal/method recognize a future
	call *caller.Eager      // nil if the result was known from the beginning

	mu      sync.Mutex    // guards decoded
	decoded chan struct{} // made by the first Wait; closed once value and err are set
	value   T
	err     error
}

// NewFuture returns a Future with a value, or an error if err is not nil. The funcs of a
// fake, a contract filled by a test, return it.
func NewFuture[T any](value T, err error) *Future[T] {
	f := &Future[T]{decoded: make(chan struct{}), value: value, err: err}
	if err != nil {
		f.value = *new(T)
	}
	close(f.decoded)
	return f
}

// errNoFuture is shared, and must not be changed.
var errNoFuture = errorOf(fault.New(fault.FailedPrecondition, fault.NotRun, "nil or zero Future; use the funcs of a proxy, or NewFuture"))

// Wait waits for the end of the call, and returns its result or its *Error. The first Wait
// decodes the result. All return the same value, and share the memory of its pointers,
// slices and maps.
//
// ctx limits this Wait alone. If it ends first, Wait returns an *Error wrapping ctx.Err(),
// with OutcomeUnknown; the call continues, and Wait may be called again. A context that ends with the
// session of the call gives the reason for that instead.
func (f *Future[T]) Wait(ctx context.Context) (value T, err error) {
	switch {
	case f == nil:
		return value, errNoFuture
	case ctx == nil:
		return value, publicError(needContext(ctx, "Future.Wait"))
	case !waitFor(ctx, f.Done()):
		return value, f.stopped(ctx)
	}
	f.mu.Lock()
	decoded, first := f.decoded, f.decoded == nil
	if first {
		decoded = make(chan struct{})
		f.decoded = decoded
	}
	f.mu.Unlock()
	if first {
		f.decode()
	} else if !waitFor(ctx, decoded) { // the decoder of a user's type may take any time
		return value, f.stopped(ctx)
	}
	return f.value, f.err
}

// Done returns a channel closed at the end of the call. After that, Wait returns without
// waiting.
func (f *Future[T]) Done() <-chan struct{} {
	if f == nil || f.call == nil {
		return ended
	}
	return f.call.Done()
}

// decode sets the value and the error, and closes decoded, even if the decoder of a user's
// type does not return.
func (f *Future[T]) decode() {
	defer close(f.decoded)
	if f.call == nil {
		f.err = errNoFuture
		return
	}
	f.err = publicError(fault.About(f.call.Method.Name, errNotDecoded))
	var value T
	if f.err = publicError(f.call.Result(&value)); f.err == nil {
		f.value = value
	}
}

// stopped returns the error of a Wait whose context has ended.
func (f *Future[T]) stopped(ctx context.Context) error {
	if f.call == nil {
		return errNoFuture
	}
	return publicError(f.call.Stopped(ctx))
}

// errNotDecoded is shared, and must not be changed.
var errNotDecoded = fault.New(fault.Internal, fault.Answered, "the decoder of the result has not returned")

// begin implements starting.
func (f *Future[T]) begin(call *caller.Eager, v *method.Values, err error) {
	switch {
	case err != nil:
		f.err = err
	case call != nil:
		f.call = call
		return
	default: // an interceptor has set the result
		method.CopyResults(v, []any{&f.value})
	}
	f.decoded = make(chan struct{})
	close(f.decoded)
}

// waitFor waits for done. It reports false if ctx ends before.
func waitFor(ctx context.Context, done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
	}
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}

// A starting is a new *Future of any type. begin gives it its call, or err, or else the
// result in v.
type starting interface {
	begin(call *caller.Eager, v *method.Values, err error)
}

// startFuture makes a call with the arguments in v through c, for a new future.
func startFuture(ctx context.Context, c method.Caller, v *method.Values, future any) {
	s := new(caller.Sending)
	v.State = s
	defer func() { v.State = nil }()
	err := c.Call(ctx, v)
	future.(starting).begin(s.Call, v, err)
}

// Start implements method.Starter.
func (m *boundMethod) Start(ctx context.Context, v *method.Values, future any) {
	startFuture(ctx, m, v, future)
}

// Start implements method.Starter.
func (m *interceptedMethod) Start(ctx context.Context, v *method.Values, future any) {
	startFuture(ctx, m, v, future)
}

// start is call for a caller that does not wait for the answer. The context of a oneway call
// limits its sending alone: most callers end it when the func has returned.
func (c *nativeLink) start(ctx context.Context, m *boundMethod, b *binding, k *transport.Call, v *method.Values, out *callctx.Outgoing) error {
	e := caller.NewEager(&c.End, &m.Method, b.sig, k, out)
	k.Over, k.HandedOver = func(err error) { finish(e, k, err) }, m.Oneway
	if err := transport.Start(ctx, c.Conn, k, &v.Enc.Body, !k.HandedOver); err != nil {
		return err
	}
	e.HandTo(v)
	return nil
}

// finish ends a call, after the funcs among its arguments. It does not wait.
func finish(e *caller.Eager, k *transport.Call, err error) {
	f, ok := k.Funcs.(*callback.Funcs)
	if !ok {
		e.EndWith(k.Began, err)
		return
	}
	go func() {
		f.End(k.Timeout.Remaining())
		e.EndWith(k.Began, err)
	}()
}

// goOn makes the call that the interceptors have handed over end for them later. It reports
// false if there is none.
func (c *Call) goOn(v *method.Values) bool {
	s, ok := v.State.(*caller.Sending)
	if !ok || s.Call == nil {
		return false
	}
	v.State = nil
	e := s.Call
	e.AtEnd(func(err error) {
		c.ctx.Cancel()
		if c.observers == nil {
			return
		}
		if err == nil {
			data, _ := e.Answer.Body()
			c.resultsSize = uint32(len(data))
		}
		go func() { c.over(publicError(e.Failed(err))) }()
	})
	return true
}
