package bsrpc

import (
	"context"
	"errors"
	"io"
	"net"
	"reflect"
	"sync"
	"sync/atomic"

	"github.com/bsrpc/bsrpc/internal/apart"
	"github.com/bsrpc/bsrpc/internal/callctx"
	"github.com/bsrpc/bsrpc/internal/caller"
	"github.com/bsrpc/bsrpc/internal/errtree"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/numbering"
	"github.com/bsrpc/bsrpc/internal/streams"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
	"github.com/bsrpc/bsrpc/layout"
	"github.com/bsrpc/bsrpc/trace"
)

// A Client makes calls to a server. Create one with Dial or NewClient; make calls
// through a proxy from Bind, or by name with Call.
//
// All methods are safe for concurrent use. Any number of calls may be open at a time;
// those exceeding the server's MaxInflight wait at this end. A nil or zero Client
// behaves like a closed one.
//
// If the connection is lost, its running calls fail with an *Error of CodeUnavailable,
// wrapping the cause. A client from Dial connects again, and its proxies go on working,
// where the server says that its sessions hold nothing and no call has stored anything in
// this one, or with ClientOptions.OnReconnect. ClientOptions.Handlers hold something
// too. Otherwise, and with NoReconnect, the client has ended, and later calls fail.
//
// The first attempt follows a loss after 100 to 700 ms; then the gaps grow to 10 s, until
// a connection has lived for 10 s. Calls wait for the first attempt, and for later ones
// under way, and otherwise fail at once, unless they wait by WaitForReady. A call is sent
// again, at most three times, if it has surely not run; one with idempotent in the tag of
// its method also if that is unknown because the connection was lost, but of those at most a
// tenth of the calls of the last 10 s, or ten. The time limit of a call spans all attempts.
type Client struct {
	conn   link        // nil in a zero Client
	native *nativeLink // conn, if the server speaks the native wire; else nil

	mu        sync.Mutex               // guards described
	described map[string]*remoteMethod // by full name: methods already used by Call
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

// TraceConn returns a connection that writes a line to w for each frame read from or written to
// nc, at either end: for NewClient, ServeConn, and the connections of a listener. Values are
// not shown, only their lengths; trace.NewConn has options. A slow or failing w never
// affects the connection, it loses lines. docs/guide/debugging.md explains them.
func TraceConn(nc net.Conn, w io.Writer) net.Conn { return trace.NewConn(nc, w, nil) }

// Close closes the connection. Running and later calls fail with an error wrapping
// ErrClosed. If oneway calls have no answer yet, Close first makes sure that their requests
// are written, for at most 500 ms. Close always returns nil, and may be called repeatedly.
func (c *Client) Close() error {
	c.link().close(&fault.Fault{Code: fault.Canceled, Message: fault.ErrClosed.Error(), Err: fault.ErrClosed})
	return nil
}

// Done returns a channel closed when the client has ended, by Close or otherwise: it will not
// connect again.
func (c *Client) Done() <-chan struct{} { return c.link().ended() }

// Err returns the reason for the end of the client, an *Error, or nil before. A lost connection
// that is replaced is not an end.
func (c *Client) Err() error { return publicError(c.link().Err()) }

// link returns the connection, or noLink if there is none.
func (c *Client) link() link {
	if c == nil || c.conn == nil {
		return noLink{}
	}
	return c.conn
}

// bind implements Caller.
func (c *Client) bind(ctx context.Context, service string, proxy reflect.Value) error {
	return bindContract(ctx, c.link(), service, proxy)
}

// A remoteMethod is a method as described by the server.
type remoteMethod struct {
	method.Description
	number  uint16
	layout  *layout.Method
	encoded atomic.Pointer[encodedMethod] // for CallEncoded; nil before its first call
}

// Call calls a method by its full name, such as "Greeter.Hello", without a contract. The
// first Call of a method asks the server for its layout; the arguments are encoded
// accordingly.
//
// An argument is any Go value of a suitable kind: numbers are checked for their range,
// structs are matched by the names of their fields, and nil means a nil pointer, slice
// or map. Each element of results is a pointer to a variable for one result, converted
// in the same way. Without a deadline in ctx, ClientOptions.DefaultCallTimeout applies.
//
// Values of JSON fit every layout, by the mapping of [layout.JSON]: those of encoding/json, such as
// map[string]any, []any and json.Number, a string or float64 as a whole argument, and
// json.RawMessage, any JSON text. So does a result that is an any, a json.RawMessage, a
// map[string]any or a []any. An any gets the value that encoding/json would, and prints as JSON.
//
// A stream is an iter.Seq2[T, error], or any other func of that kind, with any T that fits the
// items, any included; as an argument also an iter.Seq[T]. A reader is an io.Reader as an argument
// and an io.ReadCloser as a result. An any gets an iter.Seq2[any, error] or an io.ReadCloser. Call
// returns when the handler has. Nil is an empty stream. Call closes readers as a proxy does, also
// if it fails. A func must be nil: others need a contract.
//
// Unsuitable values are not sent: the error is an *Error with CodeInvalidArgument and
// names the parameter, the Go type and the layout. Call is for tools and scripts;
// a proxy does this work only once, in Bind.
//
// A basic server does not describe its methods. There Call always fails with
// CodeUnimplemented.
func (c *Client) Call(ctx context.Context, name string, args []any, results ...any) error {
	n := &namedCall{name: name, args: args, results: results}
	err := c.callByName(ctx, n)
	method.CloseReaders(n.args)
	return publicError(err)
}

// CallEncoded is Call for arguments that are encoded already: their bytes one behind another, as
// by [Append] or [layout.ParseJSON] with the server's layout. It appends the encoded results to dst,
// and returns the extended slice; after an error it returns dst. It is for gateways and load
// generators, which it spares the work of Call. The bytes are not checked before they are sent: a
// server refuses what does not fit with CodeInvalidArgument.
//
// args may be used again once CallEncoded returns. Interceptors see one argument and one result,
// both bytes. A method with streams, readers or funcs is refused with CodeInvalidArgument.
func (c *Client) CallEncoded(ctx context.Context, name string, args, dst []byte) ([]byte, error) {
	if ctx != nil && c != nil && c.native != nil && c.native.chain == nil && callctx.OutgoingOf(ctx) == nil {
		dst, err := c.callDirectly(ctx, name, args, dst)
		return dst, publicError(err)
	}
	var results []byte
	err := c.callByName(ctx, &namedCall{name: name, args: []any{args}, results: []any{&results}, encoded: true})
	return append(dst, results...), publicError(err)
}

// callDirectly is CallEncoded on one connection, without interceptors and metadata: the bytes
// pass no codec.
func (c *Client) callDirectly(ctx context.Context, name string, args, dst []byte) ([]byte, error) {
	m, err := c.describe(ctx, name)
	if err != nil {
		return dst, err
	}
	e := m.encoded.Load()
	if e == nil {
		p, err := c.boundFor(m, &namedCall{encoded: true}, nil)
		if err != nil {
			return dst, fault.Refusal(fault.InvalidArgument, "%v", err)
		}
		e = &encodedMethod{boundMethod: p, number: m.number}
		m.encoded.Store(e)
	}
	if dst, err = c.native.callEncoded(ctx, e, args, dst); err != nil {
		return dst, fault.About(name, err)
	}
	return dst, nil
}

// An encodedMethod is a method whose values are encoded already, on one connection.
type encodedMethod struct {
	*boundMethod
	number uint16
	calls  sync.Pool // of *encodedCall
}

type encodedCall struct {
	call *transport.Call
	body wire.Body
}

// callEncoded makes a call with encoded arguments, and appends the encoded results to dst.
func (c *nativeLink) callEncoded(ctx context.Context, m *encodedMethod, args, dst []byte) ([]byte, error) {
	e, ok := m.calls.Get().(*encodedCall)
	if !ok {
		e = &encodedCall{call: transport.NewCall()}
	}
	k := e.call
	k.Head.Type, k.Head.Flags, k.Head.Arg, k.Tally = wire.Request, 0, m.number, m.Tally
	k.Timeout.Begin(ctx, m.Timeout, m.TimeoutBy)
	e.body.Buf = args
	err := transport.Do(ctx, c.Conn, k, &e.body)
	e.body.Buf = nil
	if err != nil { // the connection may still use k
		caller.CountFailed(&m.Method, k.Began, false, err)
		return dst, caller.Identified(&c.End, &m.Method, err)
	}
	data, _ := k.Body()
	dst = append(dst, data...)
	k.Reset()
	m.calls.Put(e)
	return dst, nil
}

// A namedCall is a call by name. Its args are nil once the call has them: readers among them
// are then closed by it.
type namedCall struct {
	name          string
	args, results []any
	encoded       bool // by CallEncoded
}

// callByName implements Call, with internal errors.
func (c *Client) callByName(ctx context.Context, n *namedCall) error {
	if err := needContext(ctx, "call "+fault.Cut(n.name, 64)); err != nil {
		return err
	}
	if c == nil || c.conn == nil {
		return errNoLink
	}
	if l, ok := c.conn.(*steadyLink); ok {
		return l.callByName(ctx, n)
	}
	for attempts := 0; ; attempts++ {
		m, err := c.describe(ctx, n.name)
		if err != nil {
			return err
		}
		again := *n
		err = c.callDescribed(ctx, m, n, nil)
		if attempts == maxOutdated || !errors.Is(errtree.Sound(err), apart.ErrOutdated) {
			return err
		}
		*n = again
		c.forget(n.name, m)
	}
}

// maxOutdated limits how often one call asks for a layout again.
const maxOutdated = 4

// forget drops a description.
func (c *Client) forget(full string, m *remoteMethod) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.described[full] == m {
		delete(c.described, full)
	}
}

// callDescribed calls a method by the server's description. adopt, if not nil, is called
// with the method before the call.
func (c *Client) callDescribed(ctx context.Context, m *remoteMethod, n *namedCall, adopt func(*boundMethod)) error {
	p, err := c.boundFor(m, n, adopt)
	if err != nil {
		return fault.Refusal(fault.InvalidArgument, "%v", err)
	}
	v := p.Sig.NewValues()
	defer v.Free()
	method.SetArgs(v, n.args)
	n.args = nil
	if err := p.caller(c.conn.state()).Call(ctx, v); err != nil {
		return err
	}
	method.CopyResults(v, n.results)
	return nil
}

// boundFor returns a method for the values of a call.
func (c *Client) boundFor(m *remoteMethod, n *namedCall, adopt func(*boundMethod)) (*boundMethod, error) {
	var sig *method.Signature
	var err error
	if n.encoded {
		sig, err = method.CompileEncoded(m.Name, m.layout)
	} else {
		sig, err = method.CompileAs(m.Name, m.layout, n.args, n.results)
	}
	if err != nil {
		return nil, err
	}
	o := c.conn.state()
	p := &boundMethod{Method: caller.Method{Sig: sig, Description: m.Description, Streams: streams.PlanOf(sig), Tally: o.Tallies.Method(m.Name)}, kind: kindOf(sig)}
	c.conn.(describer).bindDescribed(p, m.number)
	if adopt != nil {
		adopt(p)
	}
	p.Timeout, p.TimeoutBy = o.Settings.DefaultCallTimeout, limits.ByDefault
	return p, nil
}

// A describer is a link to a server that describes its methods. All but those of the basic wire
// are.
type describer interface {
	// ask asks the server for the methods of r.
	ask(ctx context.Context, r *wire.BindRequest) ([]wire.BindResult, error)

	// bindDescribed binds a method with the layout and the number from such an answer.
	bindDescribed(m *boundMethod, number uint16)
}

// describe returns the server's description of a method, and caches it. Concurrent first
// calls may all ask the server; c.mu is not held meanwhile.
func (c *Client) describe(ctx context.Context, full string) (*remoteMethod, error) {
	server, ok := c.conn.(describer)
	if !ok {
		return nil, fault.Refusal(fault.Unimplemented, "Call of %q: a basic server does not describe its methods; use Bind, with id= tags", fault.Cut(full, 64))
	}
	c.mu.Lock()
	m := c.described[full]
	c.mu.Unlock()
	if m != nil {
		return m, nil
	}
	service, name, ok := method.SplitName(full)
	if !ok || !method.IsIdentifier(name) || method.ValidService(service) != nil {
		return nil, fault.Refusal(fault.InvalidArgument, "method %q: want Service.Method", fault.Cut(full, 64))
	}
	if len(full) > numbering.MaxName {
		return nil, fault.Refusal(fault.InvalidArgument, "method name of %d bytes, want at most %d", len(full), numbering.MaxName)
	}
	r := &wire.BindRequest{Service: service, Names: []string{name}}
	answers, err := server.ask(ctx, r)
	if err != nil {
		return nil, fault.About(full, err)
	}
	switch answers[0].Status {
	case wire.BindUnknown:
		return nil, numbering.Unknown(full, service, &answers[0])
	case wire.BindNoService:
		return nil, fault.About(full, numbering.Unknown(full, service, &answers[0]))
	}
	m = &remoteMethod{Description: method.DescriptionOf(full, answers[0].Text), number: answers[0].Number}
	if m.layout, err = layout.ParseMethod(answers[0].Text); err != nil {
		return nil, fault.Refusal(fault.Internal, "the server's layout of %s: %w", full, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.described == nil {
		c.described = make(map[string]*remoteMethod)
	}
	c.described[full] = m
	return m, nil
}

// OnewayErrors returns the number of oneway calls that failed after their func had returned
// nil, and of failed oneway calls of ClientOptions.Handlers. The log has one line a second at
// most.
func (c *Client) OnewayErrors() uint64 { return caller.FailedOneway(&c.link().state().End) }
