package netconn

import (
	"errors"
	"net"
	"os"
	"time"
)

// LongAgo is a deadline that ends a read or write in progress.
var LongAgo = time.Unix(1, 0)

// IsTimeout reports whether a read or write ended at its deadline.
func IsTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// CloseWrite half-closes nc, if it can: the peer reads the end of the bytes. It reports
// whether the peer should get a moment to read them. Where it reports false, either all
// that was written is read already, or the bytes are lost when nc is closed.
func CloseWrite(nc net.Conn) bool {
	half, ok := nc.(interface{ CloseWrite() error })
	return ok && half.CloseWrite() == nil || EmbedsSocket(Unwrap(nc))
}
