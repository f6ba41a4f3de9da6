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

// yieldMakerOf returns the maker for items of a type, nil if only reflection can take them.
func yieldMakerOf(item reflect.Type) yieldMaker {
	if maker := structCodeOf(item).yield; maker != nil && yieldsWork() {
		return maker
	}
	return nil
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
