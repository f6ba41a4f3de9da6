package transport

import (
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
)

// Items above the window of their stream, at the receiver. They have room of their own in the
// limits of the connection and of the server, and a time limit.

// bookItem books an item above the window once, as a part of Limits.ConnBytes: its bytes
// are paid back before it is complete. It waits for room, while the sender waits for credit.
func (r *Receiver) bookItem(size uint64) error {
	if r.books || int64(size) < r.window {
		return nil
	}
	b := &r.c.requests.booking
	room := b.bookItem(size)
	if !r.awaitRoom(room) && b.cancelItem(room) {
		return nil // the stream is over, and fill returns its end
	}
	u := new(limits.Unfinished)
	if err := r.c.cfg.Budget.Begin(u, limits.Monotonic(), r.c.limits.Owner, func() { r.dropExcess(u) }); err != nil {
		b.releaseItem(size)
		r.leave(err, true)
		return err
	}
	r.books = true
	r.mu.Lock()
	defer r.mu.Unlock()
	r.booked, r.unfinished = uint32(size), u
	u.Add(len(r.cur)-r.pos, limits.Monotonic())
	r.passLocked(len(r.cur))
	if r.isDropped() {
		r.releaseLocked()
	}
	return nil
}

// dropExcess ends the stream if its item is still u, which has to go for Limits.ServerBytes.
func (r *Receiver) dropExcess(u *limits.Unfinished) {
	r.mu.Lock()
	current := r.unfinished == u
	r.mu.Unlock()
	if current {
		why := u.Fault()
		why.Outcome = fault.OutcomeUnknown
		r.leave(why, true)
	}
}

// awaitRoom waits until room is granted. It reports false if the stream is over before.
func (r *Receiver) awaitRoom(room *itemRoom) bool {
	for {
		r.mu.Lock()
		if r.isOver() {
			r.mu.Unlock()
			return false
		}
		r.waitLocked()
		r.mu.Unlock()
		select {
		case <-r.wake: // perhaps for bytes
		case <-room.granted:
			r.stopWaiting()
			return true
		}
	}
}

// stopWaiting ends a wait for another reason than a token in wake. It reports false if there
// is a token.
func (r *Receiver) stopWaiting() bool {
	r.mu.Lock()
	waiting := r.waiting
	r.waiting = false
	r.mu.Unlock()
	if !waiting {
		<-r.wake
	}
	return waiting
}

// awaitLong waits for more bytes of a booked item, for at most Limits.FrameTimeout.
func (r *Receiver) awaitLong() {
	timeout := r.c.limits.FrameTimeout
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-r.wake:
	case <-timer.C:
		if r.stopWaiting() {
			r.leave(fault.New(fault.DeadlineExceeded, fault.OutcomeUnknown, "an item made no progress for %s Limits.FrameTimeout (%v)", r.c.limits.Owner, timeout), true)
		}
	}
}

// unbook ends the booking of an item that is complete.
func (r *Receiver) unbook() {
	r.books = false
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endItemLocked()
}

// endItemLocked ends the booking of an item, if there is one.
func (r *Receiver) endItemLocked() {
	r.c.requests.booking.releaseItem(uint64(r.booked))
	if r.booked = 0; r.unfinished != nil {
		r.unfinished.End()
		r.unfinished = nil
	}
}
