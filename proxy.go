package bsrpc

import (
	"context"
	"math"
	"reflect"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/method"
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
	after              time.Duration // the time of a call whose context has no deadline; 0: none
	by                 string        // what says so
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
	err = l.agree(ctx, service, methods)
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
	b := l.limits()
	switch {
	case s.Tag.Timeout > 0:
		m.after, m.by = s.Tag.Timeout, limits.ByMethod
	case s.Tag.Timeout == 0 && b.defaultCallTimeout != math.MaxInt64:
		m.after, m.by = b.defaultCallTimeout, limits.ByDefault
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
