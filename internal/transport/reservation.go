package transport

import (
	"sync/atomic"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// A reservation is the place of a reply waiting for room in the send queue, to be
// encoded into it. Because replies wait unencoded, a peer reading nothing costs
// Limits.OutQueue bytes and one reply, not the results of all its calls.
type reservation struct {
	size    uint64        // of the reply, as far as it is known
	granted chan struct{} // closed when the reply may be encoded
	active  bool          // size is counted in reservations.reserved; guarded by Conn.mu
}

// reservations are the replies of a connection waiting for room, first come, first
// served. Conn.mu guards them, except for full.
type reservations struct {
	waiting  [2][]*reservation // by lineOf: replies of one frame, and chunked ones
	reserved uint64            // bytes granted to replies now being encoded
	full     atomic.Bool       // no request may begin, as its reply would have to wait
}

// maxWaitingChunked is how many chunked replies may wait before no request begins. Their
// bytes alone do not prevent that, because short replies pass them.
const maxWaitingChunked = 4

// reservationTime is how long user code may take to encode a reply before others get its
// room.
const reservationTime = 2 * WatchdogPeriod

func lineOf(size uint64) int {
	if size <= wire.MaxUnchunked {
		return 0
	}
	return 1
}

func (r *reservations) anyLocked() bool { return len(r.waiting[0])+len(r.waiting[1]) > 0 }

// takesLocked reports whether a reply of size bytes may be queued now. Waiting replies
// come first.
func (q *sendQueue) takesLocked(size uint64) bool {
	if size <= wire.MaxUnchunked {
		return !q.isFull() // which it is while a reply of one frame is waiting
	}
	return len(q.reservations.waiting[1]) == 0 && !q.fullLocked(size)
}

// isFull reports whether no request may begin. It takes no lock.
func (q *sendQueue) isFull() bool { return q.reservations.full.Load() }

// reserveLocked makes a reply wait for room.
func (q *sendQueue) reserveLocked(size uint64) *reservation {
	r := &reservation{size: size, granted: make(chan struct{})}
	line := &q.reservations.waiting[lineOf(size)]
	*line = append(*line, r)
	q.grantLocked()
	return r
}

// grantLocked grants reservations as far as there is room, and wakes the other senders
// waiting for room. It is called whenever the bytes in the send queue have changed.
func (q *sendQueue) grantLocked() {
	if q.reservations.anyLocked() {
		q.grantReservationsLocked()
	}
	n, longest := q.bytesLocked()
	q.unread.Set(n)
	if full := n-longest >= uint64(q.limit) || q.tooManyChunkedLocked(); full != q.reservations.full.Load() {
		q.reservations.full.Store(full)
	}
	if q.roomFreed != nil {
		close(q.roomFreed)
		q.roomFreed = nil
	}
}

func (q *sendQueue) grantReservationsLocked() {
	for i := range q.reservations.waiting {
		line := &q.reservations.waiting[i]
		for len(*line) > 0 && !q.fullLocked((*line)[0].size) {
			r := popFirst(line)
			r.active = true
			q.reservations.reserved += r.size
			close(r.granted)
		}
	}
}

// mustWaitLocked reports whether a message of size bytes must wait. With size 0 it
// reports whether the next request must.
func (q *sendQueue) mustWaitLocked(size uint64) bool {
	return q.fullLocked(size) || q.tooManyChunkedLocked()
}

// tooManyChunkedLocked reports whether no request may begin because of waiting chunked replies.
func (q *sendQueue) tooManyChunkedLocked() bool {
	return len(q.reservations.waiting[1]) >= maxWaitingChunked
}

// endReservationLocked ends a reservation. It reports whether r was still active.
func (q *sendQueue) endReservationLocked(r *reservation) bool {
	active := r.active
	if active {
		r.active = false
		q.reservations.reserved -= r.size
	}
	return active
}

// cancelReservation ends a reservation and grants its room to others.
func (w *writer) cancelReservation(r *reservation) {
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	if w.queue.endReservationLocked(r) {
		w.queue.grantLocked()
	}
}

// awaitReservation waits for room for a reply of size bytes, or for the end of the
// connection.
func (w *writer) awaitReservation(size uint64) *reservation {
	w.c.mu.Lock()
	r := w.queue.reserveLocked(size)
	w.c.mu.Unlock()
	w.c.reader.turn.flushes.Store(false) // this may be the leader
	w.flushAsync()
	select {
	case <-r.granted:
	case <-w.c.end.done:
	}
	return r
}

// awaitRoomLocked waits until the send queue accepts a message of size bytes, or the
// connection ends. It releases Conn.mu while waiting.
func (w *writer) awaitRoomLocked(size uint64) {
	c := w.c
	for c.end.why == nil && w.queue.mustWaitLocked(size) {
		freed := w.queue.roomFreedLocked()
		c.mu.Unlock()
		c.reader.turn.flushes.Store(false) // this may be the leader
		w.flushAsync()
		select {
		case <-freed:
		case <-c.end.done:
		}
		c.mu.Lock()
	}
	w.queue.grantLocked()
}
