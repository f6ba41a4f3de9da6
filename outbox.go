package bsrpc

import (
	"net"
	"slices"
	"sync/atomic"

	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// An outbox holds what waits to be written to a connection. Frames gather in
// one buffer; messages above 64 KiB stand in a queue and give one piece each in
// turn, so that the frames that come meanwhile pass between.
type outbox struct {
	// guarded by conn.mu
	frames []byte        // whole frames
	queue  []*parcel     // the peer has room booked for them; one piece each, in turn
	held   []*parcel     // wait for room at the peer, first come first served
	booked uint64        // bytes of the messages in queue, whole
	room   uint64        // the most that the peer books
	role   role          // who writes
	limit  int           // Limits.OutQueue
	taken  chan struct{} // closed when there may be room; nil if nobody waits for that
	claims claims
	closed bool // a CLOSE frame has been taken: what comes now is dropped

	// the writer's
	batch  net.Buffers   // what is being written, in order; empty when all is written
	vec    [][]byte      // memory of batch
	spare  []byte        // the buffer that frames takes turns with: its bytes are in the batch
	piece  *parcel       // whose piece is in the batch, or pieces
	heads  []byte        // of its pieces but for the first
	alone  int           // how many batches have had nothing but pieces, up to aloneLong
	copied []byte        // the piece, where it is not written from where it lies
	inCall atomic.Uint64 // odd while a caller is the writer and inside a system call
}

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

func newParcel(head wire.Frame, body [][]byte, size uint64) *parcel {
	head.Flags |= wire.Chunked
	head.Total = size
	return &parcel{head: head, body: body, size: size, left: size, response: head.Type == wire.Response}
}

// begunLocked says whether the peer may know of p.
func (p *parcel) begunLocked() bool { return p.left < p.size }

func (o *outbox) waitingLocked() bool { return len(o.frames) > 0 || len(o.queue) > 0 }

// enqueueLocked puts p where its pieces are taken from, once the peer has room.
func (o *outbox) enqueueLocked(p *parcel) {
	o.held = append(o.held, p)
	o.admitLocked()
}

func (o *outbox) admitLocked() {
	for len(o.held) > 0 && (o.booked == 0 || o.booked+o.held[0].size <= o.room) {
		p := o.held[0]
		o.held = slices.Delete(o.held, 0, 1)
		o.booked += p.size
		o.queue = append(o.queue, p)
	}
}

// dropLocked takes p out of the queues. A piece that is being written stays.
func (o *outbox) dropLocked(p *parcel) {
	p.stopped = true
	defer o.grantLocked()
	if i := slices.Index(o.held, p); i >= 0 {
		o.held = slices.Delete(o.held, i, i+1)
	}
	if i := slices.Index(o.queue, p); i >= 0 {
		o.queue = slices.Delete(o.queue, i, i+1)
		o.unbookLocked(p)
	}
}

func (o *outbox) unbookLocked(p *parcel) {
	o.booked -= p.size
	o.admitLocked()
}

// discardLocked drops what came behind the CLOSE frame.
func (o *outbox) discardLocked() {
	o.frames, o.queue, o.held = o.frames[:0], nil, nil
	o.grantLocked()
}

// A batch has more than one piece of a long message, because each system call
// wakes the peer; and more still where nothing but that message has been written
// for a while, so that nobody is likely to wait behind it.
const (
	batchPieces = 2
	alonePieces = 4
	aloneLong   = 64 // batches
)

// takeLocked makes the next batch: all frames, and some pieces of the message
// whose turn it is. It reports whether there was anything. With copies,
// the piece is written from memory of the outbox.
func (o *outbox) takeLocked(copies bool) bool {
	defer o.grantLocked()
	if !o.waitingLocked() {
		return false
	}
	var n uint64
	if len(o.frames) > 0 || len(o.queue) > 1 {
		o.alone = 0
	} else if o.alone < aloneLong {
		o.alone++
	}
	if len(o.queue) > 0 {
		o.piece = o.queue[0]
		o.queue = slices.Delete(o.queue, 0, 1)
		n = o.piece.headLocked(o)
	}
	o.vec = append(o.vec[:0], o.frames)
	o.frames, o.spare = o.spare[:0], o.frames
	if n > 0 {
		o.piece.cutLocked(o, n)
		if copies {
			o.copied = flatten(o.copied[:0], o.vec[1:])
			o.vec = append(o.vec[:1], o.copied)
		} else {
			pieces := batchPieces
			if o.alone == aloneLong {
				pieces = alonePieces
			}
			o.piece.followLocked(o, pieces-1)
		}
		o.piece.lent = !copies
	}
	o.batch = o.vec
	return true
}

// headLocked appends the head of p's next piece to the frames, behind those
// that are there, so that ids rise in the order in which they are written. It
// returns the piece's size.
func (p *parcel) headLocked(o *outbox) uint64 {
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

// finishLocked ends a batch that has been written, or never will be.
func (o *outbox) finishLocked() {
	clear(o.vec)
	o.batch, o.spare = nil, o.spare[:0]
	if cap(o.spare) > keepBatch {
		o.spare = nil
	}
	p := o.piece
	if p == nil {
		return
	}
	o.piece = nil
	p.releaseLocked()
	if p.left > 0 && !p.stopped {
		o.queue = append(o.queue, p)
		return
	}
	o.unbookLocked(p)
}

// reclaimLocked gives the memory of a piece back to its caller, if the caller
// wants it: what is left of the batch goes on from a copy.
func (o *outbox) reclaimLocked() {
	if o.piece == nil || !o.piece.stopped || !o.piece.lent {
		return
	}
	rest := flatten(nil, o.batch)
	clear(o.vec)
	o.vec = append(o.vec[:0], rest)
	o.batch = o.vec
	o.piece.releaseLocked()
}

func (p *parcel) releaseLocked() {
	p.lent = false
	if p.released != nil {
		close(p.released)
		p.released = nil
	}
}

// writeTo writes the batch to a socket, and leaves in it what was not written.
func (o *outbox) writeTo(nc net.Conn) error {
	if len(o.batch) > 1 {
		_, err := o.batch.WriteTo(nc)
		return err
	}
	n, err := nc.Write(o.batch[0])
	o.batch[0] = o.batch[0][n:]
	return err
}

// writeSome writes some of the batch to any connection, where a write whose time
// is over is the last: each has little to do.
func (o *outbox) writeSome(nc net.Conn) error {
	b := o.batch[0]
	n, err := nc.Write(b[:min(len(b), smallWrite)])
	if o.batch[0] = b[n:]; n == len(b) {
		o.batch = o.batch[1:]
	}
	return err
}

// smallWrite is what a connection that is not a socket must take within
// Limits.WriteStall.
const smallWrite = 64 << 10

// size returns how many bytes of the batch are left.
func (o *outbox) size() (n int) {
	for _, b := range o.batch {
		n += len(b)
	}
	return n
}

// keepBatch bounds the buffers that an outbox keeps.
const keepBatch = 1 << 20

func flatten(dst []byte, bufs [][]byte) []byte {
	for _, b := range bufs {
		dst = append(dst, b...)
	}
	return dst
}

// fullLocked says whether a message of so many bytes is to wait. One message
// always fits, and behind it, however long it is, what travels in one frame: that
// waits for what the queue has besides.
func (o *outbox) fullLocked(size uint64) bool {
	n := uint64(len(o.frames)+len(o.spare)) + o.claims.promised
	longest := uint64(0)
	for _, list := range [...][]*parcel{o.queue, o.held} {
		for _, p := range list {
			n += p.left
			longest = max(longest, p.left)
		}
	}
	if p := o.piece; p != nil {
		n += p.left
		longest = max(longest, p.left)
	}
	if size <= wire.MaxUnchunked {
		n -= longest
	}
	return n >= uint64(o.limit)
}

// takenLocked returns a channel that is closed when there may be room.
func (o *outbox) takenLocked() chan struct{} {
	if o.taken == nil {
		o.taken = make(chan struct{})
	}
	return o.taken
}

// dropResponseLocked drops the answer to a call, if not all of it has been
// written. It reports whether there was one.
func (o *outbox) dropResponseLocked(id uint64) bool {
	for _, list := range [][]*parcel{o.held, o.queue, {o.piece}} {
		for _, p := range list {
			if p != nil && p.response && p.head.ID == id && p.left > 0 && !p.stopped {
				o.dropLocked(p)
				return true
			}
		}
	}
	return false
}

// The body of a message, as an encoder leaves it: its buffer, and the memory
// that belongs between.

func bodySize(e *codec.Encoder) uint64 {
	n := uint64(len(e.Buf))
	for _, c := range e.Cuts {
		n += uint64(len(c.Bytes))
	}
	return n
}

func appendBody(dst []byte, e *codec.Encoder) []byte {
	if len(e.Cuts) == 0 {
		return append(dst, e.Buf...)
	}
	return flatten(dst, segments(e))
}

// segments returns the body's parts in order. They alias e's memory.
func segments(e *codec.Encoder) (parts [][]byte) {
	at := 0
	for _, c := range e.Cuts {
		if c.At > at {
			parts = append(parts, e.Buf[at:c.At])
			at = c.At
		}
		parts = append(parts, c.Bytes)
	}
	if at < len(e.Buf) {
		parts = append(parts, e.Buf[at:])
	}
	return parts
}
