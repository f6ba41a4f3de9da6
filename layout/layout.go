// Package layout describes the bytes of bsrpc values without Go types.
//
// A [Type] is the layout of one value, a [Method] the layout of a method's
// parameters and results. Both are trees with a canonical text:
//
//	Shop.PlaceOrder({ID int.le8; Price int.le4}) bool
//
// Values of [github.com/bsrpc/bsrpc.Marshal] have further forms, for the bytes of devices and
// other programs. They are not in the text of a Method, because an end without them could
// not skip what they describe:
//
//	{Name string.until=0; _ pad.3; Lines [rest]string.until=10}
//
// A server and its clients derive these texts from their own Go types and
// compare hashes of them when a client binds a contract. [Parse] and
// [ParseMethod] read a text back, and [Diff] lists the differences between two
// methods. The module's docs/protocol.md specifies the grammar.
//
// [AppendJSON] and [ParseJSON] convert the bytes of a value to JSON and back by its layout, for
// programs that have no Go type of it: tools, gateways, logs. Between two ends of bsrpc values are
// never JSON.
//
// Layouts are immutable after construction and safe for concurrent use.
package layout

import (
	"strconv"
	"strings"
)

// A Type is the layout of one value: a tree of formats and field names. Its
// canonical text, [Type.String], is the same on every platform; [Parse] is the
// inverse.
type Type struct {
	Kind   Kind
	Format Format     // of a number, of the length of a String or Bytes or what else ends it, or of the count of a Slice or Map
	Bytes  Format     // Slice, Map: of the byte length before the count; NoFormat for a count alone. Without a count, Format is NoFormat
	Len    int        // Array: elements; String, Bytes: bytes, if Format is NoFormat, or the byte after them, if Until; BackRef: levels up; Pad: bytes
	Elem   *Type      // Array, Slice, Map, Pointer; Stream: an item
	Key    *Type      // Map
	Fields []Field    // Struct, Union: its members
	Opaque string     // Binary, Text, Raw: the Go type with the custom encoding
	Func   *Signature // Func
	Const  string     // Int, Uint: the only value, in decimal, of a blank field; "" elsewhere
	GoType string     // name of the Go type for messages; not part of the text
}

// A Field is one field of a struct's layout, or one member of a union's. Blank fields of
// structs have the name _ and are padding or constants; there may be several.
type Field struct {
	Name     string
	Type     *Type
	Optional bool // a peer may lack the field, see [Compare]
}

// A Signature is the layout of a func: what both ends must agree on for its calls.
type Signature struct {
	Params  []*Type // without the context.Context
	Results []*Type // without the error
	Oneway  bool    // without results and error: its calls have no answers

	OptionalParams, OptionalResults int // the last ones that a peer may lack, see [Compare]
}

// A Kind is the kind of a Type.
type Kind uint8

// The kinds of types.
const (
	Bool Kind = iota + 1
	Int
	Uint
	Float
	Complex
	String
	Bytes
	Time
	Duration
	Array
	Slice
	Map
	Pointer
	Struct
	Binary
	Text
	BackRef // an enclosing composite: a recursive type
	Stream  // a sequence of items; only as a whole parameter or result of a Method
	Reader  // a sequence of bytes; only as a whole parameter or result of a Method
	Func    // a func that the receiver can call; only as a whole parameter of a Method
	Union   // one of several types, its members
	Pad     // bytes without a meaning: zeros from the writer; only as a blank field, and not in a Method
	Raw     // bytes of a Go type's own; not in a Method
)

// A Format is the encoding of a number.
type Format uint8

// The formats of numbers: this many bytes, little-endian or big-endian, and varints.
// There is no BE1: one byte is LE1. Signed numbers are in zigzag in Varint and in two's
// complement elsewhere. Uvarint is for signed numbers only: others are Varint.
const (
	NoFormat Format = iota
	LE1
	LE2
	LE3
	LE4
	LE5
	LE6
	LE7
	LE8
	BE2
	BE3
	BE4
	BE5
	BE6
	BE7
	BE8
	Varint
	Uvarint

	// The ends of values without a length. They are not in a Method.
	Until // up to a given byte
	Rest  // up to the end of the message
)

// Limits of printing and parsing. Methods beyond them cannot be registered,
// because a peer could not parse their text.
const (
	MaxText    = 64 << 10 // bytes of text
	MaxDepth   = 128      // nested structs, unions, slices, arrays, maps and pointers
	MaxMembers = 255      // of a union
)

// kindPrefixes identify the kind of a text by its start. None is a prefix of
// another, except the bracket shared by arrays and slices: typeOf tells them
// apart.
var kindPrefixes = [...]string{
	Bool:     "bool",
	Int:      "int.",
	Uint:     "uint.",
	Float:    "float.",
	Complex:  "complex.",
	String:   "string.",
	Bytes:    "bytes.",
	Time:     "time",
	Duration: "duration",
	Array:    "[",
	Slice:    "[",
	Map:      "map[",
	Pointer:  "*",
	Struct:   "{",
	Binary:   "binary(",
	Text:     "text(",
	Raw:      "raw(",
	BackRef:  "^",
	Stream:   "stream(",
	Reader:   "reader",
	Func:     "func(",
	Union:    "<",
	Pad:      "pad.",
}

var formatNames = [...]string{
	LE1: "le1", LE2: "le2", LE3: "le3", LE4: "le4", LE5: "le5", LE6: "le6", LE7: "le7", LE8: "le8",
	BE2: "be2", BE3: "be3", BE4: "be4", BE5: "be5", BE6: "be6", BE7: "be7", BE8: "be8",
	Varint: "varint", Uvarint: "uvarint", Until: "until", Rest: "rest",
}

// String returns the format as written in tags and layouts.
func (f Format) String() string { return formatNames[f] }

// String returns the canonical text of l. It stops soon after MaxText bytes:
// the text of a tree with shared nodes may grow exponentially.
func (l *Type) String() string { return string(l.appendText(nil)) }

// Parse parses the canonical text of a type. It accepts no other spelling, so
// that the result's String is text again. Errors contain the offset.
func Parse(text string) (*Type, error) {
	p := newParser(text)
	l := p.typ()
	if p.err == nil && strings.Contains(text, Rest.String()) {
		(&restChecker{p: p}).visit(l, true)
	}
	if err := p.end(); err != nil {
		return nil, err
	}
	return l, nil
}

// appendText appends the canonical text of l to b.
func (l *Type) appendText(b []byte) []byte {
	if len(b) > MaxText {
		return b
	}
	b = append(b, kindPrefixes[l.Kind]...)
	switch l.Kind {
	case Int, Uint, Float, Complex:
		b = append(b, l.Format.String()...)
		if l.Const != "" {
			b = append(append(b, '='), l.Const...)
		}
		return b
	case String, Bytes:
		return l.appendEnd(b)
	case Binary, Text, Raw:
		return append(append(b, l.Opaque...), ')')
	case BackRef, Pad:
		return strconv.AppendInt(b, int64(l.Len), 10)
	case Pointer:
		return l.Elem.appendText(b)
	case Stream:
		return append(l.Elem.appendText(b), ')')
	case Func:
		return appendSignature(b, l.Func)
	case Array:
		b = append(strconv.AppendInt(b, int64(l.Len), 10), ']')
		return l.Elem.appendText(b)
	case Slice:
		b = append(append(b, l.lengthFormats()...), ']')
		return l.Elem.appendText(b)
	case Map:
		return l.appendMap(b)
	case Struct, Union:
		return l.appendFields(b)
	}
	return b
}

// typ parses a type. It is the inverse of appendText.
func (p *parser) typ() *Type {
	// The order of kinds is irrelevant, as prefixes are unique.
	for kind, word := range kindPrefixes {
		if word == "" || !p.peekByte(word[0]) || !p.accept(word) {
			continue
		}
		switch Kind(kind) {
		case Stream, Reader:
			p.errorf("streams and readers are whole parameters or results, not parts of them")
			return nil
		case Func:
			p.errorf("funcs are whole parameters, and neither results nor parts of types")
			return nil
		case Pad:
			p.errorf("padding is a blank field, called _")
			return nil
		}
		l := &Type{Kind: Kind(kind)}
		p.typeOf(l)
		p.checkFinite(l)
		p.checkBytes(l)
		return l
	}
	p.errorExpected("a type")
	return nil
}

// typeOf parses the rest of l after the prefix of its kind.
func (p *parser) typeOf(l *Type) {
	switch l.Kind {
	case Int:
		l.Format = p.intFormat()
	case Uint:
		l.Format = p.format()
	case Float, Complex:
		l.Format = p.floatFormat()
	case String, Bytes:
		p.endOf(l)
	case Binary, Text, Raw:
		if l.Kind == Raw {
			p.checkStandalone("raw")
		}
		l.Opaque = p.goType()
		p.expect(")")
	case BackRef:
		l.Len = p.backRef()
	case Pointer:
		l.Elem = p.elem(Pointer)
	case Array: // or a slice, with the same prefix
		p.arrayOrSlice(l)
	case Map:
		p.mapOf(l)
	case Struct, Union:
		p.fieldsOf(l)
	}
}

// elem parses the only child of a composite of kind k.
func (p *parser) elem(k Kind) *Type {
	p.push(k)
	l := p.typ()
	p.pop()
	return l
}
