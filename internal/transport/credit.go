package transport

import (
	"fmt"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// What a Receiver pays back to its peer, and how long a Sender waits for it.

// spendLocked takes cost from the credit of the peer.
func (r *Receiver) spendLocked(cost int64) error {
	if r.credit -= cost; r.credit < 0 {
		l := r.c.limits
		return fmt.Errorf("ITEMS of stream %d of call %d: %d bytes more than its credit (%s Limits.StreamWindow is %d)", r.key.number, r.key.id, -r.credit, l.Owner, l.StreamWindow)
	}
	return nil
}

// read notes that bytes have been read, and pays them back once they are half a window.
func (r *Receiver) read(cost int64) {
	if r.unpaid += cost; r.unpaid >= r.window/2 {
		r.payBack()
	}
}

// payBack sends the credit for the bytes read, and more if the goroutine waits for the
// peer: the window was too small for the way to it.
func (r *Receiver) payBack() {
	n := r.unpaid
	r.unpaid = 0
	if r.hungry {
		n += r.grow()
		r.hungry = false
	}
	r.mu.Lock()
	over := r.isOver()
	r.credit += n
	r.passLocked(r.pos) // so that the backlog stays within the window
	r.mu.Unlock()
	if over || n == 0 {
		return
	}
	c := r.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end.why != nil {
		return
	}
	if q := &c.writer.queue; r.owed == 0 {
		q.credits = append(q.credits, r)
	}
	r.owed += n
	c.writer.startIfNeededLocked()
}

// grow lends the stream as much credit as its window has, within Limits.ConnWindow: all
// streams together have at most the whole, and one stream a quarter.
func (r *Receiver) grow() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	most := int64(r.c.limits.ConnWindow)
	n := min(r.window, most/4-r.lent)
	if n <= 0 || r.isOver() {
		return 0
	}
	if r.c.streams.lent.Add(n) > most || !r.backlog.Lend(&r.c.requests.waiting, n) {
		r.c.streams.lent.Add(-n)
		return 0
	}
	r.lent += n
	r.window += n
	return n
}

// payPartial pays back the bytes of an incomplete item before the goroutine waits for
// the rest.
func (r *Receiver) payPartial() {
	r.hungry = true
	rest := r.cur[r.pos:]
	if len(rest) == 0 {
		return
	}
	// The next call of payPartial pays only for what has come since, and Next for what is
	// still missing.
	cost := int64(len(rest))
	if size, ok := wire.ReadItemHeader(rest); ok {
		cost += wire.HeaderCost(size) - wire.ItemHeader
	}
	r.read(cost - r.prepay)
	r.prepay = cost
}

// takeCreditsLocked moves the CREDIT frames to frames: one for each stream, so a peer that
// does not read cannot make them pile up.
func (q *sendQueue) takeCreditsLocked() {
	for _, r := range q.credits {
		f := r.key.frame(wire.Credit)
		q.frames = wire.AppendCredit(q.frames, &f, uint32(r.owed))
		r.owed = 0
	}
	clear(q.credits)
	q.credits = q.credits[:0]
}

// A windowLease limits the time for which a receiver may leave the window of a stream full
// while others wait for what the call of the stream holds. Conn.mu guards it.
type windowLease struct {
	after      time.Duration
	whenWanted func(f func())      // calls f once others wait; nil cancels
	end        func() *fault.Fault // called once; returns why the stream ends
	timer      *time.Timer         // of the current wait for credit, nil between two
	waits      int                 // ended waits for credit: an old timer has no effect
	why        *fault.Fault        // the lease is over
}

// SetLease sets the lease of a stream that has not begun. If its receiver leaves its window
// full for longer than after, the stream is over as soon as whenWanted calls its argument.
// end is called then, once, and returns the reason; LeaseOver has it from then on. Any
// goroutine may call end. End must follow.
func (s *Sender) SetLease(after time.Duration, whenWanted func(f func()), end func() *fault.Fault) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.lease = &windowLease{after: after, whenWanted: whenWanted, end: end}
}

// LeaseOver returns why the lease of the stream is over, nil if it is not.
func (s *Sender) LeaseOver() *fault.Fault {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.lease == nil {
		return nil
	}
	return s.lease.why
}

// beginLeaseLocked begins the lease of a sender that waits for credit.
func (s *Sender) beginLeaseLocked() {
	l := s.lease
	wait := l.waits
	l.timer = time.AfterFunc(l.after, func() {
		s.c.mu.Lock()
		waits := l.waits == wait
		s.c.mu.Unlock()
		if waits {
			l.whenWanted(func() { s.expire(wait) })
		}
	})
}

// endLeaseLocked ends the lease of a sender that has waited.
func (s *Sender) endLeaseLocked() {
	l := s.lease
	if l.waits++; l.timer != nil {
		l.timer.Stop()
		l.timer = nil
		l.whenWanted(nil)
	}
}

// expire ends the stream of a sender that still waits for the same credit. What it has
// sent, and what is in its buffer, reaches the receiver.
func (s *Sender) expire(wait int) {
	c, l := s.c, s.lease
	c.mu.Lock()
	waits := s.open && !s.gone && l.waits == wait
	c.mu.Unlock()
	if !waits {
		return
	}
	why := l.end() // takes the lock of the call
	c.mu.Lock()
	defer c.mu.Unlock()
	l.why, s.gone = why, true
	s.wakeLocked()
}
