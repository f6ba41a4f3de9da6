package layout

import (
	"bytes"
	"slices"

	"github.com/bsrpc/bsrpc/internal/jsontext"
)

// Structs of JSON: the names come in any order, and some not at all. The bytes have the order of the
// layout, and constants in between, so the fields are appended as they come, and moved once.
//
// An absent field is zero, as in protobuf and in Go: people who call a method by hand name the fields
// they mean. A misspelt name cannot hide so, as unknown names are errors.

// A jsonSegment is the place of a field in the output.
type jsonSegment struct {
	from, end int
	present   bool
}

// fields reads a struct.
func (p *jsonParser) fields(l *Type) *JSONError {
	if p.s.Kind() != jsontext.Object {
		return p.mismatch(l)
	}
	begin, from := p.s.Offset(), len(p.out)
	found := make([]jsonSegment, len(l.Fields))
	next, ordered := 0, true // in the order of the layout so far, without gaps
	err := p.each('}', func(int) *JSONError {
		at := p.s.Offset()
		name, err := p.s.Key()
		if err != nil {
			return p.wrong(err)
		}
		i := p.field(l, next, string(name))
		if i < 0 {
			return p.errorf(at, "%s", unknownName(string(name), l))
		}
		step := "." + truncate(l.Fields[i].Name)
		if found[i].present {
			return p.errorf(at, "occurs twice").in(step)
		}
		ordered, next = ordered && i == next, i+1
		found[i] = jsonSegment{from: len(p.out), present: true}
		if err := p.value(l.Fields[i].Type); err != nil {
			return err.in(step)
		}
		found[i].end = len(p.out)
		return nil
	})
	if err != nil || ordered && next == len(l.Fields) {
		return err
	}
	return p.order(begin, from, l, found)
}

// manyFields is how many fields of a struct are searched one by one. A map of fewer costs more
// than it saves.
const manyFields = 16

// field returns the number of the field of l with a name, probably the one at next; -1 if
// there is none. A map is made once per type, and only if it pays: with 10,000 fields in another
// order, a search one by one would compare 50 million names for each struct.
func (p *jsonParser) field(l *Type, next int, name string) int {
	if name == blankName {
		return -1
	}
	if next < len(l.Fields) && l.Fields[next].Name == name {
		return next
	}
	if len(l.Fields) <= manyFields {
		return slices.IndexFunc(l.Fields, func(f Field) bool { return f.Name == name })
	}
	names, ok := p.names[l]
	if !ok {
		names = make(map[string]int, len(l.Fields))
		for i, f := range l.Fields {
			names[f.Name] = i
		}
		if p.names == nil {
			p.names = make(map[*Type]map[string]int)
		}
		p.names[l] = names
	}
	if i, ok := names[name]; ok {
		return i
	}
	return -1
}

// order puts the fields of l, whose bytes begin at begin, in the order of the layout, with
// zero values for those that are absent. A struct whose fields are all there in this order is
// complete without it.
func (p *jsonParser) order(at, begin int, l *Type, found []jsonSegment) *JSONError {
	old := slices.Clone(p.out[begin:])
	p.out = p.out[:begin]
	for i, f := range l.Fields {
		if found[i].present {
			p.out = append(p.out, old[found[i].from-begin:found[i].end-begin]...)
		} else if err := p.zero(at, f.Type); err != nil {
			return err.in("." + truncate(f.Name))
		}
	}
	return nil
}

// zero appends the zero value of l: that of Go, and so what a Go program reads for the field of a
// peer that lacks it. A pointer, slice or map ends the recursion of a type.
func (p *jsonParser) zero(at int, l *Type) *JSONError {
	l, before := p.resolve(l)
	defer func() { p.enclosing = before }()
	switch l.Kind {
	case Bool, Pointer:
		p.out = append(p.out, 0)
	case Int, Uint:
		if l.Const != "" {
			p.out = append(p.out, l.constBytes()...)
			break
		}
		p.out = appendUint(p.out, 0, l.Format)
	case Float:
		p.out = appendUint(p.out, 0, l.Format)
	case Complex:
		p.out = appendUint(appendUint(p.out, 0, l.Format), 0, l.Format)
	case Time:
		const year1 = -62135596800 // time.Time{}
		p.out = appendUint(appendUint(p.out, 1<<64+year1, LE8), 0, LE4)
	case Duration:
		p.out = appendUint(p.out, 0, LE8)
	case String:
		return p.bytes(at, nil, l)
	case Bytes:
		if l.Format == NoFormat && l.Len > 0 {
			return p.absent(at, l)
		}
		return p.bytes(at, nil, l)
	case Slice, Map:
		return p.endList(l, len(p.out), 0)
	case Array, Struct:
		return p.zeroParts(at, l)
	case Pad:
		if err := p.room(l.Len); err != nil {
			return err
		}
		p.out = append(p.out, make([]byte, l.Len)...)
	default:
		return p.absent(at, l)
	}
	return p.room(0)
}

// absent returns the error of an absent value that is never zero: no member of a union is set by
// itself, and only a Go type with methods of its own knows the bytes of its zero value.
func (p *jsonParser) absent(at int, l *Type) *JSONError {
	return p.misfit(at, "absent, and without a zero value", l)
}

// zeroParts is zero for an array or a struct. The first element of an array tells the bytes of all
// others, which may be two billion: they are counted before they are made.
func (p *jsonParser) zeroParts(at int, l *Type) *JSONError {
	p.enclosing = append(p.enclosing, l)
	defer func() { p.enclosing = p.enclosing[:len(p.enclosing)-1] }()
	for _, f := range l.Fields {
		if err := p.zero(at, f.Type); err != nil {
			return err.in("." + truncate(f.Name))
		}
	}
	if l.Kind == Struct || l.Len == 0 {
		return nil
	}
	before := len(p.out)
	if err := p.zero(at, l.Elem); err != nil {
		return err.in("[0]")
	}
	// All other elements have the same bytes.
	if size := len(p.out) - before; size > 0 {
		if (l.Len - 1) > (p.size-(len(p.out)-p.start))/size {
			return tooLong(p.size, at)
		}
		p.out = append(p.out, bytes.Repeat(p.out[before:], l.Len-1)...)
	}
	return nil
}
