package transport

import (
	"time"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// An Answer is the reply to one request. It is encoded before its size is known. If the
// send queue has no room for it, the bytes are dropped, and the answer is encoded again
// when there is room. Reply calls the methods one at a time.
type Answer interface {
	// Encode encodes the answer and returns the header and the body of its frame. It
	// may be called again, and it may panic.
	Encode() (*wire.Frame, *wire.Body)

	// Refused reports whether the request was refused.
	Refused() bool

	// MayHang reports whether Encode calls user code.
	MayHang() bool

	// Await is called before the answer waits for room.
	Await()

	// Queued is called, with Conn.mu held, when the answer is queued, or dropped on a
	// connection that has ended. If retained is true, the memory of the body belongs to
	// the connection from now on.
	Queued(retained bool)
}

// Reply queues the one answer to a request, on any goroutine. The request stays in flight
// until exactly then. full reports whether the send queue is worth a write of its own. The
// leader flushes before it waits; any other goroutine calls Flush.
//
// If the session has been closed, the CLOSE frame answers all calls already running.
func (c *Conn) Reply(a Answer) (full bool) {
	q := &c.writer.queue
	var head *wire.Frame
	var body *wire.Body
	ok := false
	size := uint64(wire.MaxUnchunked) // assumed until it is known
	if !q.isFull() && c.hasOwnReply(a) {
		head, body = a.Encode()
		size = body.Size()
		c.mu.Lock()
		if ok = c.end.why != nil || q.takesLocked(size); !ok {
			c.mu.Unlock()
		}
	}
	for !ok {
		head, body, ok = c.encodeReserved(a, &size)
	}
	// c.mu is held. The request ends in the same step as its answer is queued: a drained
	// connection closes only behind all answers.
	last := c.requests.inflight.Done(1)
	a.Queued(c.end.why == nil && c.hasOwnReply(a) && q.addMessageLocked(head, body, body.Size()))
	full = q.worthWritingLocked()
	c.mu.Unlock()
	if last && c.requests.inflight.Closing() != nil {
		c.closeDrained()
	}
	return full
}

// hasOwnReply reports whether the CLOSE frame of a closed session does not answer the
// request.
func (c *Conn) hasOwnReply(a Answer) bool {
	return c.requests.inflight.Dismissed() == nil || a.Refused()
}

// encodeReserved waits for a reservation of *size bytes and encodes the answer. If ok is
// true, the answer may be queued, and Conn.mu is held. Otherwise the answer was too long
// for its reservation or took too long, and *size is its size now.
func (c *Conn) encodeReserved(a Answer, size *uint64) (head *wire.Frame, body *wire.Body, ok bool) {
	a.Await()
	w := &c.writer
	r := w.awaitReservation(*size)
	if c.end.hasEnded() || !c.hasOwnReply(a) {
		w.cancelReservation(r)
		c.mu.Lock()
		return nil, nil, true
	}
	defer func() {
		if !ok {
			w.cancelReservation(r) // Encode may have panicked
		}
	}()
	if a.MayHang() {
		defer time.AfterFunc(reservationTime, func() { w.cancelReservation(r) }).Stop()
	}
	head, body = a.Encode()
	*size = body.Size()
	c.mu.Lock()
	w.queue.endReservationLocked(r)
	if ok = c.end.why != nil || !w.queue.fullLocked(*size); !ok {
		w.queue.grantLocked()
		c.mu.Unlock()
	}
	return head, body, ok
}

// AwaitRoom waits, on a connection with Serves, until the send queue has room for the
// reply to another request. Only the lease holder may call it.
func (c *Conn) AwaitRoom() {
	if c.cfg.Serves && c.writer.queue.isFull() {
		c.cfg.Handler.Idle()
		c.WaitForRoom()
	}
}

// WaitForRoom waits until the send queue accepts a short message, or the connection
// ends.
func (c *Conn) WaitForRoom() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writer.awaitRoomLocked(0)
}

// Respond queues a response without an Answer, the answer to a BIND, once there is room.
// Only methods of the Handler may call it.
func (c *Conn) Respond(head *wire.Frame, body *wire.Body) {
	size := body.Size()
	c.AwaitRoom()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writer.awaitRoomLocked(size)
	c.writer.queue.addMessageLocked(head, body, size)
}
