package codec

import "strconv"

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

// Bounds of what is printed and parsed. A method whose text is longer or
// deeper cannot be told to the other end, so it cannot be registered.
const (
	MaxLayoutText  = 64 << 10 // bytes of a text
	MaxLayoutDepth = 128      // structs, slices, arrays, maps and pointers inside of each other
)

// kindWords are how the texts of the kinds begin. No word but the bracket, which
// arrays and slices share, begins with another.
var kindWords = [...]string{
	KindBool:     "bool",
	KindInt:      "int.",
	KindUint:     "uint.",
	KindFloat:    "float.",
	KindComplex:  "complex.",
	KindString:   "string.",
	KindBytes:    "bytes.",
	KindTime:     "time",
	KindDuration: "duration",
	KindArray:    "[",
	KindSlice:    "[",
	KindMap:      "map[",
	KindPointer:  "*",
	KindStruct:   "{",
	KindBinary:   "binary(",
	KindText:     "text(",
	KindBack:     "^",
}

var formatNames = [...]string{
	LE1: "le1", LE2: "le2", LE4: "le4", LE8: "le8", BE2: "be2", BE4: "be4", BE8: "be8", Varint: "varint",
}

// String returns the format as tags and layouts write it.
func (f Format) String() string { return formatNames[f] }

// String returns the canonical text of l. A text above MaxLayoutText, which
// a tree that shares nodes may reach quickly, is broken off somewhere above it.
func (l *Layout) String() string { return string(l.appendText(nil)) }

// ParseLayout reads the canonical text of a layout, and nothing else: what it
// accepts prints as the same text. Errors say at which byte.
func ParseLayout(text string) (*Layout, error) {
	p := newParser(text)
	l := p.layout()
	if err := p.end(); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *Layout) appendText(b []byte) []byte {
	if len(b) > MaxLayoutText {
		return b
	}
	b = append(b, kindWords[l.Kind]...)
	switch l.Kind {
	case KindInt, KindUint, KindFloat, KindComplex:
		return append(b, l.Format.String()...)
	case KindString, KindBytes:
		if l.Format == FormatNone {
			return strconv.AppendInt(b, int64(l.Len), 10)
		}
		return append(b, l.Format.String()...)
	case KindBinary, KindText:
		return append(append(b, l.Opaque...), ')')
	case KindBack:
		return strconv.AppendInt(b, int64(l.Len), 10)
	case KindPointer:
		return l.Elem.appendText(b)
	case KindArray:
		b = append(strconv.AppendInt(b, int64(l.Len), 10), ']')
		return l.Elem.appendText(b)
	case KindSlice:
		b = append(append(b, l.prefixes()...), ']')
		return l.Elem.appendText(b)
	case KindMap:
		return l.appendMap(b)
	case KindStruct:
		return l.appendStruct(b)
	}
	return b
}

// layout reads any type.
func (p *parser) layout() *Layout {
	for kind, word := range kindWords {
		if word == "" || !p.take(word) {
			continue
		}
		l := &Layout{Kind: Kind(kind)}
		p.afterWord(l)
		return l
	}
	p.expected("a type")
	return nil
}

// afterWord reads what follows the word of l's kind.
func (p *parser) afterWord(l *Layout) {
	switch l.Kind {
	case KindInt, KindUint:
		l.Format = p.format()
	case KindFloat, KindComplex:
		l.Format = p.floatFormat()
	case KindString, KindBytes:
		if p.atDigit() {
			l.Len = p.number()
		} else {
			l.Format = p.format()
		}
	case KindBinary, KindText:
		l.Opaque = p.goType()
		p.want(")")
	case KindBack:
		l.Len = p.back()
	case KindPointer:
		l.Elem = p.inside(KindPointer)
	case KindArray: // or the slice that begins alike
		p.arrayOrSlice(l)
	case KindMap:
		p.mapOf(l)
	case KindStruct:
		p.structOf(l)
	}
}

// inside reads the type inside of a composite that has no other.
func (p *parser) inside(k Kind) *Layout {
	p.enter(k)
	l := p.layout()
	p.leave()
	return l
}

// prefixes returns the formats of what stands before the elements, nothing
// for the default.
func (l *Layout) prefixes() string {
	switch {
	case l.Bytes == FormatNone:
		return l.Format.String()
	case l.Bytes == LE4 && l.Format == LE4:
		return ""
	}
	return l.Bytes.String() + " " + l.Format.String()
}

// setPrefixes is given the formats as written, FormatNone for those left out.
func (p *parser) setPrefixes(l *Layout, first, second Format) {
	switch {
	case first == FormatNone:
		l.Bytes, l.Format = LE4, LE4
	case second == FormatNone:
		l.Format = first
	case first == LE4 && second == LE4:
		p.fail(`"le4 le4" is the default and not written`)
	default:
		l.Bytes, l.Format = first, second
	}
}

func (p *parser) arrayOrSlice(l *Layout) {
	if p.atDigit() {
		l.Len = p.number()
	} else {
		l.Kind = KindSlice
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

func (l *Layout) appendMap(b []byte) []byte {
	if prefixes := l.prefixes(); prefixes != "" {
		b = append(append(b, prefixes...), ' ')
	}
	b = append(l.Key.appendText(b), ']')
	return l.Elem.appendText(b)
}

func (p *parser) mapOf(l *Layout) {
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
	p.enter(KindMap)
	l.Key = p.layout()
	p.want("]")
	l.Elem = p.layout()
	p.leave()
}

func (l *Layout) appendStruct(b []byte) []byte {
	for i, f := range l.Fields {
		if len(b) > MaxLayoutText {
			return b
		}
		if i > 0 {
			b = append(b, "; "...)
		}
		b = append(append(b, f.Name...), ' ')
		b = f.Layout.appendText(b)
	}
	return append(b, '}')
}

func (p *parser) structOf(l *Layout) {
	if p.take("}") {
		return
	}
	p.enter(KindStruct)
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
		if k == KindSlice || k == KindMap || k == KindPointer {
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
	return FormatNone
}
