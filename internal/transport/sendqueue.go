package transport

import (
	"net"
	"slices"
	"sync/atomic"

	"github.com/bsrpc/bsrpc/internal/netconn"
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

	goodbye []byte        // the CLOSE frame, to be written when nothing else waits
	written chan struct{} // made with goodbye, closed when that has been written
	closed  bool          // a CLOSE frame has been taken: what comes now is dropped

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

// init makes o the outbox of a connection whose peer books so much room, and that
// lets limit bytes wait.
func (o *outbox) init(room uint64, limit int) { o.room, o.limit = room, limit }

// frameLocked queues a message that travels whole, with the body that head tells
// the size of.
func (o *outbox) frameLocked(head *wire.Frame, body *wire.Body) {
	frames := wire.AppendHeader(o.frames, head)
	if len(body.Cuts) == 0 {
		frames = append(frames, body.Buf...)
	} else {
		frames = body.AppendTo(frames)
	}
	o.frames = frames
}

// messageLocked queues a message with a body of so many bytes, in one frame or in
// pieces. It reports whether body's memory is lent until it is written.
func (o *outbox) messageLocked(head *wire.Frame, body *wire.Body, size uint64) (lent bool) {
	if lent = size > wire.MaxUnchunked; lent {
		o.enqueueLocked(newParcel(*head, body, size, nil))
	} else {
		head.BodySize = int(size)
		o.frameLocked(head, body)
	}
	o.grantLocked()
	return lent
}

// controlLocked queues frames that are encoded already.
func (o *outbox) controlLocked(frames []byte) {
	o.frames = append(o.frames, frames...)
	o.grantLocked()
}

// headLocked queues a frame without a body.
func (o *outbox) headLocked(head *wire.Frame) {
	o.frames = wire.AppendHeader(o.frames, head)
	o.grantLocked()
}

// worthWritingLocked says whether the frames are worth a system call of their own.
func (o *outbox) worthWritingLocked() bool { return len(o.frames) >= fullBatch }

// closeLocked lets the connection's last frame follow all that waits. The channel
// is closed when that has been written.
func (o *outbox) closeLocked(frame []byte) (written <-chan struct{}) {
	o.goodbye, o.written = frame, make(chan struct{})
	return o.written
}

// isWritingLocked says whether somebody has the writing role.
func (o *outbox) isWritingLocked() bool { return o.role != nobodyWrites }

// wantsWriterLocked says whether there is something to write, and nobody writes.
func (o *outbox) wantsWriterLocked() bool {
	if o.closed {
		o.discardLocked()
		return false
	}
	return o.role == nobodyWrites && o.waitingLocked()
}

// passLocked gives the writing role from one to another.
func (o *outbox) passLocked(from, to role) { o.role.passLocked(from, to) }

// nextLocked makes the next batch for who has the writing role. Where there is
// none, it gives the role up.
func (o *outbox) nextLocked(who role, copies bool) bool {
	if o.closed { // CLOSE is written
		o.discardLocked()
		close(o.written)
		o.passLocked(who, nobodyWrites)
		return false
	}
	if o.goodbye != nil && !o.waitingLocked() {
		o.frames, o.closed = append(o.frames, o.goodbye...), true
	}
	if !o.waitingLocked() {
		o.passLocked(who, nobodyWrites)
		return false
	}
	o.takeLocked(copies)
	return true
}

// beginCall and endCall stand around a caller's system call.
func (o *outbox) beginCall() { o.inCall.Add(1) }
func (o *outbox) endCall()   { o.inCall.Add(1) }

// call returns a number for the system call that a caller is inside of. It is
// within none if ok is false.
func (o *outbox) call() (n uint64, ok bool) {
	n = o.inCall.Load()
	return n, n%2 == 1
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
// whose turn it is. With copies, the piece is written from memory of the outbox.
func (o *outbox) takeLocked(copies bool) {
	var n uint64
	if len(o.frames) > 0 || len(o.queue) > 1 {
		o.alone = 0
	} else if o.alone < aloneLong {
		o.alone++
	}
	if len(o.queue) > 0 {
		o.piece = o.queue[0]
		o.queue = slices.Delete(o.queue, 0, 1)
		n = o.piece.pieceLocked(o)
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
		o.grantLocked()
	}
	o.batch = o.vec
}

// finishLocked ends a batch that has been written, or never will be.
func (o *outbox) finishLocked() {
	if len(o.vec) == 0 {
		return // there is none
	}
	if o.piece == nil {
		o.vec[0] = nil // clear costs more than the rest
	} else {
		clear(o.vec)
	}
	o.vec, o.batch, o.spare = o.vec[:0], nil, o.spare[:0]
	if cap(o.spare) > keepBatch {
		o.spare = nil
	}
	if p := o.piece; p != nil {
		o.piece = nil
		p.releaseLocked()
		if p.remainsLocked() {
			o.queue = append(o.queue, p)
		} else {
			o.unbookLocked(p)
		}
	}
	o.grantLocked()
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

// releaseLocked gives the memory of a piece back on a connection where nobody
// writes any more.
func (o *outbox) releaseLocked() {
	if o.piece != nil {
		o.piece.releaseLocked()
	}
}

// withdrawLocked drops a message that nobody waits for. The channel is closed when
// its memory is its caller's again; it is nil where that is so already.
func (o *outbox) withdrawLocked(p *parcel) <-chan struct{} {
	o.dropLocked(p)
	if !p.lent {
		return nil
	}
	p.released = make(chan struct{})
	return p.released
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
	n, err := nc.Write(b[:min(len(b), netconn.SmallWrite)])
	if o.batch[0] = b[n:]; n == len(b) {
		o.batch = o.batch[1:]
	}
	return err
}

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
	if o.piece != nil || len(o.queue)+len(o.held) > 0 {
		all, longest := o.parcelsLocked()
		n += all
		if size <= wire.MaxUnchunked {
			n -= longest
		}
	}
	return n >= uint64(o.limit)
}

// parcelsLocked returns how many bytes the messages in pieces have left, and how
// many the longest of them has.
func (o *outbox) parcelsLocked() (all, longest uint64) {
	if o.piece != nil {
		all, longest = o.piece.left, o.piece.left
	}
	for _, list := range [...][]*parcel{o.queue, o.held} {
		for _, p := range list {
			all += p.left
			longest = max(longest, p.left)
		}
	}
	return all, longest
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
			if p != nil && p.response && p.head.ID == id && p.remainsLocked() {
				o.dropLocked(p)
				return true
			}
		}
	}
	return false
}
