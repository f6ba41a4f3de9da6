//go:build unix

package sockio

import (
	"net"
	"syscall"
)

// A Writer writes to a socket without waiting. One goroutine at a time may use it. A nil Writer
// writes nothing.
type Writer struct {
	raw     syscall.RawConn
	tryFunc func(fd uintptr) bool // w.try, allocated once

	// state of the current Write
	buf []byte
	n   int
}

// NewWriter returns a writer of nc's socket. It returns nil unless nc is a *net.TCPConn or
// *net.UnixConn: a wrapper's Write may do more.
func NewWriter(nc net.Conn) *Writer {
	raw := rawConn(nc)
	if raw == nil {
		return nil
	}
	w := &Writer{raw: raw}
	w.tryFunc = w.try
	return w
}

// TryWrite writes the bytes of b for which the socket has room, and returns their number. It
// returns 0 after the deadline of nc, and if the connection is broken: nc.Write then fails too,
// perhaps with a broken pipe where this one had a reset.
func (w *Writer) TryWrite(b []byte) int {
	if w == nil || len(b) == 0 {
		return 0
	}
	w.buf, w.n = b, 0
	w.raw.Write(w.tryFunc)
	w.buf = nil
	return w.n
}

// try writes once. It reports true, so that raw.Write does not wait.
func (w *Writer) try(fd uintptr) bool {
	w.n = send(fd, w.buf)
	return true
}

// write is write(2) as an ordinary system call. It returns 0 after an error.
func write(fd uintptr, b []byte) int {
	for {
		n, err := syscall.Write(int(fd), b)
		if err != syscall.EINTR {
			return max(n, 0)
		}
	}
}
