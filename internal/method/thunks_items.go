//go:build !bsrpc_safe && (386 || amd64 || arm || arm64 || loong64 || mips || mipsle || mips64 || mips64le || ppc64 || ppc64le || riscv64 || s390x || wasm)

package method

import (
	"context"
	"reflect"

	"github.com/bsrpc/bsrpc/internal/codec"
)

// Iterators over structs. The yield for one is a func whose item has the same scalars at the
// same places, with pointers where the item has pointers.

// An itemSink takes the items of a range from its yield.
type itemSink struct {
	at    address // of the item, which the yield stores there
	yield func(codec.Ref, error) bool
	over  bool
}

// next passes the stored item on.
func (s *itemSink) next(err error) bool {
	s.over = !s.yield(codec.RefAt(s.at), err)
	return !s.over
}

// A yieldMaker returns a func that stores items in a sink.
type yieldMaker func(*itemSink) address

// yieldOf is a yieldMaker for items with the scalars of an R. The rest of a range is in
// itemSink, once for all types: each R costs a program two short funcs.
func yieldOf[R any](s *itemSink) address {
	return funcAddress(func(item R, err error) bool {
		if s.over {
			return false
		}
		*at[R](s.at) = item
		return s.next(err)
	})
}

// Structs of scalars. Their fields are passed one by one, as those of nested structs are, so
// only the scalars and their places count. Room for arguments that are passed in registers
// has the size of their types, which is another reason for equal places.
type (
	two[A, B any] struct {
		A A
		B B
	}
	three[A, B, C any] struct {
		A A
		B B
		C C
	}
	four[A, B, C, D any] struct {
		A A
		B B
		C C
		D D
	}
	five[A, B, C, D, E any] struct {
		A A
		B B
		C C
		D D
		E E
	}
)

// yields has the yields of common structs, by the letters of their scalars (scalars). A
// string is pw, a slice pww. Others come by reflection.
var yields = [...]struct {
	shape string
	make  yieldMaker
}{
	{"d", yieldOf[float64]},
	{"4", yieldOf[uint32]},
	{"ww", yieldOf[two[word, word]]},
	{"wp", yieldOf[two[word, address]]},
	{"pw", yieldOf[two[address, word]]},
	{"wd", yieldOf[two[word, float64]]},
	{"dd", yieldOf[two[float64, float64]]},
	{"44", yieldOf[two[uint32, uint32]]},
	{"www", yieldOf[three[word, word, word]]},
	{"wpw", yieldOf[three[word, address, word]]},
	{"pww", yieldOf[three[address, word, word]]},
	{"4pw", yieldOf[three[uint32, address, word]]},
	{"wwd", yieldOf[three[word, word, float64]]},
	{"wdd", yieldOf[three[word, float64, float64]]},
	{"ddd", yieldOf[three[float64, float64, float64]]},
	{"pwd", yieldOf[three[address, word, float64]]},
	{"wwww", yieldOf[four[word, word, word, word]]},
	{"wpww", yieldOf[four[word, address, word, word]]},
	{"pwww", yieldOf[four[address, word, word, word]]},
	{"pwpw", yieldOf[four[address, word, address, word]]},
	{"wpwd", yieldOf[four[word, address, word, float64]]},
	{"wpwpw", yieldOf[five[word, address, word, address, word]]},
	{"wpw4d", yieldOf[five[word, address, word, uint32, float64]]},
}

// yieldMakerOf returns the maker for items of a type, nil if only reflection can take them.
func yieldMakerOf(item reflect.Type) yieldMaker {
	var s scalars
	if item.Kind() == reflect.Struct && !s.add(item, 0) {
		return nil
	}
	for _, y := range yields {
		if y.shape == string(s.shape) && yieldsWork() {
			return y.make
		}
	}
	return nil
}

// scalars are the scalars of a type, each behind the one before it.
type scalars struct {
	shape []byte // p for a pointer, w for a word, d for a float64, the size of another integer
	end   uintptr
}

// add adds those of a type at an offset. It reports false if a struct of all of them would not
// lie in memory, or be passed, as the type is.
func (s *scalars) add(t reflect.Type, offset uintptr) bool {
	switch class := classOf(t, true); class {
	case 'p', 'w', 'd', '4':
		s.shape = append(s.shape, class)
	case 's':
		s.shape = append(s.shape, "pw"...)
	case 'v':
		s.shape = append(s.shape, "pww"...)
	default:
		if t.Kind() != reflect.Struct {
			return false
		}
		for i := range t.NumField() {
			if f := t.Field(i); f.Name == "_" || f.Type.Size() == 0 || !s.add(f.Type, offset+f.Offset) {
				return false
			}
		}
		return true
	}
	align := uintptr(t.Align())
	fits := (s.end+align-1)/align*align == offset
	s.end = offset + t.Size()
	return fits
}

// yieldsWork is the self-check: it calls a yield with a struct that only arrives whole if its
// scalars travel as this package takes them to.
func yieldsWork() bool {
	type item struct {
		n    uintptr
		part struct{ s string }
		i    int32
		f    float64
	}
	in, out, works := item{n: 1, i: -2, f: 0.5}, item{}, false
	in.part.s = "b"
	s := &itemSink{at: reflect.ValueOf(&out).UnsafePointer(), yield: func(codec.Ref, error) bool { return works }}
	seq := func(yield func(item, error) bool) { works = !yield(in, context.Canceled) }
	callSeq(reflect.ValueOf(&seq).Elem(), yieldOf[five[word, address, word, uint32, float64]](s))
	return works && out == in
}

// structItems is Stream.Items for structs with a yieldMaker. The item has memory of its true
// type, one for all items, so the collector sees its pointers.
func (c *seqCode) structItems(field reflect.Value) func(func(codec.Ref, error) bool) {
	if field.IsNil() {
		return nil
	}
	seq := reflect.New(field.Type()).Elem() // a copy: the field is zeroed when the call ends
	seq.Set(field)
	item := field.Type().In(0).In(0)
	return func(yield func(codec.Ref, error) bool) {
		value := reflect.New(item)
		s := &itemSink{at: value.UnsafePointer(), yield: yield}
		callSeq(seq, c.yieldMaker(s))
		s.over = true
		value.Elem().SetZero()
	}
}
