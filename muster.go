package bsrpc

import "sync/atomic"

// A muster lets many callers write their next requests with one system call.
// The reader wakes all calls that one read has answered, and waits, before it
// reads on, until each has run. What they ask in the meantime they leave in the
// outbox: the reader writes that.
//
// Without it the first of them to run on another processor would write alone,
// then the next few, and so on: at 64 callers eight writes in place of one.
//
// Invariants:
//   - Whoever wakes parked calls counts them first; each counts itself out as
//     the first thing that it does.
//   - The holder of the turn does not wait for bytes while called is set: it
//     waits for the woken and flushes the outbox, and then unsets it. A turn that
//     is passed on takes called with it.
//   - A caller that finds some woken may therefore leave its frame to the
//     holder; and where nobody holds the turn, it is about to take it itself,
//     because it waits for its answer.
type muster struct {
	// the holder of the turn's
	answered []*call // not woken yet
	granted  []*call // likewise: what they have waited for is to be open
	called   bool    // some have been woken

	word  atomic.Uint64 // from the low end: 32 bits of asleep, 31 of woken, 1 of waiting
	whole chan struct{} // capacity 1: the last one has run that was waited for
}

const (
	oneAsleep uint64 = 1       // calls in callParked, and the woken
	oneWoken  uint64 = 1 << 32 // calls that have been woken and have not run yet
	waiting   uint64 = 1 << 63 // the holder waits for these
)

// enter counts a call in that is about to be parked, or waits to be open.
func (m *muster) enter() { m.word.Add(oneAsleep) }

// leave counts one out. counted says that wake has woken it.
func (m *muster) leave(counted bool) {
	if !counted {
		m.word.Add(^oneAsleep + 1)
		return
	}
	if v := m.word.Add(^(oneAsleep + oneWoken) + 1); v >= waiting && v-waiting < oneWoken {
		m.whole <- struct{}{}
	}
}

// anyAsleep says whether calls are parked, or were a moment ago.
func (m *muster) anyAsleep() bool { return uint32(m.word.Load()) > 0 }

// anyWoken says whether calls have been woken that have not run yet.
func (m *muster) anyWoken() bool { return m.word.Load() >= oneWoken }

// wake hands calls back to their goroutines, those that are answered and those
// that may be open now. It reports whether any was asleep. The slices are its own.
func (m *muster) wake(answered, granted []*call) bool {
	parked := answered[:0]
	for _, k := range answered {
		if k.finish() {
			parked = append(parked, k)
		}
	}
	n := len(parked) + len(granted)
	m.word.Add(uint64(n) * oneWoken)
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

// wakeAnswered wakes the calls in answered and granted.
func (m *muster) wakeAnswered() {
	if len(m.answered) == 0 && len(m.granted) == 0 {
		return
	}
	if m.wake(m.answered, m.granted) {
		m.called = true
	}
	m.answered, m.granted = m.answered[:0], m.granted[:0]
}

// wait waits until all that have been woken have run.
func (m *muster) wait() {
	m.called = false
	if !m.anyWoken() {
		return
	}
	if m.word.Add(waiting) >= waiting+oneWoken {
		<-m.whole
	}
	m.word.Add(^waiting + 1)
}
