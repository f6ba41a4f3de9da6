//go:build !bsrpc_safe && (386 || amd64 || arm || arm64 || loong64 || mips || mipsle || mips64 || mips64le || ppc64 || ppc64le || riscv64 || s390x || wasm)

package method

// Calls without reflection: all of the package's unsafe code.
//
// Go's calling conventions (https://go.dev/s/regabi) depend on the words that values
// take, and not on the names of their types. So a method is called (thunks_call.go), and
// a proxy's func is made (thunks_proxy.go), through a func type with the same words at
// the same places. The compiler relies on this itself, for generic code. It is not
// promised by the language, though: a self-check tries it before it is used, reflection
// stands ready for all other funcs, and the build tag bsrpc_safe leaves this file out.
//
// The collector must see every pointer. A proxy's func alone holds its arguments, and
// the caller of a method alone holds its results: they have pointers where the true
// types have them. The arguments of a method stay in the Values of the call until it
// returns, and are passed as integers.

import (
	"context"
	"reflect"
	"runtime"
	"unsafe"

	"github.com/bsrpc/bsrpc/internal/codec"
)

// A word stands for an integer or a bool, and among the arguments of a method for a
// pointer. In a register, a small integer fills the low bits of a word, and the others mean
// nothing; in memory, on a little-endian machine, its bytes are the first of a word's.
type word = uintptr

// wordsAreSmall says that the results of methods, and arguments of proxies, of every
// integer type may be read as words. Elsewhere only those of a word's size are.
const wordsAreSmall = runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64" || runtime.GOARCH == "ppc64le" || runtime.GOARCH == "riscv64"

const wordSize = unsafe.Sizeof(word(0))

// classOf returns the letter of t's class. Types of one class take the same words.
// Exact tells small integers by their size.
func classOf(t reflect.Type, exact bool) byte {
	switch t.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Func:
		return 'p'
	case reflect.Interface:
		return 'i' // only among the arguments of methods: two words
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

// memory is where the values of a call lie: the arguments, up to the third, and the
// first result.
type memory struct {
	args, second, third, results address
	gathered                     *gathered // made by the first call that needs it
}

func memoryOf(v *Values) memory {
	m := memory{args: v.args.Addr().UnsafePointer(), results: v.results.Addr().UnsafePointer()}
	for i, at := range []*address{&m.second, &m.third} {
		if v.args.NumField() > i+1 {
			*at = v.args.Field(i + 1).Addr().UnsafePointer()
		}
	}
	return m
}

// withRoom returns a struct type with a field of type t, its second. The words before
// it and behind it are for calls: they store receiver and context before the
// arguments, and load maxWords words no matter how many there are.
//
// A word that is stored where a small integer lies reaches into what follows.
// Arguments are therefore stored in their order, and no shape has a small integer less
// than a word before a pointer.
func withRoom(t reflect.Type) reflect.Type {
	return reflect.StructOf([]reflect.StructField{
		{Name: "Before", Type: reflect.TypeFor[[headWords]word]()},
		{Name: "Values", Type: t},
		{Name: "Behind", Type: reflect.TypeFor[[maxWords]word]()},
	})
}

// An address is where a value lies, of a type that takes the same words as the one it
// is read as.
type address = unsafe.Pointer

// at views the value at p as one of the type T.
func at[T any](p address) *T { return (*T)(p) }

// A Receiver is what a method is called on.
type Receiver struct {
	value reflect.Value // a pointer
	at    address
}

func receiverOf(v reflect.Value) Receiver { return Receiver{v, v.UnsafePointer()} }

// funcCode is a method's func for a call without reflection.
type funcCode struct {
	form    form
	results byte    // the class of the first, 0 for none, and withError
	single  bool    // the floats in registers have 32 bits
	words   int     // the number of words of receiver, context and arguments
	fn      address // of a variable of the func's type
	result  resultCode

	// How the arguments lie in memory; nil if they are words in their order, or floats
	// of 64 bits and nothing else.
	ints   []part
	floats []part
}

// A form says what a func takes besides its arguments.
type form uint8

const (
	withReceiver form = 1 << iota
	withContext
)

const (
	withError    = 0x80 // beside a class, which is a letter
	structResult = 't'  // the class of results with a resultCode
)

func (c *funcCode) valid() bool { return c.fn != nil }

// A part of the arguments fills one register.
type part struct{ at, size uintptr }

const (
	headWords = 3 // of receiver and context
	maxWords  = 9 // of receiver, context and arguments
	maxFloats = 3
)

type (
	ints    = [maxWords]word
	floats  = [maxFloats]float64
	singles = [maxFloats]float32
)

// gathered has the parts of arguments for a call.
type gathered struct {
	_       [headWords]word // for receiver and context
	ints    ints
	floats  floats
	singles singles
}

// gather collects the parts of the arguments.
func (c *funcCode) gather(m *memory) *gathered {
	if m.gathered == nil {
		m.gathered = new(gathered)
	}
	c.load(m.gathered, m.args)
	return m.gathered
}

// load collects the parts of the values at from.
func (c *funcCode) load(g *gathered, from address) {
	for i, p := range c.ints {
		switch at := unsafe.Add(from, p.at); p.size {
		case 1:
			g.ints[i] = word(*(*uint8)(at))
		case 2:
			g.ints[i] = word(*(*uint16)(at))
		case 4:
			g.ints[i] = word(*(*uint32)(at))
		default:
			g.ints[i] = *(*word)(at)
		}
	}
	for i, p := range c.floats {
		if at := unsafe.Add(from, p.at); c.single {
			g.singles[i] = *(*float32)(at)
		} else {
			g.floats[i] = *(*float64)(at)
		}
	}
}

// arguments returns the words of receiver, context and arguments, and the floats.
func (c *funcCode) arguments(recv *Receiver, v *Values) (*ints, *floats) {
	words, float := c.parts(&v.memory)
	if c.form&withContext != 0 {
		words = unsafe.Add(words, -2*int(wordSize))
		*(*[2]word)(words) = *(*[2]word)(address(&v.Ctx))
	}
	if c.form&withReceiver != 0 {
		words = unsafe.Add(words, -int(wordSize))
		*(*word)(words) = word(recv.at)
	}
	return (*ints)(words), (*floats)(float)
}

// parts returns the addresses of the words, and of the floats, of the arguments.
func (c *funcCode) parts(m *memory) (words, float address) {
	if c.ints == nil && c.floats == nil {
		return m.args, m.args
	}
	g := c.gather(m)
	return address(&g.ints), address(&g.floats)
}

// A thunk stores a func that calls p into a field of a proxy.
type thunk func(p *stub, field address)

func (t thunk) fill(p *stub, field reflect.Value) { t(p, field.Addr().UnsafePointer()) }

// seqCode has the code for the iterators over items of one type. A nil func leaves them
// to reflection.
type seqCode struct {
	itemsAt func(seq address, plain bool) func(func(codec.Ref, error) bool)
	setAt   func(c *seqCode, seq address, open func() (ItemReader, error))
	plain   bool // an iter.Seq

	yieldMaker yieldMaker // for structItems; nil without

	// For setStructs: yield's code without its func, and a struct type with its arguments
	// as the second field.
	yield funcCode
	room  reflect.Type
}

// seqCodeOf returns the code for an iterator type.
func seqCodeOf(seq reflect.Type) (c seqCode) {
	if !callsWork() || !seqsWork() {
		return c
	}
	item := seq.In(0).In(0)
	switch classOf(item, true) {
	case 'p':
		c = seqCode{itemsAt: itemsOf[address], setAt: setItemsOf[address]}
	case 's':
		c = seqCode{itemsAt: itemsOf[string], setAt: setItemsOf[string]}
	case 'v':
		c = seqCode{itemsAt: itemsOf[[]byte], setAt: setItemsOf[[]byte]}
	case 'w':
		c = seqCode{itemsAt: itemsOf[word], setAt: setItemsOf[word]}
	default:
		args := reflect.StructOf([]reflect.StructField{{Name: "Item", Type: item}, {Name: "Err", Type: errorType}})
		if c.yield.setResults([]reflect.Type{reflect.TypeFor[bool]()}) && c.yield.setArgs(args) {
			c.setAt, c.room = setStructs, withRoom(args)
		}
	}
	if c.plain = codec.IsSeq(seq); c.itemsAt == nil && !c.plain {
		c.yieldMaker = yieldMakerOf(item)
	}
	return c
}

// funcAddress returns a func as a word.
func funcAddress[F any](f F) address { return *at[address](address(&f)) }

// callSeq calls an iterator with a func as a word.
func callSeq(seq reflect.Value, yield address) {
	(*at[func(address)](seq.Addr().UnsafePointer()))(yield)
}

func (c *seqCode) hasItems() bool { return c.itemsAt != nil || c.yieldMaker != nil }

func (c *seqCode) items(field reflect.Value) func(func(codec.Ref, error) bool) {
	if c.yieldMaker != nil {
		return c.structItems(field)
	}
	return c.itemsAt(field.Addr().UnsafePointer(), c.plain)
}

func (c *seqCode) hasSet() bool { return c.setAt != nil }

func (c *seqCode) set(field reflect.Value, open func() (ItemReader, error)) {
	c.setAt(c, field.Addr().UnsafePointer(), open)
}

// itemsOf is Stream.Items for items that take the words of an R. plain says that the
// iterator is an iter.Seq.
func itemsOf[R any](at address, plain bool) func(func(codec.Ref, error) bool) {
	seq := *(*func(func(R, error) bool))(at)
	if seq == nil {
		return nil
	}
	if plain {
		one := *(*func(func(R) bool))(at)
		seq = func(yield func(R, error) bool) { one(func(item R) bool { return yield(item, nil) }) }
	}
	return func(yield func(codec.Ref, error) bool) {
		var item, zero R // one for all items
		over := false
		seq(func(r R, err error) bool {
			if over {
				return false
			}
			item = r
			over = !yield(codec.RefAt(address(&item)), err)
			return !over
		})
		item, over = zero, true
	}
}

// setItemsOf is Stream.SetItems for items that take the words of an R.
func setItemsOf[R any](_ *seqCode, at address, open func() (ItemReader, error)) {
	*(*func(func(R, error) bool))(at) = func(yield func(R, error) bool) {
		var item, zero R // one for all items
		rangeOver(open, codec.RefAt(address(&item)), func(err error) bool {
			r := item
			if item = zero; err != nil {
				r = zero // it may be decoded in part
			}
			return yield(r, err)
		})
	}
}

// setStructs is Stream.SetItems for items with parts that yield takes in registers, as a
// method takes its arguments.
func setStructs(c *seqCode, at address, open func() (ItemReader, error)) {
	*(*func(address))(at) = func(yield address) {
		args := reflect.New(c.room).Elem().Field(1)
		item, failed := args.Field(0), args.Field(1).Addr().Interface().(*error)
		code, more := c.yield, word(0)
		code.fn = address(&yield)
		m := memory{args: args.Addr().UnsafePointer(), results: address(&more)}
		rangeOver(open, codec.RefAt(m.args), func(err error) bool {
			if *failed = err; err != nil {
				item.SetZero() // it may be decoded in part
			}
			words, float := code.parts(&m)
			code.call((*ints)(words), (*floats)(float), &m)
			item.SetZero() // holds what the words point to until here
			return *(*bool)(m.results)
		})
	}
}

// seqsWork is the self-check of iterators: it calls one whose words only arrive whole if
// they travel as this package takes them to.
func seqsWork() bool {
	p, works := &probe{"a"}, false
	seq := func(yield func(*probe, error) bool) { works = yield(p, context.Canceled) && !yield(nil, nil) }
	(*at[func(func(address, error) bool)](address(&seq)))(func(item address, err error) bool {
		return item == address(p) && err == context.Canceled
	})
	return works
}
