package transport

import (
	"fmt"
	"slices"
	"time"

	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/recycle"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A reassembly is an incomplete chunked message.
type reassembly struct {
	head       wire.Frame
	body       []byte
	received   uint64            // bytes of all chunks so far
	lastRead   time.Duration     // arrival of the newest bytes
	discarded  bool              // refused or stale: its chunks are dropped as they arrive
	unfinished limits.Unfinished // while it is not discarded
}

// A chunkedKey identifies a chunked message. Requests and responses have ids of their
// own.
type chunkedKey struct {
	response bool
	id       uint64
}

// The memory of a message is firstBody bytes at first, and later at most bodyGrowth
// times the bytes received. On a connection with a longer message before, it is as much as
// that one at once, and at most longGrowth times the bytes received.
const (
	firstBody  = 4 << 10
	bodyGrowth = 4
	longGrowth = 16
)

// beginChunk checks the header of a chunk and prepares for its body.
func (b *receiveBuffer) beginChunk(f *wire.Frame) error {
	key := chunkedKey{f.Type == wire.Response || f.Type == wire.ResponseChunk, f.ID}
	p := b.chunked[key]
	if f.Flags&wire.Chunked != 0 {
		if p != nil {
			return fmt.Errorf("%v %d begins a second time", f.Type, f.ID)
		}
		p = &reassembly{head: *f, lastRead: b.readAt}
		accepted, err := b.accept(p)
		if err != nil {
			return err
		}
		p.discarded = !accepted
		// The metadata refers to the buffer. A refused message needs none.
		if p.head.Meta = nil; accepted {
			p.head.Meta = slices.Clone(f.Meta)
		} else {
			b.refused++
		}
		if b.refused > b.maxRefused {
			return fmt.Errorf("%d chunked messages were refused and are neither complete nor cancelled", b.refused)
		}
		if b.chunked == nil {
			b.chunked = make(map[chunkedKey]*reassembly)
		}
		b.chunked[key] = p
	}
	if p == nil {
		return fmt.Errorf("%v for message %d: not begun, or already complete", f.Type, f.ID)
	}
	if p.received+uint64(f.BodySize) > p.head.Total {
		return fmt.Errorf("%v for message %d is %d bytes too long", f.Type, f.ID, p.received+uint64(f.BodySize)-p.head.Total)
	}
	b.arriving, b.left = p, f.BodySize
	return nil
}

// takeChunk moves the available bytes of the chunk to its message. It reports whether
// the message is complete, and in b.message.
func (b *receiveBuffer) takeChunk() bool {
	n := min(b.left, b.w-b.r)
	p := b.arriving
	if !p.discarded {
		b.grow(p, n)
		p.body = append(p.body, b.buf[b.r:b.r+n]...)
	}
	b.r += n
	b.chunkArrived(n)
	if b.left > 0 || p.received < p.head.Total {
		return false
	}
	b.arriving = nil
	b.remove(p)
	b.longest = max(b.longest, len(p.body))
	b.message = Message{Frame: p.head, Body: p.body, Own: true}
	return !p.discarded || p.head.Type == wire.Response // a discarded answer still ends its call
}

// chunkArrived counts n bytes of the chunk arriving.
func (b *receiveBuffer) chunkArrived(n int) {
	b.left -= n
	p := b.arriving
	p.received += uint64(n)
	p.lastRead = b.readAt
	if !p.discarded {
		p.unfinished.Add(n, b.readAt)
	}
}

// grow makes room for n more bytes of p that have arrived, and for at least one. The memory
// follows the bytes received.
func (b *receiveBuffer) grow(p *reassembly, n int) {
	if len(p.body)+n <= cap(p.body) && len(p.body) < cap(p.body) {
		return
	}
	body := recycle.Bytes(int(p.head.Total), b.roomFor(int(p.head.Total), len(p.body)+n))
	old := p.body
	p.body = body[:copy(body, old)]
	recycle.Free(old)
}

// roomFor returns the size of new memory for a message of total bytes, of which some have been
// received. A peer announcing much and sending little must not make this end allocate much.
func (b *receiveBuffer) roomFor(total, received int) int {
	size := max(firstBody, bodyGrowth*received)
	if usual := min(b.longest, total); usual > size {
		size = max(firstBody, longBody(usual, received))
	}
	return min(size, total)
}

// longBody returns the size of the memory for a message of total bytes, a usual size, of
// which some have been received. If it is less than total, filling it allows total, although
// recycle.Bytes may return an eighth less: so little is copied then, 128 KiB of 1 MiB and not
// half of it. It is more than twice the bytes received.
func longBody(total, received int) int {
	for total/longGrowth > received && total > firstBody {
		total /= longGrowth / 2
	}
	return total
}

// cancelRequest removes a request cancelled by the peer. It returns the header of a request
// that had begun, and whether it was accepted.
func (b *receiveBuffer) cancelRequest(id uint64) (head *wire.Frame, accepted bool) {
	p := b.chunked[chunkedKey{false, id}]
	if p == nil {
		return nil, false
	}
	b.remove(p)
	return &p.head, !p.discarded
}

// isRequestIncomplete reports whether a request has begun and is not complete.
func (b *receiveBuffer) isRequestIncomplete(id uint64) bool {
	return b.chunked[chunkedKey{false, id}] != nil
}

// removeReply removes a reply the peer sends no further chunks of.
func (b *receiveBuffer) removeReply(id uint64) {
	if p := b.chunked[chunkedKey{true, id}]; p != nil {
		b.remove(p)
	}
}

// discardStale discards the messages without progress since then. It returns their
// headers.
func (b *receiveBuffer) discardStale(then time.Duration) (heads []wire.Frame) {
	for _, p := range b.chunked {
		if !p.discarded && p.lastRead <= then {
			b.discard(p)
			heads = append(heads, p.head)
		}
	}
	return heads
}

// discard discards a message, and its further chunks as they arrive.
func (b *receiveBuffer) discard(p *reassembly) {
	if !p.discarded {
		p.unfinished.End()
		b.unbook(p.head.Total)
		b.refused++
	}
	p.discarded, p.body = true, nil
}

// remove removes a complete or cancelled message.
func (b *receiveBuffer) remove(p *reassembly) {
	if p.discarded {
		b.refused--
	} else {
		p.unfinished.End()
		b.unbook(p.head.Total)
	}
	delete(b.chunked, chunkedKey{p.head.Type == wire.Response, p.head.ID})
}

// discardExcess discards the messages that have to go for Limits.ServerBytes, and returns
// them.
func (b *receiveBuffer) discardExcess() (gone []*reassembly) {
	for _, p := range b.chunked {
		if !p.discarded && p.unfinished.HasToGo() {
			b.discard(p)
			gone = append(gone, p)
		}
	}
	return gone
}

// endUnfinished ends the count of all messages, at the end of the connection.
func (b *receiveBuffer) endUnfinished() {
	for _, p := range b.chunked {
		p.unfinished.End()
	}
}

// unfinishedRequests returns how many accepted requests are incomplete.
func (b *receiveBuffer) unfinishedRequests() (n int) {
	for _, p := range b.chunked {
		if !p.discarded && p.head.Type == wire.Request {
			n++
		}
	}
	return n
}
