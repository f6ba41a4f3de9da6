package bsrpc

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"time"
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
	if err := needContext(ctx, "bind "+cut(service, 64)); err != nil {
		return nil, err
	}
	err := bindContract(ctx, linkOf(caller), service, reflect.ValueOf(proxy).Elem())
	if _, ok := err.(*MismatchError); err != nil && !ok {
		return nil, err
	}
	return proxy, err
}

// A boundMethod is a method as a client calls it: one func of a proxy.
type boundMethod struct {
	link   link // what calls it
	sig    *signature
	Method               // as this end has it
	number uint16        // on the link's connection, or the id that a basic server knows
	id     int           // by the contract's tag, -1 for none
	key    string        // of the contract's tag, if it is probably meant to be bsrpc
	after  time.Duration // the time of a call whose context has no deadline; 0: none
	by     string        // what says so
	err    *Error        // why it cannot be called
}

func bindContract(ctx context.Context, l link, service string, proxy reflect.Value) error {
	if proxy.Kind() != reflect.Struct {
		return fmt.Errorf("bsrpc: bind %s: %s", service, notContract(proxy.Type(), "a client's is a struct of funcs"))
	}
	wanted, problems := contractOf(service, proxy.Type())
	var methods []*boundMethod
	for _, w := range wanted {
		sig, more := compileSignature(service+"."+w.goName, w.typ, 0, w.tag)
		if problems = append(problems, more...); more != nil {
			continue
		}
		own := describe(service, w.name, sig)
		if validService(service) == nil {
			problems = append(problems, layoutProblems(own)...)
		}
		methods = append(methods, newBoundMethod(l, sig, own, &w))
	}
	if err := serviceError("bind", service, problems); err != nil {
		return err
	}
	err := l.agree(ctx, service, methods)
	if _, ok := err.(*MismatchError); err != nil && !ok {
		return err
	}
	for i, m := range methods {
		fill(m, proxy.FieldByIndex(wanted[i].index))
	}
	return err
}

func newBoundMethod(l link, sig *signature, own Method, w *contractMethod) *boundMethod {
	m := &boundMethod{link: l, sig: sig, Method: own, id: w.tag.ID, key: w.key}
	tag, b := w.tag, l.limits()
	switch {
	case tag.Timeout > 0:
		m.after, m.by = tag.Timeout, byMethod
	case tag.Timeout == 0 && b.defaultCallTimeout != math.MaxInt64:
		m.after, m.by = b.defaultCallTimeout, byDefault
	}
	return m
}

// call sends the arguments and brings the results. Its error says which method it
// is of.
func (m *boundMethod) call(ctx context.Context, v *values) error {
	switch {
	case m.err != nil:
		return about(m.Name, m.err)
	case ctx == nil:
		return needContext(ctx, m.Name)
	}
	if err := m.link.call(ctx, m, v); err != nil {
		return about(m.Name, err)
	}
	return nil
}

// fill sets a proxy's field to a func that calls m.
func fill(m *boundMethod, field reflect.Value) {
	if m.sig.shape != nil {
		fillShape(m, field)
		return
	}
	field.Set(reflect.MakeFunc(field.Type(), m.callReflect))
}

// callReflect is a proxy's func by reflection.
func (m *boundMethod) callReflect(in []reflect.Value) []reflect.Value {
	ctx, args := context.Background(), in
	if m.sig.ctx {
		ctx, _ = in[0].Interface().(context.Context) // nil is refused later
		args = in[1:]
	}
	v := m.sig.newValues()
	defer v.free()
	for i, arg := range args {
		v.args.Field(i).Set(arg)
	}
	err := m.call(ctx, v)
	out := in[:0] // what MakeFunc has made for this call
	if n := len(m.sig.results); n > 0 {
		rets := reflect.New(v.rets.Type()).Elem() // those of v are zeroed before the caller has them
		rets.Set(v.rets)
		for i := range n {
			out = append(out, rets.Field(i))
		}
	}
	return append(out, errorValue(err))
}

var noError = reflect.Zero(errorType)

func errorValue(err error) reflect.Value {
	if err == nil {
		return noError
	}
	v := reflect.New(errorType).Elem()
	v.Set(reflect.ValueOf(err))
	return v
}
