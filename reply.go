package bsrpc

import (
	"time"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// An answer is what a request is answered with. It is encoded before it is known
// whether there is room for it; where there is none, what has been encoded is dropped,
// and encoded again when there is.
type answer interface {
	// encode encodes the answer, and returns the header and the body of its frame.
	// It may be called again. It may panic.
	encode() (*wire.Frame, *wire.Body)

	// refused reports whether the request is not run.
	refused() bool

	// mayHang reports whether encode runs code that may hang.
	mayHang() bool

	// await says that the answer waits for room.
	await()

	// queued says that the answer is about to be written, or dropped on a connection
	// that has ended. If it is lent, the memory of the body is the connection's from
	// now on. It is called with conn.mu held.
	queued(lent bool)
}

// reply sends the one answer to a request. The request ends being in flight as its
// answer is queued, neither before nor after. full says that what waits is worth a
// system call.
//
// On a connection whose session has been closed, the CLOSE frame with the reason
// answers every call that has run.
func (c *conn) reply(a answer) (full bool) {
	var head *wire.Frame
	var body *wire.Body
	ok := false
	size := uint64(wire.MaxUnchunked) // until it is known
	if !c.out.isFull() && c.tells(a) {
		head, body = a.encode()
		size = body.Size()
		c.mu.Lock()
		if ok = c.err != nil || c.out.takesLocked(size); !ok {
			c.mu.Unlock()
		}
	}
	for !ok {
		head, body, ok = c.encodeInTurn(a, &size)
	}
	// conn.mu is held
	last := c.inflight.Done(1)
	a.queued(c.err == nil && c.tells(a) && c.out.messageLocked(head, body, body.Size()))
	full = c.out.worthWritingLocked()
	c.mu.Unlock()
	if last && c.inflight.Closing() != nil {
		c.farewellDrained()
	}
	return full
}

// tells reports whether a request gets an answer of its own.
func (c *conn) tells(a answer) bool { return c.inflight.Dismissed() == nil || a.refused() }

// encodeInTurn encodes an answer when there is room for so many bytes. ok says
// that it may be queued, and then conn.mu is held; otherwise it was longer, or took
// long, and others have the room.
func (c *conn) encodeInTurn(a answer, size *uint64) (head *wire.Frame, body *wire.Body, ok bool) {
	a.await()
	k := c.awaitClaim(*size)
	if c.hasEnded() || !c.tells(a) {
		c.giveBack(k)
		c.mu.Lock()
		return nil, nil, true
	}
	defer func() {
		if !ok {
			c.giveBack(k) // user code may have panicked
		}
	}()
	if a.mayHang() {
		defer time.AfterFunc(claimPatience, func() { c.giveBack(k) }).Stop()
	}
	head, body = a.encode()
	*size = body.Size()
	c.mu.Lock()
	c.out.settleLocked(k)
	if ok = c.err != nil || !c.out.fullLocked(*size); !ok {
		c.out.grantLocked()
		c.mu.Unlock()
	}
	return head, body, ok
}
