package bsrpc

import (
	"context"
	"log/slog"
	"net"
	"sync"

	"github.com/bsrpc/bsrpc/internal/wire"
	"github.com/bsrpc/bsrpc/layout"
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
	via  link  // the connection
	conn *conn // the same, if the server speaks the native wire

	mu        sync.Mutex
	described map[string]*described // methods that Call has asked for
}

// A Caller is an end of a connection that can call: a *Client.
type Caller interface{ link() link }

// A link is the connection of a client, on either wire.
type link interface {
	// agree finds out by which number each method of a contract is called. Its
	// error may be a *MismatchError; the other methods can then be called.
	agree(ctx context.Context, service string, methods []*proxyMethod) error

	limits() *bounds
	fail(why *Error)        // ends it at once
	join()                  // waits until it has ended and its goroutines have
	ended() <-chan struct{} // is closed then
	Err() error             // why it has ended
}

// Dial connects to a server on a network, as net.Dial does, and returns when the
// server has admitted the client. ctx bounds the dialling and the waiting for a
// place, DialTimeout the dialling and the handshake; ctx has no part in the client's
// later life. opts may be nil. Where the server cannot be reached or refuses, the
// error is an *Error: of CodeCanceled if ctx was cancelled, of CodeDeadlineExceeded if
// its time, or DialTimeout, was over.
func Dial(ctx context.Context, network, address string, opts *ClientOptions) (*Client, error) {
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
	return nil, errorf(CodeUnavailable, OutcomeNotRun, "%w", err)
}

// NewClient makes a client of a connection that is there already: a pipe, a
// *tls.Conn, a tunnel. From then on it is the client's, which closes it also when
// it fails. See Dial.
//
// All limits hold on any net.Conn. Where SetDeadline returns an error, the library
// makes up for it, at the price of some goroutines; a connection that says it keeps
// deadlines and does not is closed a second after one.
func NewClient(ctx context.Context, nc net.Conn, opts *ClientOptions) (*Client, error) {
	if nc == nil {
		return nil, refusalf(CodeInvalidArgument, "new client: nil connection")
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
	nc = adapt(nc)
	peer, err := shakeClient(a.timed, nc, b)
	if err == nil && peer.Version == 0 {
		return newBasicClient(a, nc, b, peer, opts)
	}
	if err != nil {
		return nil, a.refused(nc, err)
	}
	r := &reports{log: opts.logger()}
	c := newConn(context.Background(), nc, b, r, peer)
	c.lends = true
	if peer.Waits {
		c.lobby = newLobby(peer.Place)
	}
	go c.start()
	if peer.Waits {
		if err := c.awaitPlace(a.ctx, opts.waitHook(r)); err != nil {
			return nil, about(a.what, err)
		}
	}
	return &Client{via: c, conn: c}, nil
}

func (o *ClientOptions) waitHook(r *reports) *waitHook {
	h := &waitHook{reports: r}
	if o != nil {
		h.onWait = o.OnWait
	}
	return h
}

func (o *ClientOptions) logger() *slog.Logger {
	if o != nil && o.Logger != nil {
		return guardLogger(o.Logger)
	}
	return guardLogger(slog.Default())
}

// Close ends the connection. Calls that wait end with an error that wraps
// ErrClosed, as do later ones. Closing again does nothing. It returns nil.
func (c *Client) Close() error {
	l := c.link()
	l.fail(&Error{Code: CodeCanceled, Message: ErrClosed.Error(), Err: ErrClosed})
	l.join()
	return nil
}

// Done is closed when the connection has ended, by Close or otherwise.
func (c *Client) Done() <-chan struct{} { return c.link().ended() }

// Err returns why the connection has ended, an *Error, or nil while it has not.
func (c *Client) Err() error { return c.link().Err() }

// described is what a server says of a method.
type described struct {
	number uint16
	layout *layout.Method
	text   string
}

// Call calls a method by its full name, "Greeter.Hello", without a contract:
// the first Call of a method asks the server for its layout, and arguments are
// encoded by that. An argument is any Go value whose kind fits, numbers checked
// for range, structs by the names of their fields; nil stands for an empty
// pointer, slice or map. Each of results points to a value that takes one result
// likewise. Time limits are those of a proxy without tags.
//
// What does not fit is an *Error of CodeInvalidArgument that names parameter,
// Go type and layout, and is not sent. Call is for tools and scripts: a proxy does
// all of this once, when it is bound.
//
// A basic server tells no layouts: there every Call is CodeUnimplemented.
func (c *Client) Call(ctx context.Context, method string, args []any, results ...any) error {
	if err := needContext(ctx, "call "+cut(method, 64)); err != nil {
		return err
	}
	if c == nil || c.via == nil {
		return errUnlinked
	}
	if c.conn == nil {
		return refusalf(CodeUnimplemented, "Call of %q: a server that speaks the basic wire tells no layouts; use Bind, with id= tags", cut(method, 64))
	}
	m, err := c.describe(ctx, method)
	if err != nil {
		return err
	}
	sig, err := m.signature(method, args, results)
	if err != nil {
		return err
	}
	p := &proxyMethod{conn: c.conn, sig: sig, Method: Method{Name: method}, number: m.number}
	p.after, p.by = c.conn.bounds.defaultCallTimeout, "DefaultCallTimeout"
	v := sig.newValues()
	defer v.free()
	v.setArgs(args)
	if err := p.call(ctx, v); err != nil {
		return err
	}
	v.getResults(results)
	return nil
}

// maxMethodName is the longest full name that one BIND frame can ask for.
const maxMethodName = wire.MaxWhole - 5

// describe returns what the server says of a method, asking it once.
func (c *Client) describe(ctx context.Context, method string) (*described, error) {
	c.mu.Lock()
	m := c.described[method]
	c.mu.Unlock()
	if m != nil {
		return m, nil
	}
	service, name, ok := cutLast(method)
	if !ok || !isIdentifier(name) || validService(service) != nil {
		return nil, refusalf(CodeInvalidArgument, "method %q: want Service.Method", cut(method, 64))
	}
	if len(method) > maxMethodName {
		return nil, refusalf(CodeInvalidArgument, "method name of %d bytes, want at most %d", len(method), maxMethodName)
	}
	r := &wire.BindRequest{Service: service, Names: []string{name}}
	answers, err := c.conn.bind(ctx, r, wire.Describe)
	if err != nil {
		return nil, about(method, err)
	}
	switch answers[0].Status {
	case wire.Unknown:
		return nil, refusalf(CodeUnimplemented, "%s", thereIs("the server has no method "+method, "it has", nearOf(&answers[0])))
	case wire.NoService:
		return nil, about(method, refusalf(CodeUnimplemented, "%s", thereIs("the server has no service "+service, "it has", nearOf(&answers[0]))))
	}
	m = &described{number: answers[0].Number, text: answers[0].Text}
	if m.layout, err = layout.ParseMethod(m.text); err != nil {
		return nil, refusalf(CodeInternal, "the server's layout of %s: %w", method, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.described == nil {
		c.described = make(map[string]*described)
	}
	c.described[method] = m
	return m, nil
}
