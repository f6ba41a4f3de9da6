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

// violate ends the connection for what the peer sent, and tells it why. The
// caller holds the turn, and keeps it.
func (c *Conn) violate(err error) {
	c.cfg.OnViolation(err)
	why := fault.New(fault.Internal, fault.OutcomeUnknown, "protocol violation: %v", err)
	c.farewell(why, netconn.CloseTime, func() { netconn.Drain(c.nc) })
}

// farewellDrained ends a connection whose calls are all answered, when the
// answers are written: a peer that is slow to read has as long as it takes, one
// that reads nothing has Limits.WriteStall. A closed session has CloseTime.
func (c *Conn) farewellDrained() {
	why, within := c.inflight.Closing(), time.Duration(math.MaxInt64)
	if c.inflight.Dismissed() != nil {
		within = netconn.CloseTime
	}
	c.farewell(why, within, c.awaitPeer)
}

// Dismiss ends the connection of a session under its calls.
func (c *Conn) Dismiss(why *fault.Fault) {
	c.inflight.Dismiss(why)
	c.Close(why)
}

// Close ends the connection with a CLOSE frame. It does not wait.
func (c *Conn) Close(why *fault.Fault) { c.farewell(why, netconn.CloseTime, c.awaitPeer) }

// farewell ends the connection with a CLOSE frame behind all that waits, if
// that is written in time, and then gives the peer, by linger, a moment to read
// it: closing a socket that has unread input would take the frame back. It does
// not wait for that.
func (c *Conn) farewell(why *fault.Fault, within time.Duration, linger func()) {
	f := wire.Failure{Name: why.Name, Message: fault.Cut(why.Message, c.limits.MaxErrorText), LogID: why.LogID}
	body := f.Append(nil)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.leaving != nil {
		return
	}
	c.leaving = why
	head := wire.Frame{Type: wire.Close, Arg: uint16(why.Code), BodySize: len(body)}
	written := c.out.closeLocked(append(wire.AppendHeader(nil, &head), body...))
	if !c.out.isWritingLocked() {
		c.writeBehindLocked(nobodyWrites)
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

// awaitPeer lets the leader read until the peer has left, for a moment.
func (c *Conn) awaitPeer() { netconn.Linger(c.nc, c.done) }

// Dismissed returns why the session was closed by Dismiss, nil if it was not.
func (c *Conn) Dismissed() *fault.Fault { return c.inflight.Dismissed() }

// failUnwritten ends a connection that takes no more bytes. A peer that has closed
// it may have said why, which is read first.
func (c *Conn) failUnwritten(err error) {
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

// watchFrames looks after what is incomplete: unless it completes, a read ends
// after Limits.FrameTimeout so that dropLate looks at it. The holder of the
// turn calls it.
func (c *Conn) watchFrames() {
	if c.watching {
		return
	}
	now := time.Now()
	wait := c.limits.FrameTimeout
	if began, ok := c.in.oldest(); ok {
		wait = min(wait, began.Add(wait).Sub(now))
	}
	wait = max(wait, TickTime) // it may have come, and not been read
	c.watchUntil(now.Add(wait), wait)
}

func (c *Conn) watchUntil(end time.Time, wait time.Duration) {
	c.watching, c.watchEnd = true, end
	c.watch.Reset(wait)
	if c.hasEnded() {
		c.watch.Stop()
	}
}

// dropLate drops the messages of which nothing has come for too long. They
// lose their calls; a frame that stays incomplete loses the connection. It
// reports whether that goes on.
func (c *Conn) dropLate() bool {
	now := time.Now()
	if !c.watching || now.Before(c.watchEnd) {
		return true
	}
	if !c.in.incomplete() {
		c.watching = false
		return true
	}
	if !c.readAt.Before(c.watchEnd) { // this end was busy: the read ended before it looked at what has come
		c.watchUntil(now.Add(TickTime), TickTime)
		return true
	}
	c.watching = false
	since := now.Add(-c.limits.FrameTimeout)
	for _, head := range c.in.unwantStale(since) {
		c.lateCall(&head)
	}
	if c.in.isFrameStale(since) {
		c.violate(fmt.Errorf("a frame has stayed incomplete for Limits.FrameTimeout (%v)", c.limits.FrameTimeout))
		return false
	}
	if c.in.incomplete() {
		c.watchFrames()
	}
	return true
}

// lateCall fails the call whose message is late.
func (c *Conn) lateCall(head *wire.Frame) {
	text := fmt.Sprintf("nothing of its message has come for Limits.FrameTimeout (%v)", c.limits.FrameTimeout)
	if head.Type == wire.Request {
		c.turnDown(head.ID, fault.Refusal(fault.DeadlineExceeded, "%s", text))
		c.flushBehind()
		return
	}
	c.mu.Lock()
	k, _ := c.calls.findLocked(head.ID)
	c.mu.Unlock()
	if k != nil {
		c.giveUp(k, fault.New(fault.DeadlineExceeded, fault.OutcomeUnknown, "%s", text))
	}
}
