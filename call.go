package bsrpc

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
	"github.com/bsrpc/bsrpc/layout"
)

// Calls of the client: through a proxy on a native connection, and by name.

// call is link.call.
func (c *nativeLink) call(ctx context.Context, m *boundMethod, v *method.Values) error {
	v.Enc.Max, v.Enc.MinCut, v.Enc.Depth = maxBody(c.PeerMaxMessage()), wire.MinCut, c.settings.maxDepth
	if err := m.appendArgs(c.log, &v.Enc, v); err != nil {
		return m.encodeError(err, "the server's MaxMessage", c.PeerMaxMessage())
	}
	k, ok := v.State.(*transport.Call)
	if !ok {
		k = transport.NewCall()
		v.State = k
	}
	k.Head.Type, k.Head.Flags, k.Head.Arg = wire.Request, 0, m.number
	if meta := withinOf(ctx); meta != nil {
		k.Head.Flags, k.Head.Meta = wire.Metadata, meta
	}
	k.Timeout.Begin(ctx, m.timeout, m.timeoutBy)
	if err := transport.Do(ctx, c.Conn, k, &v.Enc.Body); err != nil {
		v.State = nil // the connection may still know the call
		return err
	}
	data, own := k.Body()
	c.settings.decode(&v.Dec, data, own)
	err := m.readResults(c.log, v)
	k.Reset()
	return err
}

// encodeError is the error of arguments that cannot be sent. limit names the bound of
// their size.
func (m *boundMethod) encodeError(err error, limit string, most uint64) error {
	if e, ok := err.(*fault.Fault); ok {
		return e
	}
	code := fault.InvalidArgument
	if errors.Is(err, codec.ErrLimit) {
		code = fault.ResourceExhausted
	}
	if errors.Is(err, codec.ErrSize) {
		err = fmt.Errorf("%w (%s is %d)", err, limit, most)
	}
	return fault.New(code, fault.NotRun, "%s, %w", m.Name, err)
}

// decode prepares d for a message, within this end's limits. own is
// codec.Decoder's.
func (b *settings) decode(d *codec.Decoder, data []byte, own bool) {
	d.Data, d.Own, d.Lenient = data, own, false
	d.Budget, d.Depth, d.BudgetName = b.decodeBudget, b.maxDepth, "Limits.DecodeBudget"
}

// maxBody is the longest body that an encoder may make.
func maxBody(peer uint64) int { return int(min(peer, math.MaxInt32)) }

// appendArgs encodes the arguments.
func (m *boundMethod) appendArgs(log *report.Log, enc *codec.Encoder, v *method.Values) error {
	if m.sig.Args.UserCode() {
		return m.appendUserArgs(log, enc, v)
	}
	return v.AppendArgs(enc)
}

// appendUserArgs is appendArgs where a type has an encoder of its own. If that
// panics, the call ends, and nothing else.
func (m *boundMethod) appendUserArgs(log *report.Log, enc *codec.Encoder, v *method.Values) (err error) {
	defer func() {
		if what := recover(); what != nil {
			err = m.codecPanicked(log, fault.NotRun, what, "encoding", enc.UserType)
		}
	}()
	return v.AppendArgs(enc)
}

// readResults decodes the results.
func (m *boundMethod) readResults(log *report.Log, v *method.Values) (err error) {
	if m.sig.Results.UserCode() {
		err = m.readUserResults(log, v)
	} else {
		err = v.ReadResults()
	}
	switch err.(type) {
	case nil, *fault.Fault:
		return err
	}
	return fault.New(fault.Internal, fault.OutcomeUnknown, "the answer cannot be read: %s, %w", m.Name, err)
}

// readUserResults is readResults where a type has a decoder of its own. If that
// panics, the call ends, and nothing else.
func (m *boundMethod) readUserResults(log *report.Log, v *method.Values) (err error) {
	defer func() {
		if what := recover(); what != nil {
			err = m.codecPanicked(log, fault.OutcomeUnknown, what, "decoding", v.Dec.UserType)
		}
	}()
	return v.ReadResults()
}

// codecPanicked is the error of a call during which a type's own encoder or
// decoder panicked.
func (m *boundMethod) codecPanicked(log *report.Log, outcome fault.Outcome, what any, doing string, typ any) *fault.Fault {
	e := fault.New(fault.Internal, outcome, "%s: panic in %s a %v", m.Name, doing, typ)
	e.LogID = log.AddPanic(report.Panic, "bsrpc: panic in "+doing, what, "method", m.Name, "type", typ)
	return e
}

// described is a server's description of a method.
type described struct {
	number uint16
	layout *layout.Method
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
func (c *Client) Call(ctx context.Context, name string, args []any, results ...any) error {
	return publicError(c.callByName(ctx, name, args, results))
}

func (c *Client) callByName(ctx context.Context, name string, args, results []any) error {
	if err := needContext(ctx, "call "+fault.Cut(name, 64)); err != nil {
		return err
	}
	if c == nil || c.via == nil {
		return errNoLink
	}
	if c.native == nil {
		return fault.Refusal(fault.Unimplemented, "Call of %q: a server that speaks the basic wire tells no layouts; use Bind, with id= tags", fault.Cut(name, 64))
	}
	m, err := c.describe(ctx, name)
	if err != nil {
		return err
	}
	sig, err := method.CompileAs(name, m.layout, args, results)
	if err != nil {
		return fault.Refusal(fault.InvalidArgument, "%v", err)
	}
	p := &boundMethod{link: c.native, sig: sig, Description: method.Description{Name: name}, number: m.number}
	p.timeout, p.timeoutBy = c.native.settings.defaultCallTimeout, limits.ByDefault
	v := sig.NewValues()
	defer v.Free()
	v.SetArgs(args)
	if err := p.Call(ctx, v); err != nil {
		return err
	}
	v.CopyResults(results)
	return nil
}

// maxMethodName is the longest full name that one BIND frame can ask for.
const maxMethodName = wire.MaxUnchunked - 5

// describe returns what the server says of a method, asking it once.
func (c *Client) describe(ctx context.Context, full string) (*described, error) {
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
	if len(full) > maxMethodName {
		return nil, fault.Refusal(fault.InvalidArgument, "method name of %d bytes, want at most %d", len(full), maxMethodName)
	}
	r := &wire.BindRequest{Service: service, Names: []string{name}}
	answers, err := c.native.bind(ctx, r, wire.Describe)
	if err != nil {
		return nil, fault.About(full, err)
	}
	switch answers[0].Status {
	case wire.BindUnknown:
		return nil, fault.Refusal(fault.Unimplemented, "%s", withSuggestion("the server has no method "+full, "it has", suggestionsOf(&answers[0])))
	case wire.BindNoService:
		return nil, fault.About(full, fault.Refusal(fault.Unimplemented, "%s", withSuggestion("the server has no service "+service, "it has", suggestionsOf(&answers[0]))))
	}
	m = &described{number: answers[0].Number}
	if m.layout, err = layout.ParseMethod(answers[0].Text); err != nil {
		return nil, fault.Refusal(fault.Internal, "the server's layout of %s: %w", full, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.described == nil {
		c.described = make(map[string]*described)
	}
	c.described[full] = m
	return m, nil
}
