// Package apart has parts of calls without a connection: at a client the calls from their
// arguments to their replies and streams, with all attempts, at a server their time and the search
// for their methods, and the errors of replies. Package bsrpc has what carries them.
package apart

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/bsrpc/bsrpc/internal/callctx"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/tally"
)

// A Client is what the calls of a client share. It is safe for concurrent use after Init.
type Client struct {
	Oneway limits.Inflight // calls without an answer

	done chan struct{}
	why  atomic.Pointer[fault.Fault] // of the end; nil before
	openCalls
}

// Init prepares c. It must be called before all other methods.
func (c *Client) Init() {
	c.done = make(chan struct{})
	c.Oneway.Init()
}

// Done returns a channel closed when the client has ended.
func (c *Client) Done() <-chan struct{} { return c.done }

// Why returns why the client has ended, nil before.
func (c *Client) Why() *fault.Fault { return c.why.Load() }

// Err returns why the client has ended, nil before.
func (c *Client) Err() error {
	if why := c.why.Load(); why != nil {
		return why
	}
	return nil
}

// Fail ends the calls under way, and all later ones. The reason is stored before the contexts
// end: a call that finds its context ended finds the reason too.
func (c *Client) Fail(why *fault.Fault) {
	for _, within := range c.fail(why) {
		within.Cancel()
	}
}

// fail stores a reason, and with the first one returns the contexts of the calls under way. mu is not held
// while they are canceled, which reaches all contexts that users have derived.
func (c *Client) fail(why *fault.Fault) []*callctx.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if was := c.why.Load(); was != nil {
		c.why.Store(was.Then(why))
		return nil
	}
	c.why.Store(why)
	close(c.done)
	return c.endLocked()
}

// Close is Fail, after some time for the answers to oneway calls: their requests may not have
// left yet.
func (c *Client) Close(why *fault.Fault) {
	c.Oneway.Drain()
	netconn.AwaitEnd(c.Oneway.End(0))
	c.Fail(why)
}

// An Exchange is one call, with all its attempts. Its time spans them all, so an attempt that
// follows another one has less of it. One goroutine at a time begins it and makes the
// attempts; Within, Cancel and Over may be used by others after Begin.
type Exchange struct {
	Client *Client
	Ctx    context.Context // of the caller
	Time   limits.Timeout

	within *callctx.Context // after Begin; others may keep it
	began  time.Duration
	place  int // of openCalls
}

// Within returns the context for what carries the call, after Begin: it also ends with the time,
// and with the client.
func (x *Exchange) Within() context.Context { return x.within }

// Began returns the time of Begin, by limits.Monotonic; 0 before.
func (x *Exchange) Began() time.Duration { return x.began }

// Cancel ends Within.
func (x *Exchange) Cancel() { x.within.Cancel() }

// Begin begins the time of the call.
func (x *Exchange) Begin() {
	x.began = limits.Monotonic()
	x.Time.Start(x.began)
	ctx := limits.Plain(x.Ctx) // Fail ends it
	x.within = &callctx.Context{Context: ctx, Until: x.Time.End(), AtClient: true, Timed: true}
	if x.Client.add(x); x.Client.Why() != nil {
		x.Cancel()
	}
}

// End ends Within and the call, once.
func (x *Exchange) End() {
	x.Client.remove(x)
	x.Cancel()
}

// Attempt returns the time left for an attempt, 0 for no limit, or why there is none any more.
func (x *Exchange) Attempt() (time.Duration, *fault.Fault) {
	if x.within.Err() != nil || x.Client.Why() != nil {
		return 0, x.Over(fault.NotRun)
	}
	left, late := x.Time.Left()
	if late {
		return 0, x.Time.Fault(fault.NotRun)
	}
	x.Time.MarkWaited() // for another attempt
	return time.Duration(left) * time.Microsecond, nil
}

// Over returns why Within has ended. The caller's own context comes first, then the end of the
// client. What remains is the time of the call.
func (x *Exchange) Over(outcome fault.Outcome) *fault.Fault {
	if err := x.Ctx.Err(); err != nil {
		return x.Time.ContextFault(err, outcome)
	}
	if why := x.Client.Why(); why != nil {
		return why.WithOutcome(outcome)
	}
	return x.Time.Fault(outcome)
}

// Received returns the fault of a call that the peer has failed with f: with the caller's own
// time limit, or the end of the client, if that is the reason. expired says that the time was
// over at the peer.
func (x *Exchange) Received(f *fault.Fault, expired bool) *fault.Fault {
	if own := x.Time.OwnFault(x.Ctx, expired, f); own != nil {
		return own
	}
	// The end of the client ends Within, so its server may hear of it, and answer, before the caller
	// gives up.
	if why := x.Client.Why(); why != nil && f.Code == fault.Canceled {
		return why.WithOutcome(f.Outcome)
	}
	return f
}

// Count counts the call, which has ended with why, nil for success. Its latency is that of all
// attempts together. A call that has not run is only a refusal.
func (x *Exchange) Count(m *tally.Method, why *fault.Fault) {
	switch {
	case why == nil:
		m.Add(nil, 1, fault.OK, limits.Monotonic()-x.began)
	case why.Outcome == fault.NotRun:
		m.Refuse(nil, why.Code)
	default:
		m.Add(nil, 1, why.Code, limits.Monotonic()-x.began)
	}
}
