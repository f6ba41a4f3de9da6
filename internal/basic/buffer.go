package basic

import (
	"io"
	"net"

	"github.com/bsrpc/bsrpc/internal/tally"
)

// A buffer reads a connection ahead. It is a small bufio.Reader: all of that one's
// methods would be in every server, since the linker keeps the exported methods of
// types in programs with reflection.
type buffer struct {
	from net.Conn
	data []byte // read and not yet taken, in room
	err  error  // to return after data
	room [4 << 10]byte
	lane *tally.Lane // counts the bytes; nil for none
}

// Read implements io.Reader.
func (b *buffer) Read(p []byte) (int, error) {
	if len(b.data) == 0 && b.err == nil && len(p) >= len(b.room) {
		n, err := b.from.Read(p)
		b.lane.Receive(n)
		return n, err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if err := b.await(); err != nil {
		return 0, err
	}
	n := copy(p, b.data)
	b.data = b.data[n:]
	return n, nil
}

// await returns when there is data.
func (b *buffer) await() error {
	for range 100 { // a broken connection may return neither bytes nor an error
		if len(b.data) > 0 {
			return nil
		}
		if err := b.err; err != nil {
			b.err = nil
			return err
		}
		var n int
		n, b.err = b.from.Read(b.room[:])
		b.data = b.room[:n]
		b.lane.Receive(n)
	}
	return io.ErrNoProgress
}
