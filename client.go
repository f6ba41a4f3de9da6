package bsrpc

import (
	"context"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/transport"
)

// A Client is a connection to a server. Create one with Dial or NewClient; make calls
// through a proxy from Bind, or by name with Call.
//
// All methods are safe for concurrent use. Any number of calls may be open at a time;
// those exceeding the server's MaxInflight wait at this end. A nil or zero Client
// behaves like a closed one.
//
// If the connection is lost, all running and later calls fail with an *Error of
// CodeUnavailable, wrapping the cause. A Client does not reconnect: create a new one.
type Client struct {
	conn   link        // nil in a zero Client
	native *nativeLink // conn, if the server speaks the native wire; else nil

	mu        sync.Mutex               // guards described
	described map[string]*remoteMethod // by full name: methods already used by Call
}

// A Caller makes calls for the proxies from Bind: a *Client calls its server, a *Session
// the client of the session.
type Caller interface{ link() link }

// A link carries the calls of proxies. It is a connection on either wire. Proxies know
// a link only by this interface, so it needs neither a wire nor a connection.
type link interface {
	// bindMethods sets the binding of each method of a contract. With a *MismatchError
	// the methods that agree can be called, and the others return their error.
	bindMethods(ctx context.Context, service string, methods []*boundMethod) error

	// call calls m by its number, with the arguments in v, and leaves the results in v.
	call(ctx context.Context, m *boundMethod, number uint16, v *method.Values) error

	callOptions() callOptions
	close(why *fault.Fault) // ends the link at once, and waits for its goroutines
	ended() <-chan struct{} // closed when the link has ended
	Err() error             // why it has ended; nil before
}

// callOptions are the options of a client for its calls.
type callOptions struct {
	timeout time.Duration // DefaultCallTimeout; math.MaxInt64 for none
	chain   CallFunc      // the interceptors; nil for none
	log     *report.Log
}

// A nativeLink is a connection on the native wire.
type nativeLink struct {
	*transport.Conn
	settings *settings
	log      *report.Log

	onewayErrors *atomic.Uint64 // of this end
}

func (l *nativeLink) callOptions() callOptions {
	return callOptions{l.settings.defaultCallTimeout, l.settings.chain, l.log}
}
func (l *nativeLink) ended() <-chan struct{} { return l.Done() }

// close implements link.
func (l *nativeLink) close(why *fault.Fault) {
	if l.AnyHandedOver() {
		l.Conn.Close(why)
		netconn.AwaitEnd(l.Done())
	}
	l.Fail(why)
	l.Wait()
}

// Dial connects to the server at an address, as for net.Dial, and waits for admission.
// opts may be nil.
//
// ctx limits the connecting and the wait for admission; DialTimeout limits the
// connecting and the handshake. After Dial has returned, ctx has no effect on the client.
//
// If the server cannot be reached or refuses the client, the error is an *Error: with
// CodeCanceled if ctx was cancelled, and CodeDeadlineExceeded if its time or
// DialTimeout expired.
func Dial(ctx context.Context, network, address string, opts *ClientOptions) (*Client, error) {
	c, err := dial(ctx, network, address, opts)
	return c, publicError(err)
}

// NewClient returns a client on an existing connection, such as a pipe, a *tls.Conn or
// a tunnel. It is like Dial otherwise. The client owns nc, and closes it even if
// NewClient fails.
//
// All limits hold on any net.Conn. If SetDeadline returns an error, the library
// implements deadlines itself, with a few additional goroutines. A connection that
// accepts deadlines but ignores them is closed one second after a deadline.
func NewClient(ctx context.Context, nc net.Conn, opts *ClientOptions) (*Client, error) {
	c, err := dialOver(ctx, nc, opts)
	return c, publicError(err)
}

// Close closes the connection. Running and later calls fail with an error wrapping
// ErrClosed. If oneway calls have no answer yet, Close first makes sure that their requests
// are written, for at most 500 ms. Close always returns nil, and may be called repeatedly.
func (c *Client) Close() error {
	c.link().close(&fault.Fault{Code: fault.Canceled, Message: fault.ErrClosed.Error(), Err: fault.ErrClosed})
	return nil
}

// Done returns a channel closed when the connection has ended, by Close or otherwise.
func (c *Client) Done() <-chan struct{} { return c.link().ended() }

// Err returns the reason for the end of the connection, an *Error, or nil before.
func (c *Client) Err() error { return publicError(c.link().Err()) }

// A noLink is the link of a nil or zero Client, such as the result of a failed Dial. It
// has ended, and every call fails.
type noLink struct{}

// errNoLink is shared by all calls, and must not be changed.
var errNoLink = fault.New(fault.FailedPrecondition, fault.NotRun, "nil or zero Client; use Dial or NewClient, and check the error")

// ended is a closed channel.
var ended = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

func (noLink) bindMethods(context.Context, string, []*boundMethod) error        { return errNoLink }
func (noLink) call(context.Context, *boundMethod, uint16, *method.Values) error { return errNoLink }

func (noLink) callOptions() callOptions { return callOptions{timeout: math.MaxInt64} }

func (noLink) close(*fault.Fault)     {}
func (noLink) ended() <-chan struct{} { return ended }
func (noLink) Err() error             { return errNoLink }

// link returns the connection, or noLink if there is none.
func (c *Client) link() link {
	if c == nil || c.conn == nil {
		return noLink{}
	}
	return c.conn
}

// linkOf returns the link of a caller, or noLink for nil.
func linkOf(caller Caller) link {
	if caller == nil {
		return noLink{}
	}
	return caller.link()
}
