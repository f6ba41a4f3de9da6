package bsrpc

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/layout"
)

// Here Go's func types meet the codecs: a signature has one codec for all
// parameters of a func and one for all results, and values are those of one call
// in between.

var (
	contextType = reflect.TypeFor[context.Context]()
	errorType   = reflect.TypeFor[error]()
)

// A signature is the compiled type of a method: both ends derive it from their
// own Go func.
type signature struct {
	ctx      bool            // a leading context.Context
	err      bool            // a last error
	variadic bool            // the last parameter is a slice that is spread
	params   []reflect.Type  // without the context
	results  []reflect.Type  // without the error
	args     *codec.Codec    // of a struct with the params as fields
	rets     *codec.Codec    // of a struct with the results as fields
	memory   [2]reflect.Type // of which the arguments and the results of a call are the first field
	shape    *shape          // how to call it without reflection, nil if only reflection can
	pool     sync.Pool       // of *values
}

// withoutValues returns a signature with the same codecs and a pool of its own:
// the state that a proxy keeps with its values has channels, which belong to the
// bubble of a test as its connection does.
func (s *signature) withoutValues() *signature {
	return &signature{ctx: s.ctx, err: s.err, variadic: s.variadic, params: s.params, results: s.results, args: s.args, rets: s.rets, memory: s.memory, shape: s.shape}
}

// A problem is one thing that is wrong with a service.
type problem struct {
	path string // from the method on: "Shop.F, parameter 1, Order.Price"; "" for a value itself
	text string
}

func (p problem) String() string {
	if p.path == "" {
		return p.text
	}
	return p.path + ": " + p.text
}

// compileSignature compiles a func type, of which the first skip parameters
// are a receiver. name is the method's, for the paths of problems.
func compileSignature(name string, t reflect.Type, skip int, tag *codec.MethodTag) (*signature, []problem) {
	key := signatureKey{t, skip}
	if tag.Params == nil && tag.Results == nil {
		if known, ok := signatures.Load(key); ok {
			return known.(*signature).withoutValues(), nil
		}
	}
	s, problems := compileFunc(name, t, skip, tag)
	if problems == nil && tag.Params == nil && tag.Results == nil {
		signatures.Store(key, s.withoutValues())
	}
	return s, problems
}

// signatures has the func types that have been compiled without formats of a
// tag: methods of one type, and the binds of one contract, share their codecs.
var signatures sync.Map // of *signature, by signatureKey

type signatureKey struct {
	t    reflect.Type
	skip int
}

func compileFunc(name string, t reflect.Type, skip int, tag *codec.MethodTag) (*signature, []problem) {
	s := &signature{variadic: t.IsVariadic()}
	s.ctx = t.NumIn() > skip && t.In(skip) == contextType
	if s.ctx {
		skip++
	}
	for i := skip; i < t.NumIn(); i++ {
		s.params = append(s.params, t.In(i))
	}
	var problems []problem
	for i := range t.NumOut() {
		s.results = append(s.results, t.Out(i))
	}
	if n := len(s.results); n > 0 && s.results[n-1] == errorType {
		s.err = true
		s.results = s.results[:n-1]
	} else if n > 0 && s.results[n-1].Implements(errorType) {
		problems = append(problems, problem{fmt.Sprintf("%s, result %d", name, n),
			fmt.Sprintf("%v implements error; declare it as error, so that nil stays nil", s.results[n-1])})
	}
	var more []problem
	s.args, more = compileList(name, "parameter", s.params, tag.Params)
	problems = append(problems, more...)
	s.rets, more = compileList(name, "result", s.results, tag.Results)
	problems = append(problems, more...)
	if len(problems) > 0 {
		return nil, problems
	}
	s.layMemory()
	s.shape = shapeOf(s)
	return s, nil
}

// layMemory decides what the values of a call lie in.
func (s *signature) layMemory() {
	s.memory = [2]reflect.Type{withRoom(s.args.Type()), withRoom(s.rets.Type())}
}

func compileList(name, word string, types []reflect.Type, places []*codec.Place) (*codec.Codec, []problem) {
	if places != nil && len(places) != len(types) {
		return nil, []problem{{name, fmt.Sprintf("the tag has formats for %s, the func has %d; leave all out, or give each its own, an empty one for the default",
			plural(len(places), word), len(types))}}
	}
	c, err := codec.CompileList(word, types, places)
	if err == nil {
		return c, nil
	}
	list, ok := err.(codec.Problems)
	if !ok {
		return nil, []problem{{name, err.Error()}}
	}
	var problems []problem
	seen := map[string]int{} // by parameter
	for _, p := range list {
		place, _, _ := strings.Cut(p.Path, ", ")
		if seen[place]++; seen[place] > maxProblems {
			continue
		}
		path := name
		if p.Path != "" {
			path += ", " + p.Path
		}
		problems = append(problems, problem{path, p.Text})
	}
	for i := range types {
		place := fmt.Sprintf("%s %d", word, i+1)
		if more := seen[place] - maxProblems; more > 0 {
			problems = append(problems, problem{name + ", " + place, fmt.Sprintf("and %s of the same type", plural(more, "more problem"))})
		}
	}
	return nil, problems
}

// maxProblems is how many problems of one parameter or result are told: a type
// that was never meant to travel, as *http.Request, has dozens.
const maxProblems = 8

// layout returns the wire form of a method with this signature.
func (s *signature) layout(service, name string) *layout.Method {
	return &layout.Method{Service: service, Name: name, Params: s.args.Layouts(), Results: s.rets.Layouts()}
}

// Values are the arguments and results of one call, and what it takes to encode
// and decode them. They are reused for later calls, zeroed.
type values struct {
	ctx   context.Context
	enc   codec.Encoder
	dec   codec.Decoder
	state any // what the user of the values keeps with them from one call to the next

	sig     *signature
	args    reflect.Value // the struct of arguments
	rets    reflect.Value // the struct of results
	argsRef codec.Ref
	retsRef codec.Ref
	memory  valueMemory     // the same two structs, as calls without reflection see them
	in      []reflect.Value // for a call by reflection: the receiver, the context, the fields of args
}

// keepEncoder bounds the memory that values keep for encoding.
const keepEncoder = 64 << 10

func (s *signature) newValues() *values {
	if v, ok := s.pool.Get().(*values); ok {
		return v
	}
	v := &values{sig: s, args: reflect.New(s.memory[0]).Elem().Field(0), rets: reflect.New(s.memory[1]).Elem().Field(0)}
	v.argsRef, v.retsRef = codec.RefTo(v.args.Addr()), codec.RefTo(v.rets.Addr())
	v.memory = memoryOf(v)
	return v
}

// free zeroes the values, so that nothing of a call is kept, and keeps their
// memory for a later one.
func (v *values) free() {
	if !v.sig.args.ZeroAtOnce(v.argsRef) {
		v.args.SetZero()
	}
	if !v.sig.rets.ZeroAtOnce(v.retsRef) {
		v.rets.SetZero()
	}
	v.ctx = nil
	v.dec.Data, v.dec.Inside = nil, nil
	if v.in != nil {
		v.in[0] = reflect.Value{}
	}
	v.resetEncoder()
	v.sig.pool.Put(v)
}

// appendArgs encodes the arguments, into enc.
func (v *values) appendArgs(enc *codec.Encoder) error { return v.sig.args.Append(enc, v.argsRef) }

// readArgs decodes the arguments from the decoder.
func (v *values) readArgs() error { return v.sig.args.Read(&v.dec, v.argsRef) }

// appendResults encodes the results into the encoder.
func (v *values) appendResults() error { return v.sig.rets.Append(&v.enc, v.retsRef) }

// readResults decodes the results from the decoder. Where it fails all are zero.
func (v *values) readResults() error {
	ok := false
	defer func() {
		if !ok {
			v.rets.SetZero()
		}
	}()
	err := v.sig.rets.Read(&v.dec, v.retsRef)
	ok = err == nil
	return err
}

// decode prepares d for a message, within this end's limits. own is
// codec.Decoder's.
func (b *bounds) decode(d *codec.Decoder, data []byte, own bool) {
	d.Data, d.Own, d.Lenient = data, own, false
	d.Budget, d.Depth, d.BudgetName = b.decodeBudget, b.maxDepth, "Limits.DecodeBudget"
}

// resetEncoder drops what has been encoded.
func (v *values) resetEncoder() {
	clear(v.enc.Cuts)
	v.enc.Lenient, v.enc.Inside = false, nil
	v.enc.Buf, v.enc.Cuts = v.enc.Buf[:0], v.enc.Cuts[:0]
	if cap(v.enc.Buf) > keepEncoder {
		v.enc.Buf = nil
	}
}

// inputs returns the arguments for a call by reflection of a func that takes
// the context or not, behind its receiver if it has one.
func (v *values) inputs(recv *receiver, ctx bool) []reflect.Value {
	if v.in == nil {
		v.in = append(v.in, reflect.Value{})
		if ctx {
			// A Value of interface type spares the conversion of a concrete context.
			v.in = append(v.in, reflect.ValueOf(&v.ctx).Elem())
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

// setResults stores what a call by reflection returned.
func (v *values) setResults(out []reflect.Value) error {
	for i := range v.sig.results {
		v.rets.Field(i).Set(out[i])
	}
	if n := len(v.sig.results); len(out) > n && !out[n].IsNil() {
		return out[n].Interface().(error)
	}
	return nil
}

// isComparable reports whether a user's value can be a map's key.
func isComparable(v any) bool { return v == nil || reflect.ValueOf(v).Comparable() }
