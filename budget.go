package bsrpc

import (
	"sync/atomic"

	"github.com/bsrpc/bsrpc/internal/fault"
)

// A budget bounds the bytes of long messages that the connections of a server hold
// together while they arrive.
type budget struct {
	most   int64 // Limits.ServerBytes
	booked atomic.Int64
}

// book books what a long message may come to hold among all of a server's, or
// says why it cannot be booked.
func (b *budget) book(size int64) *fault.Fault {
	// Booked before looking, as other connections do the same.
	if b.booked.Add(size) > b.most {
		b.unbook(size)
		return fault.Refusal(fault.ResourceExhausted, "the messages under way at the server are above Limits.ServerBytes (%d)", b.most)
	}
	return nil
}

func (b *budget) unbook(size int64) { b.booked.Add(-size) }
