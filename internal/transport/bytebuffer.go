package transport

import (
	"slices"
	"sync"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// A ByteBuffer is memory for the body of one frame of a stream of bytes. It passes from the
// sending goroutine to the writer, and from the reader to the receiving goroutine, so that
// neither end copies long frames once more.
type ByteBuffer struct {
	n   int // bytes of Space with contents
	mem [wire.ChunkHeaderSize + wire.MaxUnchunked]byte
}

var byteBuffers = sync.Pool{New: func() any { return new(ByteBuffer) }}

// NewByteBuffer returns a buffer with any contents.
func NewByteBuffer() *ByteBuffer { return byteBuffers.Get().(*ByteBuffer) }

// Free ends the use of b. It may be reused at once.
func (b *ByteBuffer) Free() { byteBuffers.Put(b) }

// Space returns the memory for the body.
func (b *ByteBuffer) Space() []byte { return b.mem[wire.ChunkHeaderSize:] }

// body returns the contents.
func (b *ByteBuffer) body() []byte { return b.Space()[:b.n] }

// frame returns the contents as the body of the frame with the header f, which has neither
// metadata nor a timeout.
func (b *ByteBuffer) frame(f *wire.Frame) []byte {
	f.BodySize = b.n
	wire.AppendHeader(b.mem[:0], f)
	return b.mem[:wire.ChunkHeaderSize+b.n]
}

// minOwnFrame is the shortest body of a frame that stays in its ByteBuffer. A shorter one is
// copied: its stream would take more memory than its window.
const minOwnFrame = 32 << 10

// SendBuffer sends the first n bytes of b.Space. It takes b, and returns a buffer to go on
// with, also after an error.
func (s *Sender) SendBuffer(b *ByteBuffer, n int) (*ByteBuffer, error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if n < minOwnFrame || !s.awaitLocked(1, wire.MaxUnchunked) || s.credit < int64(n) {
		return b, s.appendLocked(b.Space()[:n])
	}
	b.n, s.own = n, b
	s.credit -= int64(n)
	s.listLocked()
	return NewByteBuffer(), nil
}

// takeOwnLocked moves the buffer of a stream into the batch, or its bytes to frames if the
// batch has a chunk, which must follow its header in frames. The END of the stream stays for
// the next batch. It returns how many bytes are not in frames.
func (q *sendQueue) takeOwnLocked(s *Sender) (n int) {
	b, f := s.own, s.key.frame(wire.Items)
	if frame := b.frame(&f); len(q.ready) > 0 {
		q.frames = append(q.frames, frame...)
		b.Free()
	} else {
		n = len(frame)
		q.batch.own = append(q.batch.own, b)
	}
	s.own, s.listed = nil, false
	s.listLocked()
	s.wakeLocked()
	return n
}

// addOwnLocked adds the buffers of streams to a batch, behind the frames.
func (b *writeBatch) addOwnLocked() {
	if len(b.bufs[0]) == 0 {
		b.bufs = b.bufs[:0] // an empty write is more than none, on some connections
	}
	for _, own := range b.own {
		b.bufs = append(b.bufs, own.mem[:wire.ChunkHeaderSize+own.n])
	}
}

// freeOwnLocked frees the buffers of streams after the batch.
func (b *writeBatch) freeOwnLocked() {
	for _, own := range b.own {
		own.Free()
	}
	clear(b.own)
	b.own = b.own[:0]
}

// A longFrame is an incomplete frame of a stream whose body arrives in a buffer of its own.
type longFrame struct {
	head wire.Frame
	buf  *ByteBuffer // nil if there is none
}

// beginLong begins a long frame with the header f, of n bytes.
func (b *receiveBuffer) beginLong(f *wire.Frame, n int) {
	if b.r >= b.newest {
		b.frameBegan = b.readAt
	}
	b.r += n
	b.long = longFrame{*f, NewByteBuffer()}
	b.long.buf.n = 0
}

// takeLong moves the available bytes to the long frame. It reports whether the frame is
// complete, and in b.message.
func (b *receiveBuffer) takeLong() bool {
	l := &b.long
	n := copy(l.buf.Space()[l.buf.n:l.head.BodySize], b.buf[b.r:b.w])
	b.r += n
	if l.buf.n += n; l.buf.n < l.head.BodySize {
		return false
	}
	b.message = Message{Frame: l.head, Body: l.buf.body(), Buffer: l.buf}
	b.long, b.wasLong = longFrame{}, true
	return true
}

// fillLong reads the rest of the long frame.
func (b *receiveBuffer) fillLong() error {
	l := &b.long
	space := l.buf.Space()[l.buf.n:l.head.BodySize]
	n, err := b.small.Read(space)
	b.noteRead(n, n == len(space))
	l.buf.n += n
	return readError(n, err)
}

// longFrames are the long frames of a stream of bytes at its receiver.
type longFrames struct {
	waiting []*ByteBuffer // guarded by Receiver.mu
	current *ByteBuffer   // in Receiver.cur; of the reading goroutine
}

// releaseLocked frees the waiting frames. f may be nil.
func (f *longFrames) releaseLocked() {
	if f == nil {
		return
	}
	for _, b := range f.waiting {
		b.Free()
	}
	f.waiting = nil
}

// acceptBuffer is accept for a long frame. It reports whether it has taken b: another goroutine
// frees it then.
func (r *Receiver) acceptBuffer(b *ByteBuffer) (taken bool, err error) {
	r.mu.Lock()
	if r.items || r.isOver() || len(r.in) > 0 {
		r.mu.Unlock()
		return false, r.accept(b.body())
	}
	excess, err := r.admitLocked(int64(b.n), b.n)
	if taken = excess == nil && err == nil; taken {
		if r.frames == nil {
			r.frames = new(longFrames)
		}
		r.frames.waiting = append(r.frames.waiting, b)
		r.wakeLocked()
	}
	r.mu.Unlock()
	if excess != nil {
		r.leave(excess, true)
	}
	return taken, err
}

// takeBufferLocked is takeLocked for a long frame. It reports false if there is none.
func (r *Receiver) takeBufferLocked() bool {
	f := r.frames
	if f == nil {
		return false
	}
	if f.current != nil {
		f.current.Free()
		f.current, r.cur, r.pos, r.past = nil, nil, 0, 0
	}
	if len(f.waiting) == 0 {
		return false
	}
	f.current = f.waiting[0]
	f.waiting = slices.Delete(f.waiting, 0, 1)
	r.cur, r.pos, r.past = f.current.body(), 0, 0
	return true
}

// hasBytesLocked reports whether there are received bytes that the reading goroutine has not
// taken.
func (r *Receiver) hasBytesLocked() bool {
	return len(r.in) > 0 || r.frames != nil && len(r.frames.waiting) > 0
}
