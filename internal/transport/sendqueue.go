package transport

import (
	"net"
	"slices"
	"sync/atomic"

	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A sendQueue holds what waits to be written to a connection. Frames gather in
// one buffer; messages above 64 KiB stand in a queue and give one chunk each in
// turn, so that the frames that come meanwhile pass between.
type sendQueue struct {
	// guarded by conn.mu
	frames       []byte            // whole frames
	ready        []*chunkedMessage // the peer has room booked for them; one chunk each, in rotation
	blocked      []*chunkedMessage // wait for room at the peer, first come first served
	booked       uint64            // bytes of the messages in queue, whole
	peerRoom     uint64            // the most that the peer books
	role         writerRole        // who writes
	limit        int               // Limits.OutQueue
	roomFreed    chan struct{}     // closed when there may be room; nil if nobody waits for that
	reservations reservations

	closeFrame   []byte        // the CLOSE frame, to be written when nothing else waits
	closeWritten chan struct{} // made with goodbye, closed when that has been written
	closeTaken   bool          // a CLOSE frame has been taken: what comes now is dropped

	// the writer's
	batch        net.Buffers     // what is being written, in order; empty when all is written
	slices       [][]byte        // memory of batch
	spare        []byte          // the buffer that frames takes turns with: its bytes are in the batch
	current      *chunkedMessage // whose chunk is in the batch, or chunks
	headers      []byte          // of its chunks but for the first
	onlyChunks   int             // how many batches have had nothing but chunks, up to aloneLong
	copied       []byte          // the chunk, where it is not written from where it lies
	callerWrites atomic.Uint64   // odd while a caller is the writer and inside a system call
}

func (o *sendQueue) anyLocked() bool { return len(o.frames) > 0 || len(o.ready) > 0 }

// addChunkedLocked puts p where its chunks are taken from, once the peer has room.
func (o *sendQueue) addChunkedLocked(p *chunkedMessage) {
	o.blocked = append(o.blocked, p)
	o.unblockLocked()
}

func (o *sendQueue) unblockLocked() {
	for len(o.blocked) > 0 && (o.booked == 0 || o.booked+o.blocked[0].size <= o.peerRoom) {
		p := o.blocked[0]
		o.blocked = slices.Delete(o.blocked, 0, 1)
		o.booked += p.size
		o.ready = append(o.ready, p)
	}
}

// dropLocked takes p out of the queues. A chunk that is being written stays.
func (o *sendQueue) dropLocked(p *chunkedMessage) {
	p.stopped = true
	defer o.grantLocked()
	if i := slices.Index(o.blocked, p); i >= 0 {
		o.blocked = slices.Delete(o.blocked, i, i+1)
	}
	if i := slices.Index(o.ready, p); i >= 0 {
		o.ready = slices.Delete(o.ready, i, i+1)
		o.unbookLocked(p)
	}
}

func (o *sendQueue) unbookLocked(p *chunkedMessage) {
	o.booked -= p.size
	o.unblockLocked()
}

// discardLocked drops what came behind the CLOSE frame.
func (o *sendQueue) discardLocked() {
	o.frames, o.ready, o.blocked = o.frames[:0], nil, nil
	o.grantLocked()
}

// init makes o the send queue of a connection whose peer books so much room, and that
// lets limit bytes wait.
func (o *sendQueue) init(room uint64, limit int) { o.peerRoom, o.limit = room, limit }

// addFrameLocked queues a message that travels whole, with the body that head tells
// the size of.
func (o *sendQueue) addFrameLocked(head *wire.Frame, body *wire.Body) {
	frames := wire.AppendHeader(o.frames, head)
	if len(body.Cuts) == 0 {
		frames = append(frames, body.Buf...)
	} else {
		frames = body.AppendTo(frames)
	}
	o.frames = frames
}

// addMessageLocked queues a message with a body of so many bytes, in one frame or in
// chunks. It reports whether body's memory is lent until it is written.
func (o *sendQueue) addMessageLocked(head *wire.Frame, body *wire.Body, size uint64) (lent bool) {
	if lent = size > wire.MaxUnchunked; lent {
		o.addChunkedLocked(newChunked(*head, body, size, nil))
	} else {
		head.BodySize = int(size)
		o.addFrameLocked(head, body)
	}
	o.grantLocked()
	return lent
}

// addEncodedLocked queues frames that are encoded already.
func (o *sendQueue) addEncodedLocked(frames []byte) {
	o.frames = append(o.frames, frames...)
	o.grantLocked()
}

// addHeaderLocked queues a frame without a body.
func (o *sendQueue) addHeaderLocked(head *wire.Frame) {
	o.frames = wire.AppendHeader(o.frames, head)
	o.grantLocked()
}

// worthWritingLocked says whether the frames are worth a system call of their own.
func (o *sendQueue) worthWritingLocked() bool { return len(o.frames) >= worthWriting }

// addCloseLocked lets the connection's last frame follow all that waits. The channel
// is closed when that has been written.
func (o *sendQueue) addCloseLocked(frame []byte) (written <-chan struct{}) {
	o.closeFrame, o.closeWritten = frame, make(chan struct{})
	return o.closeWritten
}

// hasWriterLocked says whether somebody has the writer role.
func (o *sendQueue) hasWriterLocked() bool { return o.role != noWriter }

// needsWriterLocked says whether there is something to write, and nobody writes.
func (o *sendQueue) needsWriterLocked() bool {
	if o.closeTaken {
		o.discardLocked()
		return false
	}
	return o.role == noWriter && o.anyLocked()
}

// passRoleLocked gives the writer role from one to another.
func (o *sendQueue) passRoleLocked(from, to writerRole) { o.role.passLocked(from, to) }

// nextBatchLocked makes the next batch for who has the writer role. Where there is
// none, it gives the role up.
func (o *sendQueue) nextBatchLocked(who writerRole, copies bool) bool {
	if o.closeTaken { // CLOSE is written
		o.discardLocked()
		close(o.closeWritten)
		o.passRoleLocked(who, noWriter)
		return false
	}
	if o.closeFrame != nil && !o.anyLocked() {
		o.frames, o.closeTaken = append(o.frames, o.closeFrame...), true
	}
	if !o.anyLocked() {
		o.passRoleLocked(who, noWriter)
		return false
	}
	o.fillBatchLocked(copies)
	return true
}

// beginWrite and endCall stand around a caller's system call.
func (o *sendQueue) beginWrite() { o.callerWrites.Add(1) }
func (o *sendQueue) endWrite()   { o.callerWrites.Add(1) }

// callerWrite returns a number for the system call that a caller is inside of. It is
// within none if ok is false.
func (o *sendQueue) callerWrite() (n uint64, ok bool) {
	n = o.callerWrites.Load()
	return n, n%2 == 1
}

// A batch has more than one chunk of a long message, because each system call
// wakes the peer; and more still where nothing but that message has been written
// for a while, so that nobody is likely to wait behind it.
const (
	batchChunks     = 2
	onlyBatchChunks = 4
	onlyChunksLong  = 64 // batches
)

// fillBatchLocked makes the next batch: all frames, and some chunks of the message
// whose turn it is. With copies, the chunk is written from memory of the send queue.
func (o *sendQueue) fillBatchLocked(copies bool) {
	var n uint64
	if len(o.frames) > 0 || len(o.ready) > 1 {
		o.onlyChunks = 0
	} else if o.onlyChunks < onlyChunksLong {
		o.onlyChunks++
	}
	if len(o.ready) > 0 {
		o.current = o.ready[0]
		o.ready = slices.Delete(o.ready, 0, 1)
		n = o.current.firstChunkLocked(o)
	}
	o.slices = append(o.slices[:0], o.frames)
	o.frames, o.spare = o.spare[:0], o.frames
	if n > 0 {
		o.current.takeLocked(o, n)
		if copies {
			o.copied = flatten(o.copied[:0], o.slices[1:])
			o.slices = append(o.slices[:1], o.copied)
		} else {
			pieces := batchChunks
			if o.onlyChunks == onlyChunksLong {
				pieces = onlyBatchChunks
			}
			o.current.moreChunksLocked(o, pieces-1)
		}
		o.current.inUse = !copies
		o.grantLocked()
	}
	o.batch = o.slices
}

// endBatchLocked ends a batch that has been written, or never will be.
func (o *sendQueue) endBatchLocked() {
	if len(o.slices) == 0 {
		return // there is none
	}
	if o.current == nil {
		o.slices[0] = nil // clear costs more than the rest
	} else {
		clear(o.slices)
	}
	o.slices, o.batch, o.spare = o.slices[:0], nil, o.spare[:0]
	if cap(o.spare) > maxKept {
		o.spare = nil
	}
	if p := o.current; p != nil {
		o.current = nil
		p.releaseLocked()
		if p.unfinishedLocked() {
			o.ready = append(o.ready, p)
		} else {
			o.unbookLocked(p)
		}
	}
	o.grantLocked()
}

// copyStoppedLocked gives the memory of a chunk back to its caller, if the caller
// wants it: what is left of the batch goes on from a copy.
func (o *sendQueue) copyStoppedLocked() {
	if o.current == nil || !o.current.stopped || !o.current.inUse {
		return
	}
	rest := flatten(nil, o.batch)
	clear(o.slices)
	o.slices = append(o.slices[:0], rest)
	o.batch = o.slices
	o.current.releaseLocked()
}

// releaseBatchLocked gives the memory of a chunk back on a connection where nobody
// writes any more.
func (o *sendQueue) releaseBatchLocked() {
	if o.current != nil {
		o.current.releaseLocked()
	}
}

// takeBackLocked drops a message that nobody waits for. The channel is closed when
// its memory is its caller's again; it is nil where that is so already.
func (o *sendQueue) takeBackLocked(p *chunkedMessage) <-chan struct{} {
	o.dropLocked(p)
	if !p.inUse {
		return nil
	}
	p.released = make(chan struct{})
	return p.released
}

// writeTo writes the batch to a socket, and leaves in it what was not written.
func (o *sendQueue) writeTo(nc net.Conn) error {
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
func (o *sendQueue) writeSome(nc net.Conn) error {
	b := o.batch[0]
	n, err := nc.Write(b[:min(len(b), netconn.SmallWrite)])
	if o.batch[0] = b[n:]; n == len(b) {
		o.batch = o.batch[1:]
	}
	return err
}

// unwritten returns how many bytes of the batch are left.
func (o *sendQueue) unwritten() (n int) {
	for _, b := range o.batch {
		n += len(b)
	}
	return n
}

// maxKept bounds the buffers that a send queue keeps.
const maxKept = 1 << 20

func flatten(dst []byte, bufs [][]byte) []byte {
	for _, b := range bufs {
		dst = append(dst, b...)
	}
	return dst
}

// fullLocked says whether a message of so many bytes is to wait. One message
// always fits, and behind it, however long it is, what travels in one frame: that
// waits for what the queue has besides.
func (o *sendQueue) fullLocked(size uint64) bool {
	n := uint64(len(o.frames)+len(o.spare)) + o.reservations.reserved
	if o.current != nil || len(o.ready)+len(o.blocked) > 0 {
		all, longest := o.chunkedBytesLocked()
		n += all
		if size <= wire.MaxUnchunked {
			n -= longest
		}
	}
	return n >= uint64(o.limit)
}

// chunkedBytesLocked returns how many bytes the chunked message have left, and how
// many the longest of them has.
func (o *sendQueue) chunkedBytesLocked() (all, longest uint64) {
	if o.current != nil {
		all, longest = o.current.left, o.current.left
	}
	for _, list := range [...][]*chunkedMessage{o.ready, o.blocked} {
		for _, p := range list {
			all += p.left
			longest = max(longest, p.left)
		}
	}
	return all, longest
}

// roomFreedLocked returns a channel that is closed when there may be room.
func (o *sendQueue) roomFreedLocked() chan struct{} {
	if o.roomFreed == nil {
		o.roomFreed = make(chan struct{})
	}
	return o.roomFreed
}

// dropReplyLocked drops the answer to a call, if not all of it has been
// written. It reports whether there was one.
func (o *sendQueue) dropReplyLocked(id uint64) bool {
	for _, list := range [][]*chunkedMessage{o.blocked, o.ready, {o.current}} {
		for _, p := range list {
			if p != nil && p.response && p.head.ID == id && p.unfinishedLocked() {
				o.dropLocked(p)
				return true
			}
		}
	}
	return false
}
