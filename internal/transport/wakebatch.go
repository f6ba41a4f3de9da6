package transport

import (
	"sync/atomic"
	"time"

	"github.com/bsrpc/bsrpc/internal/limits"
)

// A wakeBatch lets many callers write their next requests with one system call.
// The reader wakes all calls that one read has answered, and waits, before it
// reads on, until each has run. What they ask in the meantime they leave in the
// send queue: the reader writes that.
//
// Without it the first of them to run on another processor would write alone,
// then the next few, and so on: at 64 callers eight writes in place of one.
//
// Invariants:
//   - Whoever wakes parked calls counts them first; each counts itself out as
//     the first thing that it does.
//   - The lease holder does not wait for bytes while called is set: it
//     waits for the woken and flushes the send queue, and then unsets it. A lease that
//     is passed on takes called with it.
//   - A caller that finds some woken may therefore leave its frame to the
//     holder; and where nobody holds the lease, it is about to take it itself,
//     because it waits for its answer.
type wakeBatch struct {
	// guarded by the read lease
	answered []*Call // not woken yet
	granted  []*Call // likewise: what they have waited for is to be open
	woke     bool    // some have been woken

	answeredAt atomic.Int64  // when the bytes came that have answered the woken, by monotonic
	pending    atomic.Uint32 // how many have been woken and have not run yet, and holderWaits
	allResumed chan struct{} // capacity 1: the last one has run that was waited for
}

const readerWaits uint32 = 1 << 31 // for the woken; in the word beside their number

// resumed counts out a call that wake has woken.
func (m *wakeBatch) resumed() {
	if m.pending.Add(^uint32(0)) == readerWaits {
		m.allResumed <- struct{}{}
	}
}

// anyPending says whether calls have been woken that have not run yet.
func (m *wakeBatch) anyPending() bool { return m.pending.Load() > 0 }

// now is monotonic, but for a call that is made among the woken: that begins
// with the read that has brought their answers, for a clock costs as much as the
// rest of its bookkeeping.
func (m *wakeBatch) now() time.Duration {
	if m.anyPending() {
		return time.Duration(m.answeredAt.Load())
	}
	return limits.Monotonic()
}

// wake hands calls back to their goroutines, those that are answered and those
// that may be open now. It reports whether any was asleep. The slices are its own.
func (m *wakeBatch) wake(answered, granted []*Call) bool {
	parked := answered[:0]
	for _, k := range answered {
		if k.finish() {
			parked = append(parked, k)
		}
	}
	n := len(parked) + len(granted)
	m.pending.Add(uint32(n))
	for _, k := range parked {
		k.wake <- true
	}
	for _, k := range granted {
		k.wake <- true
	}
	clear(answered)
	clear(granted)
	return n > 0
}

// wakeAnswered wakes the calls in answered and granted, whose bytes came at a
// time.
func (m *wakeBatch) wakeAnswered(at time.Time) {
	if len(m.answered) == 0 && len(m.granted) == 0 {
		return
	}
	m.answeredAt.Store(int64(limits.MonotonicAt(at)))
	if m.wake(m.answered, m.granted) {
		m.woke = true
	}
	m.answered, m.granted = m.answered[:0], m.granted[:0]
}

// wait waits until all that have been woken have run.
func (m *wakeBatch) wait() {
	m.woke = false
	if !m.anyPending() {
		return
	}
	if m.pending.Add(readerWaits) > readerWaits {
		<-m.allResumed
	}
	m.pending.Add(readerWaits) // takes it away
}
