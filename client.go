package bsrpc

import (
	"context"
	"log/slog"
	"net"
	"sync"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/transport"

	"github.com/bsrpc/bsrpc/internal/netconn"
)

// A Client is one connection to a server. Make one with Dial or NewClient, and
// calls through a proxy, see Bind, or by name, see Call. All methods are safe for
// concurrent use, also of a nil and of a zero Client, which are ended ones, and any number of calls may be under way; what is above the
// server's MaxInflight waits at this end.
//
// When the connection is lost, every call, running or later, ends with an
// *Error of CodeUnavailable that wraps the cause. A Client does not connect
// again: dial another one.
type Client struct {
	via    link        // the connection
	native *nativeLink // the same, if the server speaks the native wire

	mu        sync.Mutex
	described map[string]*described // methods that Call has asked for
}

// A Caller is an end of a connection that can call: a *Client.
type Caller interface{ link() link }

// A link is the connection of a client, on either wire.
type link interface {
	// agree finds out by which number each method of a contract is called. Its
	// error may be a *MismatchError; the other methods can then be called.
	agree(ctx context.Context, service string, methods []*boundMethod) error

	// call calls a method with the arguments of v, and leaves the results there.
	call(ctx context.Context, m *boundMethod, v *method.Values) error

	limits() *bounds
	close(why *fault.Fault) // ends it at once, and waits for its goroutines
	ended() <-chan struct{} // closed when the link has ended
	Err() error             // why it has ended
}

// A nativeLink is the link to a server that speaks the native wire.
type nativeLink struct {
	*transport.Conn
	bounds *bounds
	log    *report.Log
}

func (l *nativeLink) limits() *bounds        { return l.bounds }
func (l *nativeLink) ended() <-chan struct{} { return l.Done() }

// close is link.close.
func (l *nativeLink) close(why *fault.Fault) {
	l.Fail(why)
	l.Wait()
}

// Dial connects to a server on a network, as net.Dial does, and returns when the
// server has admitted the client. ctx bounds the dialling and the waiting for a
// place, DialTimeout the dialling and the handshake; ctx has no part in the client's
// later life. opts may be nil. Where the server cannot be reached or refuses, the
// error is an *Error: of CodeCanceled if ctx was cancelled, of CodeDeadlineExceeded if
// its time, or DialTimeout, was over.
func Dial(ctx context.Context, network, address string, opts *ClientOptions) (*Client, error) {
	c, err := dial(ctx, network, address, opts)
	return c, publicError(err)
}

func dial(ctx context.Context, network, address string, opts *ClientOptions) (*Client, error) {
	if err := needContext(ctx, "dial"); err != nil {
		return nil, err
	}
	b, err := opts.resolve()
	if err != nil {
		return nil, err
	}
	a, stop := newAttempt(ctx, "dial "+network+" "+address, b.dialTimeout)
	defer stop()
	var d net.Dialer
	nc, err := d.DialContext(a.timed, network, address)
	if err == nil {
		return newClient(a, nc, b, opts)
	}
	if e := a.over("no connection", err); e != nil {
		return nil, e
	}
	return nil, fault.New(fault.Unavailable, fault.NotRun, "%w", err)
}

// NewClient makes a client of a connection that is there already: a pipe, a
// *tls.Conn, a tunnel. From then on it is the client's, which closes it also when
// it fails. See Dial.
//
// All limits hold on any net.Conn. Where SetDeadline returns an error, the library
// makes up for it, at the price of some goroutines; a connection that says it keeps
// deadlines and does not is closed a second after one.
func NewClient(ctx context.Context, nc net.Conn, opts *ClientOptions) (*Client, error) {
	c, err := dialOver(ctx, nc, opts)
	return c, publicError(err)
}

// dialOver is dial on a connection that exists.
func dialOver(ctx context.Context, nc net.Conn, opts *ClientOptions) (*Client, error) {
	if nc == nil {
		return nil, fault.Refusal(fault.InvalidArgument, "new client: nil connection")
	}
	if err := needContext(ctx, "new client"); err != nil {
		nc.Close()
		return nil, err
	}
	b, err := opts.resolve()
	if err != nil {
		nc.Close()
		return nil, err
	}
	a, stop := newAttempt(ctx, "", b.dialTimeout)
	defer stop()
	return newClient(a, nc, b, opts)
}

// newClient shakes hands and waits for a place.
func newClient(a *attempt, nc net.Conn, b *bounds, opts *ClientOptions) (*Client, error) {
	nc = netconn.Wrap(nc)
	peer, err := shakeClient(a.timed, nc, b)
	if err == nil && peer.Version == 0 {
		return newBasicClient(a, nc, b, peer, opts)
	}
	if err != nil {
		return nil, a.refused(nc, err)
	}
	r := report.New(opts.logger())
	l := newLobby(peer)
	link := &nativeLink{bounds: b, log: r}
	link.Conn = transport.New(transport.Config{NetConn: nc, Limits: &b.Conn, Peer: peer, Handler: l, SharesLease: true, OnViolation: logViolation(r, nc)})
	go link.Run()
	if peer.Waiting {
		if err := l.await(a.ctx, link.Conn, opts.waitHook(r)); err != nil {
			return nil, fault.About(a.what, err)
		}
	}
	return &Client{via: link, native: link}, nil
}

func (o *ClientOptions) waitHook(r *report.Log) *waitHook {
	h := &waitHook{log: r}
	if o != nil {
		h.onWait = o.OnWait
	}
	return h
}

func (o *ClientOptions) logger() *slog.Logger {
	if o != nil && o.Logger != nil {
		return o.Logger
	}
	return slog.Default()
}

// Close ends the connection. Calls that wait end with an error that wraps
// ErrClosed, as do later ones. Closing again does nothing. It returns nil.
func (c *Client) Close() error {
	c.link().close(&fault.Fault{Code: fault.Canceled, Message: fault.ErrClosed.Error(), Err: fault.ErrClosed})
	return nil
}

// Done is closed when the connection has ended, by Close or otherwise.
func (c *Client) Done() <-chan struct{} { return c.link().ended() }

// Err returns why the connection has ended, an *Error, or nil while it has not.
func (c *Client) Err() error { return publicError(c.link().Err()) }
