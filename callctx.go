package bsrpc

import (
	"context"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A callContext is the context of one call at the end that serves it. It costs
// one allocation as long as its handler asks for nothing but deadline, error
// and values; channel and timer are made when Done or AfterFunc is called.
type callContext struct {
	context.Context // the connection's
	deadline        time.Time
	within          []uint64 // ids of the groups from inside of which the call is made

	mu     sync.Mutex // guards the rest
	err    error
	done   chan struct{}
	timer  *time.Timer
	unlink func() bool // from the connection's context
	after  []*func()   // nil where one has been stopped
}

// Deadline returns when the caller's time is over.
func (x *callContext) Deadline() (time.Time, bool) { return x.deadline, !x.deadline.IsZero() }

// expired says whether the caller's time is over, whatever else has ended the
// call. A nil x is that of a call without a context.
func (x *callContext) expired() bool {
	return x != nil && !x.deadline.IsZero() && !time.Now().Before(x.deadline)
}

// Value finds what the library keeps with the call, and what the connection's
// context has.
func (x *callContext) Value(key any) any {
	if key == (withinKey{}) {
		return x.within
	}
	return x.Context.Value(key)
}

// Done is closed when the caller has gone or its time is over, when the
// connection ends, and when the handler has returned.
func (x *callContext) Done() <-chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.watchLocked()
	return x.done
}

func (x *callContext) watchLocked() {
	if x.done != nil {
		return
	}
	x.done = make(chan struct{})
	if x.err != nil {
		close(x.done)
		return
	}
	if !x.deadline.IsZero() {
		x.timer = time.AfterFunc(time.Until(x.deadline), func() { x.end(context.DeadlineExceeded) })
	}
	parent := x.Context
	x.unlink = context.AfterFunc(parent, func() { x.end(parent.Err()) })
}

// Err returns why Done is closed.
func (x *callContext) Err() error {
	x.mu.Lock()
	err := x.err
	x.mu.Unlock()
	switch {
	case err != nil:
		return err
	case x.Context.Err() != nil:
		x.end(x.Context.Err())
	case x.expired():
		x.end(context.DeadlineExceeded)
	default:
		return nil
	}
	return x.Err()
}

// AfterFunc makes context.AfterFunc and the contexts derived from this one do
// without a goroutine that waits.
func (x *callContext) AfterFunc(f func()) (stop func() bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err != nil {
		go f()
		return func() bool { return false }
	}
	x.watchLocked()
	i := len(x.after)
	x.after = append(x.after, &f)
	return func() bool {
		x.mu.Lock()
		defer x.mu.Unlock()
		if x.err != nil || x.after[i] == nil {
			return false
		}
		x.after[i] = nil
		return true
	}
}

// graceTime is the most by which a call that waits is given up before its time
// is over, so that its caller reads for what it has waited.
const graceTime = 20 * time.Millisecond

// beforeDeadline calls f when nine tenths of the time left are over, or all but
// graceTime. Without a deadline it never does.
func (x *callContext) beforeDeadline(f func()) (stop func() bool) {
	if x.deadline.IsZero() {
		return func() bool { return false }
	}
	left := time.Until(x.deadline)
	return time.AfterFunc(left-min(left/10, graceTime), f).Stop
}

// whyCanceled returns what a CANCEL stands for: a caller whose time is over
// sends one too, at about the moment at which this end's clock would say so.
func (x *callContext) whyCanceled() error {
	if !x.deadline.IsZero() && time.Until(x.deadline) < transport.WatchdogPeriod {
		return context.DeadlineExceeded
	}
	return context.Canceled
}

// end makes err the context's error, unless it has one.
func (x *callContext) end(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err != nil {
		return
	}
	x.err = err
	if x.done == nil {
		return
	}
	close(x.done)
	if x.timer != nil {
		x.timer.Stop()
	}
	x.unlink()
	for _, f := range x.after {
		if f != nil {
			go (*f)()
		}
	}
}

// withinKey is the context key of the groups held by a handler's call.
type withinKey struct{}

// withinOf returns the metadata with the groups held by the caller; nil for none.
func withinOf(ctx context.Context) []byte {
	ids, _ := ctx.Value(withinKey{}).([]uint64)
	if len(ids) == 0 {
		return nil
	}
	return wire.AppendHeldGroups(nil, ids)
}
