package transport

import (
	"slices"
	"sync"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A booking is the total size of the incomplete messages from the peer: chunked ones,
// and long items of streams. Announced sizes count, as they do at the sender. It is safe for
// concurrent use.
//
// The sender holds chunked messages back, so one without room is refused. It does not know
// which items are being read. These wait for room, and their streams without credit: only
// readers within Next have booked, and none of them waits for another.
type booking struct {
	limit int64  // Limits.ConnBytes
	owner string // limits.Conn.Owner

	mu    sync.Mutex
	bytes int64
	items int64       // of these, of items
	line  []*itemRoom // items that wait for room, first come, first served
	over  bool        // releaseAll was called
}

// An itemRoom is the room for an item that waits for it.
type itemRoom struct {
	size    int64
	granted chan struct{}
}

func (b *booking) init(l *limits.Conn) { b.limit, b.owner = l.ConnBytes, l.Owner }

// book books the size of a message, or returns why it cannot.
func (b *booking) book(size uint64) *fault.Fault {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return nil
	}
	if uint64(b.bytes-b.items)+size > uint64(b.limit) {
		return fault.Refusal(fault.ResourceExhausted, "unfinished messages on this connection exceed %s Limits.ConnBytes (%d)", b.owner, b.limit)
	}
	b.bytes += int64(size)
	return nil
}

// bookItem books the size of an item. The room is granted at once, or when there is some.
// After releaseAll nothing counts any more.
func (b *booking) bookItem(size uint64) *itemRoom {
	b.mu.Lock()
	defer b.mu.Unlock()
	room := &itemRoom{size: int64(size), granted: make(chan struct{})}
	b.line = append(b.line, room)
	b.grantLocked()
	return room
}

// grantLocked grants room to the items in line. One item fits always.
func (b *booking) grantLocked() {
	for len(b.line) > 0 && (b.over || b.items == 0 || b.line[0].size <= b.limit-b.bytes) {
		room := popFirst(&b.line)
		if !b.over {
			b.bytes += room.size
			b.items += room.size
		}
		close(room.granted)
	}
}

// cancelItem takes an item out of the line. It reports false if its room has been granted.
func (b *booking) cancelItem(room *itemRoom) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.Index(b.line, room)
	if i < 0 {
		return false
	}
	b.line = slices.Delete(b.line, i, i+1)
	b.grantLocked()
	return true
}

// releaseItem releases the size of an item.
func (b *booking) releaseItem(size uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.over {
		b.items -= int64(size)
		b.releaseLocked(size)
	}
}

// release releases the size of a message.
func (b *booking) release(size uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.over {
		b.releaseLocked(size)
	}
}

// releaseLocked returns booked bytes.
func (b *booking) releaseLocked(size uint64) {
	b.bytes -= int64(size)
	b.grantLocked()
}

// releaseAll ends all bookings, at the end of the connection.
func (b *booking) releaseAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	b.grantLocked()
}

// maxRefused returns how many refused messages may be incomplete at a time: as many as a
// peer can have begun within ConnBytes and its open calls. Each refused call may be
// followed by another at once.
func maxRefused(l *limits.Conn, open int) int {
	begun := min(l.ConnBytes/wire.MaxUnchunked, int64(2*min(open, 1<<slotBits)))
	return max(maxRefusals, int(begun))
}
