//go:build bsrpc_safe || !linux || race || 386 || s390x

package sockio

import (
	"io"
	"net"
)

// NewReader returns nc itself. (Linux on 386 and s390x multiplexes all socket
// operations through a single system call.)
func NewReader(nc net.Conn) io.Reader { return nc }
