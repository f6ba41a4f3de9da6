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

// SameToken compares two tokens in a time that depends on neither. Digests have one length, so
// the comparison does not reveal that of a token. An empty token equals none.
func SameToken(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1 && a != ""
}
