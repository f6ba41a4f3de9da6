package transport

import (
	"sync/atomic"
	"time"

	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/tally"
)

// A wakeBatch is the callers woken by the answers of one read. The reader wakes them
// all, and before it reads again it waits until each has run. Requests they make until
// then stay in the send queue, and the reader writes them with one system call.
//
// Otherwise the first caller running on another processor would write alone, then the
// next few, and so on: eight writes for 64 callers.
//
// Invariants:
//   - Calls are counted before they are woken. A woken call counts itself out before it
//     does anything else.
//   - The lease holder does not wait for bytes while woke is set: it waits for the
//     pending calls, flushes the send queue, and clears woke. woke passes to the next
//     holder together with the lease.
//   - A caller finding pending calls may therefore leave its frame to the lease holder.
//     If the lease is free, this caller is about to take it, to wait for its answer.
type wakeBatch struct {
	// guarded by the read lease
	answered []*Call     // to be woken with their answers
	opened   []*Call     // to be woken with their place in the call table
	counted  tally.Batch // of the answered calls
	woke     bool        // calls have been woken since the last wait

	readAt     atomic.Int64  // arrival of the bytes with the answers, by limits.Monotonic
	pending    atomic.Uint32 // woken calls that have not run yet, and readerWaits
	allResumed chan struct{} // capacity 1: the last pending call has run
}

// readerWaits is the bit of pending set while the reader waits for the pending calls.
const readerWaits uint32 = 1 << 31

func (b *wakeBatch) init(l *tally.Lane) {
	b.allResumed = make(chan struct{}, 1)
	b.counted.Lane = l
}

// resumed counts out a call woken with true.
func (b *wakeBatch) resumed() {
	if b.pending.Add(^uint32(0)) == readerWaits {
		b.allResumed <- struct{}{}
	}
}

// anyPending reports whether woken calls have not run yet.
func (b *wakeBatch) anyPending() bool { return b.pending.Load() > 0 }

// now returns the start time of a call. While a wake batch runs it is the time of the
// read, because a clock costs as much as all other accounting of a call.
func (b *wakeBatch) now() time.Duration {
	if b.anyPending() {
		return time.Duration(b.readAt.Load())
	}
	return limits.Monotonic()
}

// wake hands calls back to their goroutines: those with an answer, and those with a
// place in the call table. It reports whether one was asleep. It overwrites both slices.
func (b *wakeBatch) wake(answered, opened []*Call) bool {
	parked := answered[:0]
	for _, call := range answered {
		if call.finish() {
			parked = append(parked, call)
		}
	}
	n := len(parked) + len(opened)
	b.pending.Add(uint32(n))
	for _, call := range parked {
		call.wake <- true
	}
	for _, call := range opened {
		call.wake <- true
	}
	clear(answered)
	clear(opened)
	return n > 0
}

// wakeAll counts the answered calls, and wakes those in answered and opened. at is the time of
// their read, by limits.Monotonic.
func (b *wakeBatch) wakeAll(at time.Duration) {
	if !b.counted.Empty() {
		b.counted.Count(at)
	}
	if len(b.answered) == 0 && len(b.opened) == 0 {
		return
	}
	b.readAt.Store(int64(at))
	if b.wake(b.answered, b.opened) {
		b.woke = true
	}
	b.answered, b.opened = b.answered[:0], b.opened[:0]
}

// wait waits until all woken calls have run.
func (b *wakeBatch) wait() {
	b.woke = false
	if !b.anyPending() {
		return
	}
	if b.pending.Add(readerWaits) > readerWaits {
		<-b.allResumed
	}
	b.pending.Add(readerWaits) // overflows, which clears the bit
}
