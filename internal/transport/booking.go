package transport

import (
	"sync"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A booking is the total size of the incomplete messages from the peer: chunked ones,
// and items of streams. It is safe for concurrent use.
type booking struct {
	limit  int64  // Limits.ConnBytes
	owner  string // limits.Conn.Owner
	budget *limits.Budget

	mu    sync.Mutex
	bytes int64
	over  bool // releaseAll was called
}

func (b *booking) init(l *limits.Conn, budget *limits.Budget) {
	b.limit, b.owner, b.budget = l.ConnBytes, l.Owner, budget
}

// book books the size of a message, or returns why it cannot. After releaseAll only the
// readers of streams call it, for bytes already there: they count no more.
func (b *booking) book(size uint64) *fault.Fault {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return nil
	}
	if uint64(b.bytes)+size > uint64(b.limit) {
		return fault.Refusal(fault.ResourceExhausted, "unfinished messages on this connection exceed %s Limits.ConnBytes (%d)", b.owner, b.limit)
	}
	b.bytes += int64(size)
	err := b.budget.Book(int64(size))
	if err != nil {
		b.bytes -= int64(size)
	}
	return err
}

// release releases the size of a message.
func (b *booking) release(size uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return
	}
	b.bytes -= int64(size)
	b.budget.Release(int64(size))
}

// releaseAll returns everything to the budget of the server.
func (b *booking) releaseAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.budget.Release(b.bytes)
	b.over = true
}

// maxRefused returns how many refused messages may be incomplete at a time: as many as a
// peer can have begun within ConnBytes and its open calls. Each refused call may be
// followed by another at once.
func maxRefused(l *limits.Conn, open int) int {
	begun := min(l.ConnBytes/wire.MaxUnchunked, int64(2*min(open, 1<<slotBits)))
	return max(maxRefusals, int(begun))
}
