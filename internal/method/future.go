package method

import (
	"context"
	"fmt"
	"reflect"
	"strings"

	"github.com/bsrpc/bsrpc/internal/codec"
)

// Futures: a func of a contract may return one in place of its result and its
// error. On the wire it is the result itself.

// FutureOf marks a struct type: a pointer to one with a FutureOf[T] as its first field is
// a future of T.
type FutureOf[T any] struct{ _ [0]T }

// A Starter is a Caller of funcs that return futures.
type Starter interface {
	Caller
	// Start begins a call with the arguments of v, which is free again when Start returns.
	// future is a new zero value of the func's result type: it gets the result, or any
	// error.
	Start(ctx context.Context, v *Values, future any)
}

var futurePackage = reflect.TypeFor[FutureOf[int]]().PkgPath()

// futureResult returns the type that a future is of, nil if t is not a future.
func futureResult(t reflect.Type) reflect.Type {
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct || t.Elem().NumField() == 0 {
		return nil
	}
	mark := t.Elem().Field(0).Type
	if mark.PkgPath() != futurePackage || !strings.HasPrefix(mark.Name(), "FutureOf[") {
		return nil
	}
	return mark.Field(0).Type.Elem()
}

// Future reports whether the func returns a future.
func (s *Signature) Future() bool { return s.future != nil }

// futureAmong returns the first future among the results of a func, nil if there is none.
func futureAmong(t reflect.Type) reflect.Type {
	for i := range t.NumOut() {
		if futureResult(t.Out(i)) != nil {
			return t.Out(i)
		}
	}
	return nil
}

// setFuture sets the result of a func that returns a future. It reports false if the func
// returns none.
func (s *Signature) setFuture(name, whose string, t reflect.Type) (problems []Problem, ok bool) {
	future := futureAmong(t)
	if future == nil {
		for i := range t.NumOut() {
			if out := t.Out(i); futureResult(reflect.PointerTo(out)) != nil {
				return []Problem{{fmt.Sprintf("%s, %sresult %d", name, whose, i+1), fmt.Sprintf("a %v is not to be copied; declare it as *%v", out, out)}}, true
			}
		}
		return nil, false
	}
	result := futureResult(future)
	switch {
	case t.NumOut() > 1:
		return []Problem{{name, fmt.Sprintf("%v stands for a result and the error; it is the only result of a func", future)}}, true
	case whose != "":
		return []Problem{{name, onlyInClients(future)}}, true
	case codec.IsStream("result", result):
		return []Problem{{name, fmt.Sprintf("a future is of a value; return %v alone, which comes at once", result)}}, true
	}
	s.future, s.results, s.err = future, []reflect.Type{result}, true
	return nil, true
}

// onlyInClients is the problem of a func that would have to wait for its own future.
func onlyInClients(future reflect.Type) string {
	return fmt.Sprintf("%v is for the funcs of a client's contract; return %v and an error", future, futureResult(future))
}

// served returns the type of a contract's func at the server: with a result and an error in
// place of a future, the only result.
func served(t reflect.Type) reflect.Type {
	if t.NumOut() != 1 || futureResult(t.Out(0)) == nil {
		return t
	}
	in, _ := funcTypes(t)
	return reflect.FuncOf(in, []reflect.Type{futureResult(t.Out(0)), errorType}, t.IsVariadic())
}

// startReflect is a proxy's func that returns a future.
func (p *stub) startReflect(in []reflect.Value) []reflect.Value {
	ctx, v := p.values(in)
	defer v.Free()
	future := reflect.New(p.sig.future.Elem())
	p.caller.(Starter).Start(ctx, v, future.Interface())
	return append(in[:0], future)
}
