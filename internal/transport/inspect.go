package transport

import (
	"fmt"
	"strings"
)

// What tests, and tools that show a server at work, may see of a connection. Like Do,
// these are not methods, so that other programs need not contain them.

// A State describes a connection at one moment.
type State struct {
	Reader   string // who reads: "nobody", "leader", "caller" or "handler"
	Writer   string // who writes: "nobody", "caller" or "connection"
	Queued   uint64 // bytes that wait to be written, or have their room reserved
	Frames   int    // of these, bytes of whole frames
	Reserved uint64 // of these, bytes of reserved room
	Slots    int    // size of the table of calls
	Long     int    // calls that wait with timers of their own
	Parked   bool   // a call is parked
	Watched  bool   // the watchdog is to look
}

// StateOf returns the state of a connection.
func StateOf(c *Conn) State {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := &c.queue
	chunked, _ := o.chunkedBytesLocked()
	return State{
		Reader:   [...]string{"nobody", "leader", "caller", "handler"}[c.lease.current().holder()],
		Writer:   [...]string{"nobody", "caller", "connection"}[o.role],
		Queued:   uint64(len(o.frames)+len(o.spare)) + o.reservations.reserved + chunked,
		Frames:   len(o.frames),
		Reserved: o.reservations.reserved,
		Slots:    len(c.calls.slots),
		Long:     int(c.calls.long.Load()),
		Parked:   c.calls.anyParkedLocked(),
		Watched:  c.watchdog.armed.Load(),
	}
}

// Residue describes what a connection without calls still holds for them, "" for
// nothing.
func Residue(c *Conn) string {
	var left []string
	c.mu.Lock()
	defer c.mu.Unlock()
	open := 0
	for _, k := range c.calls.slots {
		if k != nil {
			open++
		}
	}
	if n := c.calls.open; open != 0 || n != 0 || len(c.calls.free) != len(c.calls.slots) || len(c.calls.waiting) != 0 {
		left = append(left, fmt.Sprintf("calls: %d in slots, %d counted, %d of %d slots free, %d waiting",
			open, n, len(c.calls.free), len(c.calls.slots), len(c.calls.waiting)))
	}
	if n := c.batch.pending.Load() + uint32(c.calls.long.Load()); n != 0 {
		left = append(left, fmt.Sprintf("calls: %d wait", n))
	}
	if o := &c.queue; len(o.frames) != 0 || len(o.ready) != 0 || len(o.blocked) != 0 || o.booked != 0 || o.role != noWriter || o.current != nil {
		left = append(left, fmt.Sprintf("send queue: %d bytes of frames, %d queued, %d held, %d booked, writer %v",
			len(o.frames), len(o.ready), len(o.blocked), o.booked, o.role))
	}
	if n := c.inflight.Count(); n != 0 {
		left = append(left, fmt.Sprintf("requests: %d in flight", n))
	}
	return strings.Join(left, "; ")
}

// Arriving describes what a connection holds of incomplete messages, "" for nothing.
// Nothing may arrive meanwhile.
func Arriving(c *Conn) string {
	if in := &c.in; len(in.chunked) != 0 || in.refused != 0 || c.booked != 0 {
		return fmt.Sprintf("receive buffer: %d messages, %d refused, %d bytes booked", len(in.chunked), in.refused, c.booked)
	}
	return ""
}

// HandlerOf returns the connection's handler.
func HandlerOf(c *Conn) Handler { return c.handler }

// StopTimers stops the timers of a connection that has ended. It reports whether one of
// them was set, which is a leak.
func StopTimers(c *Conn) (set bool) { return c.watchdog.timer.Stop() || c.frameTimer.Stop() }

// SetAlone makes the connection treat chunked messages as if nothing else had been
// written for long, or just now.
func SetAlone(c *Conn, alone bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue.onlyChunks = 0
	if alone {
		c.queue.onlyChunks = onlyChunksLong
	}
}
