package transport

import (
	"slices"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// A chunkedMessage is a message that travels in chunks.
type chunkedMessage struct {
	head     wire.Frame    // of the next chunk
	assignID func() uint64 // gives a request its id, as its first chunk is taken; nil for a response
	body     [][]byte      // what no chunk has taken yet
	size     uint64        // of the whole body
	left     uint64        // bytes in body

	response bool
	inUse    bool          // a chunk is being written from where it lies
	stopped  bool          // nobody wants the rest
	released chan struct{} // closed when lent ends; nil if nobody waits for that
}

// newChunked returns a message of so many bytes. begin may be nil.
func newChunked(head wire.Frame, body *wire.Body, size uint64, begin func() uint64) *chunkedMessage {
	head.Flags |= wire.Chunked
	head.Total = size
	return &chunkedMessage{head: head, assignID: begin, body: body.Segments(), size: size, left: size, response: head.Type == wire.Response}
}

// begunLocked says whether the peer may know of p.
func (p *chunkedMessage) begunLocked() bool { return p.left < p.size }

// unfinishedLocked says whether there is more of p to be written.
func (p *chunkedMessage) unfinishedLocked() bool { return p.left > 0 && !p.stopped }

// firstChunkLocked appends the head of p's next chunk to the frames, behind those
// that are there, so that ids rise in the order in which they are written. It
// returns the chunk's size.
func (p *chunkedMessage) firstChunkLocked(o *sendQueue) uint64 {
	n := min(p.left, wire.MaxChunk)
	p.head.BodySize = int(n)
	first := p.left == p.size
	if first && p.assignID != nil {
		p.head.ID = p.assignID()
	}
	o.frames = wire.AppendHeader(o.frames, &p.head)
	if first {
		p.head = wire.Frame{Type: p.head.Type + 1, ID: p.head.ID} // a chunk's type is the next
	}
	return n
}

// moreChunksLocked puts more of p's chunks into the batch.
func (p *chunkedMessage) moreChunksLocked(o *sendQueue, pieces int) {
	o.headers = slices.Grow(o.headers[:0], pieces*wire.ChunkHeaderSize) // must not move while the batch refers to it
	for range pieces {
		if p.left == 0 {
			return
		}
		n := min(p.left, wire.MaxChunk)
		p.head.BodySize = int(n)
		begin := len(o.headers)
		o.headers = wire.AppendHeader(o.headers, &p.head)
		o.slices = append(o.slices, o.headers[begin:])
		p.takeLocked(o, n)
	}
}

// takeLocked moves n bytes from p's body to the batch.
func (p *chunkedMessage) takeLocked(o *sendQueue, n uint64) {
	p.left -= n
	for n > 0 {
		k := min(n, uint64(len(p.body[0])))
		o.slices = append(o.slices, p.body[0][:k])
		if p.body[0] = p.body[0][k:]; len(p.body[0]) == 0 {
			p.body = p.body[1:]
		}
		n -= k
	}
}

func (p *chunkedMessage) releaseLocked() {
	p.inUse = false
	if p.released != nil {
		close(p.released)
		p.released = nil
	}
}
