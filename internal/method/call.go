package method

import (
	"context"
	"reflect"
)

// The way of a call between Go values and Values: from a proxy's func at the caller, and
// to the func at the server.

// A Caller makes the calls of one func of a proxy. Call encodes the arguments of v
// and decodes the results into v. It may be called concurrently. ctx is nil if the
// user passed nil. A func that does not end in error drops that of Call, or gives it as
// the error of its stream.
type Caller interface {
	Call(ctx context.Context, v *Values) error
}

// fill sets a field to a func that calls c.
func (s *Signature) fill(field reflect.Value, c Caller) {
	p := &stub{s, c}
	if s.future != nil {
		field.Set(reflect.MakeFunc(field.Type(), p.startReflect))
		return
	}
	if t := thunkOf(s); t != nil && s.err {
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
	ctx, v := p.values(in)
	defer v.Free()
	err := p.caller.Call(ctx, v)
	if st := p.sig.resultStream; st != nil && !p.sig.err && err != nil {
		st.fail(v, err)
	}
	out := in[:0] // MakeFunc made it for this call
	if n := len(p.sig.results); n > 0 {
		results := reflect.New(v.results.Type()).Elem() // v is zeroed before the caller sees them
		results.Set(v.results)
		for i := range n {
			out = append(out, results.Field(i))
		}
	}
	if !p.sig.err {
		return out
	}
	return append(out, errorValue(err))
}

// values returns the context and the values of a call.
func (p *stub) values(in []reflect.Value) (context.Context, *Values) {
	ctx, args := context.Background(), in
	if p.sig.ctx {
		ctx, _ = in[0].Interface().(context.Context)
		args = in[1:]
	}
	v := p.sig.NewValues()
	for i, arg := range args {
		v.args.Field(i).Set(arg)
	}
	return ctx, v
}

var noError = reflect.Zero(errorType)

// errorValue returns err as a value of type error, also if it is nil.
func errorValue(err error) reflect.Value {
	if err == nil {
		return noError
	}
	v := reflect.New(errorType).Elem()
	v.Set(reflect.ValueOf(err))
	return v
}

// Invoke calls the func with the arguments and the context of v, and stores the
// results in v. recv is the receiver; nil stands for the registered one.
func (f *Func) Invoke(recv *Receiver, v *Values) error {
	if recv == nil {
		recv = &f.recv
	}
	if f.code.valid() {
		return f.invokeCode(recv, v)
	}
	in := v.inputs(recv, f.ctx)
	var out []reflect.Value
	if f.vari {
		out = f.fn.CallSlice(in)
	} else {
		out = f.fn.Call(in)
	}
	return v.setResults(out)
}

// inputs returns the arguments for a call by reflection of a func with the context
// or without, behind its receiver if it has one.
func (v *Values) inputs(recv *Receiver, ctx bool) []reflect.Value {
	if v.in == nil {
		v.in = append(v.in, reflect.Value{})
		if ctx {
			// A Value of interface type spares the conversion of a concrete context.
			v.in = append(v.in, reflect.ValueOf(&v.Ctx).Elem())
		}
		for i := range v.sig.params {
			v.in = append(v.in, v.args.Field(i))
		}
	}
	if v.in[0] = recv.value; !v.in[0].IsValid() {
		return v.in[1:]
	}
	return v.in
}

// setResults stores the results of a call by reflection.
func (v *Values) setResults(out []reflect.Value) error {
	for i := range v.sig.results {
		v.results.Field(i).Set(out[i])
	}
	if n := len(v.sig.results); len(out) > n && !out[n].IsNil() {
		return out[n].Interface().(error)
	}
	return nil
}
