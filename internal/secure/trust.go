package secure

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/tlsconn"
)

// A User is the process at the other end of a unix socket, at the time of its connection.
type User struct {
	UID, GID uint32
	PID      int32
}

// UserOf returns the process at the other end of nc, a unix socket or TLS over one. It is nil
// for other connections, and on systems where this is not known.
func UserOf(nc net.Conn) *User {
	nc = netconn.Unwrap(nc)
	switch c := nc.(type) { // the user's, or of the option TLS
	case *tls.Conn:
		nc = netconn.Unwrap(c.NetConn())
	case *tlsconn.Conn:
		nc = netconn.Unwrap(c.NetConn())
	}
	unix, isUnix := nc.(*net.UnixConn)
	if !isUnix {
		return nil
	}
	return userOf(unix)
}

// PeerKey returns the key of the peer of a connection before it has proved who it is: its user at a
// unix socket, and otherwise its address, see netconn.PeerKey.
func PeerKey(nc net.Conn) string {
	if u := UserOf(nc); u != nil {
		return fmt.Sprint("user ", u.UID)
	}
	return netconn.PeerKey(nc.RemoteAddr())
}

// MayHaveTokens returns nil if a client may send tokens over nc after the TLS handshake: the
// server is verified by TLS, or is a process of this user or of root at a unix socket.
func MayHaveTokens(nc net.Conn, l *report.Log) error {
	if Verified(StateOf(nc, l)) != nil {
		return nil
	}
	u := UserOf(nc)
	switch {
	case u == nil:
		return errors.New("the server is not verified by TLS, and not at a unix socket")
	case u.UID != 0 && int(u.UID) != os.Geteuid():
		return fmt.Errorf("the server at the unix socket is a process of uid %d, neither this user nor root", u.UID)
	}
	return nil
}

// A Secret is the name of a user and a token. It is a func, because package fmt prints the
// memory behind pointers and in unexported fields. nil is empty.
type Secret func() (user, token string)

// NewSecret returns a secret with these fields.
func NewSecret(user, token string) Secret {
	return func() (string, string) { return user, token }
}

// Fields returns the fields of s.
func (s Secret) Fields() (user, token string) {
	if s == nil {
		return "", ""
	}
	return s()
}

// tokenSize is the length up to which tokens are compared in the same time: no AUTH frame carries
// a longer one.
const tokenSize = 8 << 10

// SameToken compares two tokens, of which a is the right one. Up to tokenSize bytes the time depends
// on neither, nor on their lengths: a digest of a would take the longer the longer a is, and that of
// an unknown user is empty. An empty token equals none.
func SameToken(a, b string) bool {
	if len(a) > tokenSize {
		x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
		return subtle.ConstantTimeCompare(x[:], y[:]) == 1
	}
	var x, y [tokenSize]byte
	copy(x[:], a)
	copy(y[:], b)
	same := subtle.ConstantTimeCompare(x[:], y[:]) & subtle.ConstantTimeEq(int32(len(a)), int32(min(len(b), tokenSize+1)))
	return same == 1 && a != ""
}
