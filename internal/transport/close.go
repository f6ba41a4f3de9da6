package transport

import (
	"fmt"
	"math"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// How a connection ends other than by its socket: with a last frame that tells
// the peer why, or because something stays incomplete.

// failViolation ends the connection for what the peer sent, and tells it why. The
// caller holds the lease, and keeps it.
func (c *Conn) failViolation(err error) {
	c.cfg.OnViolation(err)
	why := fault.New(fault.Internal, fault.OutcomeUnknown, "protocol violation: %v", err)
	c.closeGracefully(why, netconn.CloseTime, func() { netconn.Drain(c.nc) })
}

// closeDrained ends a connection whose calls are all answered, when the
// answers are written: a peer that is slow to read has as long as it takes, one
// that reads nothing has Limits.WriteStall. A closed session has CloseTime.
func (c *Conn) closeDrained() {
	why, within := c.inflight.Closing(), time.Duration(math.MaxInt64)
	if c.inflight.Dismissed() != nil {
		within = netconn.CloseTime
	}
	c.closeGracefully(why, within, c.halfClose)
}

// Dismiss ends the connection of a session under its calls.
func (c *Conn) Dismiss(why *fault.Fault) {
	c.inflight.Dismiss(why)
	c.Close(why)
}

// Close ends the connection with a CLOSE frame. It does not wait.
func (c *Conn) Close(why *fault.Fault) { c.closeGracefully(why, netconn.CloseTime, c.halfClose) }

// closeGracefully ends the connection with a CLOSE frame behind all that waits, if
// that is written in time, and then gives the peer, by linger, a moment to read
// it: closing a socket that has unread input would take the frame back. It does
// not wait for that.
func (c *Conn) closeGracefully(why *fault.Fault, within time.Duration, linger func()) {
	f := wire.Failure{Name: why.Name, Message: fault.Cut(why.Message, c.limits.MaxErrorText), LogID: why.LogID}
	body := f.Append(nil)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.closing != nil {
		return
	}
	c.closing = why
	head := wire.Frame{Type: wire.Close, Arg: uint16(why.Code), BodySize: len(body)}
	written := c.queue.addCloseLocked(append(wire.AppendHeader(nil, &head), body...))
	if !c.queue.hasWriterLocked() {
		c.startWriterLocked(noWriter)
	}
	c.spawnLocked(func() {
		timer := time.NewTimer(within)
		defer timer.Stop()
		select {
		case <-written:
			linger()
		case <-timer.C:
		case <-c.done:
		}
		c.Fail(why)
	})
}

// halfClose lets the leader read until the peer has left, for a moment.
func (c *Conn) halfClose() { netconn.Linger(c.nc, c.done) }

// Dismissed returns why the session was closed by Dismiss, nil if it was not.
func (c *Conn) Dismissed() *fault.Fault { return c.inflight.Dismissed() }

// failWrite ends a connection that takes no more bytes. A peer that has closed
// it may have said why, which is read first.
func (c *Conn) failWrite(err error) {
	if err == ErrStalled {
		c.Fail(fault.Lost("writing", fmt.Errorf("%w (%v)", err, c.limits.WriteStall)))
		return
	}
	why := fault.Lost("writing", err)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spawnLocked(func() {
		netconn.AwaitEnd(c.done)
		c.Fail(why)
	})
}

// watchIncomplete looks after what is incomplete: unless it completes, a read ends
// after Limits.FrameTimeout so that dropLate looks at it. The holder of the
// turn calls it.
func (c *Conn) watchIncomplete() {
	if c.timed {
		return
	}
	now := time.Now()
	wait := c.limits.FrameTimeout
	if began, ok := c.in.oldestIncomplete(); ok {
		wait = min(wait, began.Add(wait).Sub(now))
	}
	wait = max(wait, WatchdogPeriod) // it may have come, and not been read
	c.setFrameTimer(now.Add(wait), wait)
}

func (c *Conn) setFrameTimer(end time.Time, wait time.Duration) {
	c.timed, c.timerEnd = true, end
	c.frameTimer.Reset(wait)
	if c.hasEnded() {
		c.frameTimer.Stop()
	}
}

// dropStale drops the messages of which nothing has come for too long. They
// lose their calls; a frame that stays incomplete loses the connection. It
// reports whether that goes on.
func (c *Conn) dropStale() bool {
	now := time.Now()
	if !c.timed || now.Before(c.timerEnd) {
		return true
	}
	if !c.in.incomplete() {
		c.timed = false
		return true
	}
	if !c.readBegan.Before(c.timerEnd) { // this end was busy: the read ended before it looked at what has come
		c.setFrameTimer(now.Add(WatchdogPeriod), WatchdogPeriod)
		return true
	}
	c.timed = false
	since := now.Add(-c.limits.FrameTimeout)
	for _, head := range c.in.discardStale(since) {
		c.failLate(&head)
	}
	if c.in.isFrameStale(since) {
		c.failViolation(fmt.Errorf("a frame has stayed incomplete for Limits.FrameTimeout (%v)", c.limits.FrameTimeout))
		return false
	}
	if c.in.incomplete() {
		c.watchIncomplete()
	}
	return true
}

// failLate fails the call whose message is late.
func (c *Conn) failLate(head *wire.Frame) {
	text := fmt.Sprintf("nothing of its message has come for Limits.FrameTimeout (%v)", c.limits.FrameTimeout)
	if head.Type == wire.Request {
		c.refuseInflight(head.ID, fault.Refusal(fault.DeadlineExceeded, "%s", text))
		c.flushAsync()
		return
	}
	c.mu.Lock()
	k, _ := c.calls.findLocked(head.ID)
	c.mu.Unlock()
	if k != nil {
		c.failCall(k, fault.New(fault.DeadlineExceeded, fault.OutcomeUnknown, "%s", text))
	}
}
