package transport

import (
	"math"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A closeState is how far a connection is from its end.
type closeState struct {
	// guarded by Conn.mu
	why     *fault.Fault // the reason, once the connection has ended
	closing *fault.Fault // the reason of a graceful close in progress

	done    chan struct{}  // closed after why is set
	running sync.WaitGroup // the goroutines of the connection, without handlers
}

func (s *closeState) init() {
	s.done = make(chan struct{})
	s.running.Add(1) // the leader, before anyone can wait for it
}

// hasEnded reports whether the connection has ended. It takes no lock.
func (s *closeState) hasEnded() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// faultLocked returns the fault of a call on a connection that has ended.
func (s *closeState) faultLocked(outcome fault.Outcome) *fault.Fault {
	return s.why.WithOutcome(outcome)
}

// spawnLocked runs f on a goroutine counted in running. After the end it does nothing.
func (s *closeState) spawnLocked(f func()) {
	if s.why != nil {
		return
	}
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		f()
	}()
}

// Fail ends the connection at once. All calls fail with why, the contexts of all
// handlers end, and closing the socket wakes the goroutines reading and writing. The
// first reason counts.
func (c *Conn) Fail(why *fault.Fault) {
	c.mu.Lock()
	if c.end.why != nil {
		c.end.why = c.end.why.Then(why)
		c.mu.Unlock()
		return
	}
	if c.end.why = why; c.end.closing != nil {
		c.end.why = c.end.closing.Then(why)
	}
	why = c.end.why
	c.writer.queue.unread.End()
	open, waiting := c.calls.clearLocked()
	receivers := c.streams.clearLocked()
	lost := fault.OutcomeUnknown
	if why.Remote && why.Outcome == fault.NotRun {
		// The peer has answered whatever it has begun. That is about the calls now open.
		lost, why = fault.NotRun, why.WithOutcome(fault.OutcomeUnknown)
		c.end.why = why
	}
	var unanswered []*Call
	for _, call := range open {
		if call.streams != nil && call.streams.answered {
			continue // the stream ends; the caller may be reading the answer
		}
		unanswered = append(unanswered, call)
		outcome := lost
		if !c.calls.writtenLocked(call) {
			outcome = fault.NotRun
		}
		call.err = c.end.faultLocked(outcome)
	}
	c.mu.Unlock()
	if c.cfg.OnEnd != nil {
		c.cfg.OnEnd(why)
	}
	close(c.end.done)
	c.nc.Close()
	c.watchdog.stop()
	c.reader.timer.stop()
	c.keepalive.stop()
	if e := c.reader.lease.current(); e.holder() == handling {
		c.reader.replaceLeader(e)
	}
	for _, call := range unanswered {
		if call.streams != nil {
			call.streams.end(call.err.(*fault.Fault), false)
		}
	}
	for _, r := range receivers {
		r.finish(why.WithOutcome(fault.OutcomeUnknown), false)
	}
	for _, call := range open {
		if call.streams != nil {
			call.streams.end(why.WithOutcome(fault.OutcomeUnknown), false)
		}
	}
	for _, call := range unanswered {
		if call.eager {
			call.over()
		}
	}
	c.reader.woken.wake(unanswered, nil)
	for _, call := range waiting {
		call.wake <- false
	}
	if c.cfg.OnClosed != nil {
		c.cfg.OnClosed()
	}
}

// Close ends the connection with a CLOSE frame. It does not wait for the end.
func (c *Conn) Close(why *fault.Fault) { c.closeGracefully(why, 0, netconn.CloseTime, c.halfClose) }

// Drain closes the connection once its last request in flight has been answered. A peer
// that reconnects learns of it before a request is refused.
func (c *Conn) Drain() {
	if c.cfg.Peer.Reconnects {
		c.Control(&wire.Frame{Type: wire.Draining})
	}
	if c.requests.inflight.Drain() {
		c.closeDrained()
	}
}

// Dismiss closes the connection of a closed session. All its calls fail with why.
func (c *Conn) Dismiss(why *fault.Fault) {
	c.requests.inflight.Dismiss(why)
	c.Close(why)
}

// Dismissed returns the reason given to Dismiss, nil before.
func (c *Conn) Dismissed() *fault.Fault { return c.requests.inflight.Dismissed() }

// closeDrained closes a connection without requests in flight once their replies are
// written. A slow peer may take any time, a peer reading nothing has
// Limits.WriteStall. The peer of a closed session has CloseTime.
func (c *Conn) closeDrained() {
	why, within, flags := c.requests.inflight.Closing(), time.Duration(math.MaxInt64), wire.Flags(0)
	switch {
	case c.requests.inflight.Dismissed() != nil:
		within = netconn.CloseTime
	case c.cfg.Peer.Reconnects:
		flags = wire.NotRun // it may call again elsewhere what has crossed the CLOSE
	}
	c.closeGracefully(why, flags, within, c.halfClose)
}

// failViolation closes the connection for a protocol violation by the peer, and reports
// it to the peer. The caller holds the read lease, and keeps it.
func (c *Conn) failViolation(err error) {
	c.cfg.OnViolation(err)
	c.closeGracefully(fault.Violation("%v", err), 0, netconn.CloseTime, func() { netconn.Drain(c.nc) })
}

// closeGracefully ends the connection with a CLOSE frame behind everything in the send
// queue. If the frame is written in time, halfClose then gives the peer time to read
// it: closing a socket with unread input would discard it. closeGracefully itself does
// not wait.
func (c *Conn) closeGracefully(why *fault.Fault, flags wire.Flags, within time.Duration, halfClose func()) {
	failure := wire.Failure{Name: why.Name, Message: fault.Cut(why.Message, c.limits.MaxErrorText), LogID: why.LogID}
	body := failure.Append(nil)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end.why != nil || c.end.closing != nil {
		return
	}
	c.end.closing = why
	for _, s := range c.streams.senders {
		s.closeLocked() // or CLOSE would wait for an endless one
	}
	head := wire.Frame{Type: wire.Close, Flags: flags, Arg: uint16(why.Code), BodySize: len(body)}
	written := c.writer.queue.addCloseLocked(append(wire.AppendHeader(nil, &head), body...))
	if !c.writer.queue.hasWriterLocked() {
		c.writer.startLocked(noWriter)
	}
	c.end.spawnLocked(func() {
		timer := time.NewTimer(within)
		defer timer.Stop()
		select {
		case <-written:
			halfClose()
		case <-timer.C:
		case <-c.end.done:
		}
		c.Fail(why)
	})
}

// halfClose half-closes the connection and lets the leader read until the peer closes,
// for at most CloseTime.
func (c *Conn) halfClose() { netconn.Linger(c.nc, c.end.done) }

// EndRequests releases the bookings of a connection that has ended. The channel receives
// once no request is in flight. It is called once, after Wait.
func (c *Conn) EndRequests() <-chan struct{} {
	c.requests.booking.releaseAll()
	c.reader.in.endUnfinished()
	return c.requests.inflight.End(c.reader.in.unfinishedRequests())
}
