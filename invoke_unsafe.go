//go:build !bsrpc_safe && (386 || amd64 || arm || arm64 || loong64 || mips || mipsle || mips64 || mips64le || ppc64 || ppc64le || riscv64 || s390x || wasm)

package bsrpc

// Calls without reflection: all of the package's unsafe code.
//
// A method is called, and a proxy's func is made, through a func type whose
// parameters and results are alike to the true ones: a pointer for a pointer
// or a map, []byte for a slice, and otherwise the same kind in the same size.
// To Go's calling conventions such types are one: they take the same words of
// the same class at the same places, and the collector sees pointers where
// pointers are. The compiler relies on this itself, for generic code. It is
// not promised by the language, though, so a self-check tries it before it is
// used, reflection stands ready for all that has no shape here, and the build
// tag bsrpc_safe leaves this file out.

import (
	"context"
	"reflect"
	"sync"
	"unsafe"
)

// A shape calls and makes the funcs of one list of classes of parameters and
// results.
type shape struct {
	call  func(*method, *frame) error
	proxy func(m *proxyMethod, field unsafe.Pointer)
}

// shapeOf returns the shape of a signature, nil if it has none.
func shapeOf(s *signature) *shape {
	key := make([]byte, 0, 8)
	for _, t := range s.params {
		key = append(key, classOf(t))
	}
	key = append(key, '>')
	for _, t := range s.results {
		key = append(key, classOf(t))
	}
	return shapes()[string(key)]
}

// classOf tells the types that are alike by a letter.
func classOf(t reflect.Type) byte {
	switch t.Kind() {
	case reflect.Pointer, reflect.Map:
		return 'p'
	case reflect.String:
		return 's'
	case reflect.Slice:
		return 'v'
	case reflect.Bool:
		return 'b'
	case reflect.Float32:
		return 'f'
	case reflect.Float64:
		return 'd'
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return '0' + byte(t.Size())
	}
	return '?'
}

// shapes is the table of all shapes, by the classes of parameters and results;
// empty where the self-check fails.
var shapes = sync.OnceValue(func() map[string]*shape {
	t := make(shapeTable)
	t.fill()
	if !t.works() {
		return nil
	}
	return t
})

// A shapeTable is filled by generic funcs that take one type after the other:
// adds that have a type for each parameter make a shape for each result.
type shapeTable map[string]*shape

func (t shapeTable) fill() {
	t[">"] = &shape{call0, proxy0}
	add0[unsafe.Pointer](t, "p")
	add0[string](t, "s")
	add0[[]byte](t, "v")
	add0[bool](t, "b")
	add0[uint8](t, "1")
	add0[uint16](t, "2")
	add0[uint32](t, "4")
	add0[uint64](t, "8")
	add0[float32](t, "f")
	add0[float64](t, "d")

	add1[unsafe.Pointer](t, "p")
	add1[string](t, "s")
	add1[[]byte](t, "v")
	add1[bool](t, "b")
	add1[uint8](t, "1")
	add1[uint16](t, "2")
	add1[uint32](t, "4")
	add1[uint64](t, "8")
	add1[float32](t, "f")
	add1[float64](t, "d")

	add2a[unsafe.Pointer](t, "p")
	add2a[string](t, "s")
	add2a[[]byte](t, "v")
	add2a[uint32](t, "4")
	add2a[uint64](t, "8")

	add3[unsafe.Pointer](t, "ppp")
	add3[string](t, "sss")
	add3[uint32](t, "444")
	add3[uint64](t, "888")
	add3[float64](t, "ddd")
}

func add0[R any](t shapeTable, r string) {
	t[">"+r] = &shape{call0R[R], proxy0R[R]}
}

func add1[A any](t shapeTable, a string) {
	t[a+">"] = &shape{call1[A], proxy1[A]}
	add1R[A, unsafe.Pointer](t, a+">p")
	add1R[A, string](t, a+">s")
	add1R[A, []byte](t, a+">v")
	add1R[A, bool](t, a+">b")
	add1R[A, uint32](t, a+">4")
	add1R[A, uint64](t, a+">8")
	add1R[A, float64](t, a+">d")
	add1R[A, A](t, a+">"+a)
}

func add1R[A, R any](t shapeTable, key string) {
	t[key] = &shape{call1R[A, R], proxy1R[A, R]}
}

func add2a[A any](t shapeTable, a string) {
	add2[A, unsafe.Pointer](t, a+"p")
	add2[A, string](t, a+"s")
	add2[A, []byte](t, a+"v")
	add2[A, uint32](t, a+"4")
	add2[A, uint64](t, a+"8")
}

func add2[A, B any](t shapeTable, ab string) {
	t[ab+">"] = &shape{call2[A, B], proxy2[A, B]}
	add2R[A, B, unsafe.Pointer](t, ab+">p")
	add2R[A, B, string](t, ab+">s")
	add2R[A, B, []byte](t, ab+">v")
	add2R[A, B, uint32](t, ab+">4")
	add2R[A, B, uint64](t, ab+">8")
}

func add2R[A, B, R any](t shapeTable, key string) {
	t[key] = &shape{call2R[A, B, R], proxy2R[A, B, R]}
}

func add3[A any](t shapeTable, aaa string) {
	t[aaa+">"] = &shape{call3[A], proxy3[A]}
	add3R[A, unsafe.Pointer](t, aaa+">p")
	add3R[A, A](t, aaa+">"+aaa[:1])
}

func add3R[A, R any](t shapeTable, key string) {
	t[key] = &shape{call3R[A, R], proxy3R[A, R]}
}

// frameMemory is where a frame's values lie: structs whose fields are the
// arguments and the results.
type frameMemory struct{ args, rets unsafe.Pointer }

func memoryOf(f *frame) frameMemory {
	return frameMemory{f.args.Addr().UnsafePointer(), f.rets.Addr().UnsafePointer()}
}

// Structs with fields that are alike have the same layout.
type (
	args2[A, B any] struct {
		a A
		b B
	}
	args3[A any] struct{ a, b, c A }
)

// funcCode is a method's func for a call without reflection.
type funcCode struct {
	form form
	fn   unsafe.Pointer // to a variable of the func's type
}

// A receiver is what a method is called on.
type receiver struct {
	value reflect.Value // a pointer
	at    unsafe.Pointer
}

func receiverOf(v reflect.Value) receiver { return receiver{v, v.UnsafePointer()} }

// A form says what a func has besides parameters and results.
type form uint8

const (
	withReceiver form = 1 << iota
	withContext
	withError
	withCode // the funcCode is set
)

func (c *funcCode) valid() bool { return c.form&withCode != 0 }

func codeOf(m *method) funcCode {
	if m.sig.shape == nil {
		return funcCode{}
	}
	variable := reflect.New(m.fn.Type())
	variable.Elem().Set(m.fn)
	c := funcCode{form: withCode, fn: variable.UnsafePointer()}
	if m.methods != nil {
		c.form |= withReceiver
	}
	if m.ctx {
		c.form |= withContext
	}
	if m.err {
		c.form |= withError
	}
	return c
}

func (m *method) invokeCode(f *frame) error { return m.sig.shape.call(m, f) }

// fillShape stores a func of the field's type into a proxy's field.
func fillShape(m *proxyMethod, field reflect.Value) {
	m.sig.shape.proxy(m, field.Addr().UnsafePointer())
}

// An address is where a value lies, of a type alike to the one it is read as.
type address = unsafe.Pointer

// at views the value at p as one of the type T, which is alike to its own.
func at[T any](p address) *T { return (*T)(p) }

// as views the func in a variable as one of the type F, which is alike to its
// own.
func as[F any](variable unsafe.Pointer) F { return *(*F)(variable) }

// set stores a func of the type F into a variable whose type is alike.
func set[F any](variable unsafe.Pointer, f F) { *(*F)(variable) = f }

// works is the self-check: it calls a method, and fills a func, whose words
// only arrive whole if alike types are treated alike.
func (t shapeTable) works() bool {
	p := &probe{"a"}
	join, _ := reflect.TypeFor[*probe]().MethodByName("Join")
	variable := reflect.New(join.Type)
	variable.Elem().Set(join.Func)
	m := &method{code: funcCode{withReceiver | withContext | withError, variable.UnsafePointer()}}
	args, joined := args2[*probe, string]{p, "b"}, ""
	f := &frame{ctx: context.Background(), recv: &receiver{at: unsafe.Pointer(p)}, memory: frameMemory{unsafe.Pointer(&args), unsafe.Pointer(&joined)}}
	if err := t["ps>s"].call(m, f); err != context.Canceled || joined != "aab" {
		return false
	}
	var filled func(context.Context, *probe, []float64) (map[string]int, error)
	want := map[string]int{"a": 1}
	set(unsafe.Pointer(&filled), func(ctx context.Context, q unsafe.Pointer, v []byte) (unsafe.Pointer, error) {
		if ctx != f.ctx || q != unsafe.Pointer(p) || len(v) != 3 {
			return nil, nil
		}
		return *(*unsafe.Pointer)(unsafe.Pointer(&want)), context.Canceled
	})
	got, err := filled(f.ctx, p, make([]float64, 3))
	return err == context.Canceled && got["a"] == 1
}

// A probe is what the self-check calls.
type probe struct{ name string }

func (p *probe) Join(_ context.Context, q *probe, s string) (string, error) {
	return p.name + q.name + s, context.Canceled
}
