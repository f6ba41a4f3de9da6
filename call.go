package bsrpc

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/internal/wire"
	"github.com/bsrpc/bsrpc/layout"
)

// Calls at the end that makes them: of a bound method on a native connection, and
// by name.

// call is link.call.
func (c *conn) call(ctx context.Context, m *boundMethod, v *values) error {
	v.enc.Max, v.enc.Cut, v.enc.Depth = maxBody(c.peer.maxMessage), cutSize, c.bounds.maxDepth
	if err := m.appendArgs(c.log, &v.enc, v); err != nil {
		return m.encodeError(err, "the server's MaxMessage", c.peer.maxMessage)
	}
	k, ok := v.state.(*call)
	if !ok {
		k = newCall()
		v.state = k
	}
	k.head.Type, k.head.Flags, k.head.Arg = wire.Request, 0, m.number
	if meta := withinOf(ctx); meta != nil {
		k.head.Flags, k.head.Meta = wire.Metadata, meta
	}
	k.timeout.begin(ctx, m.after, m.by)
	if err := c.do(ctx, k, &v.enc); err != nil {
		v.state = nil // the connection may still know the call
		return err
	}
	c.bounds.decode(&v.dec, k.reply.body, k.reply.own)
	err := m.readResults(c.log, v)
	k.reset()
	return err
}

// encodeError is the error of arguments that cannot be sent. limit says what
// bounds their length.
func (m *boundMethod) encodeError(err error, limit string, most uint64) error {
	if e, ok := err.(*Error); ok {
		return e
	}
	code := CodeInvalidArgument
	if errors.Is(err, codec.ErrLimit) {
		code = CodeResourceExhausted
	}
	if errors.Is(err, codec.ErrSize) {
		err = fmt.Errorf("%w (%s is %d)", err, limit, most)
	}
	return errorf(code, OutcomeNotRun, "%s, %w", m.Name, err)
}

// maxBody is the longest body that an encoder may make.
func maxBody(peer uint64) int { return int(min(peer, math.MaxInt32)) }

// appendArgs encodes the arguments. A type's own encoder that panics costs the
// call, and nothing else.
func (m *boundMethod) appendArgs(log *reports, enc *codec.Encoder, v *values) (err error) {
	if m.sig.args.UserCode() {
		defer func() {
			if what := recover(); what != nil {
				err = m.codecPanicked(log, OutcomeNotRun, what, "encoding", enc.Inside)
			}
		}()
	}
	return v.appendArgs(enc)
}

// readResults decodes the results. A type's own decoder that panics costs the
// call, and nothing else.
func (m *boundMethod) readResults(log *reports, v *values) (err error) {
	if m.sig.rets.UserCode() {
		defer func() {
			if what := recover(); what != nil {
				err = m.codecPanicked(log, OutcomeUnknown, what, "decoding", v.dec.Inside)
			}
		}()
	}
	if err := v.readResults(); err != nil {
		return errorf(CodeInternal, OutcomeUnknown, "the answer cannot be read: %s, %w", m.Name, err)
	}
	return nil
}

// codecPanicked is the error of a call during which a type's own encoder or
// decoder panicked.
func (m *boundMethod) codecPanicked(log *reports, outcome Outcome, what any, doing string, typ any) *Error {
	e := errorf(CodeInternal, outcome, "%s: panic in %s a %v", m.Name, doing, typ)
	e.ID = log.addPanic(reportPanic, "bsrpc: panic in "+doing, what, "method", m.Name, "type", typ)
	return e
}

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
	p := &boundMethod{link: c.conn, sig: sig, Method: Method{Name: method}, number: m.number}
	p.after, p.by = c.conn.bounds.defaultCallTimeout, byDefault
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
const maxMethodName = wire.MaxUnchunked - 5

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
	case wire.BindUnknown:
		return nil, refusalf(CodeUnimplemented, "%s", thereIs("the server has no method "+method, "it has", nearOf(&answers[0])))
	case wire.BindNoService:
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
