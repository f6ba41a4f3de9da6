package transport

import (
	"slices"

	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A sendQueue holds everything waiting to be written to a connection. Frames are
// appended to one buffer. Chunked messages wait in a queue and contribute chunks in
// rotation, so that frames pass between them. Conn.mu guards all fields except batch.
type sendQueue struct {
	limit        int           // Limits.OutQueue
	unread       limits.Unread // the bytes of the queue, for the server's total
	frames       []byte        // whole frames
	reservations reservations  // replies waiting for room
	roomFreed    chan struct{} // closed when there may be room; nil if nothing waits for it

	ready      []*chunkedMessage // the peer has room for them
	blocked    []*chunkedMessage // waiting for room at the peer, first come, first served
	booked     uint64            // total size of the messages in ready and in the batch
	peerRoom   uint64            // the peer's ConnBytes
	onlyChunks int               // batches in a row with nothing but chunks, up to onlyChunksLong
	streams    []*Sender         // with bytes to write, in rotation
	credits    []*Receiver       // with a CREDIT to write

	closeFrame   []byte        // the CLOSE frame, written once nothing else waits
	closeWritten chan struct{} // made with closeFrame, closed when it is written
	closeTaken   bool          // closeFrame is in the batch; frames queued from now on are dropped

	role  writerRole
	batch writeBatch // used by the holder of role
}

// init sets the limits: the peer's ConnBytes and Limits.OutQueue.
func (q *sendQueue) init(peerRoom uint64, limit int) { q.peerRoom, q.limit = peerRoom, limit }

// anyLocked reports whether anything can be written.
func (q *sendQueue) anyLocked() bool {
	return len(q.frames) > 0 || len(q.ready) > 0 || len(q.streams)+len(q.credits) > 0 || q.batch.tls.HasOutput()
}

// worthWritingLocked reports whether the frames are worth a system call of their own.
func (q *sendQueue) worthWritingLocked() bool { return len(q.frames) >= worthWriting }

// addFrameLocked queues a message of one frame. head has the size of body.
func (q *sendQueue) addFrameLocked(head *wire.Frame, body *wire.Body) {
	frames := wire.AppendHeader(q.frames, head)
	if len(body.Cuts) == 0 {
		frames = append(frames, body.Buf...)
	} else {
		frames = wire.AppendBody(frames, body)
	}
	q.frames = frames
}

// addMessageLocked queues a message of size bytes, as one frame or in chunks. A message
// in chunks is returned, and retains the memory of body until it is written.
func (q *sendQueue) addMessageLocked(head *wire.Frame, body *wire.Body, size uint64) (m *chunkedMessage) {
	if size > wire.MaxUnchunked {
		m = newChunkedMessage(*head, body, size, nil)
		q.addChunkedLocked(m)
	} else {
		head.BodySize = int(size)
		q.addFrameLocked(head, body)
	}
	q.grantLocked()
	return m
}

// addEncodedLocked queues encoded frames.
func (q *sendQueue) addEncodedLocked(frames []byte) {
	q.frames = append(q.frames, frames...)
	q.grantLocked()
}

// addHeaderLocked queues a frame without a body.
func (q *sendQueue) addHeaderLocked(head *wire.Frame) {
	q.frames = wire.AppendHeader(q.frames, head)
	q.grantLocked()
}

// addChunkedLocked queues a chunked message. It is blocked until the peer has room.
func (q *sendQueue) addChunkedLocked(m *chunkedMessage) {
	q.blocked = append(q.blocked, m)
	q.unblockLocked()
}

// unblockLocked makes blocked messages ready, as far as the peer has room. One message
// fits always.
func (q *sendQueue) unblockLocked() {
	for len(q.blocked) > 0 && (q.booked == 0 || q.booked+q.blocked[0].size <= q.peerRoom) {
		m := q.blocked[0]
		q.blocked = slices.Delete(q.blocked, 0, 1)
		q.booked += m.size
		q.ready = append(q.ready, m)
	}
}

// releaseRoomLocked ends the use of the peer's room by m.
func (q *sendQueue) releaseRoomLocked(m *chunkedMessage) {
	q.booked -= m.size
	q.unblockLocked()
}

// dropLocked drops the rest of a chunked message, except for chunks in the batch.
func (q *sendQueue) dropLocked(m *chunkedMessage) {
	m.stopped = true
	m.endLocked()
	defer q.grantLocked()
	if i := slices.Index(q.blocked, m); i >= 0 {
		q.blocked = slices.Delete(q.blocked, i, i+1)
	}
	if i := slices.Index(q.ready, m); i >= 0 {
		q.ready = slices.Delete(q.ready, i, i+1)
		q.releaseRoomLocked(m)
	}
	if m.left > 0 { // otherwise they begin when the batch has been written
		q.dropFollowersLocked(m)
	}
}

// dropReplyLocked drops a chunked reply not yet completely written. It reports whether
// there was one.
func (q *sendQueue) dropReplyLocked(id uint64) bool {
	for _, list := range [][]*chunkedMessage{q.blocked, q.ready, {q.batch.current}} {
		for _, m := range list {
			if m != nil && m.response && m.head.ID == id && m.unfinishedLocked() {
				q.dropLocked(m)
				return true
			}
		}
	}
	return false
}

// takeBackLocked drops a chunked message. The channel is closed when its memory belongs
// to its caller again; it is nil if that is so already.
func (q *sendQueue) takeBackLocked(m *chunkedMessage) <-chan struct{} {
	q.dropLocked(m)
	if !m.inUse {
		return nil
	}
	m.released = make(chan struct{})
	return m.released
}

// addCloseLocked queues the last frame of the connection, behind everything else. The
// channel is closed when it is written.
func (q *sendQueue) addCloseLocked(frame []byte) (written <-chan struct{}) {
	q.closeFrame, q.closeWritten = frame, make(chan struct{})
	return q.closeWritten
}

// discardLocked drops everything queued behind the CLOSE frame.
func (q *sendQueue) discardLocked() {
	q.frames, q.ready, q.blocked, q.streams, q.credits = q.frames[:0], nil, nil, nil, nil
	q.grantLocked()
}

// hasWriterLocked reports whether the writer role is taken.
func (q *sendQueue) hasWriterLocked() bool { return q.role != noWriter }

// needsWriterLocked reports whether there is something to write and the writer role is
// free.
func (q *sendQueue) needsWriterLocked() bool {
	if q.closeTaken {
		q.discardLocked()
		return false
	}
	return q.role == noWriter && q.anyLocked()
}

// nextBatchLocked makes the next batch for the holder of the writer role. If the queue
// is empty, it releases the role and reports false.
func (q *sendQueue) nextBatchLocked(holder writerRole, copies bool) bool {
	if q.closeTaken { // and written
		q.discardLocked()
		close(q.closeWritten)
		q.role.passLocked(holder, noWriter)
		return false
	}
	if q.closeFrame != nil && !q.anyLocked() {
		q.frames, q.closeTaken = append(q.frames, q.closeFrame...), true
	}
	if !q.anyLocked() {
		q.role.passLocked(holder, noWriter)
		return false
	}
	q.fillBatchLocked(copies)
	return true
}

// A batch has several chunks of a message, because each system call wakes the peer. It
// has more if only chunks have been written for a while: then other messages are
// unlikely to wait behind them.
const (
	batchChunks     = 2
	onlyBatchChunks = 4
	onlyChunksLong  = 64 // batches
)

// fillBatchLocked makes the next batch: all frames, and some chunks of the message next
// in rotation. If copies is true, the batch has one chunk, in memory of its own.
func (q *sendQueue) fillBatchLocked(copies bool) {
	b := &q.batch
	var n uint64
	if len(q.credits) > 0 {
		q.takeCreditsLocked()
	}
	if len(q.streams) > 0 {
		q.takeStreamsLocked()
	}
	if len(q.frames) > 0 || len(q.ready) > 1 {
		q.onlyChunks = 0
	} else if q.onlyChunks < onlyChunksLong {
		q.onlyChunks++
	}
	if len(q.ready) > 0 && len(b.own) == 0 {
		b.current = q.ready[0]
		q.ready = slices.Delete(q.ready, 0, 1)
		q.frames, n = b.current.beginChunkLocked(q.frames)
	}
	b.bufs = append(b.bufs[:0], q.frames)
	q.frames, b.spare = b.spare[:0], q.frames
	if len(b.own) > 0 {
		b.addOwnLocked()
	}
	if n > 0 {
		b.current.takeLocked(b, n)
		if copies {
			b.copied = flatten(b.copied[:0], b.bufs[1:])
			b.bufs = append(b.bufs[:1], b.copied)
		} else {
			chunks := batchChunks
			if q.onlyChunks == onlyChunksLong {
				chunks = onlyBatchChunks
			}
			b.current.addChunksLocked(b, chunks-1)
		}
		b.current.inUse = !copies
		q.grantLocked()
	}
	b.left = b.bufs
}

// endBatchLocked ends a batch, whether it has been written or not.
func (q *sendQueue) endBatchLocked() {
	b := &q.batch
	if len(b.bufs) == 0 {
		return // there is none
	}
	if b.current == nil && len(b.own) == 0 {
		b.bufs[0] = nil // clear costs more than everything else here
	} else {
		clear(b.bufs)
		b.freeOwnLocked()
	}
	b.bufs, b.left, b.spare = b.bufs[:0], nil, b.spare[:0]
	if cap(b.spare) > maxSpare {
		b.spare = nil
	}
	if m := b.current; m != nil {
		b.current = nil
		m.releaseLocked()
		if m.unfinishedLocked() {
			q.ready = append(q.ready, m)
		} else {
			q.releaseRoomLocked(m)
			q.releaseFollowersLocked(m)
			m.endLocked()
		}
	}
	q.grantLocked()
}

// fullLocked reports whether the queue has no room for size bytes. One message always
// fits. Behind it, however long it is, a message of one frame fits too, as far as the
// other contents of the queue allow.
func (q *sendQueue) fullLocked(size uint64) bool {
	n, longest := q.bytesLocked()
	if size <= wire.MaxUnchunked {
		n -= longest
	}
	return n >= uint64(q.limit)
}

// bytesLocked returns how many bytes are in the queue, and how many of the longest chunked message.
func (q *sendQueue) bytesLocked() (n, longest uint64) {
	n = uint64(len(q.frames)+len(q.batch.spare)) + q.reservations.reserved
	if q.batch.current != nil || len(q.ready)+len(q.blocked) > 0 {
		var all uint64
		all, longest = q.chunkedBytesLocked()
		n += all
	}
	return n, longest
}

// chunkedBytesLocked returns how many bytes are left of all chunked messages, and of the
// longest one.
func (q *sendQueue) chunkedBytesLocked() (all, longest uint64) {
	if m := q.batch.current; m != nil {
		all, longest = m.left, m.left
	}
	for _, list := range [...][]*chunkedMessage{q.ready, q.blocked} {
		for _, m := range list {
			all += m.left
			longest = max(longest, m.left)
		}
	}
	return all, longest
}

// unsentLocked returns how many bytes wait to be written.
func (q *sendQueue) unsentLocked() uint64 {
	chunked, _ := q.chunkedBytesLocked()
	return uint64(len(q.frames)+len(q.batch.spare)) + chunked
}

// roomFreedLocked returns a channel closed when there may be room.
func (q *sendQueue) roomFreedLocked() chan struct{} {
	if q.roomFreed == nil {
		q.roomFreed = make(chan struct{})
	}
	return q.roomFreed
}
