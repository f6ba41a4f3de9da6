package layout

import (
	"fmt"
	"slices"

	"github.com/bsrpc/bsrpc/internal/jsontext"
)

// From JSON to bytes, in one pass without a tree of the text: a struct whose fields are in
// another order, and a map, are put in order once their bytes are complete. So the memory is that of
// the result, with a copy of one struct or map at a time, whatever the text looks like. A tree would
// take 20 to 40 times the text, at a gateway that takes text from anywhere.
//
// The layout leads: the parser reads what the layout wants next, and the text is wrong where it has
// something else. Text is therefore never skipped, and cannot nest deeper than its layout.

// Parse appends the encoding of a JSON text in the layout t to dst, and returns the extended
// slice. If there is an error, it returns dst unchanged.
//
// Text from untrusted sources is safe to parse: the memory is that of the result, and of a copy of
// the text. The time is proportional to both, but for a struct, map or list in an order of its own,
// which is moved once for each level around it.
//
// Parse is strict. These are errors: names that the layout does not have, names and keys that
// occur twice, numbers that are out of range or have a fraction where the layout has an
// integer, text that is not UTF-8, and text after the value. A field may be absent, and has
// its zero value then; only unions, bytes of a fixed size and users' types have none. A number
// for a float is rounded to the nearest.
func (o JSON) Parse(dst []byte, t *Type, text []byte) ([]byte, error) {
	p := jsonParser{s: jsontext.NewScanner(string(text)), out: dst, start: len(dst)}
	p.maxDepth, p.size = o.limits(len(text))
	err := p.value(t)
	if err == nil {
		err = p.wrong(p.s.End())
	}
	if err != nil {
		return dst, err.done()
	}
	return p.out, nil
}

// A jsonParser is the state of one Parse. As a jsonWriter it is one recursion over the layout: what
// the text nests without the layout is an error at once, whatever its depth.
type jsonParser struct {
	jsonScope
	s     *jsontext.Scanner
	out   []byte
	start int  // of the encoding in out
	size  int  // limit of the encoding
	inKey bool // a float must not be NaN or -0

	names map[*Type]map[string]int // of structs with many fields
}

// errorf returns an error at an offset of the text.
func (p *jsonParser) errorf(at int, format string, args ...any) *JSONError {
	return &JSONError{Text: fmt.Sprintf(format, args...), Offset: at}
}

// wrong returns the error of the Scanner, or nil. All errors of a Scanner are of one type.
func (p *jsonParser) wrong(err error) *JSONError {
	if e, ok := err.(*jsontext.SyntaxError); ok {
		return &JSONError{Text: e.Text, Offset: e.Offset}
	}
	return nil
}

// mismatch returns the error of a value that is of another kind than l, or of text that is no value
// at all.
func (p *jsonParser) mismatch(l *Type) *JSONError {
	kind := p.s.Kind()
	if kind == jsontext.Invalid {
		return p.wrong(p.s.Fail())
	}
	return p.misfit(p.s.Offset(), kind.String(), l)
}

// misfit returns the error of a value, which is what, that does not fit l. What is a kind or a
// property of the value, and never the value.
func (p *jsonParser) misfit(at int, what string, l *Type) *JSONError {
	return p.errorf(at, "%s; the layout has %s", what, l.describe())
}

// room returns an error if the encoding, and n more bytes, are too long. Text of a few bytes can
// stand for many only where the layout has a fixed size: by padding, and by absent fields. Those
// ask before they append.
func (p *jsonParser) room(n int) *JSONError {
	if n > p.size-(len(p.out)-p.start) {
		return tooLong(p.size, p.s.Offset())
	}
	return nil
}

// value reads the next value, in the layout l. It leaves the scopes as they were only if it
// succeeds: after an error nothing more is read.
func (p *jsonParser) value(l *Type) (err *JSONError) {
	l, before := p.resolve(l)
	kind := p.s.Kind()
	switch l.Kind {
	case Array, Slice, Map, Pointer, Struct, Union:
		if !p.enter(l) {
			return tooDeep(p.maxDepth, p.s.Offset())
		}
		switch {
		case l.Kind == Pointer:
			err = p.pointer(l)
		case kind == jsontext.Null && (l.Kind == Slice || l.Kind == Map):
			if err = p.wrong(p.s.Null()); err == nil {
				err = p.endList(l, len(p.out), 0)
			}
		case l.Kind == Map:
			err = p.pairs(l)
		case l.Kind == Array, l.Kind == Slice:
			err = p.list(l)
		case l.Kind == Struct:
			err = p.fields(l)
		default:
			err = p.member(l)
		}
		p.leave(l)
	default:
		err = p.scalar(l)
	}
	p.enclosing = before
	if err == nil {
		err = p.room(0)
	}
	return err
}

// scalar reads a value without parts. Null stands for bytes without a value, as encoding/json writes
// a nil []byte, and for nothing else here: a number that was forgotten should not become 0.
func (p *jsonParser) scalar(l *Type) *JSONError {
	at, kind := p.s.Offset(), p.s.Kind()
	switch {
	case kind == jsontext.Bool && l.Kind == Bool:
		b, err := p.s.Bool()
		p.appendBool(b)
		return p.wrong(err)
	case kind == jsontext.Number && (l.Kind == Int || l.Kind == Uint || l.Kind == Float):
		text, err := p.s.Number()
		if err != nil {
			return p.wrong(err)
		}
		return p.number(at, text, l)
	case kind == jsontext.List && l.Kind == Complex:
		return p.complex(l)
	case kind == jsontext.Null && l.Kind == Bytes && l.Format != NoFormat:
		if err := p.s.Null(); err != nil {
			return p.wrong(err)
		}
		return p.bytes(at, nil, l)
	case kind == jsontext.String && l.isScalar() && l.Kind != Bool:
		text, err := p.s.Text()
		if err != nil {
			return p.wrong(err)
		}
		return p.text(at, text, l)
	case !l.isScalar() && l.Kind != Complex:
		return p.errorf(at, "%s", l.withoutJSON())
	}
	return p.mismatch(l)
}

// each reads a list or an object up to its closing bracket, and calls read before each element, with
// its number. Read must read it; after an error the rest of the text is not looked at.
func (p *jsonParser) each(closing byte, read func(i int) *JSONError) *JSONError {
	p.s.Open()
	for i := 0; ; i++ {
		more, err := p.s.More(closing, i == 0)
		if err != nil || !more {
			return p.wrong(err)
		}
		if err := read(i); err != nil {
			return err
		}
	}
}

// tuple reads a list of exactly n elements, for l. Read gets the number of the next one.
func (p *jsonParser) tuple(n int, l *Type, read func(i int) *JSONError) *JSONError {
	if p.s.Kind() != jsontext.List {
		return p.mismatch(l)
	}
	at, count := p.s.Offset(), 0
	err := p.each(']', func(i int) *JSONError {
		if count++; count > n {
			return p.misfit(at, "a longer list", l)
		}
		return read(i)
	})
	if err == nil && count < n {
		return p.misfit(at, fmt.Sprintf("a list of %d", count), l)
	}
	return err
}

// pointer reads null or the target of a pointer. The target of a pointer to a pointer is in a
// list of one, see jsonWriter.
func (p *jsonParser) pointer(l *Type) *JSONError {
	if p.s.Kind() == jsontext.Null {
		p.out = append(p.out, 0)
		return p.wrong(p.s.Null())
	}
	p.out = append(p.out, 1)
	if p.isPointer(l.Elem) {
		return p.tuple(1, l, func(int) *JSONError { return p.value(l.Elem) })
	}
	return p.value(l.Elem)
}

// member reads a union: the number of its member is known with the name, before the value.
func (p *jsonParser) member(l *Type) *JSONError {
	if p.s.Kind() != jsontext.Object {
		return p.mismatch(l)
	}
	begin, count := p.s.Offset(), 0
	err := p.each('}', func(int) *JSONError {
		if count++; count > 1 {
			return p.misfit(begin, "an object with two members", l)
		}
		at := p.s.Offset()
		name, err := p.s.Key()
		if err != nil {
			return p.wrong(err)
		}
		i := slices.IndexFunc(l.Fields, func(f Field) bool { return f.Name == string(name) })
		if i < 0 {
			return p.errorf(at, "%s", unknownName(string(name), l))
		}
		p.out = append(p.out, byte(i+1))
		if err := p.value(l.Fields[i].Type); err != nil {
			return err.in("." + truncate(l.Fields[i].Name))
		}
		return nil
	})
	if err == nil && count == 0 {
		return p.misfit(begin, "an empty object", l)
	}
	return err
}
