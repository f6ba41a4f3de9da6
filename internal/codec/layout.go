package codec

// A Layout is the wire form of one value: a tree of formats with field names.
// Its canonical text, [Layout.String], is the same on every platform, and
// [ParseLayout] reads it back. A Layout is never changed once made.
type Layout struct {
	Kind   Kind
	Format Format  // of a number; of the length of a String or Bytes; of the count of a Slice or Map
	Bytes  Format  // Slice, Map: of the byte length before the count; FormatNone where there is only a count
	Len    int     // Array: elements; String, Bytes: exact bytes if Format is FormatNone; Back: how far outwards
	Elem   *Layout // Array, Slice, Map, Pointer
	Key    *Layout // Map
	Fields []Field // Struct
	Opaque string  // Binary, Text: the Go type whose own encoding it is
	Type   string  // the Go type's own name, for messages only: not part of the text
}

// A Field is one field of a struct's layout.
type Field struct {
	Name   string
	Layout *Layout
}

// A Kind says what a Layout describes.
type Kind uint8

// The kinds of layouts.
const (
	KindBool Kind = iota + 1
	KindInt
	KindUint
	KindFloat
	KindComplex
	KindString
	KindBytes
	KindTime
	KindDuration
	KindArray
	KindSlice
	KindMap
	KindPointer
	KindStruct
	KindBinary
	KindText
	KindBack // one of the composites around it, counted outwards
)

// A Format is how a number is laid out in bytes.
type Format uint8

// The formats of numbers. BE1 does not exist as a layout: it is written le1.
const (
	FormatNone Format = iota
	LE1
	LE2
	LE4
	LE8
	BE2
	BE4
	BE8
	Varint
)
