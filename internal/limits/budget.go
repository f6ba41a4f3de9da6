package limits

import (
	"sync/atomic"

	"github.com/bsrpc/bsrpc/internal/fault"
)

// A Budget bounds the bytes of the incomplete long messages of all connections of a
// server. It is safe for concurrent use. A nil Budget has no bound.
type Budget struct {
	most   int64 // Limits.ServerBytes
	booked atomic.Int64
}

// Init sets the bound.
func (b *Budget) Init(most int64) { b.most = most }

// Book reserves the size of a long message, or returns why it cannot.
func (b *Budget) Book(size int64) *fault.Fault {
	if b == nil {
		return nil
	}
	// Reserve before looking: other connections do the same.
	if b.booked.Add(size) > b.most {
		b.Release(size)
		return fault.Refusal(fault.ResourceExhausted, "unfinished messages at the server exceed Limits.ServerBytes (%d)", b.most)
	}
	return nil
}

// Release ends what Book has reserved.
func (b *Budget) Release(size int64) {
	if b != nil {
		b.booked.Add(-size)
	}
}

// Booked returns how many bytes are reserved.
func (b *Budget) Booked() int64 { return b.booked.Load() }
