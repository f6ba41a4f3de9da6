package basic

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
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

	prefix    int64                    // bytes of a payload before its message
	longest   func() int64             // longest message
	whose     string                   // "this end's ", for the error of a longer one
	exception int64                    // longest EXCEPTION, if that is more
	book      func(int64) *fault.Fault // asks for room for a long payload
	release   func(int64)              // returns the room after the payload
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
		book: func(int64) *fault.Fault { return nil }, release: func(int64) {},
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
	if n > wire.MaxUnchunked {
		if f.Refused = r.book(n); f.Refused != nil {
			return f, r.discard(n)
		}
		defer r.release(n)
	}
	f.Payload, err = r.payload(int(n))
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

// payload reads n bytes, first into memory for frameStep bytes, then into memory for
// four times the bytes received.
func (r *reader) payload(n int) ([]byte, error) {
	p := make([]byte, 0, min(n, frameStep))
	for len(p) < n {
		if len(p) == cap(p) {
			p = append(make([]byte, 0, min(n, 4*cap(p))), p...)
		}
		to := min(len(p)+frameStep, cap(p))
		if err := r.fill(p[len(p):to]); err != nil {
			return nil, err
		}
		if p = p[:to]; len(p) < n {
			r.extend()
		}
	}
	return p, nil
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
