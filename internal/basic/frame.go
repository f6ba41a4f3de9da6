package basic

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A Frame is one frame as received.
type Frame struct {
	Type    wire.Type
	Payload []byte
	Refused *fault.Fault // the exception that answers an unusable frame; else nil
	last    bool         // with Refused: nothing after this frame can be read
	kept    limits.Kept  // of a long frame, until it is decoded
}

// ReadFrame reads a frame with a payload of at most longest bytes, and not a byte more.
// A longer frame is a *LongFrame error.
func ReadFrame(nc net.Conn, longest int64) (Frame, error) {
	var head [wire.BasicHeaderSize]byte
	if _, err := io.ReadFull(nc, head[:4]); err != nil {
		return Frame{}, err
	}
	size := wire.ReadBasicSize(head[:])
	n := size - wire.BasicHeaderSize
	switch {
	case n < 0:
		return Frame{Refused: tooSmall(size)}, nil
	case n > longest:
		io.ReadFull(nc, head[4:]) // the fifth byte helps to identify another protocol
		return Frame{}, &LongFrame{Head: head, Size: n, Most: longest}
	}
	rest := make([]byte, size-4)
	if _, err := io.ReadFull(nc, rest); err != nil {
		return Frame{}, err
	}
	return Frame{Type: wire.Type(rest[0]), Payload: rest[1:]}, nil
}

// A LongFrame is the error of a frame longer than allowed. During the handshake it is
// often the beginning of another protocol.
type LongFrame struct {
	Head       [wire.BasicHeaderSize]byte // the first bytes
	Size, Most int64                      // of the payload
}

// Error returns the size and its bound.
func (e *LongFrame) Error() string {
	return fmt.Sprintf("a frame with a payload of %d bytes, want at most %d", e.Size, e.Most)
}

// A reader reads the frames of a connection. Its memory grows with the bytes received,
// not with the announced sizes.
type reader struct {
	nc           net.Conn
	in           buffer
	frameTimeout time.Duration // Limits.FrameTimeout

	prefix    int64        // bytes of a payload before its message
	longest   func() int64 // longest message
	whose     string       // "this end's ", for the error of a longer one
	exception int64        // longest EXCEPTION, if that is more

	// Of a server, for Limits.ServerBytes; nil for none.
	budget  *limits.Budget
	owner   string // of budget
	waiting *limits.Waiting

	mu       sync.Mutex // guards arriving
	arriving *limits.Unfinished
}

// frameStep is how many bytes of a payload must arrive within Limits.FrameTimeout.
const frameStep = 64 << 10

// errTooLong ends a connection: the end of a frame that is not read cannot be found.
var errTooLong = errors.New("frame too long")

// newReader returns a reader of frames with prefix bytes before each message.
func newReader(nc net.Conn, b *limits.Conn, prefix int) *reader {
	return &reader{
		nc: nc, in: buffer{from: nc}, frameTimeout: b.FrameTimeout,
		prefix: int64(prefix), longest: func() int64 { return int64(b.MaxMessage) }, whose: "this end's ",
	}
}

// next reads a frame. io.EOF is the end of the connection between two frames.
func (r *reader) next() (f Frame, err error) {
	if err := r.in.await(); err != nil {
		return f, err
	}
	defer r.hurry()()
	var head [wire.BasicHeaderSize]byte
	if err := r.fill(head[:4]); err != nil {
		return f, err
	}
	size := wire.ReadBasicSize(head[:])
	n := size - wire.BasicHeaderSize
	switch {
	case n < 0:
		return Frame{Refused: tooSmall(size)}, nil
	case n > max(r.prefix+r.longest(), r.exception):
		return f, r.tooLong(n)
	}
	if err := r.fill(head[4:]); err != nil {
		return f, err
	}
	f.Type = wire.Type(head[4])
	if n > r.prefix+r.longest() && f.Type != wire.Exception {
		return f, r.tooLong(n)
	}
	err = r.payload(&f, int(n))
	return f, err
}

// tooLong is the error of a frame beyond the limit.
func (r *reader) tooLong(n int64) error {
	return fmt.Errorf("%w: %d bytes, %sMaxMessage is %d", errTooLong, n-r.prefix, r.whose, r.longest())
}

// hurry sets the deadline of a frame that has begun to arrive. done removes it.
func (r *reader) hurry() (done func()) {
	if r.isWhole() {
		return func() {}
	}
	r.extend()
	return func() { r.nc.SetReadDeadline(time.Time{}) }
}

// extend allows frameTimeout from now.
func (r *reader) extend() { r.nc.SetReadDeadline(netconn.DeadlineIn(r.frameTimeout)) }

// isWhole reports whether the whole next frame is in the buffer.
func (r *reader) isWhole() bool {
	ahead := r.in.data
	return len(ahead) >= wire.BasicHeaderSize && wire.ReadBasicSize(ahead) <= int64(len(ahead))
}

// payload reads the n bytes of a payload into f. The memory is for frameStep bytes at first,
// then for four times the bytes received. A long payload counts in the budget as it arrives;
// without room it is refused, and its rest discarded.
func (r *reader) payload(f *Frame, n int) error {
	p := make([]byte, 0, min(n, frameStep))
	var unfinished limits.Unfinished
	if n > wire.MaxUnchunked {
		if e := r.budget.Begin(&unfinished, limits.Monotonic(), r.owner, func() { r.interrupt(&unfinished) }); e != nil {
			return r.refuse(f, e, n)
		}
		r.setArriving(&unfinished)
		defer unfinished.End()
		defer r.setArriving(nil) // before the deadline is removed, see interrupt
	}
	for len(p) < n {
		if len(p) == cap(p) {
			p = append(make([]byte, 0, min(n, 4*cap(p))), p...)
		}
		k, err := io.ReadFull(&r.in, p[len(p):min(len(p)+frameStep, cap(p))])
		p = p[:len(p)+k]
		unfinished.Add(k, limits.Monotonic())
		if unfinished.HasToGo() {
			return r.refuse(f, unfinished.Fault(), n-len(p))
		}
		if err != nil {
			return r.inFrame(err)
		}
		if len(p) < n {
			r.extend()
		}
	}
	if n > wire.MaxUnchunked && r.waiting != nil {
		var e *fault.Fault
		if f.kept, e = r.waiting.Keep(n); e != nil {
			return r.refuse(f, e, 0)
		}
	}
	f.Payload = p
	return nil
}

// setArriving sets the message that interrupt may interrupt.
func (r *reader) setArriving(u *limits.Unfinished) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.arriving = u
}

// interrupt ends the wait for a payload that has to go. Later frames are not interrupted:
// their deadline is set, or removed, after setArriving.
func (r *reader) interrupt(u *limits.Unfinished) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.arriving == u {
		r.nc.SetReadDeadline(netconn.LongAgo)
	}
}

// refuse refuses a frame, and discards the n bytes of it that have not been read.
func (r *reader) refuse(f *Frame, why *fault.Fault, n int) error {
	f.Refused = Exception("RuntimeError", "%s", why.Plain())
	r.setArriving(nil)
	return r.discard(int64(n))
}

// fill reads all of p.
func (r *reader) fill(p []byte) error {
	_, err := io.ReadFull(&r.in, p)
	return r.inFrame(err)
}

// inFrame returns the error of a read that ended in the middle of a frame.
func (r *reader) inFrame(err error) error {
	switch {
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("a frame has stayed incomplete for this end's Limits.FrameTimeout (%v)", r.frameTimeout)
	}
	return err
}

// discard reads past n bytes, at most the longest frame.
func (r *reader) discard(n int64) error {
	for n > 0 {
		r.extend()
		k, err := io.CopyN(io.Discard, &r.in, min(n, frameStep))
		if err != nil {
			return r.inFrame(err)
		}
		n -= k
	}
	return nil
}
