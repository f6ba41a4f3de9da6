//go:build unix && (bsrpc_safe || !linux || race || 386 || s390x)

package sockio

func send(fd uintptr, b []byte) int { return write(fd, b) }
