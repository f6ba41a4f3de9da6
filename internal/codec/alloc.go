package codec

import "reflect"

// A blank is a type of which values are made.
type allocator struct {
	typ  reflect.Type
	zero reflect.Value // a variable, where an interface made of it holds a copy of it
}

// blankMost is the largest value that is copied: above, that costs more than it saves.
const maxBoxed = 256

// blankOf returns the blank of t. A type that is a pointer, in whatever wrapping, is held by
// interfaces as it is.
func newAllocator(t reflect.Type) allocator {
	if t.Size() > maxBoxed || t.Size() == reflect.TypeFor[uintptr]().Size() {
		return allocator{typ: t}
	}
	return allocator{t, reflect.New(t).Elem()}
}

// A roomy is a struct and, behind it, room for the only text that it has: one
// allocation for both. Its zero value has no room.
type structWithText struct {
	alloc allocator
	room  int
}

// roomy returns the one for n, if it is so small that it pays.
func (n *node) newStructWithText() structWithText {
	const class = 16 // Go's allocator has sizes of this many bytes apart, to 128
	size := (int(n.size) + 2*class - 1) / class * class
	if n.numStrings != 1 || size > 128 {
		return structWithText{}
	}
	room := size - int(n.size)
	return structWithText{room: room, alloc: newAllocator(reflect.StructOf([]reflect.StructField{
		{Name: "Value", Type: n.typ},
		{Name: "Text", Type: reflect.ArrayOf(room, reflect.TypeFor[byte]())},
	}))}
}
