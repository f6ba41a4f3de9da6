package transport

import (
	"time"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// An answer is what a request is answered with. It is encoded before it is known
// whether there is room for it; where there is none, what has been encoded is dropped,
// and encoded again when there is.
type Answer interface {
	// Encode encodes the answer, and returns the header and the body of its frame.
	// It may be called again. It may panic.
	Encode() (*wire.Frame, *wire.Body)

	// Refused reports whether the request is not run.
	Refused() bool

	// MayHang reports whether encode runs code that may hang.
	MayHang() bool

	// Await says that the answer waits for room.
	Await()

	// Queued says that the answer is about to be written, or dropped on a connection
	// that has ended. If it is lent, the memory of the body is the connection's from
	// now on. It is called with conn.mu held.
	Queued(lent bool)
}

// Reply sends the one answer to a request. The request ends being in flight as its
// answer is queued, neither before nor after. full says that what waits is worth a
// system call.
//
// On a connection whose session has been closed, the CLOSE frame with the reason
// answers every call that has run.
func (c *Conn) Reply(a Answer) (full bool) {
	var head *wire.Frame
	var body *wire.Body
	ok := false
	size := uint64(wire.MaxUnchunked) // until it is known
	if !c.queue.isFull() && c.hasOwnReply(a) {
		head, body = a.Encode()
		size = body.Size()
		c.mu.Lock()
		if ok = c.err != nil || c.queue.takesLocked(size); !ok {
			c.mu.Unlock()
		}
	}
	for !ok {
		head, body, ok = c.encodeReserved(a, &size)
	}
	// conn.mu is held
	last := c.inflight.Done(1)
	a.Queued(c.err == nil && c.hasOwnReply(a) && c.queue.addMessageLocked(head, body, body.Size()))
	full = c.queue.worthWritingLocked()
	c.mu.Unlock()
	if last && c.inflight.Closing() != nil {
		c.closeDrained()
	}
	return full
}

// hasOwnReply reports whether a request gets an answer of its own.
func (c *Conn) hasOwnReply(a Answer) bool { return c.inflight.Dismissed() == nil || a.Refused() }

// encodeReserved encodes an answer when there is room for so many bytes. ok says
// that it may be queued, and then conn.mu is held; otherwise it was longer, or took
// long, and others have the room.
func (c *Conn) encodeReserved(a Answer, size *uint64) (head *wire.Frame, body *wire.Body, ok bool) {
	a.Await()
	k := c.awaitReservation(*size)
	if c.hasEnded() || !c.hasOwnReply(a) {
		c.cancelReservation(k)
		c.mu.Lock()
		return nil, nil, true
	}
	defer func() {
		if !ok {
			c.cancelReservation(k) // user code may have panicked
		}
	}()
	if a.MayHang() {
		defer time.AfterFunc(reservationTime, func() { c.cancelReservation(k) }).Stop()
	}
	head, body = a.Encode()
	*size = body.Size()
	c.mu.Lock()
	c.queue.endReservationLocked(k)
	if ok = c.err != nil || !c.queue.fullLocked(*size); !ok {
		c.queue.grantLocked()
		c.mu.Unlock()
	}
	return head, body, ok
}
