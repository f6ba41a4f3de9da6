package method

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/bsrpc/bsrpc/internal/codec"
)

// Implementations of a contract.

// FuncsAs returns a Func for each method of a contract, a struct of funcs or an
// interface. impl is a receiver, a Made, or a pointer to a struct of the contract's
// type.
func FuncsAs(service string, contract reflect.Type, impl any) (funcs []*Func, problems []Problem) {
	if isFuncsOf(contract, reflect.TypeOf(impl)) {
		return funcsOfProxy(service, reflect.ValueOf(impl))
	}
	of, t, problems := ownerOf(service, "implementation", impl)
	if len(problems) > 0 {
		return nil, problems
	}
	var wanted []contractFunc
	switch contract.Kind() {
	case reflect.Struct:
		if text := unfitFuncs(contract, of, t); text != "" {
			return nil, []Problem{{service, text}}
		}
		wanted, problems = contractOf(service, contract)
		for i := range wanted {
			wanted[i].typ = served(wanted[i].typ)
		}
	case reflect.Interface:
		if wanted, problems = interfaceContract(service, contract, reflect.Zero(t)); len(problems) > 0 {
			return nil, problems
		}
	default:
		return nil, []Problem{{service, notContract(contract, "want a struct of funcs, or an interface")}}
	}
	for _, w := range wanted {
		path := service + "." + w.goName
		if _, ok := t.MethodByName(w.goName); !ok {
			if w.tag.Optional {
				continue
			}
			problems = append(problems, missingMethod(path, w.goName, t))
			continue
		}
		m, _ := of.methods.MethodByName(w.goName)
		if text := fits(m.Type, w.typ); text != "" {
			problems = append(problems, Problem{path, text})
			continue
		}
		w.typ = withErrors(w.typ, m.Type)
		f, more := serveAs(service, w, m.Func, of)
		if problems = append(problems, more...); more == nil {
			f.from = fmt.Sprintf("by RegisterAs[%v] with a %v", contract, t)
			funcs = append(funcs, f)
		}
	}
	return funcs, noneOf(service, funcs, problems)
}

// serveAs returns fn as the method w of a contract.
func serveAs(service string, w contractFunc, fn reflect.Value, of owner) (*Func, []Problem) {
	path := service + "." + w.goName
	sig, problems := compileHandler(path, w.typ, 0, w.tag)
	if problems != nil {
		return nil, problems
	}
	if problems = sig.apply(path, w.tag); problems != nil {
		return nil, problems
	}
	f := newFunc(service, w.name, sig, fn, of)
	f.tag = w.tag
	f.ID, f.Exclusive, f.NoWait, f.Roles = w.tag.ID, w.tag.Exclusive, w.tag.NoWait, w.tag.Roles
	return f, nil
}

// isFuncsOf reports whether t is a pointer to a struct contract: an implementation
// by the contract's own funcs.
func isFuncsOf(contract, t reflect.Type) bool {
	return contract.Kind() == reflect.Struct && t == reflect.PointerTo(contract)
}

// funcsOfProxy returns the current funcs of a struct of the contract's type.
func funcsOfProxy(service string, impl reflect.Value) (funcs []*Func, problems []Problem) {
	if impl.IsNil() {
		return nil, []Problem{{service, "nil implementation"}}
	}
	wanted, problems := contractOf(service, impl.Type().Elem())
	for _, w := range wanted {
		field := impl.Elem().FieldByIndex(w.index)
		if field.IsNil() {
			if !w.tag.Optional {
				problems = append(problems, Problem{service + "." + w.goName, fmt.Sprintf("nil func; set %s of the %v before it is registered, or tag it optional",
					fieldPath(impl.Type().Elem(), w.index), impl.Type())})
			}
			continue
		}
		fn := reflect.ValueOf(field.Interface()) // a copy: the field may be set again
		f, more := serveAs(service, w, fn, owner{})
		if problems = append(problems, more...); more == nil {
			f.from = fmt.Sprintf("by RegisterAs with a %v", impl.Type())
			funcs = append(funcs, f)
		}
	}
	return funcs, noneOf(service, funcs, problems)
}

// noneOf adds the problem of an implementation without any func of its contract.
func noneOf(service string, funcs []*Func, problems []Problem) []Problem {
	if len(funcs) == 0 && len(problems) == 0 {
		problems = append(problems, Problem{service, "every func is optional and missing; there is nothing to serve"})
	}
	return problems
}

// unfitFuncs reports why a struct of funcs cannot be the implementation, "" if t is
// not such a struct.
func unfitFuncs(contract reflect.Type, of owner, t reflect.Type) string {
	switch {
	case t != contract && !isFuncsOf(contract, t):
		return ""
	case of.made:
		return fmt.Sprintf("PerSession[%v]: a struct of funcs serves all sessions; make a type with methods, or pass a *%v", t, contract)
	}
	return fmt.Sprintf("a %v by value; pass a *%v", t, t)
}

// interfaceContract returns the methods of an interface. impl must implement it in the
// sense of Go.
func interfaceContract(service string, contract reflect.Type, impl reflect.Value) (funcs []contractFunc, problems []Problem) {
	for i := range contract.NumMethod() {
		m := contract.Method(i)
		path := service + "." + m.Name
		if !m.IsExported() {
			problems = append(problems, Problem{path, "not exported; a contract has exported methods and nothing else"})
		} else if have := impl.MethodByName(m.Name); !have.IsValid() {
			problems = append(problems, missingMethod(path, m.Name, impl.Type()))
		} else if have.Type() != m.Type {
			problems = append(problems, Problem{path, fmt.Sprintf("the contract has %v, the implementation %v", m.Type, have.Type())})
		}
		funcs = append(funcs, contractFunc{goName: m.Name, name: m.Name, typ: m.Type, tag: &codec.MethodTag{ID: -1}})
	}
	if len(funcs) == 0 {
		problems = append(problems, Problem{service, fmt.Sprintf("%v has no methods; a contract names those to offer", contract)})
	}
	return funcs, problems
}

// missingMethod is the problem of an implementation without a method of the contract.
func missingMethod(path, name string, t reflect.Type) Problem {
	if t.Kind() != reflect.Pointer {
		if _, ok := reflect.PointerTo(t).MethodByName(name); ok {
			return Problem{path, fmt.Sprintf("needs a *%v; pass a pointer", t)}
		}
	}
	return Problem{path, fmt.Sprintf("%v has no such method", t) + adviceForFuncs(t)}
}

// fits explains why a method (receiver first) cannot serve a func of a contract, "" if
// it can. The method may lack context and error, and may be variadic.
func fits(m, want reflect.Type) string {
	haveIn, haveOut := plainSignature(m, 1)
	needIn, needOut := plainSignature(want, 0)
	if slices.EqualFunc(haveIn, needIn, takes) && slices.Equal(haveOut, needOut) {
		return ""
	}
	return fmt.Sprintf("the contract takes %s and returns %s, the implementation takes %s and returns %s",
		typeList(needIn), typeList(needOut), typeList(haveIn), typeList(haveOut))
}

// takes reports whether a method's parameter of type have can be given for one of type
// need in the contract. A client may send an iter.Seq, which arrives with errors.
func takes(have, need reflect.Type) bool {
	return have == need || codec.IsSeq(need) && codec.IsStream("parameter", have) && have.Kind() == reflect.Func && have.In(0).In(0) == need.In(0).In(0)
}

// withErrors returns the type of a contract's func with the streams of the method m, with
// its receiver first, in place of every iter.Seq.
func withErrors(want, m reflect.Type) reflect.Type {
	in, out := funcTypes(want)
	changed := false
	for i := range in {
		if from := i + m.NumIn() - want.NumIn(); codec.IsSeq(in[i]) {
			in[i], changed = m.In(from), true
		}
	}
	if !changed {
		return want
	}
	return reflect.FuncOf(in, out, want.IsVariadic())
}

// funcTypes returns the parameters and results of a func, for another one.
func funcTypes(t reflect.Type) (in, out []reflect.Type) {
	for i := range t.NumIn() {
		in = append(in, t.In(i))
	}
	for i := range t.NumOut() {
		out = append(out, t.Out(i))
	}
	return in, out
}

// typeList returns the types, separated by commas.
func typeList(types []reflect.Type) string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = t.String()
	}
	return "(" + strings.Join(names, ", ") + ")"
}

// plainSignature returns the parameters and results of a func without context
// and error.
func plainSignature(t reflect.Type, skip int) (in, out []reflect.Type) {
	if t.NumIn() > skip && t.In(skip) == contextType {
		skip++
	}
	for i := skip; i < t.NumIn(); i++ {
		in = append(in, t.In(i))
	}
	for i := range t.NumOut() {
		if i < t.NumOut()-1 || t.Out(i) != errorType {
			out = append(out, t.Out(i))
		}
	}
	return in, out
}
