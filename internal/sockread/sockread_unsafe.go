//go:build !bsrpc_safe && linux && !race && !386 && !s390x

package sockread

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"
)

// Of returns a reader of nc's socket, for one goroutine at a time. It keeps to
// nc's deadlines, and its errors are those of nc. It is nc itself where that is
// anything but a connection of package net, for what wraps one may do more.
func Of(nc net.Conn) io.Reader {
	var raw syscall.RawConn
	var err error
	switch c := nc.(type) {
	case *net.TCPConn:
		raw, err = c.SyscallConn()
	case *net.UnixConn:
		raw, err = c.SyscallConn()
	default:
		return nc
	}
	if err != nil {
		return nc
	}
	r := &reader{nc: nc, raw: raw}
	r.try = r.readNow
	return r
}

type reader struct {
	nc  net.Conn
	raw syscall.RawConn
	try func(fd uintptr) bool // readNow, bound once

	// of the read under way
	buf   []byte
	n     int
	errno syscall.Errno
}

func (r *reader) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	r.buf = b
	err := r.raw.Read(r.try)
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

// readNow reads what is there. It reports false if there is nothing yet.
func (r *reader) readNow(fd uintptr) bool {
	r.n, r.errno = read(fd, r.buf)
	return r.errno != syscall.EAGAIN
}

// read is recv(2), which never waits here, not even on a descriptor that somebody
// has made to. b has a length; the kernel writes to no more of it, and not after
// read returns.
func read(fd uintptr, b []byte) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd,
			uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), syscall.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			return int(n), 0
		case syscall.EINTR:
			continue
		}
		return 0, errno
	}
}

// opError is err as nc.Read gives it, but that "tcp4" and "tcp6" are "tcp".
func (r *reader) opError(err error) error {
	if op := new(net.OpError); errors.As(err, &op) {
		err = op.Err
	}
	return &net.OpError{Op: "read", Net: r.nc.LocalAddr().Network(), Source: r.nc.LocalAddr(), Addr: r.nc.RemoteAddr(), Err: err}
}
