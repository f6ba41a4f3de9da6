package limits

import (
	"sync/atomic"

	"github.com/bsrpc/bsrpc/internal/fault"
)

// An Inflight counts the requests of a connection that are admitted and not yet
// answered, and decides whether further requests are admitted. It refuses them for one
// of two reasons. Drain: the server is shutting down, and running calls are answered as
// ever. Dismiss: the session was closed under its calls, which then all fail with that
// reason, whatever their handlers return.
//
// An Inflight is safe for concurrent use.
type Inflight struct {
	n       atomic.Int64
	closing atomic.Pointer[fault.Fault] // why further requests are refused
	ended   atomic.Bool                 // no further requests arrive
	idle    chan struct{}               // capacity 1: no request is in flight after the end
}

// Init prepares an Inflight.
func (f *Inflight) Init() { f.idle = make(chan struct{}, 1) }

// Begin counts a request. It returns how many are in flight, this one included.
func (f *Inflight) Begin() int64 { return f.n.Add(1) }

// Done ends n requests. It reports whether no request is left.
func (f *Inflight) Done(n int64) (last bool) {
	if f.n.Add(-n) > 0 {
		return false
	}
	if f.ended.Load() {
		select {
		case f.idle <- struct{}{}:
		default:
		}
	}
	return true
}

// End says that no further requests arrive, and that unfinished ones will never be
// complete. The channel receives when no request is in flight.
func (f *Inflight) End(unfinished int) <-chan struct{} {
	f.ended.Store(true)
	f.Done(int64(unfinished))
	return f.idle
}

var draining = fault.Refusal(fault.Unavailable, "the server is shutting down")

// Count returns how many requests are in flight.
func (f *Inflight) Count() int64 { return f.n.Load() }

// Drain refuses further requests. It reports whether none is in flight.
func (f *Inflight) Drain() (idle bool) {
	f.closing.CompareAndSwap(nil, draining)
	return f.n.Load() == 0
}

// Dismiss refuses further requests, and fails those in flight. The first reason counts.
func (f *Inflight) Dismiss(why *fault.Fault) {
	for was := f.closing.Load(); was == nil || was == draining; was = f.closing.Load() {
		if f.closing.CompareAndSwap(was, why) {
			return
		}
	}
}

// Closing returns why further requests are refused, nil if they are not.
func (f *Inflight) Closing() *fault.Fault { return f.closing.Load() }

// Dismissed returns the reason given to Dismiss, nil without one.
func (f *Inflight) Dismissed() *fault.Fault {
	if why := f.closing.Load(); why != draining {
		return why
	}
	return nil
}
