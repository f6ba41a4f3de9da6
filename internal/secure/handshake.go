package secure

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/tlsconn"
)

// errTwice is the error of TLS within TLS.
var errTwice = fault.Refusal(fault.InvalidArgument, "the connection is TLS already, and the option TLS is set; give the library the plain connection, or leave TLS out")

// A Work limits the processors for the certificates of the clients of a server.
type Work = tlsconn.Work

// ErrLong is the error of a peer with too many bytes in the TLS handshake.
var ErrLong = tlsconn.ErrLong

// Server prepares a connection of a server, with TLS unless c is nil. Handshake must follow.
// On errors it returns nc, prepared but unusable. w limits the verification of certificates.
func Server(nc net.Conn, c *tls.Config, w *Work) (net.Conn, error) {
	nc = netconn.Wrap(nc)
	switch {
	case c == nil:
		return nc, nil
	case IsTLS(nc):
		return nc, errTwice
	}
	return netconn.Wrap(tlsconn.Server(nc, c, w, PeerKey(nc))), nil
}

// Client prepares a connection of a client like Server. name is the name to verify if c has
// none; "" if it is unknown.
func Client(nc net.Conn, c *tls.Config, name string) (net.Conn, error) {
	nc = netconn.Wrap(nc)
	switch {
	case c == nil:
		return nc, nil
	case IsTLS(nc):
		return nc, errTwice
	case c.ServerName == "" && !c.InsecureSkipVerify:
		if name == "" {
			return nc, fault.Refusal(fault.InvalidArgument, "TLS.ServerName is not set, and the connection has no host name; set it to a name in the server's certificate")
		}
		c = c.Clone()
		c.ServerName = name
	}
	return netconn.Wrap(tlsconn.Client(nc, c)), nil
}

// HostOf returns the host in an address of a network of package net, "" if it has none.
func HostOf(network, address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil || !strings.HasPrefix(network, "tcp") {
		return ""
	}
	return host
}

// IsTLS reports whether nc is a *tls.Conn or has its HandshakeContext method.
func IsTLS(nc net.Conn) bool {
	_, ok := netconn.Unwrap(nc).(interface{ HandshakeContext(context.Context) error })
	return ok
}

// CheckListener returns an error if l is TLS already although c is not nil. It warns once of a
// socket that other machines can reach without TLS.
func CheckListener(l net.Listener, c *tls.Config, log *report.Log, once *sync.Once) error {
	// The type of the listeners of crypto/tls has no exported name.
	isTLS := fmt.Sprintf("%T", l) == fmt.Sprintf("%T", tls.NewListener(nil, nil))
	if c != nil && isTLS {
		return errTwice
	}
	if tcp, ok := l.(*net.TCPListener); ok && c == nil {
		if addr, ok := tcp.Addr().(*net.TCPAddr); ok && !addr.IP.IsLoopback() {
			once.Do(func() {
				report.Unlimited(log).Warn("bsrpc: serving without TLS beyond this machine: others on the network can read and change calls; set ServerOptions.TLS", "address", addr)
			})
		}
	}
	return nil
}

// Accept accepts a connection of l, one without TLS if c is not nil.
func Accept(l net.Listener, c *tls.Config) (net.Conn, error) {
	nc, err := l.Accept()
	switch {
	case err == nil && nc == nil:
		return nil, errors.New("the listener returned neither a connection nor an error")
	case err == nil && c != nil && IsTLS(nc):
		nc.Close()
		return nil, errTwice
	}
	return nc, err
}

// Handshake completes the TLS handshake of nc within ctx. Without TLS it does nothing. The
// funcs of a tls.Config are user code: l guards their panics, and one that hangs only keeps
// its goroutine.
func Handshake(ctx context.Context, nc net.Conn, l *report.Log) error {
	c, ok := netconn.Unwrap(nc).(interface{ HandshakeContext(context.Context) error })
	if !ok {
		return nil
	}
	return l.Await(ctx, "the tls.Config", func() error { return c.HandshakeContext(ctx) })
}

// StateOf returns the state of a connection with TLS after its handshake, nil without TLS. It
// asks any net.Conn with the method ConnectionState, which may be the user's.
func StateOf(nc net.Conn, l *report.Log) *tls.ConnectionState {
	c, ok := netconn.Unwrap(nc).(interface{ ConnectionState() tls.ConnectionState })
	if !ok {
		return nil
	}
	state := new(tls.ConnectionState)
	if l.Guard("ConnectionState", func() error { *state = c.ConnectionState(); return nil }) != nil {
		return nil
	}
	return state
}

// Verified returns the certificate of the peer if the handshake has verified it, else nil.
func Verified(state *tls.ConnectionState) *x509.Certificate {
	if state == nil || len(state.VerifiedChains) == 0 || len(state.VerifiedChains[0]) == 0 {
		return nil
	}
	return state.VerifiedChains[0][0]
}
