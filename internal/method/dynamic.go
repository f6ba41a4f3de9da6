package method

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/internal/plural"
	"github.com/bsrpc/bsrpc/layout"
)

// Signatures without a contract: the layout is the server's, the Go types are those of
// the values at hand.

// CompileAs returns the signature of a method for the types of args, and of the
// variables that results point to. They must fit the layout.
func CompileAs(name string, m *layout.Method, args, results []any) (*Signature, error) {
	if len(args) != len(m.Params) {
		return nil, fmt.Errorf("got %s, want %d: %v", plural.Of(len(args), "argument"), len(m.Params), m)
	}
	if len(results) != len(m.Results) {
		advice := ""
		if len(results) == 1 && reflect.TypeOf(results[0]) == reflect.TypeFor[[]any]() {
			advice = "; spread the slice with ..."
		}
		return nil, fmt.Errorf("got %s for results, want %d: %v%s", plural.Of(len(results), "pointer"), len(m.Results), m, advice)
	}
	s := &Signature{compiled: compiled{err: true}}
	for i, l := range m.Params {
		t, err := argumentType(args[i], l)
		if err != nil {
			return nil, fmt.Errorf("%s, parameter %d: %w", name, i+1, err)
		}
		s.params = append(s.params, t)
	}
	for i, l := range m.Results {
		t, err := resultType(results[i], l)
		if err != nil {
			return nil, fmt.Errorf("%s, result %d: %w", name, i+1, err)
		}
		s.results = append(s.results, t)
	}
	var err error
	if s.Args, err = codec.CompileListAs("parameter", s.params, m.Params); err != nil {
		return nil, misfit(name, err)
	}
	if s.Results, err = codec.CompileListAs("result", s.results, m.Results); err != nil {
		return nil, misfit(name, err)
	}
	if problems := s.setStreams(name); problems != nil { // the server has an error
		return nil, fmt.Errorf("%s: %s", problems[0].Path, problems[0].Text)
	}
	s.layMemory()
	return s, nil
}

// encodedSignature is the signature of all methods whose values are encoded already.
var encodedSignature = sync.OnceValue(func() *Signature {
	list := []reflect.Type{reflect.TypeFor[[]byte]()}
	s := &Signature{compiled: compiled{err: true, params: list, results: list}}
	s.Args, s.Results = codec.CompileRest(), codec.CompileRest()
	s.layMemory()
	return s
})

// CompileEncoded returns the signature of a method with its arguments in one []byte, and its
// results in another.
func CompileEncoded(name string, m *layout.Method) (*Signature, error) {
	for _, l := range slices.Concat(m.Params, m.Results) {
		switch l.Kind {
		case layout.Stream, layout.Reader, layout.Func:
			return nil, fmt.Errorf("%s has %v, which is not bytes alone; use Call or Bind", name, l)
		}
	}
	return encodedSignature().withoutValues(), nil
}

// misfit is the error of Go types that do not fit a method's layout.
func misfit(name string, err error) error {
	list, _ := err.(codec.Problems)
	if len(list) < 2 {
		return fmt.Errorf("%s, %w", name, err)
	}
	return fmt.Errorf("%s: %s\n    %s", name, plural.Of(len(list), "problem"), strings.ReplaceAll(err.Error(), "\n", "\n    "))
}

// argumentType returns the Go type that an argument is encoded from.
func argumentType(arg any, l *layout.Type) (reflect.Type, error) {
	t := reflect.TypeOf(arg)
	switch {
	case l.Kind == layout.Func && t != nil:
		return nil, errors.New("a func needs a contract; use Bind, or pass nil")
	case l.Kind == layout.Stream || l.Kind == layout.Reader:
		if t == nil { // an empty one
			t = reflect.TypeFor[any]()
		}
		return streamType("parameter", t, l)
	case t != nil:
		return t, nil
	}
	if t := codec.NilType(l); t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("nil does not fit %v", l)
}

// streamType returns the type of a stream or a reader for a value of type t.
func streamType(word string, t reflect.Type, l *layout.Type) (reflect.Type, error) {
	if s := codec.StreamType(word, t, l.Kind); s != nil {
		return s, nil
	}
	want := "an iter.Seq2[T, error]"
	switch {
	case l.Kind == layout.Reader && word == "parameter":
		want = "an io.Reader"
	case l.Kind == layout.Reader:
		want = "an io.ReadCloser"
	}
	return nil, fmt.Errorf("%v does not fit %v; want %s", t, l, want)
}

// resultType returns the Go type that a result is decoded into.
func resultType(result any, l *layout.Type) (reflect.Type, error) {
	v := reflect.ValueOf(result)
	switch {
	case !v.IsValid():
		return nil, fmt.Errorf("nil for %v, want a pointer to a value that takes it", l)
	case v.Kind() != reflect.Pointer:
		return nil, fmt.Errorf("%T for %v, want a pointer to it", result, l)
	case v.IsNil():
		return nil, fmt.Errorf("nil %T for %v, want one that points to a value", result, l)
	case l.Kind == layout.Stream || l.Kind == layout.Reader:
		return streamType("result", v.Type().Elem(), l)
	}
	return v.Type().Elem(), nil
}

// SetArgs sets the arguments of v. A nil stands for a zero value.
func SetArgs(v *Values, args []any) {
	for i, arg := range args {
		if arg != nil {
			v.args.Field(i).Set(reflect.ValueOf(arg))
		}
	}
}

// CloseReaders closes the readers among the arguments of a call that has not begun. A call with
// readers closes them all, also where it fails.
func CloseReaders(args []any) {
	for _, arg := range args {
		if r, ok := arg.(io.ReadCloser); ok {
			r.Close()
		}
	}
}

// CopyResults stores each result of v at its pointer.
func CopyResults(v *Values, pointers []any) {
	for i, p := range pointers {
		reflect.ValueOf(p).Elem().Set(v.results.Field(i))
	}
}
