package netconn

import (
	"io"
	"net"
	"time"
)

// The end of a connection. Closing a socket with unread input discards bytes the peer
// has not read yet. After its last bytes an end therefore half-closes the connection,
// and reads on for a while.

// CloseTime is the time for the last bytes of this end, and again for those of the peer.
const CloseTime = 500 * time.Millisecond

// drainBytes is how many bytes Drain reads at most.
const drainBytes = 64 << 10

// CloseWrite half-closes nc, if it can: the peer reads the end of the bytes. It reports
// whether the peer should get a moment to read them. Where it reports false, either all
// that was written is read already, or the bytes are lost when nc is closed.
func CloseWrite(nc net.Conn) bool {
	half, ok := nc.(interface{ CloseWrite() error })
	return ok && half.CloseWrite() == nil || EmbedsSocket(Unwrap(nc))
}

// Linger half-closes nc and waits until the peer has closed it, or for CloseTime.
// Another goroutine reads meanwhile, and closes done at the end.
func Linger(nc net.Conn, done <-chan struct{}) {
	if CloseWrite(nc) {
		AwaitEnd(done)
	}
}

// AwaitEnd waits until done is closed, or for CloseTime: the peer may have sent its
// reason before closing the connection.
func AwaitEnd(done <-chan struct{}) {
	timer := time.NewTimer(CloseTime)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// Drain half-closes nc and reads what the peer still sends, for CloseTime.
func Drain(nc net.Conn) {
	if CloseWrite(nc) {
		nc.SetReadDeadline(time.Now().Add(CloseTime))
		io.CopyN(io.Discard, nc, drainBytes)
	}
}
