package transport

import (
	"sync/atomic"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// Answers wait for room in the send queue before they are encoded: what a peer does
// not read takes Limits.OutQueue bytes and one answer, not the results of all
// the calls that it has open.

// A reservation is an answer's place in the line for room. conn.mu guards held.
type reservation struct {
	size    uint64        // bytes of the answer, as far as they are known
	granted chan struct{} // closed when the answer may be encoded
	active  bool          // its bytes are among reservations.reserved
}

// reservations are the answers of a connection that wait for room, first come, first
// served. conn.mu guards them, but for full.
type reservations struct {
	waiting  [2][]*reservation // those that travel in one frame, and those in chunks
	reserved uint64            // bytes of answers that are being encoded, in room that has been granted
	full     atomic.Bool       // another request is not to begin: its answer would have to wait
}

// maxWaitingChunked is how many answers in chunks may wait before no request begins.
// Those do not bound it by their bytes: short answers pass them.
const maxWaitingChunked = 4

// reservationTime is how long user code that encodes may keep others from the
// room that it has been granted.
const reservationTime = 2 * WatchdogPeriod

func lineOf(size uint64) int {
	if size <= wire.MaxUnchunked {
		return 0
	}
	return 1
}

// takesLocked says whether an answer of so many bytes may be queued now. Those
// in line are first.
func (o *sendQueue) takesLocked(size uint64) bool {
	if size <= wire.MaxUnchunked {
		return !o.isFull() // as it is while one of them is in line
	}
	return len(o.reservations.waiting[1]) == 0 && !o.fullLocked(size)
}

// reserveLocked puts an answer in line.
func (o *sendQueue) reserveLocked(size uint64) *reservation {
	k := &reservation{size: size, granted: make(chan struct{})}
	line := &o.reservations.waiting[lineOf(size)]
	*line = append(*line, k)
	o.grantLocked()
	return k
}

// grantLocked grants room to the answers that are next, as far as there is any,
// and lets the others that wait for room look again. It is called whenever bytes
// have come to the send queue or left it.
func (o *sendQueue) grantLocked() {
	if o.reservations.anyLocked() {
		o.grantReservationsLocked()
	}
	if full := o.mustWaitLocked(0); full != o.reservations.full.Load() {
		o.reservations.full.Store(full)
	}
	if o.roomFreed != nil {
		close(o.roomFreed)
		o.roomFreed = nil
	}
}

func (c *reservations) anyLocked() bool { return len(c.waiting[0])+len(c.waiting[1]) > 0 }

func (o *sendQueue) grantReservationsLocked() {
	for i := range o.reservations.waiting {
		line := &o.reservations.waiting[i]
		for len(*line) > 0 && !o.fullLocked((*line)[0].size) {
			k := popFirst(line)
			k.active = true
			o.reservations.reserved += k.size
			close(k.granted)
		}
	}
}

// mustWaitLocked says whether a message of so many bytes waits that is to be queued
// before another request begins.
func (o *sendQueue) mustWaitLocked(size uint64) bool {
	return o.fullLocked(size) || len(o.reservations.waiting[1]) >= maxWaitingChunked
}

// isFull says whether no request is to begin. It takes no lock.
func (o *sendQueue) isFull() bool { return o.reservations.full.Load() }

// endReservationLocked ends what was granted to k. It reports whether k had it still.
func (o *sendQueue) endReservationLocked(k *reservation) bool {
	held := k.active
	if held {
		k.active = false
		o.reservations.reserved -= k.size
	}
	return held
}

// cancelReservation lets others have what was granted to k.
func (c *Conn) cancelReservation(k *reservation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.queue.endReservationLocked(k) {
		c.queue.grantLocked()
	}
}

// awaitReservation waits in line for room for the answer of so many bytes, or for
// the connection's end.
func (c *Conn) awaitReservation(size uint64) *reservation {
	c.mu.Lock()
	k := c.queue.reserveLocked(size)
	c.mu.Unlock()
	c.flushAsync()
	select {
	case <-k.granted:
	case <-c.done:
	}
	return k
}

// AwaitRoom waits, at an end that serves, until another request may begin. The
// leader calls it.
func (c *Conn) AwaitRoom() {
	if c.cfg.Serves && c.queue.isFull() {
		c.handler.Idle()
		c.WaitForRoom()
	}
}

// WaitForRoom waits until the send queue takes a short message.
func (c *Conn) WaitForRoom() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waitForRoomLocked(0)
}

// Respond queues a response that no Answer encodes, when there is room for it. The
// Handler calls it, as AwaitRoom.
func (c *Conn) Respond(head *wire.Frame, body *wire.Body) {
	size := body.Size()
	c.AwaitRoom()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waitForRoomLocked(size)
	c.queue.addMessageLocked(head, body, size)
}

// waitForRoomLocked waits, without the lock, until the send queue takes a message of
// so many bytes, and another request may begin.
func (c *Conn) waitForRoomLocked(size uint64) {
	for c.err == nil && c.queue.mustWaitLocked(size) {
		taken := c.queue.roomFreedLocked()
		c.mu.Unlock()
		c.flushAsync()
		select {
		case <-taken:
		case <-c.done:
		}
		c.mu.Lock()
	}
	c.queue.grantLocked()
}
