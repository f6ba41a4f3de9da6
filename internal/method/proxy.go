package method

import (
	"context"
	"fmt"
	"reflect"

	"github.com/bsrpc/bsrpc/internal/codec"
)

// A Caller makes the calls of one func of a proxy. Call encodes the arguments of v
// and decodes the results into v. It may be called concurrently. ctx is nil if the
// user passed nil.
type Caller interface {
	Call(ctx context.Context, v *Values) error
}

// A Stub is one func of a struct contract: the calling side of a method.
type Stub struct {
	Description
	Sig *Signature
	Tag *codec.MethodTag
	Key string // of the tag, if probably meant to be bsrpc

	index []int // of the field
}

// StubsOf returns the funcs of a struct contract. Its error lists all problems.
func StubsOf(service string, contract reflect.Type) ([]*Stub, error) {
	if contract.Kind() != reflect.Struct {
		return nil, fmt.Errorf("bsrpc: bind %s: %s", cut(service, 64), notContract(contract, "a client's is a struct of funcs"))
	}
	wanted, problems := contractOf(service, contract)
	var stubs []*Stub
	for _, w := range wanted {
		sig, more := compile(service+"."+w.goName, w.typ, 0, w.tag)
		if problems = append(problems, more...); more != nil {
			continue
		}
		s := &Stub{Description: describe(service, w.name, sig), Sig: sig, Tag: w.tag, Key: w.key, index: w.index}
		if ValidService(service) == nil {
			problems = append(problems, s.problems()...)
		}
		stubs = append(stubs, s)
	}
	return stubs, ServiceError("bind", service, problems)
}

// Fill sets the stub's field of a proxy to a func that calls c.
func (s *Stub) Fill(proxy reflect.Value, c Caller) {
	s.Sig.fill(proxy.FieldByIndex(s.index), c)
}

// fill sets a field to a func that calls c.
func (s *Signature) fill(field reflect.Value, c Caller) {
	p := &stub{s, c}
	if t := thunkOf(s); t != nil {
		t.fill(p, field)
		return
	}
	field.Set(reflect.MakeFunc(field.Type(), p.callReflect))
}

// A stub is the receiver of a proxy's funcs.
type stub struct {
	sig    *Signature
	caller Caller
}

// callReflect is a proxy's func by reflection.
func (p *stub) callReflect(in []reflect.Value) []reflect.Value {
	ctx, args := context.Background(), in
	if p.sig.ctx {
		ctx, _ = in[0].Interface().(context.Context)
		args = in[1:]
	}
	v := p.sig.NewValues()
	defer v.Free()
	for i, arg := range args {
		v.args.Field(i).Set(arg)
	}
	err := p.caller.Call(ctx, v)
	out := in[:0] // MakeFunc made it for this call
	if n := len(p.sig.results); n > 0 {
		results := reflect.New(v.results.Type()).Elem() // v is zeroed before the caller sees them
		results.Set(v.results)
		for i := range n {
			out = append(out, results.Field(i))
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
