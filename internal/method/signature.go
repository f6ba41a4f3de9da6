// Package method turns Go funcs into methods of a service. It compiles signatures,
// pools the values of calls, calls funcs and fills proxies without reflection, and
// finds the methods of a receiver or a contract. It has no notion of a connection, a
// session or a server: a proxy calls a Caller, and Func.Invoke calls a handler.
package method

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/internal/plural"
	"github.com/bsrpc/bsrpc/layout"
)

var (
	contextType = reflect.TypeFor[context.Context]()
	errorType   = reflect.TypeFor[error]()
)

// A Signature is the compiled type of a method: a codec for all parameters, a codec
// for all results, and a pool of call values. Each end derives it from its own Go
// func. A Signature is safe for concurrent use.
type Signature struct {
	compiled
	pool sync.Pool // of *Values
}

// compiled is what a signature is compiled to.
type compiled struct {
	Args    *codec.Codec // of a struct with the parameters as fields
	Results *codec.Codec // of a struct with the results as fields

	ctx          bool            // a leading context.Context
	err          bool            // a last error
	oneway       bool            // the tag says so
	future       reflect.Type    // of the only result, which stands for results and error; nil for none
	variadic     bool            // the last parameter is a slice that is spread
	params       []reflect.Type  // without the context
	results      []reflect.Type  // without the error
	memory       [2]reflect.Type // structs with the arguments, and the results, as their second field
	paramStreams []*Stream       // in order
	paramFuncs   []*FuncParam    // in order
	resultStream *Stream         // nil for none
	shared       *Signature      // a version in the cache, which stays there while this one is used
}

// withoutValues returns a signature with the same codecs and an empty pool. Pooled
// state may belong to the bubble of one test, as a connection does.
func (s *Signature) withoutValues() *Signature {
	c := &Signature{compiled: s.compiled}
	c.paramFuncs = nil
	for _, p := range s.paramFuncs {
		c.paramFuncs = append(c.paramFuncs, &FuncParam{p.Description, p.Index, p.Sig.withoutValues()})
	}
	return c
}

// signatures caches the func types compiled without formats of a tag: all methods of
// one type, and all binds of one contract, share their codecs.
var signatures sync.Map // of *Signature, by signatureKey

type signatureKey struct {
	t    reflect.Type
	skip int
}

// compile compiles a func type. Its first skip parameters are a receiver. name begins
// the paths of problems.
func compile(name string, t reflect.Type, skip int, tag *codec.MethodTag) (*Signature, []Problem) {
	key := signatureKey{t, skip}
	if tag.Params == nil && tag.Results == nil {
		if known, ok := signatures.Load(key); ok {
			return known.(*Signature).withoutValues(), nil
		}
	}
	s, problems := compileFunc(name, "", t, skip, tag)
	if problems == nil && tag.Params == nil && tag.Results == nil {
		signatures.Store(key, s.withoutValues())
	}
	return s, problems
}

// compileFunc is compile without the cache. whose begins the words for parameters and
// results of a func that is itself a parameter.
func compileFunc(name, whose string, t reflect.Type, skip int, tag *codec.MethodTag) (*Signature, []Problem) {
	s := &Signature{compiled: compiled{variadic: t.IsVariadic()}}
	s.ctx = t.NumIn() > skip && t.In(skip) == contextType
	if s.ctx {
		skip++
	}
	for i := skip; i < t.NumIn(); i++ {
		s.params = append(s.params, t.In(i))
	}
	problems, ok := s.setFuture(name, whose, t)
	if !ok {
		problems = s.setResults(name, whose, t)
	}
	var more []Problem
	var funcs map[int]*layout.Signature
	if whose == "" {
		funcs, more = s.setFuncs(name)
		problems = append(problems, more...)
	}
	s.Args, more = compileList(name, whose+"parameter", s.params, tag.Params, funcs)
	problems = append(problems, more...)
	s.Results, more = compileList(name, whose+"result", s.results, tag.Results, nil)
	problems = append(problems, more...)
	if len(problems) == 0 {
		problems = s.setStreams(name)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	s.layMemory()
	return s, nil
}

// setResults sets the results of a func.
func (s *Signature) setResults(name, whose string, t reflect.Type) (problems []Problem) {
	for i := range t.NumOut() {
		s.results = append(s.results, t.Out(i))
	}
	if n := len(s.results); n > 0 && s.results[n-1] == errorType {
		s.err = true
		s.results = s.results[:n-1]
	} else if n > 0 && s.results[n-1].Implements(errorType) {
		problems = append(problems, Problem{fmt.Sprintf("%s, %sresult %d", name, whose, n),
			fmt.Sprintf("%v implements error; declare it as error, so that nil stays nil", s.results[n-1])})
	}
	return problems
}

// layMemory sets the types of the memory of a call.
func (s *Signature) layMemory() {
	s.memory = [2]reflect.Type{withRoom(s.Args.Type()), withRoom(s.Results.Type())}
}

// compileList compiles parameters or results. places has one tag for each, or is nil.
func compileList(name, word string, types []reflect.Type, places []*codec.Tag, funcs map[int]*layout.Signature) (*codec.Codec, []Problem) {
	if places != nil && len(places) != len(types) {
		return nil, []Problem{{name, fmt.Sprintf("the tag has formats for %s, the func has %d; leave all out, or give each its own, an empty one for the default",
			plural.Of(len(places), word), len(types))}}
	}
	c, err := codec.CompileList(word, types, places, funcs)
	if err == nil {
		return c, nil
	}
	list, ok := err.(codec.Problems)
	if !ok {
		return nil, []Problem{{name, err.Error()}}
	}
	return nil, problemsOf(name, word, len(types), list)
}

// maxProblems bounds the reported problems of one parameter or result: a type never
// meant to travel, as *http.Request, has dozens.
const maxProblems = 8

// problemsOf returns the problems of n parameters or results of a method.
func problemsOf(name, word string, n int, list codec.Problems) (problems []Problem) {
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
		problems = append(problems, Problem{path, p.Text})
	}
	for i := range n {
		place := fmt.Sprintf("%s %d", word, i+1)
		if more := seen[place] - maxProblems; more > 0 {
			problems = append(problems, Problem{name + ", " + place, fmt.Sprintf("and %s of the same type", plural.Of(more, "more problem"))})
		}
	}
	return problems
}

// Layout returns the wire form of a method with this signature.
func (s *Signature) Layout(service, name string) *layout.Method {
	return &layout.Method{Service: service, Name: name, Params: s.Args.Layouts(), Results: s.Results.Layouts(), Oneway: s.oneway,
		OptionalParams: s.Args.Optional(), OptionalResults: s.Results.Optional()}
}

// TakesContext reports whether the func type has a context.Context.
func (s *Signature) TakesContext() bool { return s.ctx }

// Oneway reports whether a call is over for its caller once it is sent: a contract says
// so in a tag. The answer tells of failures only.
func (s *Signature) Oneway() bool { return s.oneway }

// apply sets what a func's tag adds to its own signature, and reports what the
// signature has no place for.
func (s *Signature) apply(path string, tag *codec.MethodTag) (problems []Problem) {
	values := !s.hasStreams() && s.paramFuncs == nil
	if tag.ID >= 0 && !values {
		problems = append(problems, Problem{path, "peers of basic-socket-rpc have no streams and callbacks; leave out id=, or the streams, readers and funcs"})
	}
	if n := len(tag.Names); n > 0 && n != len(s.params) {
		problems = append(problems, Problem{path, fmt.Sprintf("names= has %d names for %d parameters; give one for each, without the context", n, len(s.params))})
	}
	if s.oneway = tag.Oneway; !s.oneway {
		return problems
	}
	if len(s.results) > 0 { // also a future
		problems = append(problems, Problem{path, "oneway: nothing comes back; return an error alone, or leave out the word"})
	}
	if !values {
		problems = append(problems, Problem{path, "oneway: streams and funcs live as long as their call, and this one is over when it is sent; pass values"})
	}
	return problems
}

// MisspeltKeys returns the fields of parameters and results with a tag key probably
// meant to be bsrpc. It is not a method, which the linker would keep in every server.
func MisspeltKeys(s *Signature) []codec.MisspelledKey {
	types := append(append([]reflect.Type(nil), s.params...), s.results...)
	for _, p := range s.paramFuncs {
		types = append(append(types, p.Sig.params...), p.Sig.results...)
	}
	return codec.FindMisspelledKeys(types)
}
