package basic

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"testing/iotest"
)

// A readConn reads from a reader.
type readConn struct {
	net.Conn
	from io.Reader
}

func (c readConn) Read(p []byte) (int, error) { return c.from.Read(p) }

// A buffer returns the bytes of its connection, in reads of any size, and then the
// error that came with the last of them.
func TestBuffer(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789abcdef"), 1000)
	for _, from := range []func(io.Reader) io.Reader{
		func(r io.Reader) io.Reader { return r }, iotest.OneByteReader, iotest.HalfReader, iotest.DataErrReader,
	} {
		for _, size := range []int{1, 7, 4 << 10, 5000} {
			b := &buffer{from: readConn{from: from(bytes.NewReader(want))}}
			var got []byte
			p := make([]byte, size)
			for {
				n, err := b.Read(p)
				got = append(got, p[:n]...)
				if err != nil {
					if err != io.EOF || !bytes.Equal(got, want) {
						t.Errorf("size %d: %v after %d of %d bytes", size, err, len(got), len(want))
					}
					break
				}
			}
		}
	}
}

// A connection that returns neither bytes nor an error ends the wait.
func TestBufferWithoutProgress(t *testing.T) {
	b := &buffer{from: readConn{from: idleReader{}}}
	if err := b.await(); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("got %v", err)
	}
}

type idleReader struct{}

func (idleReader) Read([]byte) (int, error) { return 0, nil }
