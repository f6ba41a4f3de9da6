package bsrpc

import (
	"context"
	"math"
	"reflect"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// Bind makes a proxy for a service: a C, with every func set to call the method
// of its name.
//
// C is a contract: a struct of exported func fields, and of embedded contracts
// whose funcs join it, and nothing else. It may name a part of the service. Each
// func ends in error and may begin with a context.Context; one without runs with
// context.Background. Tags say formats, names and time limits, see docs/tags.md.
// An interface is not a contract here, because Go cannot make its methods.
//
// Bind compares the contract with the server's methods before any call. Where
// they disagree it returns the proxy together with a *MismatchError, which
// errors.As finds: the methods that agree can be called, the others return that
// error. With any other error the proxy is nil.
//
// The proxy's funcs are safe for concurrent use, and work for as long as the
// caller's connection does. Arguments are the caller's again when a func returns,
// results are the caller's for good.
func Bind[C any](ctx context.Context, caller Caller, service string) (*C, error) {
	proxy := new(C)
	err := needContext(ctx, "bind "+fault.Cut(service, 64))
	if err == nil {
		err = bindContract(ctx, linkOf(caller), service, reflect.ValueOf(proxy).Elem())
	}
	if _, ok := err.(*MismatchError); err != nil && !ok {
		return nil, publicError(err)
	}
	return proxy, err
}

// A boundMethod is a method as a client calls it: one func of a proxy.
type boundMethod struct {
	method.Description // of the contract
	sig                *method.Signature
	link               link
	number             uint16        // on the link's connection, or the id that a basic server knows
	id                 int           // by the contract's tag, -1 for none
	key                string        // of the contract's tag, if it is probably meant to be bsrpc
	timeout            time.Duration // of a call whose context has no deadline; 0 for none
	timeoutBy          string        // the source of timeout, for errors
	err                *fault.Fault  // why it cannot be called
}

func bindContract(ctx context.Context, l link, service string, proxy reflect.Value) error {
	stubs, err := method.StubsOf(service, proxy.Type())
	if err != nil {
		return err
	}
	methods := make([]*boundMethod, len(stubs))
	for i, s := range stubs {
		methods[i] = newBoundMethod(l, s)
	}
	err = l.bindMethods(ctx, service, methods)
	if _, ok := err.(*MismatchError); err != nil && !ok {
		return err
	}
	for i, s := range stubs {
		s.Fill(proxy, methods[i])
	}
	return err
}

func newBoundMethod(l link, s *method.Stub) *boundMethod {
	m := &boundMethod{Description: s.Description, sig: s.Sig, link: l, id: s.Tag.ID, key: s.Key}
	switch {
	case s.Tag.Timeout > 0:
		m.timeout, m.timeoutBy = s.Tag.Timeout, limits.ByMethod
	case s.Tag.Timeout == 0 && l.callTimeout() != math.MaxInt64:
		m.timeout, m.timeoutBy = l.callTimeout(), limits.ByDefault
	}
	return m
}

// Call sends the arguments and brings the results: it is a method.Caller. Its error
// says which method it is of.
func (m *boundMethod) Call(ctx context.Context, v *method.Values) error {
	var err error
	switch {
	case m.err != nil:
		err = m.err
	case ctx == nil:
		err = needContext(ctx, m.Name)
	default:
		err = m.link.call(ctx, m, v)
	}
	if err != nil {
		return publicError(fault.About(m.Name, err))
	}
	return nil
}

// bind sends one BIND frame and returns the answers, one for each name.
func (c *nativeLink) bind(ctx context.Context, r *wire.BindRequest, flags wire.Flags) ([]wire.BindResult, error) {
	k := transport.NewCall()
	k.Head = wire.Frame{Type: wire.Bind, Flags: flags}
	k.Timeout.Begin(ctx, c.settings.defaultCallTimeout, limits.ByDefault)
	if err := transport.Do(ctx, c.Conn, k, &wire.Body{Buf: r.Append(nil)}); err != nil {
		return nil, err
	}
	body, _ := k.Body()
	answers, err := wire.ReadBindResponse(body, len(r.Names))
	if err != nil {
		return nil, fault.New(fault.Internal, fault.OutcomeUnknown, "answer to BIND: %w", err)
	}
	return answers, nil
}

// agree asks for the numbers of a contract's methods, as far as the server means
// the same by them.
func (c *nativeLink) bindMethods(ctx context.Context, service string, methods []*boundMethod) error {
	r := &wire.BindRequest{Service: service}
	for _, m := range methods {
		r.Names, r.Hashes = append(r.Names, m.Name[len(service)+1:]), append(r.Hashes, m.Hash)
	}
	answers, err := c.bindAll(ctx, r)
	if err != nil {
		return fault.About("bind "+service, err)
	}
	mismatch := &MismatchError{Service: service, Methods: len(methods)}
	for i, m := range methods {
		m.number = answers[i].Number
		if err := mismatch.add(m, &answers[i]); err != nil {
			return err
		}
	}
	if len(mismatch.Differences) > 0 {
		return mismatch
	}
	return nil
}

// bindAll sends as many BIND frames as the names take.
func (c *nativeLink) bindAll(ctx context.Context, r *wire.BindRequest) (answers []wire.BindResult, err error) {
	for len(r.Names) > 0 {
		n, size := 0, 4+len(r.Service)
		for n < len(r.Names) && (n == 0 || size+wire.BindNameSize(r.Names[n]) <= wire.MaxUnchunked) {
			size += wire.BindNameSize(r.Names[n])
			n++
		}
		part := &wire.BindRequest{Service: r.Service, Names: r.Names[:n], Hashes: r.Hashes[:n]}
		more, err := c.bind(ctx, part, 0)
		if err != nil {
			return nil, err
		}
		answers = append(answers, more...)
		r = &wire.BindRequest{Service: r.Service, Names: r.Names[n:], Hashes: r.Hashes[n:]}
	}
	return answers, nil
}
