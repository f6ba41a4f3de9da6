package bsrpc

import (
	"context"
	"math"
	"net"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/transport"
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
	bindMethods(ctx context.Context, service string, methods []*boundMethod) error

	// call calls a method with the arguments of v, and leaves the results there.
	call(ctx context.Context, m *boundMethod, v *method.Values) error

	callTimeout() time.Duration // of a call without a deadline or timeout= tag; math.MaxInt64 for none
	close(why *fault.Fault)     // ends it at once, and waits for its goroutines
	ended() <-chan struct{}     // closed when the link has ended
	Err() error                 // why it has ended
}

// A nativeLink is the link to a server that speaks the native wire.
type nativeLink struct {
	*transport.Conn
	settings *settings
	log      *report.Log
}

func (l *nativeLink) callTimeout() time.Duration { return l.settings.defaultCallTimeout }
func (l *nativeLink) ended() <-chan struct{}     { return l.Done() }

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

// An noLink is the link of a nil Client, as Dial returns beside its error, or
// of a zero one. To its users it has ended.
type noLink struct{}

// errNoLink says what is missing.
var errNoLink = fault.New(fault.FailedPrecondition, fault.NotRun, "nil or zero Client; use Dial or NewClient, and check the error")

var ended = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

func (noLink) bindMethods(context.Context, string, []*boundMethod) error { return errNoLink }
func (noLink) call(context.Context, *boundMethod, *method.Values) error  { return errNoLink }

func (noLink) callTimeout() time.Duration { return math.MaxInt64 }

func (noLink) close(*fault.Fault)     {}
func (noLink) ended() <-chan struct{} { return ended }
func (noLink) Err() error             { return errNoLink }

// link returns the connection, noLink where there is none.
func (c *Client) link() link {
	if c == nil || c.via == nil {
		return noLink{}
	}
	return c.via
}

// linkOf returns the connection of a caller.
func linkOf(caller Caller) link {
	if caller == nil {
		return noLink{}
	}
	return caller.link()
}
