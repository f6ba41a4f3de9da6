package tally

import (
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
)

// A Batch is calls of one connection to be counted together, with one look at the clock: those
// answered between two reads. It is not safe for concurrent use; the read lease guards it.
type Batch struct {
	Lane  *Lane
	alike []alike
}

// alike are calls that differ in nothing that is counted.
type alike struct {
	method *Method
	began  time.Duration
	code   fault.Code
	n      uint32
}

// lookBack is how many groups of calls are searched for one that takes another call.
const lookBack = 4

// Add adds a call that began at a time by limits.Monotonic.
func (b *Batch) Add(m *Method, code fault.Code, began time.Duration) {
	if m == nil {
		return
	}
	for i := len(b.alike) - 1; i >= 0 && i >= len(b.alike)-lookBack; i-- {
		if a := &b.alike[i]; a.method == m && a.began == began && a.code == code {
			a.n++
			return
		}
	}
	b.alike = append(b.alike, alike{m, began, code, 1})
}

// Empty reports whether the batch has no calls.
func (b *Batch) Empty() bool { return len(b.alike) == 0 }

// Count counts the calls of the batch, which have ended now. The batch is empty then.
func (b *Batch) Count(now time.Duration) {
	for i := range b.alike {
		a := &b.alike[i]
		a.method.Add(b.Lane, int(a.n), a.code, now-a.began)
	}
	b.alike = b.alike[:0]
}
