package netconn

import (
	"io"
	"net"
	"time"
)

// The end of a connection. If a socket is closed with unread input, the system sends a
// reset, and the peer loses bytes it has not read yet. So an end half-closes the
// connection after its last bytes, and continues to read for a while.

// CloseTime limits the time to send the last bytes, and again the time to read the
// peer's.
const CloseTime = 500 * time.Millisecond

// drainBytes limits the bytes read by Drain.
const drainBytes = 64 << 10

// CloseWrite half-closes nc if possible, so that the peer reads EOF. It reports whether
// the peer should get some time to read the last bytes. Otherwise waiting is useless:
// either Write returns only after the peer has read everything, as on a net.Pipe, or
// nothing can prevent the loss.
func CloseWrite(nc net.Conn) bool {
	half, ok := nc.(interface{ CloseWrite() error })
	return ok && half.CloseWrite() == nil || EmbedsSocket(Unwrap(nc))
}

// Linger half-closes nc and waits until the peer has closed it, at most for CloseTime.
// Another goroutine must read meanwhile, and close done at the end.
func Linger(nc net.Conn, done <-chan struct{}) {
	if CloseWrite(nc) {
		AwaitEnd(done)
	}
}

// AwaitEnd waits until done is closed, at most for CloseTime. The peer may have sent a
// reason before closing the connection.
func AwaitEnd(done <-chan struct{}) {
	timer := time.NewTimer(CloseTime)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// Drain half-closes nc and discards further input, at most for CloseTime.
func Drain(nc net.Conn) {
	if CloseWrite(nc) {
		nc.SetReadDeadline(time.Now().Add(CloseTime))
		io.CopyN(io.Discard, nc, drainBytes)
	}
}
