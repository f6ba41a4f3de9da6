package bsrpc

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/layout"
)

// Here Go's func types meet the codecs: a signature has one codec for all
// parameters of a func and one for all results, and frames hold the values of
// one call in between.

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
	memory   [2]reflect.Type // of which a frame's arguments and results are the first field
	shape    *shape          // how to call it without reflection, nil if only reflection can
	frames   sync.Pool       // of *frame
}

// withoutFrames returns a signature with the same codecs and frames of its own:
// those of a proxy have channels, which belong to the bubble of a test as its
// connection does.
func (s *signature) withoutFrames() *signature {
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
			return known.(*signature).withoutFrames(), nil
		}
	}
	s, problems := compileFunc(name, t, skip, tag)
	if problems == nil && tag.Params == nil && tag.Results == nil {
		signatures.Store(key, s.withoutFrames())
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

// A frame holds the arguments and results of one call, and what it takes to
// encode and decode them. It is reused for later calls, with all values zeroed.
type frame struct {
	sig     *signature
	args    reflect.Value // the struct of arguments
	rets    reflect.Value // the struct of results
	argsRef codec.Ref
	retsRef codec.Ref
	memory  frameMemory // the same two structs, as calls without reflection see them

	ctx context.Context
	in  []reflect.Value // for a call by reflection: the context and the fields of args
	enc codec.Encoder
	dec codec.Decoder

	asks *call // of a call that this end makes; nil until there is one

	// of a call that this end serves
	id       uint64
	method   *method
	recv     *receiver    // what the method is called on
	call     *callContext // nil if the method takes no context
	refusal  *Error       // why it is not run
	answered bool
	full     bool // its answer has made a batch full
	canceled atomic.Bool
	waits    atomic.Bool // its handler has returned, and its answer waits for room
	passage  *passage    // the gates that it has passed; nil for none
}

// keepEncoder bounds the memory that a frame keeps for encoding.
const keepEncoder = 64 << 10

func (s *signature) newFrame() *frame {
	if f, ok := s.frames.Get().(*frame); ok {
		return f
	}
	f := &frame{sig: s, args: reflect.New(s.memory[0]).Elem().Field(0), rets: reflect.New(s.memory[1]).Elem().Field(0)}
	f.argsRef, f.retsRef = codec.RefTo(f.args.Addr()), codec.RefTo(f.rets.Addr())
	f.memory = memoryOf(f)
	return f
}

// free zeroes the values, so that nothing of a call is kept, and keeps the
// frame for a later one.
func (f *frame) free() {
	if !f.sig.args.ZeroAtOnce(f.argsRef) {
		f.args.SetZero()
	}
	if !f.sig.rets.ZeroAtOnce(f.retsRef) {
		f.rets.SetZero()
	}
	f.ctx, f.call, f.recv, f.refusal, f.answered, f.passage = nil, nil, nil, nil, false, nil
	if f.canceled.Load() {
		f.canceled.Store(false)
	}
	if f.waits.Load() {
		f.waits.Store(false)
	}
	f.dec.Data, f.dec.Inside = nil, nil
	if f.in != nil {
		f.in[0] = reflect.Value{}
	}
	f.resetEncoder()
	f.sig.frames.Put(f)
}

// decode prepares d for a message, within this end's limits. own is
// codec.Decoder's.
func (b *bounds) decode(d *codec.Decoder, data []byte, own bool) {
	d.Data, d.Own, d.Lenient = data, own, false
	d.Budget, d.Depth, d.BudgetName = b.decodeBudget, b.maxDepth, "Limits.DecodeBudget"
}

func (f *frame) resetEncoder() {
	clear(f.enc.Cuts)
	f.enc.Lenient, f.enc.Inside = false, nil
	f.enc.Buf, f.enc.Cuts = f.enc.Buf[:0], f.enc.Cuts[:0]
	if cap(f.enc.Buf) > keepEncoder {
		f.enc.Buf = nil
	}
}

// inputs returns the arguments for a call by reflection of a func that takes
// the context or not, behind its receiver if it has one.
func (f *frame) inputs(ctx bool) []reflect.Value {
	if f.in == nil {
		f.in = append(f.in, reflect.Value{})
		if ctx {
			// A Value of interface type spares the conversion of a concrete context.
			f.in = append(f.in, reflect.ValueOf(&f.ctx).Elem())
		}
		for i := range f.sig.params {
			f.in = append(f.in, f.args.Field(i))
		}
	}
	if f.in[0] = f.recv.value; !f.in[0].IsValid() {
		return f.in[1:]
	}
	return f.in
}

// setResults stores what a call by reflection returned.
func (f *frame) setResults(out []reflect.Value) error {
	for i := range f.sig.results {
		f.rets.Field(i).Set(out[i])
	}
	if n := len(f.sig.results); len(out) > n && !out[n].IsNil() {
		return out[n].Interface().(error)
	}
	return nil
}

// isComparable reports whether a user's value can be a map's key.
func isComparable(v any) bool { return v == nil || reflect.ValueOf(v).Comparable() }
