package transport

import (
	"github.com/bsrpc/bsrpc/internal/wire"
)

// What a Receiver pays back to its peer.

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
	over := r.over
	r.credit += n
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
	if n <= 0 || r.over {
		return 0
	}
	if r.c.streams.lent.Add(n) > most {
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
