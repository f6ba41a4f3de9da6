package transport

import (
	"fmt"
	"strings"
)

// For tests, and for tools showing a server at work. These are not methods, so the linker
// leaves them out of other programs.

// Gauges are what a connection has under way at one moment.
type Gauges struct {
	Calls   int // of this end, without a complete answer, result streams included
	Queued  int // of these, those waiting because the peer has enough
	Served  int // the same of calls by the peer
	Streams int // of calls by either end

	Unsent uint64 // bytes that wait to be written
}

// GaugesOf returns the gauges of a connection. It is safe for concurrent use.
func GaugesOf(c *Conn) Gauges {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Gauges{
		Calls: len(c.calls.slots) - len(c.calls.free) + len(c.calls.waiting), Queued: len(c.calls.waiting), Served: int(c.requests.inflight.Count()),
		Streams: len(c.streams.senders) + len(c.streams.receivers), Unsent: c.writer.queue.unsentLocked(),
	}
}

// A State describes a connection at one moment.
type State struct {
	Reader   string // holder of the read lease: "nobody", "leader", "caller" or "handler"
	Writer   string // holder of the writer role: "nobody", "caller" or "connection"
	Queued   uint64 // bytes waiting to be written, or reserved
	Frames   int    // of these, bytes of whole frames
	Reserved uint64 // of these, reserved bytes
	Slots    int    // size of the call table
	Long     int    // calls waiting with timers of their own
	Parked   bool   // a call is parked
	Watched  bool   // the watchdog is armed
	Dropped  bool   // a stream has been dropped, and not closed yet
}

// StateOf returns the state of a connection. It is safe for concurrent use.
func StateOf(c *Conn) State {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := &c.writer.queue
	return State{
		Reader:   [...]string{"nobody", "leader", "caller", "handler"}[c.reader.lease.current().holder()],
		Writer:   [...]string{"nobody", "caller", "connection"}[q.role],
		Queued:   q.unsentLocked() + q.reservations.reserved,
		Frames:   len(q.frames),
		Reserved: q.reservations.reserved,
		Slots:    len(c.calls.slots),
		Long:     int(c.calls.long.Load()),
		Parked:   c.calls.anyParkedLocked(),
		Watched:  c.watchdog.armed.Load(),
		Dropped:  c.streams.anyDropped(),
	}
}

// Residue describes the memory and counts a connection without calls still holds for
// calls, "" for none.
func Residue(c *Conn) string {
	var left []string
	c.mu.Lock()
	defer c.mu.Unlock()
	used := 0
	t := &c.calls
	for _, call := range t.slots {
		if call != nil {
			used++
		}
	}
	if used != 0 || t.open != 0 || len(t.free) != len(t.slots) || len(t.waiting) != 0 {
		left = append(left, fmt.Sprintf("calls: %d in slots, %d counted, %d of %d slots free, %d waiting",
			used, t.open, len(t.free), len(t.slots), len(t.waiting)))
	}
	if n := c.reader.woken.pending.Load() + uint32(t.long.Load()); n != 0 {
		left = append(left, fmt.Sprintf("calls: %d wait", n))
	}
	if q := &c.writer.queue; len(q.frames) != 0 || len(q.ready) != 0 || len(q.blocked) != 0 || len(q.streams)+len(q.credits) != 0 || q.booked != 0 || q.role != noWriter || q.batch.current != nil {
		left = append(left, fmt.Sprintf("send queue: %d bytes of frames, %d queued, %d held, %d booked, writer %v",
			len(q.frames), len(q.ready), len(q.blocked), q.booked, q.role))
	}
	if n := c.requests.inflight.Count(); n != 0 {
		left = append(left, fmt.Sprintf("requests: %d in flight", n))
	}
	if s := &c.streams; len(s.senders)+len(s.receivers) != 0 || s.ours+s.unsent != 0 || s.peers != 0 || s.answered.Load() != 0 || s.lent.Load() != 0 {
		left = append(left, fmt.Sprintf("streams: %d sent, %d received, %d counted of this end and %d of the peer, %d requests, %d bytes lent",
			len(s.senders), len(s.receivers), s.ours+s.unsent, s.peers, s.answered.Load(), s.lent.Load()))
	}
	return strings.Join(left, "; ")
}

// Arriving describes the incomplete messages of a connection, "" for none. Nothing may
// arrive at the same time.
func Arriving(c *Conn) string {
	in, booked := &c.reader.in, c.requests.booking.bytes
	if len(in.chunked) != 0 || in.refused != 0 || booked != 0 {
		return fmt.Sprintf("receive buffer: %d messages, %d refused, %d bytes booked", len(in.chunked), in.refused, booked)
	}
	return ""
}

// HandlerOf returns the handler of a connection.
func HandlerOf(c *Conn) Handler { return c.cfg.Handler }

// StopTimers stops the timers of a connection that has ended. It reports whether one of
// them was set, which is a leak.
func StopTimers(c *Conn) (set bool) { return c.watchdog.timer.Stop() || c.reader.timer.timer.Stop() }

// SetAlone makes a connection treat chunked messages as if nothing else had been
// written for long, or just now.
func SetAlone(c *Conn, alone bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writer.queue.onlyChunks = 0
	if alone {
		c.writer.queue.onlyChunks = onlyChunksLong
	}
}

// IsDirect reports whether callers write to the socket of a connection themselves.
func IsDirect(c *Conn) bool { return c.writer.direct }
