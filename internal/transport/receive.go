package transport

import (
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/bsrpc/bsrpc/internal/recycle"
	"github.com/bsrpc/bsrpc/internal/sockread"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A receiveBuffer makes messages of the bytes that a connection brings: whole frames
// from a buffer that it keeps, and chunked messages, each gathered in memory
// of its own that grows with what has arrived. It belongs to the holder of the
// turn.
type receiveBuffer struct {
	nc      net.Conn
	small   io.Reader // nc, for reads of up to wholeBuf
	buf     []byte    // buf[r:w] has arrived and is not used yet
	r, w    int
	readAt  time.Time // when the newest bytes arrived, which are those from
	newest  int       // here on
	message Message   // what next has returned

	chunked    map[chunkedKey]*reassembly
	arriving   *reassembly // the message whose chunk is arriving, nil if none
	left       int         // bytes of that chunk that have not arrived
	frameBegan time.Time   // when the frame began to arrive of which the buffer has a part

	refused    int // messages among chunked messages that are unwanted
	maxRefused int // then the peer breaks the protocol
	longest    int // bytes of the longest chunked message that has come whole

	accept func(*wire.Frame) (wanted bool, err error) // asked at each first chunk; books the wanted
	unbook func(size uint64)                          // told of a message that is not booked any longer
	onRead func(time.Time)                            // told when bytes have come
}

// newReceiveBuffer returns the receive buffer of nc. mostRefused is how many chunked message may be
// refused and unfinished, the funcs are the receive buffer's fields.
func newReceiveBuffer(nc net.Conn, mostRefused int, admit func(*wire.Frame) (bool, error), release func(uint64), beat func(time.Time)) receiveBuffer {
	return receiveBuffer{nc: nc, small: sockread.NewReader(nc), maxRefused: mostRefused, accept: admit, unbook: release, onRead: beat}
}

// chunkedKey names a chunked message: calls of both directions may have the
// same id.
type chunkedKey struct {
	response bool
	id       uint64
}

// An incoming is a message of which not all chunks have arrived.
type reassembly struct {
	head      wire.Frame
	body      []byte
	received  uint64 // bytes of chunks so far
	discarded bool   // its chunks are dropped as they arrive
	lastChunk time.Time
}

// A message is what a receive buffer gives: a frame and its whole body.
type Message struct {
	wire.Frame
	Body []byte
	Own  bool // Body is memory of its own, else it is valid until the next read
}

// Keep returns m with memory of its own.
func (m *Message) Keep() Message {
	kept := *m
	kept.Meta = nil
	if !m.Own {
		kept.Body, kept.Own = slices.Clone(m.Body), true
	}
	return kept
}

const (
	minBuffer  = 4 << 10
	maxBuffer  = wire.MaxUnchunked + wire.MaxHeader
	firstBody  = 64 << 10 // of a chunked message; then it grows with what arrives
	bodyGrowth = 4
)

// next returns the next message whose bytes have all arrived, nil if there is
// none yet. It is valid until the next call. An error is the peer's violation
// of the protocol.
func (in *receiveBuffer) next() (*Message, error) {
	for {
		if in.arriving != nil {
			if in.takeChunk() {
				return &in.message, nil
			}
			if in.left > 0 {
				return nil, nil
			}
			in.arriving = nil
		}
		if in.r == in.w {
			return nil, nil
		}
		f := &in.message.Frame
		n, err := wire.ReadHeader(in.buf[in.r:in.w], f)
		if err == wire.ErrShort {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if f.Flags&wire.Chunked != 0 || f.Type == wire.RequestChunk || f.Type == wire.ResponseChunk {
			in.r += n
			if err := in.beginChunk(f); err != nil {
				return nil, err
			}
			continue
		}
		end := in.r + n + f.BodySize
		if in.w < end {
			return nil, nil
		}
		in.message.Body, in.message.Own = in.buf[in.r+n:end:end], false
		in.r = end
		return &in.message, nil
	}
}

// beginChunk looks at the head of a chunk and prepares for its body.
func (in *receiveBuffer) beginChunk(f *wire.Frame) error {
	key := chunkedKey{f.Type == wire.Response || f.Type == wire.ResponseChunk, f.ID}
	p := in.chunked[key]
	if f.Flags&wire.Chunked != 0 {
		if p != nil {
			return fmt.Errorf("%v %d begins a second time", f.Type, f.ID)
		}
		wanted, err := in.accept(f)
		if err != nil {
			return err
		}
		p = &reassembly{head: *f, discarded: !wanted, lastChunk: in.readAt}
		if p.head.Meta = nil; wanted {
			p.head.Meta = slices.Clone(f.Meta)
		} else {
			in.refused++
		}
		if in.refused > in.maxRefused {
			return fmt.Errorf("%d messages in pieces were refused and are neither complete nor cancelled", in.refused)
		}
		if in.chunked == nil {
			in.chunked = make(map[chunkedKey]*reassembly)
		}
		in.chunked[key] = p
	}
	if p == nil {
		return fmt.Errorf("%v of %d, which has not begun or is complete", f.Type, f.ID)
	}
	if p.received+uint64(f.BodySize) > p.head.Total {
		return fmt.Errorf("%v of %d is %d bytes too long", f.Type, f.ID, p.received+uint64(f.BodySize)-p.head.Total)
	}
	in.arriving, in.left = p, f.BodySize
	return nil
}

// takeChunk moves what has arrived of the current chunk to its message, and
// reports whether that is now complete, and in m.
func (in *receiveBuffer) takeChunk() bool {
	n := min(in.left, in.w-in.r)
	p := in.arriving
	if !p.discarded {
		in.grow(p, n)
		p.body = append(p.body, in.buf[in.r:in.r+n]...)
	}
	in.r += n
	in.arrived(n)
	if in.left > 0 || p.received < p.head.Total {
		return false
	}
	in.arriving = nil
	in.remove(p)
	in.longest = max(in.longest, len(p.body))
	in.message = Message{Frame: p.head, Body: p.body, Own: true}
	return !p.discarded || p.head.Type == wire.Response // an answer that nobody wants still ends its call
}

// unfinished returns how many requests are neither complete nor unwanted.
func (in *receiveBuffer) unfinished() (n int) {
	for _, p := range in.chunked {
		if !p.discarded && p.head.Type == wire.Request {
			n++
		}
	}
	return n
}

func (in *receiveBuffer) arrived(n int) {
	in.left -= n
	in.arriving.received += uint64(n)
	in.arriving.lastChunk = in.readAt
}

// grow makes room for n more bytes of p, or for as much as may be made now:
// memory follows the bytes that have arrived, unless the peer has sent as long a
// message before.
func (in *receiveBuffer) grow(p *reassembly, n int) {
	if len(p.body)+n <= cap(p.body) {
		return
	}
	fresh := max(firstBody, bodyGrowth*len(p.body), len(p.body)+n, in.longest)
	body := recycle.Bytes(int(p.head.Total), min(fresh, int(p.head.Total)))
	old := p.body
	p.body = body[:copy(body, old)]
	recycle.Free(old)
}

// fill waits for bytes and takes what is there: the rest of a chunk straight
// into its message, everything else into the buffer.
func (in *receiveBuffer) fill() error {
	if p := in.arriving; p != nil && in.r == in.w && !p.discarded {
		in.grow(p, min(in.left, firstBody))
		free := p.body[len(p.body):cap(p.body)]
		n, err := in.nc.Read(free[:min(len(free), in.left)])
		in.noteRead(n)
		p.body = p.body[:len(p.body)+n]
		in.arrived(n)
		return readError(n, err)
	}
	in.makeRoom()
	in.newest = in.w
	space := in.buf[in.w:]
	if len(in.chunked) > 0 && in.r == in.w {
		space = space[:min(len(space), minBuffer)] // what comes next is mostly a chunk: copy little of it
	}
	n, err := in.small.Read(space)
	in.noteRead(n)
	in.w += n
	return readError(n, err)
}

// noteRead notes when a read ended that brought n bytes.
func (in *receiveBuffer) noteRead(n int) {
	in.readAt = time.Now()
	if n > 0 {
		in.onRead(in.readAt)
	}
}

// readError is the error of a read that brought n bytes, of which nothing is lost.
func readError(n int, err error) error {
	if n > 0 {
		return nil
	}
	return err
}

// makeRoom moves what is not used to the beginning of the buffer, which grows
// when a read has filled it.
func (in *receiveBuffer) makeRoom() {
	full := in.w == len(in.buf)
	if in.r == in.w {
		in.r, in.w = 0, 0
	}
	if full && len(in.buf) < maxBuffer {
		size := minBuffer
		if in.buf != nil {
			size = maxBuffer
		}
		buf := make([]byte, size)
		in.w = copy(buf, in.buf[in.r:in.w])
		in.r, in.buf = 0, buf
		return
	}
	if in.w == len(in.buf) {
		in.w = copy(in.buf, in.buf[in.r:in.w])
		in.r = 0
	}
}

// lastRead returns when the newest bytes arrived.
func (in *receiveBuffer) lastRead() time.Time { return in.readAt }

// oldestIncomplete returns since when the longest of what is incomplete has waited: a frame
// from its first byte, a chunked message from its newest one.
func (in *receiveBuffer) oldestIncomplete() (at time.Time, ok bool) {
	if in.hasPartialFrame() {
		at, ok = in.frameBegan, true
	}
	for _, p := range in.chunked {
		if !p.discarded && (!ok || p.lastChunk.Before(at)) { // the unwanted are lost already
			at, ok = p.lastChunk, true
		}
	}
	return at, ok
}

// hasPartialFrame says whether a part of a frame has arrived.
func (in *receiveBuffer) hasPartialFrame() bool { return in.r < in.w }

// isFrameStale says whether a frame began to arrive at a time or before, and is
// not complete.
func (in *receiveBuffer) isFrameStale(since time.Time) bool {
	return in.hasPartialFrame() && !in.frameBegan.After(since)
}

// discardStale drops the messages of which nothing has come since. It returns their
// heads.
func (in *receiveBuffer) discardStale(since time.Time) (heads []wire.Frame) {
	for _, p := range in.chunked {
		if !p.discarded && !p.lastChunk.After(since) {
			in.discard(p)
			heads = append(heads, p.head)
		}
	}
	return heads
}

// cancelRequest drops a request of which the peer sends no further chunks. It
// reports whether that had begun, and whether it was wanted.
func (in *receiveBuffer) cancelRequest(id uint64) (begun, wanted bool) {
	p := in.chunked[chunkedKey{false, id}]
	if p == nil {
		return false, false
	}
	in.remove(p)
	return true, !p.discarded
}

// forgetResponse drops an answer of which the peer sends no further chunks.
func (in *receiveBuffer) forgetResponse(id uint64) {
	if p := in.chunked[chunkedKey{true, id}]; p != nil {
		in.remove(p)
	}
}

// discard drops a message that has begun to arrive, and its further chunks as
// they come.
func (in *receiveBuffer) discard(p *reassembly) {
	if !p.discarded {
		in.unbook(p.head.Total)
		in.refused++
	}
	p.discarded, p.body = true, nil
}

func (in *receiveBuffer) remove(p *reassembly) {
	if p.discarded {
		in.refused--
	} else {
		in.unbook(p.head.Total)
	}
	delete(in.chunked, chunkedKey{p.head.Type == wire.Response, p.head.ID})
}

// incomplete says whether anything has begun to arrive and is not complete. It is
// asked behind each read, when next has returned all that is.
func (in *receiveBuffer) incomplete() bool {
	part := in.hasPartialFrame()
	if part && in.r >= in.newest {
		in.frameBegan = in.readAt
	}
	return part || len(in.chunked) > 0
}
