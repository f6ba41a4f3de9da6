package bsrpc

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/layout"
)

// Calls without a contract: the server's layout decides what travels, and the
// Go values at hand are made to fit it.

// signature makes the signature by which args and results travel as the
// method's layout says.
func (m *described) signature(name string, args, results []any) (*signature, error) {
	if len(args) != len(m.layout.Params) {
		return nil, refusalf(CodeInvalidArgument, "got %s, want %d: %s", plural(len(args), "argument"), len(m.layout.Params), m.text)
	}
	if len(results) != len(m.layout.Results) {
		advice := ""
		if len(results) == 1 && reflect.TypeOf(results[0]) == reflect.TypeFor[[]any]() {
			advice = "; spread the slice with ..."
		}
		return nil, refusalf(CodeInvalidArgument, "got %s for results, want %d: %s%s", plural(len(results), "pointer"), len(m.layout.Results), m.text, advice)
	}
	s := new(signature)
	for i, l := range m.layout.Params {
		t, err := argumentType(args[i], l)
		if err != nil {
			return nil, refusalf(CodeInvalidArgument, "%s, parameter %d: %v", name, i+1, err)
		}
		s.params = append(s.params, t)
	}
	for i, l := range m.layout.Results {
		t, err := resultType(results[i], l)
		if err != nil {
			return nil, refusalf(CodeInvalidArgument, "%s, result %d: %v", name, i+1, err)
		}
		s.results = append(s.results, t)
	}
	var err error
	if s.args, err = codec.CompileListAs("parameter", s.params, m.layout.Params); err != nil {
		return nil, misfit(name, err)
	}
	if s.rets, err = codec.CompileListAs("result", s.results, m.layout.Results); err != nil {
		return nil, misfit(name, err)
	}
	s.layMemory()
	return s, nil
}

// misfit is the error of Go types that a method's layout does not take.
func misfit(name string, err error) *Error {
	list, _ := err.(codec.Problems)
	if len(list) < 2 {
		return refusalf(CodeInvalidArgument, "%s, %v", name, err)
	}
	return refusalf(CodeInvalidArgument, "%s: %s\n    %s", name, plural(len(list), "problem"), strings.ReplaceAll(err.Error(), "\n", "\n    "))
}

// argumentType returns the Go type that an argument is encoded from.
func argumentType(arg any, l *layout.Type) (reflect.Type, error) {
	if t := reflect.TypeOf(arg); t != nil {
		return t, nil
	}
	if t := codec.NilType(l); t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("nil does not fit %v", l)
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
	}
	return v.Type().Elem(), nil
}

// setArgs sets the arguments. A nil stands for the zero value.
func (v *values) setArgs(args []any) {
	for i, arg := range args {
		if arg != nil {
			v.args.Field(i).Set(reflect.ValueOf(arg))
		}
	}
}

// getResults stores the results where the pointers say.
func (v *values) getResults(pointers []any) {
	for i, p := range pointers {
		reflect.ValueOf(p).Elem().Set(v.rets.Field(i))
	}
}
