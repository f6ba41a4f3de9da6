package method

import (
	"context"
	"reflect"
	"time"

	"github.com/bsrpc/bsrpc/internal/codec"
)

// Values are the arguments and results of one call, with an encoder and a decoder for
// them. Each signature has a pool of Values.
type Values struct {
	sig     *Signature
	memory  memory // the structs of arguments and results, as the thunks see them
	argsRef codec.Ref
	resRef  codec.Ref

	Ctx   context.Context // of the call, for Func.Invoke; at a caller, of an intercepted call
	State any             // the caller's or the server's own state of a call, pooled with the values
	Enc   codec.Encoder
	Dec   codec.Decoder

	ArgsSize, ResultsSize int // encoded bytes, set by the user of Enc and Dec

	Began time.Duration // the beginning of the call, by the clock of internal/limits; 0 at a caller that has not sent it

	// Of a call that has failed and may be made again: the end of its time by the clock of
	// internal/limits, 0 for none, and whether streams among its arguments have been read.
	Until time.Duration
	Sent  bool

	args    reflect.Value   // the struct of arguments
	results reflect.Value   // the struct of results
	in      []reflect.Value // for a call by reflection: the receiver, the context, the fields of args
}

// keepEncoder bounds the encoding buffer of pooled values.
const keepEncoder = 64 << 10

// NewValues returns zero values of a call.
func (s *Signature) NewValues() *Values {
	if v, ok := s.pool.Get().(*Values); ok {
		return v
	}
	v := &Values{sig: s, args: reflect.New(s.memory[0]).Elem().Field(1), results: reflect.New(s.memory[1]).Elem().Field(1)}
	v.argsRef, v.resRef = codec.RefTo(v.args.Addr()), codec.RefTo(v.results.Addr())
	v.memory = memoryOf(v)
	return v
}

// Free zeroes the values and returns them, with their memory and State, to the pool.
func (v *Values) Free() {
	if !v.sig.Args.ZeroSinglePointer(v.argsRef) {
		v.args.SetZero()
	}
	if !v.sig.Results.ZeroSinglePointer(v.resRef) {
		v.results.SetZero()
	}
	v.Ctx, v.Began, v.Until, v.Sent = nil, 0, 0, false
	v.Dec.Data, v.Dec.UserType = nil, nil
	if v.in != nil {
		v.in[0] = reflect.Value{}
	}
	v.ResetEncoder()
	v.sig.pool.Put(v)
}

// AppendArgs encodes the arguments of v into enc. v has the types of s.
func (s *Signature) AppendArgs(enc *codec.Encoder, v *Values) error {
	return s.Args.Append(enc, v.argsRef)
}

// ReadArgs decodes the arguments from Dec.
func (v *Values) ReadArgs() error { return v.sig.Args.Read(&v.Dec, v.argsRef) }

// AppendResults encodes the results into Enc.
func (v *Values) AppendResults() error { return v.sig.Results.Append(&v.Enc, v.resRef) }

// ReadResults decodes the results of v from Dec with the codec of s, which has the types
// of v. If it fails all results are zero.
//
// Like SetArgs and CopyResults it is for clients and not a method: the linker keeps
// exported methods in every server.
func ReadResults(s *Signature, v *Values) error {
	if s.Results.UserCode() { // which may panic
		ok := false
		defer func() {
			if !ok {
				v.results.SetZero()
			}
		}()
		err := s.Results.Read(&v.Dec, v.resRef)
		ok = err == nil
		return err
	}
	err := s.Results.Read(&v.Dec, v.resRef)
	if err != nil {
		v.results.SetZero()
	}
	return err
}

// ResetEncoder drops what was encoded.
func (v *Values) ResetEncoder() {
	clear(v.Enc.Cuts)
	v.Enc.Lenient, v.Enc.UserType = false, nil
	v.Enc.Buf, v.Enc.Cuts = v.Enc.Buf[:0], v.Enc.Cuts[:0]
	if cap(v.Enc.Buf) > keepEncoder {
		v.Enc.Buf = nil
	}
}

// ArgPointers returns pointers to the arguments of v, valid until Free.
func ArgPointers(v *Values) []any { return pointersTo(v.args) }

// ResultPointers returns pointers to the results of v, valid until Free.
func ResultPointers(v *Values) []any { return pointersTo(v.results) }

func pointersTo(values reflect.Value) []any {
	list := make([]any, values.NumField())
	for i := range list {
		list[i] = values.Field(i).Addr().Interface()
	}
	return list
}

// ZeroResults drops the results of v.
func ZeroResults(v *Values) { v.results.SetZero() }
