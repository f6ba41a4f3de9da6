package limits

import (
	"sync/atomic"

	"github.com/bsrpc/bsrpc/internal/fault"
)

// A Budget limits the announced bytes of unfinished chunked messages on all connections
// of a server together. It is safe for concurrent use. A nil Budget has no limit.
type Budget struct {
	most   int64 // Limits.ServerBytes
	booked atomic.Int64
}

// Init sets the limit. It must be called before all other methods.
func (b *Budget) Init(most int64) { b.most = most }

// Book reserves the size of a message. If the limit would be exceeded, it reserves
// nothing and returns the refusal.
func (b *Budget) Book(size int64) *fault.Fault {
	if b == nil {
		return nil
	}
	// Reserve before comparing, so that two connections cannot both take the rest.
	if b.booked.Add(size) > b.most {
		b.Release(size)
		return fault.Refusal(fault.ResourceExhausted, "unfinished messages at the server exceed Limits.ServerBytes (%d)", b.most)
	}
	return nil
}

// Release returns the size of a message reserved by Book.
func (b *Budget) Release(size int64) {
	if b != nil {
		b.booked.Add(-size)
	}
}

// Booked returns the number of reserved bytes.
func (b *Budget) Booked() int64 { return b.booked.Load() }
