package transport

import (
	"io"
	"net"
	"slices"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/sockio"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A receiveBuffer turns the bytes of a connection into messages: whole frames in one
// buffer, and chunked messages in memory of their own (reassembly.go). The read lease
// guards it.
type receiveBuffer struct {
	nc         net.Conn
	small      io.Reader // nc, for reads of up to maxBuffer bytes
	buf        []byte    // buf[r:w] has not been used yet
	r, w       int
	readAt     time.Duration // the end of the last read; times here are those of limits.Monotonic
	filled     bool          // the last read has filled its buffer, or returned longRead bytes
	newest     int           // index in buf of the bytes of the last read
	frameBegan time.Duration // arrival of the first byte of the incomplete frame in buf
	message    Message       // the last result of next
	long       longFrame     // arriving; its bytes are not in buf
	wasLong    bool          // the last frame was

	chunked    map[chunkedKey]*reassembly
	arriving   *reassembly // the message of the chunk arriving, nil if none
	left       int         // bytes of this chunk to arrive
	refused    int         // discarded messages in chunked
	maxRefused int         // more are a protocol violation
	longest    int         // bytes of the longest chunked message received

	accept func(*reassembly) (bool, error) // decides on a chunked message at its first chunk, and books it
	unbook func(size uint64)               // ends the booking of a message
	onRead func(int, time.Duration)        // called when bytes have arrived, with their number
}

// newReceiveBuffer returns the receive buffer of nc. The arguments are the fields of the
// same names.
func newReceiveBuffer(nc net.Conn, maxRefused int, accept func(*reassembly) (bool, error), unbook func(uint64), onRead func(int, time.Duration)) receiveBuffer {
	return receiveBuffer{nc: nc, small: sockio.NewReader(nc), maxRefused: maxRefused, accept: accept, unbook: unbook, onRead: onRead}
}

// A Message is a frame with its whole body.
type Message struct {
	wire.Frame
	Body []byte
	Own  bool // Body has memory of its own; otherwise Meta and Body are valid until the next read

	limits.Kept             // of Conn.Keep
	Buffer      *ByteBuffer // with Body, for a long frame of a stream; freed by next unless it is set to nil
}

// Keep returns a copy of a request with memory of its own, without metadata, until its
// Release, once it is decoded. It counts as a request that waits, and may be refused as such;
// its metadata counts too, which the handler keeps in another form.
func (c *Conn) Keep(m *Message) (kept *Message, refusal *fault.Fault) {
	count, refusal := c.requests.waiting.Keep(len(m.Body) + len(m.Meta))
	if refusal != nil {
		return nil, refusal
	}
	kept = &Message{Frame: m.Frame, Body: m.Body, Own: true, Kept: count}
	kept.Meta = nil
	if !m.Own {
		kept.Body = slices.Clone(m.Body)
	}
	return kept, nil
}

// The sizes of the buffer: at first, and once a read has filled it.
const (
	minBuffer = 4 << 10
	maxBuffer = wire.MaxUnchunked + wire.MaxHeader
)

// next returns the next complete message, or nil. It is valid until the next call. An
// error is a protocol violation by the peer.
func (b *receiveBuffer) next() (*Message, error) {
	if b.wasLong && b.message.Buffer != nil {
		b.message.Buffer.Free()
		b.message.Buffer = nil
	}
	for {
		if b.arriving != nil {
			if b.takeChunk() {
				return &b.message, nil
			}
			if b.left > 0 {
				return nil, nil
			}
			b.arriving = nil
		}
		if b.long.buf != nil {
			if b.takeLong() {
				return &b.message, nil
			}
			return nil, nil
		}
		if b.r == b.w {
			return nil, nil
		}
		// The frame is decoded in place; its metadata refers to the buffer.
		f := &b.message.Frame
		n, err := wire.ReadHeader(b.buf[b.r:b.w], f)
		if err == wire.ErrShort {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if f.Flags&wire.Chunked != 0 || f.Type == wire.RequestChunk || f.Type == wire.ResponseChunk {
			b.r += n
			if err := b.beginChunk(f); err != nil {
				return nil, err
			}
			continue
		}
		end := b.r + n + f.BodySize
		if b.w < end {
			if f.Type == wire.Items && f.BodySize >= minOwnFrame {
				b.beginLong(f, n)
				continue
			}
			return nil, nil // the header is read again with the rest of the frame
		}
		b.message.Body, b.message.Own = b.buf[b.r+n:end:end], false
		b.r, b.wasLong = end, false
		return &b.message, nil
	}
}

// fill waits for bytes and reads those available: the rest of a chunk directly into its
// message, everything else into the buffer.
func (b *receiveBuffer) fill() error {
	if p := b.arriving; p != nil && b.r == b.w && !p.discarded {
		b.grow(p, 0)
		free := p.body[len(p.body):cap(p.body)]
		space := free[:min(len(free), b.left)]
		n, err := b.nc.Read(space)
		b.noteRead(n, n == len(space))
		p.body = p.body[:len(p.body)+n]
		b.chunkArrived(n)
		return readError(n, err)
	}
	if b.long.buf != nil {
		return b.fillLong()
	}
	b.makeRoom()
	b.newest = b.w
	space := b.buf[b.w:]
	if (len(b.chunked) > 0 || b.wasLong) && b.r == b.w {
		space = space[:min(len(space), minBuffer)] // mostly a chunk follows: copy little of it
	}
	n, err := b.small.Read(space)
	b.noteRead(n, n == len(space))
	b.w += n
	return readError(n, err)
}

// longRead is how many bytes of one read mean that the peer sends without waiting. Over TLS a
// read has 16 KiB at most.
const longRead = 8 << 10

// noteRead notes the end of a read of n bytes.
func (b *receiveBuffer) noteRead(n int, filled bool) {
	b.readAt = limits.Monotonic()
	b.filled = filled || n >= longRead
	if n > 0 {
		b.onRead(n, b.readAt)
	}
}

// readError returns the error of a read of n bytes. If n > 0 it is nil: the bytes are
// handled first, and the next read fails again.
func readError(n int, err error) error {
	if n > 0 {
		return nil
	}
	return err
}

// makeRoom moves the unused bytes to the beginning of the buffer. The buffer grows if a
// read has filled it.
func (b *receiveBuffer) makeRoom() {
	full := b.w == len(b.buf)
	if b.r == b.w {
		b.r, b.w = 0, 0
	}
	if full && len(b.buf) < maxBuffer {
		size := minBuffer
		if b.buf != nil {
			size = maxBuffer
		}
		buf := make([]byte, size)
		b.w = copy(buf, b.buf[b.r:b.w])
		b.r, b.buf = 0, buf
		return
	}
	if b.w == len(b.buf) {
		b.w = copy(b.buf, b.buf[b.r:b.w])
		b.r = 0
	}
}

// lastRead returns the end of the last read.
func (b *receiveBuffer) lastRead() time.Duration { return b.readAt }

// hasPartialFrame reports whether the buffer has a part of a frame.
func (b *receiveBuffer) hasPartialFrame() bool { return b.r < b.w || b.long.buf != nil }

// incomplete reports whether a frame or a chunked message is incomplete. It is called
// after each read, once next has returned all messages.
func (b *receiveBuffer) incomplete() bool {
	partial := b.hasPartialFrame()
	if partial && b.r >= b.newest && b.long.buf == nil {
		b.frameBegan = b.readAt
	}
	return partial || len(b.chunked) > 0
}

// oldestIncomplete returns since when the oldest incomplete message has made no
// progress: a frame since its first byte, a chunked message since its newest byte.
func (b *receiveBuffer) oldestIncomplete() (since time.Duration, ok bool) {
	if b.hasPartialFrame() {
		since, ok = b.frameBegan, true
	}
	for _, p := range b.chunked {
		if !p.discarded && (!ok || p.lastRead < since) {
			since, ok = p.lastRead, true
		}
	}
	return since, ok
}

// isFrameStale reports whether a frame has been incomplete since then or longer.
func (b *receiveBuffer) isFrameStale(then time.Duration) bool {
	return b.hasPartialFrame() && b.frameBegan <= then
}
