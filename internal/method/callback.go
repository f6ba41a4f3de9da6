package method

import (
	"fmt"
	"reflect"

	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/layout"
)

// Callbacks: parameters that are funcs. A handler calls them, and they run at the
// caller. Among the arguments each takes a byte, which tells nil from others.

// A FuncParam is a parameter that is a func. It is immutable. Its Description has the name
// "Service.Method, parameter 2", and the layout of the func.
type FuncParam struct {
	Description
	Index int        // in the parameters, from 0
	Sig   *Signature // of its calls; without streams and funcs
}

// ParamFuncs returns the funcs among the parameters, in order; nil if there are none.
func (s *Signature) ParamFuncs() []*FuncParam { return s.paramFuncs }

// Oneway reports whether calls of the func have no answers: it has neither results nor an
// error.
func (p *FuncParam) Oneway() bool { return !p.Sig.err }

// SetCaller stores in v, at a handler, a func that calls c. It comes before ReadArgs, which
// replaces the func by nil if the caller's is nil. It makes a func by reflection, so that
// servers need not contain the thunks of proxies.
func SetCaller(p *FuncParam, v *Values, c Caller) {
	field := v.args.Field(p.Index)
	field.Set(reflect.MakeFunc(field.Type(), (&stub{p.Sig, c}).callReflect))
}

// Func returns the func stored in v, at a caller, for calls with values of p.Sig; nil if
// it is nil. It does not refer to v.
func (p *FuncParam) Func(v *Values) *Func {
	field := v.args.Field(p.Index)
	if field.IsNil() {
		return nil
	}
	f := funcOf(p.Sig, reflect.ValueOf(field.Interface()), owner{}) // a copy: the field is zeroed when the call ends
	f.Description, f.ID = p.Description, -1
	return f
}

// layout returns the layout of the func.
func (p *FuncParam) layout() *layout.Signature {
	return &layout.Signature{Params: p.Sig.Args.Layouts(), Results: p.Sig.Results.Layouts(), Oneway: p.Oneway()}
}

// setFuncs finds the funcs among the parameters, and returns their layouts by the index
// of the parameter. name begins the paths of problems.
func (s *Signature) setFuncs(name string) (funcs map[int]*layout.Signature, problems []Problem) {
	for i, t := range s.params {
		if t.Kind() != reflect.Func || codec.IsIterator(t) {
			continue
		}
		path := fmt.Sprintf("%s, parameter %d", name, i+1)
		sig, more := compileFunc(path, "func's ", t, 0, new(codec.MethodTag))
		if more == nil && len(sig.results) > 0 && !sig.err {
			more = []Problem{{path, fmt.Sprintf("%v must end in error: a call can fail on the way, and a zero would look like an answer", t)}}
		}
		if funcs == nil {
			funcs = make(map[int]*layout.Signature)
		}
		if funcs[i] = new(layout.Signature); more != nil { // so that it is no further problem
			problems = append(problems, more...)
			continue
		}
		p := &FuncParam{Index: i, Sig: sig}
		funcs[i] = p.layout()
		p.Description = DescriptionOf(path, (&layout.Type{Kind: layout.Func, Func: funcs[i]}).String())
		s.paramFuncs = append(s.paramFuncs, p)
	}
	return funcs, problems
}
