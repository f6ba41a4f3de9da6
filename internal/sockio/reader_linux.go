//go:build !bsrpc_safe && !race && !386 && !s390x

package sockio

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// NewReader returns a reader of nc's socket for use by one goroutine at a time.
// It obeys nc's deadlines and returns the errors of nc.Read. It returns nc
// itself unless that is a *net.TCPConn or *net.UnixConn: a wrapper's Read may
// do more.
func NewReader(nc net.Conn) io.Reader {
	raw := rawConn(nc)
	if raw == nil {
		return nc
	}
	r := &reader{nc: nc, raw: raw}
	r.tryFunc = r.tryRead
	return r
}

// A reader reads from the socket of nc. Calls of raw.Read keep the descriptor
// open and wait in the poller until tryRead reports true.
type reader struct {
	nc      net.Conn
	raw     syscall.RawConn
	tryFunc func(fd uintptr) bool // r.tryRead, allocated once

	// state of the current Read
	buf   []byte
	n     int
	errno syscall.Errno
}

func (r *reader) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	r.buf = b
	err := r.raw.Read(r.tryFunc)
	r.buf = nil
	switch {
	case err != nil:
		return 0, r.opError(err)
	case r.errno != 0:
		return 0, r.opError(os.NewSyscallError("read", r.errno))
	case r.n == 0:
		return 0, io.EOF
	}
	return r.n, nil
}

// tryRead reads available bytes. It reports false to wait for more.
func (r *reader) tryRead(fd uintptr) bool {
	r.n, r.errno = recv(fd, r.buf)
	return r.errno != syscall.EAGAIN
}

// opError wraps err like nc.Read, except that the network is "tcp" for "tcp4"
// and "tcp6", too.
func (r *reader) opError(err error) error {
	if op := new(net.OpError); errors.As(err, &op) {
		err = op.Err
	}
	return &net.OpError{Op: "read", Net: r.nc.LocalAddr().Network(), Source: r.nc.LocalAddr(), Addr: r.nc.RemoteAddr(), Err: err}
}
