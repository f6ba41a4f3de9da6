package method

import (
	"fmt"
	"reflect"
	"slices"
	"unicode"
	"unicode/utf8"

	"github.com/bsrpc/bsrpc/internal/codec"
)

// ReceiverOf returns the receiver for the methods of v, or of a pointer to a copy of
// v. It reports false for nil.
func ReceiverOf(v any) (Receiver, bool) {
	p := reflect.ValueOf(v)
	if !p.IsValid() || p.Kind() == reflect.Pointer && p.IsNil() {
		return Receiver{}, false
	}
	if p.Kind() != reflect.Pointer {
		p = pointerTo(p)
	}
	return receiverOf(p), true
}

// Close calls the receiver's Close() or Close() error, if it has one.
func (r *Receiver) Close() error {
	switch c := r.value.Interface().(type) {
	case interface{ Close() error }:
		return c.Close()
	case interface{ Close() }:
		c.Close()
	}
	return nil
}

// pointerTo returns a pointer to a copy of v.
func pointerTo(v reflect.Value) reflect.Value {
	p := reflect.New(v.Type())
	p.Elem().Set(v)
	return p
}

// A Made takes the place of a receiver at registration if each session makes its own.
// Func.Invoke then needs a Receiver of the type.
type Made struct{ Type reflect.Type }

// ServiceName returns the default name of the service of rcvr, a receiver or a Made: the name of
// its type.
func ServiceName(rcvr any) (string, error) {
	t := reflect.TypeOf(rcvr)
	if later, ok := rcvr.(Made); ok {
		t = later.Type
	}
	of := t
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name := t.Name()
	if first, _ := utf8.DecodeRuneInString(name); !unicode.IsUpper(first) {
		return "", fmt.Errorf("bsrpc: register %v: its type has no exported name; use RegisterName", of)
	}
	if !IsIdentifier(name) { // a generic type, List[int]
		return "", fmt.Errorf("bsrpc: register %v: the name of its type is not a valid service name; use RegisterName", of)
	}
	return name, nil
}

// An owner has the methods of a service: a value shared by all calls, or a type of
// values made later. A plain func has the zero owner.
type owner struct {
	methods reflect.Type // a pointer
	recv    Receiver     // the shared value
	made    bool
}

// ownerOf returns the owner for the value given to a registration, and the value's
// type. what names the value in problems.
func ownerOf(service, what string, given any) (of owner, t reflect.Type, problems []Problem) {
	if later, ok := given.(Made); ok {
		of.made, t = true, later.Type
		switch of.methods = t; t.Kind() {
		case reflect.Interface:
			return of, t, []Problem{{service, fmt.Sprintf("PerSession[%v]: an interface; name the type that is made", t)}}
		case reflect.Pointer:
		default:
			of.methods = reflect.PointerTo(t)
		}
		return of, t, nil
	}
	recv, ok := ReceiverOf(given) // copies a value once, not at each call
	if !ok {
		return of, nil, []Problem{{service, "nil " + what}}
	}
	of.methods, of.recv = recv.value.Type(), recv
	return of, reflect.TypeOf(given), nil
}

// FuncsOf returns a Func for every exported method of a receiver or a Made.
func FuncsOf(service string, rcvr any) (funcs []*Func, problems []Problem) {
	of, t, problems := ownerOf(service, "receiver", rcvr)
	if problems == nil {
		problems = unfit(service, t)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	for i := range of.methods.NumMethod() {
		m := of.methods.Method(i)
		if isClose(m) {
			continue
		}
		sig, more := compileHandler(service+"."+m.Name, m.Type, 1, new(codec.MethodTag))
		if problems = append(problems, more...); more == nil {
			f := newFunc(service, m.Name, sig, m.Func, of)
			f.from = fmt.Sprintf("as a method of %v", t)
			funcs = append(funcs, f)
		}
	}
	if len(funcs) == 0 && len(problems) == 0 {
		problems = append(problems, Problem{service, fmt.Sprintf("%v has no exported methods", t) + adviceForFuncs(t)})
	}
	return funcs, problems
}

// adviceForFuncs explains how to register a struct of funcs: it has no methods.
func adviceForFuncs(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t.NumField() == 0 || t.Field(0).Type.Kind() != reflect.Func {
		return ""
	}
	return fmt.Sprintf("; for its funcs use RegisterAs[%v] with a *%v", t, t)
}

// unfit reports why the methods of a type cannot be a service.
func unfit(service string, t reflect.Type) []Problem {
	if path := foreignMethods(t, nil); path != "" {
		return []Problem{{service, fmt.Sprintf("the embedded field %s adds its methods to the service; "+
			"give the field a name, or expose a contract with RegisterAs", path)}}
	}
	if t.Kind() == reflect.Pointer {
		return nil
	}
	pt := reflect.PointerTo(t)
	for i := range pt.NumMethod() {
		name := pt.Method(i).Name
		if _, ok := t.MethodByName(name); !ok && !isClose(pt.Method(i)) {
			return []Problem{{service + "." + name, fmt.Sprintf("needs a *%v; pass a pointer", t)}}
		}
	}
	return nil
}

// foreignMethods returns the path of an embedded field with exported methods of another
// package, "" if there is none. around are the types that embed t: a type may embed a
// pointer to itself.
func foreignMethods(t reflect.Type, around []reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || slices.Contains(around, t) {
		return ""
	}
	around = append(around, t)
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.Anonymous {
			continue
		}
		ft := f.Type
		if ft.Kind() != reflect.Pointer && ft.Kind() != reflect.Interface {
			ft = reflect.PointerTo(ft)
		}
		if owner := f.Type; ft.NumMethod() > 0 && packageOf(owner) != packageOf(t) {
			return f.Name + " (" + f.Type.String() + ")"
		}
		if path := foreignMethods(f.Type, around); path != "" && packageOf(f.Type) == packageOf(t) {
			return f.Name + "." + path
		}
	}
	return ""
}

func packageOf(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.PkgPath()
}

// isClose reports whether m is Close() or Close() error. They end a receiver and are
// not served.
func isClose(m reflect.Method) bool {
	t := m.Type
	return m.Name == "Close" && t.NumIn() == 1 && (t.NumOut() == 0 || t.NumOut() == 1 && t.Out(0) == errorType)
}
