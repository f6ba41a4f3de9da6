package transport

import (
	"slices"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// A parcel is a message that travels in pieces.
type parcel struct {
	head  wire.Frame    // of the next piece
	begin func() uint64 // gives a request its id, as its first piece is taken; nil for a response
	body  [][]byte      // what no piece has taken yet
	size  uint64        // of the whole body
	left  uint64        // bytes in body

	response bool
	lent     bool          // a piece is being written from where it lies
	stopped  bool          // nobody wants the rest
	released chan struct{} // closed when lent ends; nil if nobody waits for that
}

// newParcel returns a message of so many bytes. begin may be nil.
func newParcel(head wire.Frame, body *wire.Body, size uint64, begin func() uint64) *parcel {
	head.Flags |= wire.Chunked
	head.Total = size
	return &parcel{head: head, begin: begin, body: body.Segments(), size: size, left: size, response: head.Type == wire.Response}
}

// begunLocked says whether the peer may know of p.
func (p *parcel) begunLocked() bool { return p.left < p.size }

// remainsLocked says whether there is more of p to be written.
func (p *parcel) remainsLocked() bool { return p.left > 0 && !p.stopped }

// pieceLocked appends the head of p's next piece to the frames, behind those
// that are there, so that ids rise in the order in which they are written. It
// returns the piece's size.
func (p *parcel) pieceLocked(o *outbox) uint64 {
	n := min(p.left, wire.MaxChunk)
	p.head.BodySize = int(n)
	first := p.left == p.size
	if first && p.begin != nil {
		p.head.ID = p.begin()
	}
	o.frames = wire.AppendHeader(o.frames, &p.head)
	if first {
		p.head = wire.Frame{Type: p.head.Type + 1, ID: p.head.ID} // a piece's type is the next
	}
	return n
}

// followLocked puts more of p's pieces into the batch.
func (p *parcel) followLocked(o *outbox, pieces int) {
	o.heads = slices.Grow(o.heads[:0], pieces*wire.ChunkHeaderSize) // must not move while the batch refers to it
	for range pieces {
		if p.left == 0 {
			return
		}
		n := min(p.left, wire.MaxChunk)
		p.head.BodySize = int(n)
		begin := len(o.heads)
		o.heads = wire.AppendHeader(o.heads, &p.head)
		o.vec = append(o.vec, o.heads[begin:])
		p.cutLocked(o, n)
	}
}

// cutLocked moves n bytes from p's body to the batch.
func (p *parcel) cutLocked(o *outbox, n uint64) {
	p.left -= n
	for n > 0 {
		k := min(n, uint64(len(p.body[0])))
		o.vec = append(o.vec, p.body[0][:k])
		if p.body[0] = p.body[0][k:]; len(p.body[0]) == 0 {
			p.body = p.body[1:]
		}
		n -= k
	}
}

func (p *parcel) releaseLocked() {
	p.lent = false
	if p.released != nil {
		close(p.released)
		p.released = nil
	}
}
