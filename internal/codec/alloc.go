package codec

import "reflect"

// An allocator allocates zero values of a type. See new in memory_unsafe.go.
type allocator struct {
	typ  reflect.Type
	zero reflect.Value // a zero variable; invalid for types without boxing
}

// maxBoxed is the largest type allocated by boxing a zero value in an
// interface. Beyond it the copy costs more than boxing saves.
const maxBoxed = 256

// newAllocator returns the allocator of t. It does not use boxing for
// pointer-shaped types, as interfaces store these directly; they have the size
// of a pointer.
func newAllocator(t reflect.Type) allocator {
	if t.Size() > maxBoxed || t.Size() == reflect.TypeFor[uintptr]().Size() {
		return allocator{typ: t}
	}
	return allocator{t, reflect.New(t).Elem()}
}

// A structWithText allocates a struct together with space for its only string.
// Its zero value has no space.
type structWithText struct {
	alloc allocator
	room  int // bytes of space
}

// newStructWithText returns the one for n. It is zero if n is too large to
// benefit or has another number of strings.
func (n *node) newStructWithText() structWithText {
	const class = 16 // distance of Go's size classes, up to 128
	// One size class more than for the struct alone: 16 to 31 bytes of space.
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
