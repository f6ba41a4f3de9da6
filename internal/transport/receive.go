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

// An inbox makes messages of the bytes that a connection brings: whole frames
// from a buffer that it keeps, and messages in pieces, each gathered in memory
// of its own that grows with what has arrived. It belongs to the holder of the
// turn.
type inbox struct {
	nc    net.Conn
	short io.Reader // nc, for reads of up to wholeBuf
	buf   []byte    // buf[r:w] has arrived and is not used yet
	r, w  int
	at    time.Time // when the newest bytes arrived, which are those from
	from  int       // here on
	m     Message   // what next has returned

	parcels map[parcelKey]*incoming
	into    *incoming // the message whose piece is arriving, nil if none
	left    int       // bytes of that piece that have not arrived
	began   time.Time // when the frame began to arrive of which the buffer has a part

	refused     int // messages among parcels that are unwanted
	mostRefused int // then the peer breaks the protocol
	longest     int // bytes of the longest message in pieces that has come whole

	admit   func(*wire.Frame) (wanted bool, err error) // asked at each first piece; books the wanted
	release func(size uint64)                          // told of a message that is not booked any longer
	beat    func(time.Time)                            // told when bytes have come
}

// newInbox returns the inbox of nc. mostRefused is how many messages in pieces may be
// refused and unfinished, the funcs are the inbox's fields.
func newInbox(nc net.Conn, mostRefused int, admit func(*wire.Frame) (bool, error), release func(uint64), beat func(time.Time)) inbox {
	return inbox{nc: nc, short: sockread.NewReader(nc), mostRefused: mostRefused, admit: admit, release: release, beat: beat}
}

// parcelKey names a message in pieces: calls of both directions may have the
// same id.
type parcelKey struct {
	response bool
	id       uint64
}

// An incoming is a message of which not all pieces have arrived.
type incoming struct {
	head     wire.Frame
	body     []byte
	got      uint64 // bytes of pieces so far
	unwanted bool   // its pieces are dropped as they arrive
	at       time.Time
}

// A message is what an inbox gives: a frame and its whole body.
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
	firstBuf   = 4 << 10
	wholeBuf   = wire.MaxUnchunked + wire.MaxHeader
	firstAlloc = 64 << 10 // of a message in pieces; then it grows with what arrives
	growth     = 4
)

// next returns the next message whose bytes have all arrived, nil if there is
// none yet. It is valid until the next call. An error is the peer's violation
// of the protocol.
func (in *inbox) next() (*Message, error) {
	for {
		if in.into != nil {
			if in.takePiece() {
				return &in.m, nil
			}
			if in.left > 0 {
				return nil, nil
			}
			in.into = nil
		}
		if in.r == in.w {
			return nil, nil
		}
		f := &in.m.Frame
		n, err := wire.ReadHeader(in.buf[in.r:in.w], f)
		if err == wire.ErrShort {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if f.Flags&wire.Chunked != 0 || f.Type == wire.RequestChunk || f.Type == wire.ResponseChunk {
			in.r += n
			if err := in.beginPiece(f); err != nil {
				return nil, err
			}
			continue
		}
		end := in.r + n + f.BodySize
		if in.w < end {
			return nil, nil
		}
		in.m.Body, in.m.Own = in.buf[in.r+n:end:end], false
		in.r = end
		return &in.m, nil
	}
}

// beginPiece looks at the head of a piece and prepares for its body.
func (in *inbox) beginPiece(f *wire.Frame) error {
	key := parcelKey{f.Type == wire.Response || f.Type == wire.ResponseChunk, f.ID}
	p := in.parcels[key]
	if f.Flags&wire.Chunked != 0 {
		if p != nil {
			return fmt.Errorf("%v %d begins a second time", f.Type, f.ID)
		}
		wanted, err := in.admit(f)
		if err != nil {
			return err
		}
		p = &incoming{head: *f, unwanted: !wanted, at: in.at}
		if p.head.Meta = nil; wanted {
			p.head.Meta = slices.Clone(f.Meta)
		} else {
			in.refused++
		}
		if in.refused > in.mostRefused {
			return fmt.Errorf("%d messages in pieces were refused and are neither complete nor cancelled", in.refused)
		}
		if in.parcels == nil {
			in.parcels = make(map[parcelKey]*incoming)
		}
		in.parcels[key] = p
	}
	if p == nil {
		return fmt.Errorf("%v of %d, which has not begun or is complete", f.Type, f.ID)
	}
	if p.got+uint64(f.BodySize) > p.head.Total {
		return fmt.Errorf("%v of %d is %d bytes too long", f.Type, f.ID, p.got+uint64(f.BodySize)-p.head.Total)
	}
	in.into, in.left = p, f.BodySize
	return nil
}

// takePiece moves what has arrived of the current piece to its message, and
// reports whether that is now complete, and in m.
func (in *inbox) takePiece() bool {
	n := min(in.left, in.w-in.r)
	p := in.into
	if !p.unwanted {
		in.reserve(p, n)
		p.body = append(p.body, in.buf[in.r:in.r+n]...)
	}
	in.r += n
	in.arrived(n)
	if in.left > 0 || p.got < p.head.Total {
		return false
	}
	in.into = nil
	in.remove(p)
	in.longest = max(in.longest, len(p.body))
	in.m = Message{Frame: p.head, Body: p.body, Own: true}
	return !p.unwanted || p.head.Type == wire.Response // an answer that nobody wants still ends its call
}

// unfinished returns how many requests are neither complete nor unwanted.
func (in *inbox) unfinished() (n int) {
	for _, p := range in.parcels {
		if !p.unwanted && p.head.Type == wire.Request {
			n++
		}
	}
	return n
}

func (in *inbox) arrived(n int) {
	in.left -= n
	in.into.got += uint64(n)
	in.into.at = in.at
}

// reserve makes room for n more bytes of p, or for as much as may be made now:
// memory follows the bytes that have arrived, unless the peer has sent as long a
// message before.
func (in *inbox) reserve(p *incoming, n int) {
	if len(p.body)+n <= cap(p.body) {
		return
	}
	fresh := max(firstAlloc, growth*len(p.body), len(p.body)+n, in.longest)
	body := recycle.Bytes(int(p.head.Total), min(fresh, int(p.head.Total)))
	old := p.body
	p.body = body[:copy(body, old)]
	recycle.Free(old)
}

// fill waits for bytes and takes what is there: the rest of a piece straight
// into its message, everything else into the buffer.
func (in *inbox) fill() error {
	if p := in.into; p != nil && in.r == in.w && !p.unwanted {
		in.reserve(p, min(in.left, firstAlloc))
		free := p.body[len(p.body):cap(p.body)]
		n, err := in.nc.Read(free[:min(len(free), in.left)])
		in.stamp(n)
		p.body = p.body[:len(p.body)+n]
		in.arrived(n)
		return readError(n, err)
	}
	in.makeRoom()
	in.from = in.w
	space := in.buf[in.w:]
	if len(in.parcels) > 0 && in.r == in.w {
		space = space[:min(len(space), firstBuf)] // what comes next is mostly a piece: copy little of it
	}
	n, err := in.short.Read(space)
	in.stamp(n)
	in.w += n
	return readError(n, err)
}

// stamp notes when a read ended that brought n bytes.
func (in *inbox) stamp(n int) {
	in.at = time.Now()
	if n > 0 {
		in.beat(in.at)
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
func (in *inbox) makeRoom() {
	full := in.w == len(in.buf)
	if in.r == in.w {
		in.r, in.w = 0, 0
	}
	if full && len(in.buf) < wholeBuf {
		size := firstBuf
		if in.buf != nil {
			size = wholeBuf
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
func (in *inbox) lastRead() time.Time { return in.at }

// oldest returns since when the longest of what is incomplete has waited: a frame
// from its first byte, a message in pieces from its newest one.
func (in *inbox) oldest() (at time.Time, ok bool) {
	if in.hasPart() {
		at, ok = in.began, true
	}
	for _, p := range in.parcels {
		if !p.unwanted && (!ok || p.at.Before(at)) { // the unwanted are lost already
			at, ok = p.at, true
		}
	}
	return at, ok
}

// hasPart says whether a part of a frame has arrived.
func (in *inbox) hasPart() bool { return in.r < in.w }

// isFrameStale says whether a frame began to arrive at a time or before, and is
// not complete.
func (in *inbox) isFrameStale(since time.Time) bool { return in.hasPart() && !in.began.After(since) }

// unwantStale drops the messages of which nothing has come since. It returns their
// heads.
func (in *inbox) unwantStale(since time.Time) (heads []wire.Frame) {
	for _, p := range in.parcels {
		if !p.unwanted && !p.at.After(since) {
			in.unwant(p)
			heads = append(heads, p.head)
		}
	}
	return heads
}

// cancelRequest drops a request of which the peer sends no further pieces. It
// reports whether that had begun, and whether it was wanted.
func (in *inbox) cancelRequest(id uint64) (begun, wanted bool) {
	p := in.parcels[parcelKey{false, id}]
	if p == nil {
		return false, false
	}
	in.remove(p)
	return true, !p.unwanted
}

// forgetResponse drops an answer of which the peer sends no further pieces.
func (in *inbox) forgetResponse(id uint64) {
	if p := in.parcels[parcelKey{true, id}]; p != nil {
		in.remove(p)
	}
}

// unwant drops a message that has begun to arrive, and its further pieces as
// they come.
func (in *inbox) unwant(p *incoming) {
	if !p.unwanted {
		in.release(p.head.Total)
		in.refused++
	}
	p.unwanted, p.body = true, nil
}

func (in *inbox) remove(p *incoming) {
	if p.unwanted {
		in.refused--
	} else {
		in.release(p.head.Total)
	}
	delete(in.parcels, parcelKey{p.head.Type == wire.Response, p.head.ID})
}

// incomplete says whether anything has begun to arrive and is not complete. It is
// asked behind each read, when next has returned all that is.
func (in *inbox) incomplete() bool {
	part := in.hasPart()
	if part && in.r >= in.from {
		in.began = in.at
	}
	return part || len(in.parcels) > 0
}
