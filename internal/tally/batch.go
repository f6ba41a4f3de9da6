package tally

import (
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
)

// A Batch is calls of one connection to be counted together, with one look at the clock: those
// answered between two reads. It is not safe for concurrent use; the read lease guards it.
type Batch struct {
	Lane   *Lane
	first  alike // its n is 0 in an empty batch; its method is that of an earlier one
	cell   *cell // of the first
	others []alike
}

// alike are calls that differ in nothing that is counted.
type alike struct {
	method *Method
	began  time.Duration
	code   fault.Code
	n      uint32
}

// Add adds a call that began at a time by limits.Monotonic.
func (b *Batch) Add(m *Method, code fault.Code, began time.Duration) {
	switch a := &b.first; {
	case m == nil:
	case a.n == 0:
		if a.method != m {
			a.method, b.cell = m, m.cell(b.Lane)
		}
		a.began, a.code, a.n = began, code, 1
	case a.method == m && a.began == began && a.code == code:
		a.n++
	default:
		b.addOther(m, code, began)
	}
}

// lookBack is how many groups of calls are searched for one that takes another call.
const lookBack = 4

// addOther is Add for a call that differs from the first.
func (b *Batch) addOther(m *Method, code fault.Code, began time.Duration) {
	for i := len(b.others) - 1; i >= max(0, len(b.others)-lookBack); i-- {
		if a := &b.others[i]; a.method == m && a.began == began && a.code == code {
			a.n++
			return
		}
	}
	b.others = append(b.others, alike{m, began, code, 1})
}

// Empty reports whether the batch has no calls.
func (b *Batch) Empty() bool { return b.first.n == 0 }

// Count counts the calls of the batch, which have ended now. The batch is empty then.
func (b *Batch) Count(now time.Duration) {
	if a := &b.first; a.n > 0 {
		b.cell.add(uint64(a.n), a.code, now-a.began)
		a.n = 0
	}
	for i := range b.others {
		a := &b.others[i]
		a.method.Add(b.Lane, int(a.n), a.code, now-a.began)
	}
	b.others = b.others[:0]
}
