package limits

import (
	"sync/atomic"

	"github.com/bsrpc/bsrpc/internal/fault"
)

// An Inflight counts the inflight requests of a connection: admitted and not yet
// answered. It also decides whether further requests are admitted. There are two
// reasons to refuse them. After Drain, the server is shutting down, and running calls
// are answered as usual. After Dismiss, the session is closed, and all its calls fail
// with the reason for that, whatever their handlers return.
//
// An Inflight is safe for concurrent use.
type Inflight struct {
	n       atomic.Int64
	closing atomic.Pointer[fault.Fault] // reason to refuse requests; nil for none
	ended   atomic.Bool                 // End was called
	idle    chan struct{}               // capacity 1: receives when ended and n is 0
}

// Init prepares f. It must be called before all other methods.
func (f *Inflight) Init() { f.idle = make(chan struct{}, 1) }

// Begin counts a request. It returns the number of inflight requests, including it.
func (f *Inflight) Begin() int64 { return f.n.Add(1) }

// Done removes n requests from the count. It reports whether the count is now 0.
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

// End must be called once no further requests can arrive. It removes the requests not
// received completely. The channel receives a value when the count is 0.
func (f *Inflight) End(unfinished int) <-chan struct{} {
	f.ended.Store(true)
	f.Done(int64(unfinished))
	return f.idle
}

// draining is the reason after Drain. It is compared by address.
var draining = fault.Refusal(fault.Unavailable, "the server is shutting down")

// Count returns the number of inflight requests.
func (f *Inflight) Count() int64 { return f.n.Load() }

// Drain makes f refuse further requests. It reports whether the count is 0.
func (f *Inflight) Drain() (idle bool) {
	f.closing.CompareAndSwap(nil, draining)
	return f.n.Load() == 0
}

// Dismiss makes f refuse further requests, and fails the inflight ones with the reason.
// Only the first call has an effect; a call after Drain replaces its reason.
func (f *Inflight) Dismiss(why *fault.Fault) {
	for was := f.closing.Load(); was == nil || was == draining; was = f.closing.Load() {
		if f.closing.CompareAndSwap(was, why) {
			return
		}
	}
}

// Refuses returns the reason to refuse a request, or nil to admit it. After Drain, callbacks of
// calls by this end are admitted: a running handler may have made the call, and wait for it. Even
// behind the CLOSE frame, which drops their answers, those without results must run, because
// their call may still be answered.
func (f *Inflight) Refuses(callback bool) *fault.Fault {
	if why := f.closing.Load(); why != draining || !callback {
		return why
	}
	return nil
}

// Closing returns the reason to refuse further requests, or nil before Drain and Dismiss.
func (f *Inflight) Closing() *fault.Fault { return f.closing.Load() }

// Dismissed returns the reason given to Dismiss, or nil.
func (f *Inflight) Dismissed() *fault.Fault {
	if why := f.closing.Load(); why != draining {
		return why
	}
	return nil
}
