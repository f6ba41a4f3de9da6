package transport

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
)

// What a call of this end waits for before its request is queued: a place among the open
// calls, and room in the send queue.

// acquire waits for a place among the open calls and for room in the send queue. After
// success Conn.mu is held.
func (k *calls) acquire(ctx context.Context, call *Call, size uint64) error {
	c := k.c
	c.mu.Lock()
	if c.end.why == nil && !k.openLocked(call) {
		c.mu.Unlock()
		err := k.awaitOpen(ctx, call)
		c.mu.Lock()
		if err != nil && c.end.why == nil {
			what := fmt.Sprintf("%s MaxInflight (%d)", c.limits.PeerName(), k.limit)
			c.mu.Unlock()
			return waitedError(err, what)
		}
	}
	for c.end.why == nil && c.writer.queue.fullLocked(size) {
		freed := c.writer.queue.roomFreedLocked()
		c.mu.Unlock()
		err := k.wait(ctx, &call.Timeout, freed)
		c.mu.Lock()
		if err != nil && c.end.why == nil {
			k.releaseLocked()
			c.mu.Unlock()
			return waitedError(err, fmt.Sprintf("room in %s Limits.OutQueue (%d)", c.limits.Owner, c.limits.OutQueue))
		}
	}
	if c.end.why != nil {
		defer c.mu.Unlock()
		return c.end.faultLocked(fault.NotRun)
	}
	return nil
}

// waitedError adds to the error of an unsent call what it was waiting for.
func waitedError(err error, what string) error {
	e, ok := err.(*fault.Fault)
	if !ok {
		return err
	}
	named := *e
	named.Message = fault.Prefix + "waited for " + what + ": " + strings.TrimPrefix(e.Message, fault.Prefix)
	return &named
}

// A withinKey is the context key of the callbacks of calls on one connection.
type withinKey struct{ c *Conn }

// Within returns the context of the callbacks of a call on c. A call on c with such a context
// waits for its place for withinWait only: it may be its own call that has it.
func Within(ctx context.Context, c *Conn) context.Context {
	return context.WithValue(ctx, withinKey{c}, true)
}

// withinWait is longer than a busy peer keeps all places, as a rule, and shorter than the time of
// most calls, so that the reason reaches the outer one.
const withinWait = 2 * time.Second

// awaitOpen waits until a waiting call may be open, or the connection ends.
func (k *calls) awaitOpen(ctx context.Context, call *Call) error {
	c := k.c
	ctx, stop := limits.BeforeHandlerEnd(ctx)
	defer stop()
	call.Timeout.MarkWaited()
	expired := call.Timeout.Expired()
	defer call.Timeout.Stop()
	var tooLong <-chan time.Time
	if ctx.Value(withinKey{c}) != nil {
		timer := time.NewTimer(withinWait)
		defer timer.Stop()
		tooLong = timer.C
	}
	var err error
	select {
	case counted := <-call.wake:
		if counted {
			c.reader.woken.resumed()
		}
		return nil
	case <-ctx.Done():
		err = c.contextFault(ctx, &call.Timeout, fault.NotRun)
	case <-expired:
		err = call.Timeout.Fault(fault.NotRun)
	case <-tooLong:
		err = fault.New(fault.ResourceExhausted, fault.NotRun, "no place in %v, for a call in a callback of another one that has a place; make fewer calls at a time, or raise the limit", withinWait)
	}
	// The time is over. Another goroutine may be granting the place right now; then its
	// token arrives in wake, and the place must be released.
	c.mu.Lock()
	waiting := k.stopWaitingLocked(call)
	c.mu.Unlock()
	if waiting {
		return err
	}
	if counted := <-call.wake; counted {
		c.reader.woken.resumed()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end.why == nil {
		k.releaseLocked()
	}
	return err
}

// releaseLocked gives the place of an open call to the next waiting one.
func (k *calls) releaseLocked() {
	if next := k.closeLocked(); next != nil {
		next.wake <- false
	}
}

// wait waits for ch or the end of the connection, within the context and the time of a
// call.
func (k *calls) wait(ctx context.Context, t *limits.Timeout, ch <-chan struct{}) error {
	ctx, stop := limits.BeforeHandlerEnd(ctx)
	defer stop()
	t.MarkWaited()
	expired := t.Expired()
	defer t.Stop()
	select {
	case <-ch:
	case <-k.c.end.done:
	case <-ctx.Done():
		return k.c.contextFault(ctx, t, fault.NotRun)
	case <-expired:
		return t.Fault(fault.NotRun)
	}
	return nil
}
