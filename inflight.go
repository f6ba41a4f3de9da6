package bsrpc

import (
	"sync/atomic"

	"github.com/bsrpc/bsrpc/internal/fault"
)

// An inflight counts the requests of a connection that are admitted and not yet
// answered, and says whether further ones are admitted. They are not for one of two
// reasons. The server is shutting down: then the calls that run are answered as
// ever. Or the session has been closed under its calls: then they end with that
// reason, whatever their handlers return.
type inflight struct {
	n       atomic.Int64
	closing atomic.Pointer[fault.Fault] // why no new calls are taken
	gone    atomic.Bool                 // the connection has ended: nothing more comes
	idle    chan struct{}               // capacity 1: then nothing is in flight any more
}

func (f *inflight) init() { f.idle = make(chan struct{}, 1) }

// begin counts a request. It returns how many are in flight with it.
func (f *inflight) begin() int64 { return f.n.Add(1) }

// done counts out n requests. It reports whether none is left.
func (f *inflight) done(n int64) (last bool) {
	if f.n.Add(-n) > 0 {
		return false
	}
	if f.gone.Load() {
		select {
		case f.idle <- struct{}{}:
		default:
		}
	}
	return true
}

// end says that nothing more comes, and that so many requests will never be
// complete. The channel has a value when no request is in flight.
func (f *inflight) end(unfinished int) <-chan struct{} {
	f.gone.Store(true)
	f.done(int64(unfinished))
	return f.idle
}

// errDraining refuses the calls that come during a shutdown.
var errDraining = fault.Refusal(fault.Unavailable, "the server is shutting down")

// drain refuses further calls. It reports whether none is in flight.
func (f *inflight) drain() (idle bool) {
	f.closing.CompareAndSwap(nil, errDraining)
	return f.n.Load() == 0
}

// dismiss refuses further calls and ends those that run. The first reason counts.
func (f *inflight) dismiss(why *fault.Fault) {
	for was := f.closing.Load(); was == nil || was == errDraining; was = f.closing.Load() {
		if f.closing.CompareAndSwap(was, why) {
			return
		}
	}
}

// whyClosing returns why no new calls are taken, nil if they are.
func (f *inflight) whyClosing() *fault.Fault { return f.closing.Load() }

// isClosing reports whether no new calls are taken.
func (f *inflight) isClosing() bool { return f.closing.Load() != nil }

// dismissed returns why the session has been closed, nil if it has not.
func (f *inflight) dismissed() *fault.Fault {
	if why := f.closing.Load(); why != errDraining {
		return why
	}
	return nil
}
