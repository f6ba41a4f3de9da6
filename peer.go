package bsrpc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/bsrpc/bsrpc/internal/callctx"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/option"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/secure"
	"github.com/bsrpc/bsrpc/introspect"
)

// Who is at the other end, what it may do, and what it says beside its calls.

// A Peer is the other end of a connection, as far as it has proved who it is.
type Peer struct {
	// Addr is the address of the peer, which proves nothing.
	Addr net.Addr

	// Certificate is the verified TLS certificate of the peer, and CertificateNames are
	// its host names, e-mail addresses, URIs and IP addresses, or without these its common
	// name, which an authority may not have checked. A name without the form of its kind is
	// left out. Both are nil without TLS, and if the certificate was not verified.
	Certificate      *x509.Certificate
	CertificateNames []string

	// Unix is the process at the other end of a unix socket. It is nil for other
	// connections, and on systems other than Linux.
	Unix *UnixPeer

	// Name and Roles are what Authenticate has set. They are empty without it.
	Name  string
	Roles []string
}

// A UnixPeer is a process, at the time when it connected or began to listen.
type UnixPeer struct {
	UID, GID uint32
	PID      int32
}

// Credentials are what a client sends to prove who it is. They print as "redacted" in
// every way, also within other values. The zero value is empty.
type Credentials struct{ secret secure.Secret }

// NewCredentials returns the credentials with the name of a user, which may be empty, and a
// token: a password, an API key, a JWT. Both together have at most 8,164 bytes.
func NewCredentials(user, token string) Credentials {
	return Credentials{secure.NewSecret(user, token)}
}

// User returns the name of the user, which the client claims.
func (c Credentials) User() string { user, _ := c.secret.Fields(); return user }

// Token returns the token. Use HasToken to compare it.
func (c Credentials) Token() string { _, token := c.secret.Fields(); return token }

// HasToken reports whether the token is want. The time it takes reveals nothing about either,
// their lengths up to 8 KiB included. An empty want equals no token.
func (c Credentials) HasToken(want string) bool { return secure.SameToken(want, c.Token()) }

const redacted = "redacted"

// String returns "redacted".
func (c Credentials) String() string { return redacted }

// GoString returns "redacted".
func (c Credentials) GoString() string { return redacted }

// Format writes "redacted", for every verb.
func (c Credentials) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue returns "redacted".
func (c Credentials) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "redacted", also for package encoding/json.
func (c Credentials) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// peerOf returns the peer of a connection after the TLS handshake, with the state of that.
func peerOf(nc net.Conn, l *report.Log) (Peer, *tls.ConnectionState) {
	state := secure.StateOf(nc, l)
	cert := secure.Verified(state)
	return Peer{Addr: nc.RemoteAddr(), Certificate: cert, CertificateNames: secure.Names(cert), Unix: (*UnixPeer)(secure.UserOf(nc))}, state
}

// key identifies the client for the limits of one peer: by what it has proved, or by its address.
func (p *Peer) key() string {
	switch {
	case p.Name != "":
		return "name " + p.Name
	case len(p.CertificateNames) > 0:
		return "certificate " + strings.Join(p.CertificateNames, " ")
	case p.Unix != nil:
		return fmt.Sprint("user ", p.Unix.UID)
	}
	return "address " + netconn.PeerKey(p.Addr)
}

// A Certificate is a TLS certificate in files, from ReloadingCertificate. Its funcs are for the
// fields of the same names in the tls.Config of a server, or of a client. They are safe for
// concurrent use.
type Certificate struct {
	GetCertificate       func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	GetClientCertificate func(*tls.CertificateRequestInfo) (*tls.Certificate, error)
}

// ReloadingCertificate reads a certificate and its key from PEM files, for the TLS option of
// either end. The files are read again after a change, at most once a second, and only by
// new connections. If that fails, the last good certificate remains in use, and
// slog.Default() gets one line. The error is that of the first reading.
func ReloadingCertificate(certFile, keyFile string) (*Certificate, error) {
	files, err := secure.LoadCertificate(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("bsrpc: certificate: %w", err)
	}
	return &Certificate{files.ForServer, files.ForClient}, nil
}

// access is the part of the options of an end that decides who may connect, and call.
type access struct {
	tls          *tls.Config                                     // nil for none
	authenticate func(context.Context, *Peer, Credentials) error // of a server; nil for none
	roles        map[string]string                               // of methods; nil for none
	operatorRole string                                          // of bsrpc.v1; "" for none
	hides        bool                                            // describes no methods
	socketMode   fs.FileMode                                     // of a unix socket; 0 for the default
	credentials  func(context.Context) (Credentials, error)      // of a client; nil for none
	insecure     bool                                            // they may be sent to every server
}

// resolve replaces the values of the user by those used, and adds their problems to c.
func (a *access) resolve(c *option.Check, server, basic bool) {
	var err error
	if a.tls, err = secure.Config(a.tls, server); err != nil {
		c.Add("TLS: %v", err)
	}
	if a.operatorRole != "" && a.authenticate == nil {
		c.Add("OperatorRole: no client can have a role without Authenticate")
	}
	if a.credentials != nil && basic {
		c.Add("Credentials: the basic wire has none; leave out Basic")
	}
}

// operators is the role that only the library gives: that of the methods for operators.
const operators = "operator of " + introspect.Service

// rolesOf returns the roles of a session, with that of operators.
func (a *access) rolesOf(v *Session) []string {
	if !a.isOperator(v) {
		return v.peer.Roles
	}
	return append(slices.Clip(v.peer.Roles), operators)
}

// isOperator reports whether a client may see sessions and counters. Another machine may be
// behind a loopback address, that of a proxy, so it counts only if nothing else could. Without a
// connection a proxy or a broker is always in between.
func (a *access) isOperator(v *Session) bool {
	p := &v.peer
	switch {
	case p.Unix != nil && int(p.Unix.UID) == os.Getuid() && !v.isApart():
		return true
	case a.operatorRole != "":
		return slices.Contains(p.Roles, a.operatorRole)
	}
	tcp, ok := p.Addr.(*net.TCPAddr)
	return ok && a.authenticate == nil && tcp.IP.IsLoopback() && !v.isApart()
}

// Metadata is a set of values beside the arguments of a call, or beside its results or
// its error: a tenant, a trace, a token. WithMetadata sends them to a handler, and
// MetadataFrom reads them there. SetReplyMetadata sends values back, and
// WithReplyMetadata receives them.
//
// A key has 1 to 64 lower-case letters, digits, '-', '_' and '.'. Keys beginning with
// "bsrpc-" are reserved for the library. A value may contain any bytes. One call carries
// at most 56 entries in each direction, and at most 7 KiB: the bytes of all keys and
// values, and 3 for each entry.
//
// Values may be secrets. Package fmt and slog print only the keys; encoders such as
// encoding/json, and a map[string]string converted from a Metadata, contain everything.
type Metadata map[string]string

// Format implements fmt.Formatter. Every verb prints the keys and no values.
func (m Metadata) Format(f fmt.State, _ rune) { io.WriteString(f, callctx.Redacted(m)) }

// LogValue implements slog.LogValuer. A log contains the keys and no values.
func (m Metadata) LogValue() slog.Value { return slog.StringValue(callctx.Redacted(m)) }

// WithMetadata returns a context for calls sending md, beside the entries of ctx. An entry
// of md replaces one of ctx under the same key. The caller may change md afterwards. WithMetadata panics
// if ctx is nil, as context.WithValue does, and so does every func of this package that returns a context.
//
// A handler's context sends nothing by itself: metadata received from a caller is passed
// on only if WithMetadata adds it again. Bind sends no metadata.
//
// If all entries together exceed a limit, or a key is not valid, the calls fail with
// CodeResourceExhausted or CodeInvalidArgument; the error names the entry. Calls over the
// basic wire fail with CodeUnimplemented. Both have the outcome OutcomeNotRun.
func WithMetadata(ctx context.Context, md Metadata) context.Context {
	if mustContext(ctx, "WithMetadata"); len(md) == 0 {
		return ctx
	}
	return callctx.With(ctx, func(out *callctx.Outgoing) { out.Add(md) })
}

// MetadataFrom returns the metadata sent by the caller of a handler. ctx is the context of
// the handler or one derived from it. The map belongs to the caller of MetadataFrom. It is
// empty, and not nil, for a call without metadata, a call over the basic wire, and any
// other context.
func MetadataFrom(ctx context.Context) Metadata {
	return callctx.Of(ctx).Received()
}

// CarriesMetadata reports whether next can send the metadata of ctx, as a client's call: the
// wire carries some or there is none, and it is within the limits. An interceptor that adds
// metadata to every call asks first, because next fails otherwise:
//
//	if traced := bsrpc.WithMetadata(ctx, trace); call.CarriesMetadata(traced) {
//		ctx = traced
//	}
//	return next(ctx, call)
//
// At a server it returns false.
func (c *Call) CarriesMetadata(ctx context.Context) bool {
	if c.end == nil || c.end.remote == nil {
		return false
	}
	out := callctx.OutgoingOf(ctx)
	return out == nil || out.Err == nil && (c.end.remote.metadata || len(out.Entries) == 0)
}

// SetReplyMetadata adds an entry to the metadata of the reply, results or error, of a
// handler's call. ctx is the handler's context or one derived from it. An entry replaces
// one under the same key.
//
// It returns an error, and adds nothing, if ctx is not a handler's, if the key is not
// valid, if the entries exceed a limit of Metadata, if the handler has returned, or if the
// caller speaks the basic wire. It is safe for concurrent use.
func SetReplyMetadata(ctx context.Context, key, value string) error {
	x := callctx.Of(ctx)
	if x == nil {
		return errors.New("bsrpc: SetReplyMetadata: the context is not a handler's")
	}
	if err := x.SetReply(key, value); err != nil {
		return fmt.Errorf("bsrpc: SetReplyMetadata: %w", err)
	}
	return nil
}

// WithReplyMetadata returns a context for calls, and a receiver for the metadata of their
// replies. If ctx has a receiver already, both get the metadata.
func WithReplyMetadata(ctx context.Context) (context.Context, *ReplyMetadata) {
	mustContext(ctx, "WithReplyMetadata")
	r := new(ReplyMetadata)
	return callctx.With(ctx, func(out *callctx.Outgoing) { out.AddReply(&r.last) }), r
}

// WithPosition returns a context for calls whose caller learns its place in the line of an exclusive
// group: f is called with the name of the group and the place, 1 for the next one, when the
// call has to wait, and when the place has changed, at most ten times a second. The same holds for
// Session.Acquire in the handler of such a call, and for Acquire with this context.
//
// Calls of f do not overlap. They run on a goroutine of their own, and may end after the call;
// those for Acquire run on its goroutine. A nil f ends the effect. Servers of the basic wire, and
// older ones, send no places.
func WithPosition(ctx context.Context, f func(group string, n int)) context.Context {
	mustContext(ctx, "WithPosition")
	return callctx.With(ctx, func(out *callctx.Outgoing) { out.SetPosition(f) })
}

// A ReplyMetadata receives the metadata of replies, see WithReplyMetadata. All methods
// are safe for concurrent use.
type ReplyMetadata struct{ last callctx.Reply }

// Get returns the metadata of the last call's answer, results or error. The map belongs to
// the caller of Get. It is empty, and not nil, before the first answer, after an answer
// without metadata, and after a call without an answer.
func (r *ReplyMetadata) Get() Metadata { return r.last.Get() }

// Format implements fmt.Formatter, as Metadata.Format does.
func (r *ReplyMetadata) Format(f fmt.State, verb rune) { r.Get().Format(f, verb) }

// LogValue implements slog.LogValuer, as Metadata.LogValue does.
func (r *ReplyMetadata) LogValue() slog.Value { return r.Get().LogValue() }
