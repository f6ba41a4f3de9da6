//go:build unix

package sockio

import (
	"net"
	"syscall"
)

// rawConn returns access to the socket of a *net.TCPConn or *net.UnixConn, and nil for any
// other connection.
func rawConn(nc net.Conn) syscall.RawConn {
	var raw syscall.RawConn
	var err error
	switch c := nc.(type) {
	case *net.TCPConn:
		raw, err = c.SyscallConn()
	case *net.UnixConn:
		raw, err = c.SyscallConn()
	}
	if err != nil {
		return nil
	}
	return raw
}
