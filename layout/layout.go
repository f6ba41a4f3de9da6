// Package layout describes the bytes of bsrpc values without Go types.
//
// A [Type] is the layout of one value, a [Method] that of a method's parameters
// and results. Both are trees with a canonical text:
//
//	Shop.PlaceOrder({ID int.le8; Price int.le4}) bool
//
// A server and its clients derive these texts from their own Go types and compare
// them, by hash, when a client binds a contract. [Parse] and [ParseMethod] read a
// text back, and [Diff] lists what two methods disagree on. The grammar is in
// docs/protocol.md of the module.
//
// Values of this package are immutable once made, and safe for concurrent use.
package layout

import "strconv"

// A Type is the layout of one value: a tree of formats with field names. Its
// canonical text, [Type.String], is the same on every platform, and [Parse] reads
// it back.
type Type struct {
	Kind   Kind
	Format Format  // of a number; of the length of a String or Bytes; of the count of a Slice or Map
	Bytes  Format  // Slice, Map: of the byte length before the count; NoFormat if there is only a count
	Len    int     // Array: elements; String, Bytes: exact bytes if Format is NoFormat; Back: how far outwards
	Elem   *Type   // Array, Slice, Map, Pointer
	Key    *Type   // Map
	Fields []Field // Struct
	Opaque string  // Binary, Text: the Go type whose own encoding it is
	GoType string  // the name of the Go type, for messages only: not part of the text
}

// A Field is one field of a struct's layout.
type Field struct {
	Name string
	Type *Type
}

// A Kind is the kind of value that a Type describes.
type Kind uint8

// The kinds of layouts.
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
	Back // one of the composites around it, counted outwards
)

// A Format is how a number is laid out in bytes.
type Format uint8

// The formats of numbers. BE1 does not exist as a layout: it is written le1.
const (
	NoFormat Format = iota
	LE1
	LE2
	LE4
	LE8
	BE2
	BE4
	BE8
	Varint
)

// Bounds of what is printed and parsed. A method whose text is longer or
// deeper cannot be told to the other end, so it cannot be registered.
const (
	MaxText  = 64 << 10 // bytes of a text
	MaxDepth = 128      // structs, slices, arrays, maps and pointers inside of each other
)

// kindWords are how the texts of the kinds begin. No word but the bracket, which
// arrays and slices share, begins with another.
var kindWords = [...]string{
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
	Back:     "^",
}

var formatNames = [...]string{
	LE1: "le1", LE2: "le2", LE4: "le4", LE8: "le8", BE2: "be2", BE4: "be4", BE8: "be8", Varint: "varint",
}

// String returns the format as tags and layouts write it.
func (f Format) String() string { return formatNames[f] }

// String returns the canonical text of l. A text above MaxText, which
// a tree that shares nodes may reach quickly, is broken off somewhere above it.
func (l *Type) String() string { return string(l.appendText(nil)) }

// Parse reads the canonical text of a layout, and nothing else: what it
// accepts prints as the same text. Errors say at which byte.
func Parse(text string) (*Type, error) {
	p := newParser(text)
	l := p.layout()
	if err := p.end(); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *Type) appendText(b []byte) []byte {
	if len(b) > MaxText {
		return b
	}
	b = append(b, kindWords[l.Kind]...)
	switch l.Kind {
	case Int, Uint, Float, Complex:
		return append(b, l.Format.String()...)
	case String, Bytes:
		if l.Format == NoFormat {
			return strconv.AppendInt(b, int64(l.Len), 10)
		}
		return append(b, l.Format.String()...)
	case Binary, Text:
		return append(append(b, l.Opaque...), ')')
	case Back:
		return strconv.AppendInt(b, int64(l.Len), 10)
	case Pointer:
		return l.Elem.appendText(b)
	case Array:
		b = append(strconv.AppendInt(b, int64(l.Len), 10), ']')
		return l.Elem.appendText(b)
	case Slice:
		b = append(append(b, l.prefixes()...), ']')
		return l.Elem.appendText(b)
	case Map:
		return l.appendMap(b)
	case Struct:
		return l.appendStruct(b)
	}
	return b
}

// layout reads any type.
func (p *parser) layout() *Type {
	for kind, word := range kindWords {
		if word == "" || !p.take(word) {
			continue
		}
		l := &Type{Kind: Kind(kind)}
		p.afterWord(l)
		return l
	}
	p.expected("a type")
	return nil
}

// afterWord reads what follows the word of l's kind.
func (p *parser) afterWord(l *Type) {
	switch l.Kind {
	case Int, Uint:
		l.Format = p.format()
	case Float, Complex:
		l.Format = p.floatFormat()
	case String, Bytes:
		if p.atDigit() {
			l.Len = p.number()
		} else {
			l.Format = p.format()
		}
	case Binary, Text:
		l.Opaque = p.goType()
		p.want(")")
	case Back:
		l.Len = p.back()
	case Pointer:
		l.Elem = p.inside(Pointer)
	case Array: // or the slice that begins alike
		p.arrayOrSlice(l)
	case Map:
		p.mapOf(l)
	case Struct:
		p.structOf(l)
	}
}

// inside reads the type inside of a composite that has no other.
func (p *parser) inside(k Kind) *Type {
	p.enter(k)
	l := p.layout()
	p.leave()
	return l
}

// prefixes returns the formats of what stands before the elements, nothing
// for the default.
func (l *Type) prefixes() string {
	switch {
	case l.Bytes == NoFormat:
		return l.Format.String()
	case l.Bytes == LE4 && l.Format == LE4:
		return ""
	}
	return l.Bytes.String() + " " + l.Format.String()
}

// setPrefixes is given the formats as written, NoFormat for those left out.
func (p *parser) setPrefixes(l *Type, first, second Format) {
	switch {
	case first == NoFormat:
		l.Bytes, l.Format = LE4, LE4
	case second == NoFormat:
		l.Format = first
	case first == LE4 && second == LE4:
		p.fail(`"le4 le4" is the default and not written`)
	default:
		l.Bytes, l.Format = first, second
	}
}

func (p *parser) arrayOrSlice(l *Type) {
	if p.atDigit() {
		l.Len = p.number()
	} else {
		l.Kind = Slice
		var first, second Format
		if !p.at("]") {
			first = p.format()
			if p.take(" ") {
				second = p.format()
			}
		}
		p.setPrefixes(l, first, second)
	}
	p.want("]")
	l.Elem = p.inside(l.Kind)
}

func (l *Type) appendMap(b []byte) []byte {
	if prefixes := l.prefixes(); prefixes != "" {
		b = append(append(b, prefixes...), ' ')
	}
	b = append(l.Key.appendText(b), ']')
	return l.Elem.appendText(b)
}

func (p *parser) mapOf(l *Type) {
	var formats [2]Format
	for i := range formats {
		f, ok := p.takeFormat()
		if !ok {
			break
		}
		formats[i] = f
		p.want(" ")
	}
	p.setPrefixes(l, formats[0], formats[1])
	p.enter(Map)
	l.Key = p.layout()
	p.want("]")
	l.Elem = p.layout()
	p.leave()
}

func (l *Type) appendStruct(b []byte) []byte {
	for i, f := range l.Fields {
		if len(b) > MaxText {
			return b
		}
		if i > 0 {
			b = append(b, "; "...)
		}
		b = append(append(b, f.Name...), ' ')
		b = f.Type.appendText(b)
	}
	return append(b, '}')
}

func (p *parser) structOf(l *Type) {
	if p.take("}") {
		return
	}
	p.enter(Struct)
	seen := make(map[string]bool)
	for more := true; more; more = p.take("; ") {
		name := p.name()
		if seen[name] {
			p.fail("a second field named %q before this", shorten(name))
		}
		seen[name] = true
		p.want(" ")
		l.Fields = append(l.Fields, Field{name, p.layout()})
	}
	p.want("}")
	p.leave()
}

// back reads how far outwards a ^ points. It must find a composite there, and
// pass one that can be empty on the way: without one the type has no end.
func (p *parser) back() int {
	n := p.number()
	if n < 1 || n > len(p.around) {
		p.fail("^%d points outside: %d types are around it", n, len(p.around))
		return n
	}
	for _, k := range p.around[len(p.around)-n:] {
		if k == Slice || k == Map || k == Pointer {
			return n
		}
	}
	p.fail("^%d makes a value without end", n)
	return n
}

func (p *parser) floatFormat() Format {
	before := p.rest
	switch f := p.format(); f {
	case LE4, LE8, BE4, BE8:
		return f
	}
	p.rest = before
	p.expected("the format of a float: le4, le8, be4 or be8")
	return NoFormat
}
