package transport

import (
	"context"
	"slices"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// A chunkedMessage is a message to be sent in chunks. Conn.mu guards it.
type chunkedMessage struct {
	head     wire.Frame    // of the next chunk
	assignID func() uint64 // assigns the id of a request at its first chunk; nil for a response
	body     [][]byte      // the rest, not in any chunk yet
	size     uint64        // of the whole body
	left     uint64        // size of the rest

	response bool
	inUse    bool          // a chunk is being written from the memory of the message
	stopped  bool          // the rest is dropped
	released chan struct{} // closed when inUse ends; nil if nothing waits for it
	sent     chan struct{} // closed when it is written or dropped; nil if nothing waits for it

	followers []*Sender // streams that begin behind the message
}

// newChunkedMessage returns a message of size bytes.
func newChunkedMessage(head wire.Frame, body *wire.Body, size uint64, assignID func() uint64) *chunkedMessage {
	head.Flags |= wire.Chunked
	head.Total = size
	return &chunkedMessage{head: head, assignID: assignID, body: wire.Segments(body), size: size, left: size, response: head.Type == wire.Response}
}

// begunLocked reports whether the peer may know of the message.
func (m *chunkedMessage) begunLocked() bool { return m.left < m.size }

// unfinishedLocked reports whether there are more chunks to write.
func (m *chunkedMessage) unfinishedLocked() bool { return m.left > 0 && !m.stopped }

// beginChunkLocked appends the header of the next chunk to frames, and returns the size
// of the chunk. The header stands behind all frames queued before, so ids rise in the
// order of writing.
func (m *chunkedMessage) beginChunkLocked(frames []byte) ([]byte, uint64) {
	n := min(m.left, wire.MaxChunk)
	m.head.BodySize = int(n)
	first := m.left == m.size
	if first && m.assignID != nil {
		m.head.ID = m.assignID()
	}
	frames = wire.AppendHeader(frames, &m.head)
	if first {
		m.head = wire.Frame{Type: m.head.Type + 1, ID: m.head.ID} // the type of further chunks is the next one
	}
	return frames, n
}

// addChunksLocked adds up to n further chunks to the batch.
func (m *chunkedMessage) addChunksLocked(b *writeBatch, n int) {
	b.headers = slices.Grow(b.headers[:0], n*wire.ChunkHeaderSize) // the batch refers to it, so it must not move
	for range n {
		if m.left == 0 {
			return
		}
		size := min(m.left, wire.MaxChunk)
		m.head.BodySize = int(size)
		begin := len(b.headers)
		b.headers = wire.AppendHeader(b.headers, &m.head)
		b.bufs = append(b.bufs, b.headers[begin:])
		m.takeLocked(b, size)
	}
}

// takeLocked moves n bytes of the body to the batch.
func (m *chunkedMessage) takeLocked(b *writeBatch, n uint64) {
	m.left -= n
	for n > 0 {
		k := min(n, uint64(len(m.body[0])))
		b.bufs = append(b.bufs, m.body[0][:k])
		if m.body[0] = m.body[0][k:]; len(m.body[0]) == 0 {
			m.body = m.body[1:]
		}
		n -= k
	}
}

// endLocked notes that the message has been written or dropped.
func (m *chunkedMessage) endLocked() {
	if m.sent != nil {
		close(m.sent)
		m.sent = nil
	}
}

// awaitSent waits until a message has been written or dropped, or the connection ends. It
// reports false if ctx ends before.
func (c *Conn) awaitSent(ctx context.Context, m *chunkedMessage) bool {
	c.mu.Lock()
	if !m.inUse && !m.unfinishedLocked() {
		c.mu.Unlock()
		return true
	}
	sent := make(chan struct{})
	m.sent = sent
	c.mu.Unlock()
	select {
	case <-sent:
	case <-c.end.done:
	case <-ctx.Done():
		return false
	}
	return true
}

// releaseLocked ends the use of the memory of the message.
func (m *chunkedMessage) releaseLocked() {
	m.inUse = false
	if m.released != nil {
		close(m.released)
		m.released = nil
	}
}
