package bsrpc

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"slices"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// How frames of the basic wire are read and written, at either end.

// A basicFrame is one frame that has been read.
type basicFrame struct {
	typ     wire.Type
	payload []byte
	refused *fault.Fault // what its sender is told instead: the frame is no good, or there is no room for it
	last    bool         // then: nothing can be read behind it
}

// A basicReader reads frames. Memory follows the bytes that arrive.
type basicReader struct {
	nc      net.Conn
	in      *bufio.Reader
	head    int64                    // bytes of a payload that are not its message
	max     func() int64             // longest message
	text    int64                    // longest EXCEPTION, if that is more
	patient time.Duration            // Limits.FrameTimeout
	book    func(int64) *fault.Fault // is asked whether there is room for a long payload
	release func(int64)              // gives it back when that has come
}

// basicChunk is how much of a payload has as long as Limits.FrameTimeout.
const basicChunk = 64 << 10

// errTooLong ends a connection: what follows a frame that is not read cannot
// be told from its payload.
var errTooLong = errors.New("frame too long")

// newBasicReader returns a reader of frames that have head bytes before their
// message.
func newBasicReader(nc net.Conn, b *settings, head int) *basicReader {
	return &basicReader{
		nc: nc, in: bufio.NewReaderSize(nc, 4<<10), head: int64(head), max: func() int64 { return int64(b.MaxMessage) }, patient: b.FrameTimeout,
		book: func(int64) *fault.Fault { return nil }, release: func(int64) {},
	}
}

// next reads a frame. io.EOF is the end of the connection between two frames.
func (r *basicReader) next() (f basicFrame, err error) {
	if _, err := r.in.Peek(1); err != nil {
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
		return basicFrame{refused: tooSmall(size)}, nil
	case n > max(r.head+r.max(), r.text):
		return f, r.tooLong(n)
	}
	if err := r.fill(head[4:]); err != nil {
		return f, err
	}
	f.typ = wire.Type(head[4])
	if n > r.head+r.max() && f.typ != wire.Exception {
		return f, r.tooLong(n)
	}
	if n > wire.MaxUnchunked {
		if f.refused = r.book(n); f.refused != nil {
			return f, r.discard(n)
		}
		defer r.release(n)
	}
	f.payload, err = r.payload(int(n))
	return f, err
}

func (r *basicReader) tooLong(n int64) error {
	return fmt.Errorf("%w: %d bytes, MaxMessage is %d", errTooLong, n-r.head, r.max())
}

// hurry gives what has begun to arrive its time. What it returns ends that.
func (r *basicReader) hurry() (done func()) {
	if r.isWhole() {
		return func() {}
	}
	r.nc.SetReadDeadline(netconn.DeadlineIn(r.patient))
	return func() { r.nc.SetReadDeadline(time.Time{}) }
}

// isWhole says whether the next frame is in the buffer already.
func (r *basicReader) isWhole() bool {
	n := r.in.Buffered()
	if n < wire.BasicHeaderSize {
		return false
	}
	head, _ := r.in.Peek(wire.BasicHeaderSize)
	return wire.ReadBasicSize(head) <= int64(n)
}

// payload reads n bytes. The memory for them is at first for basicChunk, and
// then for four times what has come.
func (r *basicReader) payload(n int) ([]byte, error) {
	p := make([]byte, 0, min(n, basicChunk))
	for len(p) < n {
		if len(p) == cap(p) {
			p = append(make([]byte, 0, min(n, 4*cap(p))), p...)
		}
		to := min(len(p)+basicChunk, cap(p))
		if err := r.fill(p[len(p):to]); err != nil {
			return nil, err
		}
		if p = p[:to]; len(p) < n {
			r.nc.SetReadDeadline(netconn.DeadlineIn(r.patient))
		}
	}
	return p, nil
}

// fill reads all of p.
func (r *basicReader) fill(p []byte) error {
	_, err := io.ReadFull(r.in, p)
	return r.within(err)
}

// within names what has ended the reading inside of a frame.
func (r *basicReader) within(err error) error {
	switch {
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("a frame has stayed incomplete for Limits.FrameTimeout (%v)", r.patient)
	}
	return err
}

// discard reads n bytes, which are not too many, for nobody.
func (r *basicReader) discard(n int64) error {
	for n > 0 {
		r.nc.SetReadDeadline(netconn.DeadlineIn(r.patient))
		k, err := r.in.Discard(int(min(n, basicChunk)))
		if err != nil {
			return r.within(err)
		}
		n -= int64(k)
	}
	return nil
}

// writeBasic writes the parts of frames. A peer that takes not one byte within
// stall, or on a connection that is not a socket netconn.SmallWrite bytes, loses the
// connection, unless it was excused when that time began; the error is nil only
// if all has been written.
func writeBasic(nc net.Conn, parts net.Buffers, stall time.Duration, excused func() bool) error {
	if netconn.IsSocket(nc) {
		return writeParts(nc, parts, stall, excused)
	}
	for _, part := range parts {
		for chunk := range slices.Chunk(part, netconn.SmallWrite) {
			if err := writeChunk(nc, chunk, stall, excused); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeChunk writes a chunk to a connection that is not a socket. A write whose
// time is over is the last there, so the deadline is set only when it has to end.
func writeChunk(nc net.Conn, chunk []byte, stall time.Duration, excused func() bool) error {
	may := excused()
	var timer *time.Timer
	timer = time.AfterFunc(math.MaxInt64, func() {
		if may {
			may = excused()
			timer.Reset(stall)
			return
		}
		nc.SetWriteDeadline(netconn.LongAgo)
	})
	timer.Reset(stall)
	_, err := nc.Write(chunk)
	if !timer.Stop() && (err == nil || errors.Is(err, os.ErrDeadlineExceeded)) {
		return stalled(stall)
	}
	return err
}

func stalled(stall time.Duration) error {
	return fmt.Errorf("the peer has taken nothing for Limits.WriteStall (%v)", stall)
}

func writeParts(nc net.Conn, parts net.Buffers, stall time.Duration, excused func() bool) error {
	for {
		may := excused()
		nc.SetWriteDeadline(netconn.DeadlineIn(stall))
		n, err := parts.WriteTo(nc)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		case n == 0 && !may:
			return stalled(stall)
		}
	}
}

// never excuses nobody.
func never() bool { return false }
