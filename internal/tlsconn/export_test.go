package tlsconn

const (
	SealSize  = sealSize
	MaxUnsent = maxUnsent
)

var ErrUnread = errUnread

// Unsent returns how many bytes wait to be sealed.
func Unsent(c *Conn) int { return len(c.below.pending) }
