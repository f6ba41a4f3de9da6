package transport

import (
	"fmt"
	"math"
	"net"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A frameTimer interrupts a read while a frame or a chunked message is incomplete, so
// that the reader can check Limits.FrameTimeout. The read lease guards it.
type frameTimer struct {
	timer     *time.Timer
	set       bool
	due       time.Duration // this and the next by limits.Monotonic
	readBegan time.Duration // the start of the last read while set
}

func (t *frameTimer) init(nc net.Conn) {
	t.timer = time.AfterFunc(math.MaxInt64, func() { nc.SetReadDeadline(netconn.LongAgo) })
	t.timer.Stop()
}

// stop stops the timer at the end of the connection.
func (t *frameTimer) stop() { t.timer.Stop() }

// setTimer sets the timer of the reader to due, after wait.
func (r *reader) setTimer(due, wait time.Duration) {
	r.timer.set, r.timer.due = true, due
	r.timer.timer.Reset(wait)
	if r.c.end.hasEnded() {
		r.timer.stop()
	}
}

// watchIncomplete sets the timer for the incomplete messages, unless it is set. Only the
// lease holder calls it.
func (r *reader) watchIncomplete() {
	if r.timer.set {
		return
	}
	now := limits.Monotonic()
	wait := r.c.limits.FrameTimeout
	if since, ok := r.in.oldestIncomplete(); ok {
		wait = min(wait, since+wait-now)
	}
	wait = max(wait, WatchdogPeriod) // the bytes may have arrived without being read
	r.setTimer(now+wait, wait)
}

// dropStale drops chunked messages without progress for FrameTimeout, and fails their
// calls. A frame incomplete for so long ends the connection. dropStale reports whether
// the connection continues.
func (r *reader) dropStale() bool {
	c, t := r.c, &r.timer
	now := limits.Monotonic()
	if !t.set || now < t.due {
		return true
	}
	if !r.in.incomplete() {
		t.set = false
		return true
	}
	if t.readBegan >= t.due { // this end was busy, and has not read the bytes available
		r.setTimer(now+WatchdogPeriod, WatchdogPeriod)
		return true
	}
	t.set = false
	since := now - c.limits.FrameTimeout
	for _, head := range r.in.discardStale(since) {
		r.failStale(&head)
	}
	if r.in.isFrameStale(since) {
		c.failViolation(fmt.Errorf("a frame has stayed incomplete for %s Limits.FrameTimeout (%v)", c.limits.Owner, c.limits.FrameTimeout))
		return false
	}
	if r.in.incomplete() {
		r.watchIncomplete()
	}
	return true
}

// failStale fails the call of a stale message.
func (r *reader) failStale(head *wire.Frame) {
	r.failIncomplete(head, fault.Refusal(fault.DeadlineExceeded, "its message made no progress for %s Limits.FrameTimeout (%v)", r.c.limits.Owner, r.c.limits.FrameTimeout))
}

// dropExcess drops the messages that have to go because all connections together exceed
// Limits.ServerBytes, and fails their calls.
func (r *reader) dropExcess() {
	for _, p := range r.in.discardExcess() {
		r.failIncomplete(&p.head, p.unfinished.Fault())
	}
}

// failIncomplete fails the call of a message that has been discarded.
func (r *reader) failIncomplete(head *wire.Frame, why *fault.Fault) {
	c := r.c
	if head.Type == wire.Request {
		c.requests.refuse(head, why)
		c.writer.flushAsync()
		return
	}
	c.mu.Lock()
	call, _ := c.calls.findLocked(head.ID)
	c.mu.Unlock()
	if call != nil {
		why.Outcome = fault.Answered // its handler has returned
		c.calls.fail(call, why)
	}
}
