//go:build !bsrpc_safe && (386 || amd64 || arm || arm64 || loong64 || mips || mipsle || mips64 || mips64le || ppc64 || ppc64le || riscv64 || s390x || wasm)

package method

// Calls without reflection: all of the package's unsafe code.
//
// A method is called, and a proxy's func is made, through a func type whose
// parameters and results are alike to the true ones: a pointer for a pointer
// or a map, []byte for a slice, a word for an integer, and otherwise the same kind.
// To Go's calling conventions such types are one: they take the same words of
// the same class at the same places, and the collector sees pointers where
// pointers are. The compiler relies on this itself, for generic code. It is
// not promised by the language, though, so a self-check tries it before it is
// used, reflection stands ready for all that has no thunks here, and the build
// tag bsrpc_safe leaves this file out.

import (
	"context"
	"reflect"
	"runtime"
	"sync"
	"unsafe"
)

// Thunks call the methods, and make the proxies' funcs, of one shape: one list of
// classes of parameters and results.
type thunks struct {
	call  func(m *funcCode, recv address, v *Values) error
	proxy func(p *stub, field unsafe.Pointer)
}

// thunksOf returns the thunks of a signature's shape, nil if there are none.
func thunksOf(s *Signature) *thunks {
	key := make([]byte, 0, 8)
	exact := packsWords(s.params)
	for _, t := range s.params {
		key = append(key, classOf(t, exact))
	}
	key = append(key, '>')
	for _, t := range s.results {
		key = append(key, classOf(t, false))
	}
	return allThunks()[string(key)]
}

// A word stands for an integer or a bool. Where arguments travel in registers, a
// small one fills the low bits of one, and the others mean nothing; in memory, on a
// little-endian machine, its bytes are the first of a word's. Elsewhere only
// integers of a word's size are alike to it.
//
// A func may store the arguments that came in registers into memory of its caller,
// which has as much as their types need, each at its alignment, and the whole in
// words (https://go.dev/s/regabi). So small integers that would share a word there
// are not alike to words: packsWords.
type word = uintptr

// wordsAreSmall says that integers of every size may be alike to a word.
const wordsAreSmall = runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64" || runtime.GOARCH == "ppc64le" || runtime.GOARCH == "riscv64"

var wordSize = reflect.TypeFor[word]().Size()

// packsWords reports whether parameters lie closer together than words would.
func packsWords(params []reflect.Type) bool {
	var at, words uintptr
	for _, t := range params {
		at = (at + uintptr(t.Align()) - 1) &^ (uintptr(t.Align()) - 1)
		if at != words {
			return true
		}
		at += t.Size()
		words += (t.Size() + wordSize - 1) &^ (wordSize - 1)
	}
	return false
}

// classOf returns the letter of t's class. Types of one class are alike. Exact tells
// small integers by their size.
func classOf(t reflect.Type, exact bool) byte {
	switch t.Kind() {
	case reflect.Pointer, reflect.Map:
		return 'p'
	case reflect.String:
		return 's'
	case reflect.Slice:
		return 'v'
	case reflect.Float32:
		return 'f'
	case reflect.Float64:
		return 'd'
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		switch {
		case t.Size() == wordSize || wordsAreSmall && !exact:
			return 'w'
		case t.Size() < wordSize:
			return '0' + byte(t.Size())
		}
	}
	return '?'
}

// allThunks returns the table of all thunks, by the classes of parameters and results;
// empty if the self-check fails.
var allThunks = sync.OnceValue(func() thunkTable {
	t := make(thunkTable, len(table))
	for i := range table {
		t[table[i].shape] = &table[i].thunks
	}
	if !t.works() {
		return nil
	}
	return t
})

type thunkTable map[string]*thunks

// memory is where the values of a call lie: the arguments, up to the third,
// and the first result.
type memory struct{ args, second, third, results address }

func memoryOf(v *Values) memory {
	m := memory{args: v.args.Addr().UnsafePointer(), results: v.results.Addr().UnsafePointer()}
	for i, at := range []*address{&m.second, &m.third} {
		if v.args.NumField() > i+1 {
			*at = v.args.Field(i + 1).Addr().UnsafePointer()
		}
	}
	return m
}

// withRoom returns a struct type whose first field is of type t. Behind it is room
// for a word, because a call copies a whole word where a small integer lies.
//
// Such a copy reaches into what follows. Arguments are therefore stored in their
// order, and no shape has a small integer less than a word before a pointer.
func withRoom(t reflect.Type) reflect.Type {
	return reflect.StructOf([]reflect.StructField{
		{Name: "Values", Type: t}, {Name: "Room", Type: reflect.TypeFor[word]()},
	})
}

// funcCode is a method's func for a call without reflection.
type funcCode struct {
	form form
	fn   unsafe.Pointer // to a variable of the func's type
}

// A Receiver is what a method is called on.
type Receiver struct {
	value reflect.Value // a pointer
	at    unsafe.Pointer
}

func receiverOf(v reflect.Value) Receiver { return Receiver{v, v.UnsafePointer()} }

// A form says what a func has besides parameters and results.
type form uint8

const (
	withReceiver form = 1 << iota
	withContext
	withError
	withCode // the funcCode is set
)

func (c *funcCode) valid() bool { return c.form&withCode != 0 }

func codeOf(f *Func) funcCode {
	if f.Sig.thunks == nil {
		return funcCode{}
	}
	variable := reflect.New(f.fn.Type())
	variable.Elem().Set(f.fn)
	c := funcCode{form: withCode, fn: variable.UnsafePointer()}
	if f.methods != nil {
		c.form |= withReceiver
	}
	if f.ctx {
		c.form |= withContext
	}
	if f.err {
		c.form |= withError
	}
	return c
}

func (f *Func) invokeCode(recv *Receiver, v *Values) error {
	return f.Sig.thunks.call(&f.code, recv.at, v)
}

// fillThunk stores a func of the field's type into a proxy's field.
func fillThunk(p *stub, field reflect.Value) {
	p.sig.thunks.proxy(p, field.Addr().UnsafePointer())
}

// An address is where a value lies, of a type alike to the one it is read as.
type address = unsafe.Pointer

// at views the value at p as one of the type T, which is alike to its own.
func at[T any](p address) *T { return (*T)(p) }

// works is the self-check: it calls a method, and fills a func, whose words
// only arrive whole if alike types are treated alike.
func (t thunkTable) works() bool { return t.callWorks() && t.proxyWorks() && t.wordsWork() }

func (t thunkTable) callWorks() bool {
	p := &probe{"a"}
	args, joined := struct {
		p *probe
		s string
	}{p, "b"}, ""
	v := &Values{Ctx: context.Background()}
	v.memory = memory{args: address(&args), second: address(&args.s), results: address(&joined)}
	err := t["ps>s"].call(probeCode("Join"), address(p), v)
	return err == context.Canceled && joined == "aab"
}

func (t thunkTable) proxyWorks() bool {
	p, ctx := &probe{"a"}, context.Background()
	var filled func(context.Context, *probe, []float64) (map[string]int, error)
	want := map[string]int{"a": 1}
	*at[func(context.Context, address, []byte) (address, error)](address(&filled)) = func(c context.Context, q address, v []byte) (address, error) {
		if c != ctx || q != address(p) || len(v) != 3 {
			return nil, nil
		}
		return *at[address](address(&want)), context.Canceled
	}
	got, err := filled(ctx, p, make([]float64, 3))
	return err == context.Canceled && got["a"] == 1
}

// wordsWork tries small integers with noise in the bits that mean nothing.
func (t thunkTable) wordsWork() bool {
	if !wordsAreSmall {
		return true
	}
	noise := ^word(0xff)
	first, second, sum := noise|0x80, ^word(0), word(0)
	v := &Values{Ctx: context.Background()}
	v.memory = memory{args: address(&first), second: address(&second), results: address(&sum)}
	err := t["ww>w"].call(probeCode("Sum"), address(new(probe)), v)
	return err == context.Canceled && int16(sum) == -129
}

func probeCode(name string) *funcCode {
	m, _ := reflect.TypeFor[*probe]().MethodByName(name)
	variable := reflect.New(m.Type)
	variable.Elem().Set(m.Func)
	return &funcCode{withReceiver | withContext | withError, variable.UnsafePointer()}
}

// A probe is what the self-check calls.
type probe struct{ name string }

func (p *probe) Join(_ context.Context, q *probe, s string) (string, error) {
	return p.name + q.name + s, context.Canceled
}

func (*probe) Sum(_ context.Context, a int8, b int64) (int16, error) {
	return int16(a) + int16(b), context.Canceled
}
