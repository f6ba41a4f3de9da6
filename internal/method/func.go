package method

import (
	"crypto/sha256"
	"fmt"
	"reflect"

	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/layout"
)

// A Description identifies a method. Two ends agree on it if their hashes are equal.
type Description struct {
	Name   string   // service and method: "Greeter.Hello"
	Layout string   // canonical text of what travels
	Hash   [32]byte // SHA-256 of a prefix and Layout
}

const (
	maxLayoutText = 64 << 10
	hashPrefix    = "bsrpc method 1\n"
)

// describe returns the description of a method with a signature.
func describe(service, name string, sig *Signature) Description {
	return DescriptionOf(service+"."+name, sig.Layout(service, name).String())
}

// DescriptionOf returns the description of a method with a full name and a layout.
func DescriptionOf(name, layout string) Description {
	return Description{Name: name, Layout: layout, Hash: sha256.Sum256([]byte(hashPrefix + layout))}
}

// problems reports a layout that the other end could not read.
func (d *Description) problems() []Problem {
	if len(d.Layout) > maxLayoutText {
		return []Problem{{d.Name, fmt.Sprintf("the text of its layout has more than %d bytes; make its types smaller", maxLayoutText)}}
	}
	if _, err := layout.ParseMethod(d.Layout); err != nil {
		return []Problem{{d.Name, "its layout: " + err.Error()}}
	}
	return nil
}

// A Func is a Go func or method that serves a method of a service.
type Func struct {
	Description
	Sig       *Signature // of the values on the wire
	ID        int        // the command number for basic peers; -1 for none
	Exclusive string     // the name of its group, "" for none
	NoWait    bool       // its calls do not wait for the group
	Roles     []string   // those that may call it, "*" for all; nil if nothing says so

	tag   *codec.MethodTag // of the contract; nil without one
	from  string           // the form of registration, for messages
	fn    reflect.Value    // its receiver, if it has one, is its first parameter
	owner                  // of fn
	ctx   bool             // fn takes the context, ...
	err   bool             // ... returns an error, ...
	vari  bool             // ... is variadic: if Sig is a contract's, fn may differ in these
	code  funcCode         // fn for a call without reflection
}

// FuncNamed returns the method of a plain func, and its service, for a full name. The error is
// for a name or a func that cannot be those of a method.
func FuncNamed(name string, fn any) (service string, funcs []*Func, problems []Problem, err error) {
	service, short, ok := SplitName(name)
	if !ok || !IsIdentifier(short) {
		return "", nil, nil, fmt.Errorf("bsrpc: register %q: want service.Method", cut(name, 64))
	}
	v := reflect.ValueOf(fn)
	switch {
	case fn == nil:
		err = fmt.Errorf("bsrpc: register %s: nil func", name)
	case v.Kind() != reflect.Func:
		err = fmt.Errorf("bsrpc: register %s: %T is not a func", name, fn)
	case v.IsNil():
		err = fmt.Errorf("bsrpc: register %s: nil %T", name, fn)
	}
	if err != nil {
		return "", nil, nil, err
	}
	f, problems := FuncOf(service, short, v)
	if f != nil {
		funcs = append(funcs, f)
	}
	return service, funcs, problems, nil
}

// FuncOf returns the method of a plain func.
func FuncOf(service, name string, fn reflect.Value) (*Func, []Problem) {
	sig, problems := compileHandler(service+"."+name, fn.Type(), 0, new(codec.MethodTag))
	if problems != nil {
		return nil, problems
	}
	f := newFunc(service, name, sig, fn, owner{})
	f.from = "by RegisterFunc"
	return f, nil
}

// newFunc returns the method of fn. fn has a receiver if of has one.
func newFunc(service, name string, sig *Signature, fn reflect.Value, of owner) *Func {
	f := funcOf(sig, fn, of)
	f.Description, f.ID = describe(service, name, sig), -1
	return f
}

// funcOf is newFunc without a name.
func funcOf(sig *Signature, fn reflect.Value, of owner) *Func {
	f := &Func{Sig: sig, fn: fn, owner: of}
	in := 0
	if of.methods != nil {
		in = 1
	}
	t := fn.Type()
	f.ctx = t.NumIn() > in && t.In(in) == contextType
	f.err = t.NumOut() > 0 && t.Out(t.NumOut()-1) == errorType
	f.vari = t.IsVariadic()
	f.code = codeOf(f)
	return f
}

// TakesContext reports whether the func has a context.Context.
func (f *Func) TakesContext() bool { return f.ctx }
