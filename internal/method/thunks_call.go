//go:build !bsrpc_safe && (386 || amd64 || arm || arm64 || loong64 || mips || mipsle || mips64 || mips64le || ppc64 || ppc64le || riscv64 || s390x || wasm)

package method

import (
	"context"
	"reflect"
	"runtime"
	"sync"
)

// Calls of methods. Receiver, context and arguments are passed as words: in registers,
// or on the stack, where they lie as in a struct. One func for each class of results
// therefore calls all methods.

// codeOf returns how to call f without reflection. The code is not valid if only
// reflection can.
func codeOf(f *Func) funcCode {
	var c funcCode
	if f.methods != nil {
		c.form |= withReceiver
	}
	if f.ctx {
		c.form |= withContext
	}
	if f.err {
		c.results = withError
	}
	if !c.setResults(f.Sig.results) && !c.setStruct(f.Sig.Results.Type()) || !c.setArgs(f.Sig.Args.Type()) || !callsWork() {
		return funcCode{}
	}
	variable := reflect.New(f.fn.Type())
	variable.Elem().Set(f.fn)
	c.fn = variable.UnsafePointer()
	return c
}

// setResults sets the class of the result. It reports false if only reflection can
// return the results.
func (c *funcCode) setResults(results []reflect.Type) bool {
	if len(results) == 0 {
		return true
	}
	class := classOf(results[0], false)
	c.results |= class
	return len(results) == 1 && class >= 'a' && class != 'i'
}

// setStruct sets how to store a struct, or several results, as one struct of all scalars. It
// reports false if only reflection can.
func (c *funcCode) setStruct(results reflect.Type) bool {
	c.result = structCodeOf(results).result
	c.results = structResult | withError&c.results
	return inRegisters && c.result != nil
}

// setArgs finds the parts of a struct of arguments. It reports false if only reflection
// can pass them.
func (c *funcCode) setArgs(args reflect.Type) bool {
	for i := range args.NumField() {
		if f := args.Field(i); f.Type.Size() == 0 || !c.addParts(f.Type, f.Offset) {
			return false
		}
	}
	if !inRegisters {
		c.ints, c.floats = nil, nil
		return c.setWords(int((args.Size() + wordSize - 1) / wordSize))
	}
	if !c.setWords(len(c.ints)) || len(c.floats) > maxFloats {
		return false
	}
	c.single = len(c.floats) > 0 && c.floats[0].size == 4
	for _, p := range c.floats {
		if c.single != (p.size == 4) {
			return false
		}
	}
	if c.single && c.result != nil {
		return false
	}
	if inOrder(c.ints) && inOrder(c.floats) {
		c.ints, c.floats = nil, nil
	}
	return true
}

// addParts adds the parts of a value that lies at an offset in the arguments: a struct
// has those of its fields. It reports false for types that are not passed in registers.
func (c *funcCode) addParts(t reflect.Type, at uintptr) bool {
	switch classOf(t, true) {
	case 'f', 'd':
		c.floats = append(c.floats, part{at, t.Size()})
	case '?':
		switch t.Kind() {
		case reflect.Array:
			return t.Len() == 1 && c.addParts(t.Elem(), at)
		case reflect.Struct:
			for i := range t.NumField() {
				// A field without a size has no register, a blank one has.
				if f := t.Field(i); f.Type.Size() > 0 && !c.addParts(f.Type, at+f.Offset) {
					return false
				}
			}
			return true
		}
		return false
	default:
		size := t.Size()
		for end := at + size; at < end; at += wordSize {
			c.ints = append(c.ints, part{at, min(size, wordSize)})
		}
	}
	return true
}

// inOrder reports whether all parts are words, from the first word of the arguments.
func inOrder(parts []part) bool {
	for i, p := range parts {
		if p != (part{uintptr(i) * wordSize, wordSize}) {
			return false
		}
	}
	return true
}

// setWords counts receiver and context, and n words of arguments. It reports false if
// these are too many.
func (c *funcCode) setWords(n int) bool {
	if c.form&withReceiver != 0 {
		n++
	}
	if c.form&withContext != 0 {
		n += 2
	}
	c.words = n
	if inRegisters && runtime.GOARCH == "s390x" { // where eight registers take words
		return n < maxWords
	}
	return n <= maxWords
}

// invokeCode calls the method with the arguments and the context of v, and stores its
// result.
func (f *Func) invokeCode(recv *Receiver, v *Values) error {
	words, floats := f.code.arguments(recv, v)
	err := f.code.call(words, floats, &v.memory)
	runtime.KeepAlive(recv) // words do not keep what they point to
	runtime.KeepAlive(v)
	return err
}

// callsWork is the self-check: it calls methods whose words only arrive whole if they
// travel as this package takes them to.
func callsWork() bool {
	callsOnce.Do(func() { callsPassed = tryCalls() })
	return callsPassed
}

var (
	callsOnce   sync.Once
	callsPassed bool
)

func tryCalls() bool {
	join, sum, mean, nest, mark := (*probe).join, (*probe).sum, (*probe).mean, (*probe).nest, (*probe).mark
	var joined, nested string
	var marked markResult
	var added int
	var half float64
	p := &probe{"a"}
	return p.works(address(&join), 's', joinArgs{p, "b"}, address(&joined)) && joined == "aab" &&
		p.works(address(&sum), 'w', sumArgs{-128, -1}, address(&added)) && added == -129 &&
		p.works(address(&mean), 'd', meanArgs{1, 2, -1.5}, address(&half)) && half == 0.5 &&
		p.works(address(&nest), 's', nestArgs{nestArg{-1, nestPart{"b", [1]uint16{3}, 0.5}}}, address(&nested)) && nested == "ab" &&
		(!inRegisters || p.works(address(&mark), structResult, markArgs{markArg{s: "b", i: -1}}, address(&marked)) && marked == markResult{7, "ab", 3, 0.5})
}

// A probe has the methods of the self-check.
type probe struct{ name string }

type (
	joinArgs struct {
		p *probe
		s string
	}
	sumArgs struct {
		a int8
		b int
	}
	meanArgs struct{ a, b, c float64 }
	nestPart struct {
		s string
		n [1]uint16
		f float64
	}
	nestArg struct {
		i    int8
		part nestPart
	}
	nestArgs struct{ arg nestArg }
	markArg  struct {
		_ struct{}
		s string
		_ uint16
		i int32
	}
	markArgs   struct{ arg markArg }
	markResult struct {
		N int
		S string
		U uint32
		F float64
	}
)

func (p *probe) join(_ context.Context, q *probe, s string) (string, error) {
	return p.name + q.name + s, context.Canceled
}

func (*probe) sum(_ context.Context, a int8, b int) (int, error) {
	return int(a) + b, context.Canceled
}

func (*probe) mean(_ context.Context, a, b, c float64) (float64, error) {
	return (a + b + c) / 3, context.Canceled
}

func (p *probe) nest(_ context.Context, arg nestArg) (string, error) {
	if arg.i != -1 || arg.part.n != [1]uint16{3} || arg.part.f != 0.5 {
		return "", nil
	}
	return p.name + arg.part.s, context.Canceled
}

func (p *probe) mark(_ context.Context, arg markArg) (markResult, error) {
	if arg.i != -1 {
		return markResult{}, nil
	}
	return markResult{7, p.name + arg.s, 3, 0.5}, context.Canceled
}

// works calls a method of p.
func (p *probe) works(fn address, class byte, args any, result address) bool {
	in := reflect.New(withRoom(reflect.TypeOf(args))).Elem().Field(1)
	in.Set(reflect.ValueOf(args))
	f := Func{code: funcCode{form: withReceiver | withContext, results: class | withError, fn: fn, result: resultOf[five[word, address, word, uint32, float64]]}}
	v := Values{Ctx: context.Background(), memory: memory{args: in.Addr().UnsafePointer(), results: result}}
	return f.code.setArgs(in.Type()) && f.invokeCode(&Receiver{at: address(p)}, &v) == context.Canceled
}
