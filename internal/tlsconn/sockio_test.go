package tlsconn_test

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc/internal/sockio"
)

// socketPair returns the two ends of a connection.
func socketPair(t *testing.T, network string) (near, far net.Conn) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if near, err = net.Dial(network, l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

func eachNetwork(t *testing.T, test func(t *testing.T, near, far net.Conn)) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			near, far := socketPair(t, network)
			test(t, near, far)
		})
	}
}

func TestReader(t *testing.T) {
	eachNetwork(t, func(t *testing.T, near, far net.Conn) {
		r := sockio.NewReader(near)
		buf := make([]byte, 8)
		if n, err := r.Read(nil); n != 0 || err != nil {
			t.Error("empty buffer:", n, err)
		}
		go func() {
			far.Write([]byte("0123456789"))
			far.Close()
		}()
		b, err := io.ReadAll(io.LimitReader(r, 10))
		if err != nil || string(b) != "0123456789" {
			t.Fatalf("%q, %v", b, err)
		}
		for range 2 {
			if n, err := r.Read(buf); n != 0 || err != io.EOF {
				t.Error("at EOF:", n, err)
			}
		}
	})
}

// A deadline interrupts a waiting read. An expired one fails all reads until it
// is reset.
func TestReaderDeadline(t *testing.T) {
	eachNetwork(t, func(t *testing.T, near, far net.Conn) {
		r := sockio.NewReader(near)
		buf := make([]byte, 8)
		failed := make(chan error)
		go func() {
			_, err := r.Read(buf)
			failed <- err
		}()
		near.SetReadDeadline(time.Unix(1, 0))
		if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		near.SetReadDeadline(time.Time{})
		far.Write([]byte("x"))
		if n, err := r.Read(buf); n != 1 || err != nil {
			t.Error(n, err)
		}
	})
}

// Reads do not block on a descriptor made blocking by another holder.
func TestReaderBlockingDescriptor(t *testing.T) {
	eachNetwork(t, func(t *testing.T, near, far net.Conn) {
		f, err := near.(interface{ File() (*os.File, error) }).File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		f.Fd()
		r := sockio.NewReader(near)
		if r == io.Reader(near) {
			t.Skip("NewReader returned the connection itself")
		}
		near.SetReadDeadline(time.Now().Add(time.Millisecond))
		if n, err := r.Read(make([]byte, 8)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(n, err)
		}
	})
}

// Errors equal those of the connection's own Read.
func TestReaderErrors(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(near, far net.Conn)
		want error
	}{
		{"closed", func(near, _ net.Conn) { near.Close() }, net.ErrClosed},
		{"late", func(near, _ net.Conn) { near.SetReadDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
		{"reset", func(_, far net.Conn) { far.(*net.TCPConn).SetLinger(0); far.Close() }, syscall.ECONNRESET},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := func(reader func(net.Conn) io.Reader) string {
				near, far := socketPair(t, "tcp")
				r := reader(near)
				tt.do(near, far)
				_, err := r.Read(make([]byte, 1))
				if !errors.Is(err, tt.want) {
					t.Errorf("%v, want %v", err, tt.want)
					return ""
				}
				var op *net.OpError
				if !errors.As(err, &op) || op.Op != "read" || op.Net != "tcp" || op.Source.String() != near.LocalAddr().String() || op.Addr.String() != far.LocalAddr().String() {
					t.Errorf("%#v", err)
				}
				_, cause, _ := strings.Cut(err.Error(), ": ")
				return cause
			}
			own := text(func(nc net.Conn) io.Reader { return nc })
			if got := text(sockio.NewReader); got != own {
				t.Errorf("%q, want %q", got, own)
			}
		})
	}
}

// NewReader does not bypass the Read of a wrapper.
func TestReaderWrappedConn(t *testing.T) {
	near, _ := socketPair(t, "tcp")
	w := struct{ *net.TCPConn }{near.(*net.TCPConn)}
	if sockio.NewReader(w) != io.Reader(w) {
		t.Error("NewReader bypassed the wrapper")
	}
}

// A Writer writes what there is room for, and never waits.
func TestWriter(t *testing.T) {
	eachNetwork(t, func(t *testing.T, near, far net.Conn) {
		w := sockio.NewWriter(near)
		if w == nil {
			t.Skip("only on Unix systems")
		}
		if n := w.TryWrite(nil); n != 0 {
			t.Error("nothing:", n)
		}
		if n := w.TryWrite([]byte("0123456789")); n != 10 {
			t.Error(n)
		}
		sent := 10
		for _, size := range []int{1 << 20, 1 << 10} { // an ordinary system call, and one of its own
			for block := make([]byte, size); ; {
				n := w.TryWrite(block)
				if sent += n; n == 0 {
					break
				}
			}
		}
		got := make([]byte, sent)
		if _, err := io.ReadFull(far, got); err != nil || string(got[:10]) != "0123456789" {
			t.Fatal(err)
		}
		if n := w.TryWrite([]byte("more")); n != 4 {
			t.Error("room again:", n)
		}
		near.SetWriteDeadline(time.Unix(1, 0))
		if n := w.TryWrite([]byte("late")); n != 0 {
			t.Error("after the deadline:", n)
		}
		near.SetWriteDeadline(time.Time{})
		near.Close()
		if n := w.TryWrite([]byte("closed")); n != 0 {
			t.Error("after Close:", n)
		}
	})
}

// Writing to a peer that has gone returns 0, and the reason remains for Write.
func TestWriterToNobody(t *testing.T) {
	eachNetwork(t, func(t *testing.T, near, far net.Conn) {
		w := sockio.NewWriter(near)
		if w == nil {
			t.Skip("only on Unix systems")
		}
		far.Close()
		for w.TryWrite([]byte("lost")) > 0 { // until the peer has refused some bytes
			runtime.Gosched()
		}
		if _, err := near.Write([]byte("lost")); err == nil {
			t.Error("Write found no reason")
		}
	})
}

// NewWriter does not bypass the Write of a wrapper.
func TestWriterWrappedConn(t *testing.T) {
	near, _ := socketPair(t, "tcp")
	if w := sockio.NewWriter(struct{ *net.TCPConn }{near.(*net.TCPConn)}); w != nil || w.TryWrite([]byte("x")) != 0 {
		t.Error("NewWriter bypassed the wrapper")
	}
}
