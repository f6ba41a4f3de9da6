package codec

import (
	"encoding"
	"maps"
	"reflect"
	"slices"

	"github.com/bsrpc/bsrpc/layout"
)

// hasBinary reports whether t encodes itself as bytes.
func hasBinary(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return t != timeType && p.Implements(binaryMarshaler) && p.Implements(binaryUnmarshaler)
}

// hasText reports whether t encodes itself as text.
func hasText(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return t != timeType && p.Implements(textMarshaler) && p.Implements(textUnmarshaler)
}

// ownEncoding says which encoding of its own t has at p: KindBinary, KindText,
// or 0 for none.
func (c *compiler) customEncoding(t reflect.Type, tag *Tag, loc location) layout.Kind {
	binary, text := hasBinary(t), hasText(t)
	if t == timeType {
		binary, text = tag.Binary, tag.Text
	}
	own := layout.Kind(0)
	switch {
	case text && tag.Text, text && !binary:
		own = layout.Text
	case binary && (tag.Binary || tag.Format == "" && !tag.List):
		own = layout.Binary
	}
	if own != 0 && !tag.Binary && !tag.Text {
		c.checkPromoted(t, loc)
		c.checkLossy(t, own, loc)
	}
	return own
}

// lossy has the types of the standard library whose own text does not keep
// their values, what it loses, and what to do.
var lossyTypes = map[string]string{
	"math/big.Float": "rounds to 64 bits; send its Text('p', 0) as a string and its Prec, or say text if that is meant",
	"regexp.Regexp":  "loses POSIX and Longest; send its String as a string, or say text if that is meant",
}

// checkKept refuses a type whose text changes values, unless a tag asks for
// it.
func (c *compiler) checkLossy(t reflect.Type, own layout.Kind, loc location) {
	if own != layout.Text {
		return
	}
	if loses := lossyText(t, nil); loses != "" {
		c.problemf(loc, "the text of %s %s", typeName(t), loses)
	}
}

// lossyText says what the text of t loses, by its own method or by that of an
// embedded field, "" for nothing. around is what t is embedded in.
func lossyText(t reflect.Type, around []reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || slices.Contains(around, t) {
		return ""
	}
	around = append(around, t)
	loses := lossyTypes[t.PkgPath()+"."+t.Name()]
	for i := 0; i < t.NumField() && loses == ""; i++ {
		if f := t.Field(i); f.Anonymous && hasCustomEncoding(f.Type) {
			loses = lossyText(f.Type, around)
		}
	}
	return loses
}

// checkKey refuses a map key whose own encoding hides what == compares: the
// key that is read would not be found by an equal one.
func (c *compiler) checkKey(t reflect.Type, loc location) {
	if loc.inKey && comparesPointers(t) {
		c.problemf(loc, "%s holds a pointer, and a map key may not; use its text as the key", typeName(t))
	}
}

// comparesPointers reports whether == of t compares addresses, or may find a
// value that it cannot compare. Those of package unique stand for values.
func comparesPointers(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Chan, reflect.UnsafePointer:
		return true
	case reflect.Array:
		return comparesPointers(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); t.PkgPath() != "unique" && f.Name != "_" && comparesPointers(f.Type) {
				return true
			}
		}
	}
	return false
}

// checkPromoted refuses a struct that gets its encoding from an embedded field: its
// other fields would not travel.
func (c *compiler) checkPromoted(t reflect.Type, loc location) {
	around := []reflect.Type{t}
	for t.Kind() == reflect.Struct {
		i := promotingField(t)
		if i < 0 {
			return
		}
		f := t.Field(i)
		if t.NumField() > 1 {
			c.problemf(loc, "%s encodes itself by the methods of its embedded field %s, without its other fields; "+
				"give the field a name, or say binary or text if the methods are its own", typeName(t), f.Name)
			return
		}
		// The embedded type may lose fields in the same way.
		if t = f.Type; t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if slices.Contains(around, t) {
			return
		}
		around = append(around, t)
	}
}

// promotingField returns the index of the embedded field of t that encodes itself, -1
// if there is none.
func promotingField(t reflect.Type) int {
	for i := range t.NumField() {
		if f := t.Field(i); f.Anonymous && hasCustomEncoding(f.Type) {
			return i
		}
	}
	return -1
}

// encodesItself reports whether a struct that embeds t has its methods.
func hasCustomEncoding(t reflect.Type) bool {
	p := t
	if t.Kind() != reflect.Pointer && t.Kind() != reflect.Interface {
		p = reflect.PointerTo(t)
	}
	return p.Implements(binaryMarshaler) && p.Implements(binaryUnmarshaler) ||
		p.Implements(textMarshaler) && p.Implements(textUnmarshaler)
}

// opaque makes the node of a type that encodes itself.
func (c *compiler) custom(n *node, kind layout.Kind, tag *Tag, loc location) {
	n.kind, n.format, n.max = kind, layout.LE4, tag.Max
	c.checkKey(n.typ, loc)
	if kind == layout.Binary {
		n.op = opBinary
		c.checkWords(tag, loc, n.typ, binaryWords)
		return
	}
	n.op, n.utf8 = opText, tag.UTF8
	c.checkWords(tag, loc, n.typ, textWords)
}

// plainOrText makes the plain form of a type that could be text too, so that
// an enum stays a number, and text where there is no plain form.
func (c *compiler) plainOrText(n *node, tag *Tag, loc location) {
	trial := compiler{nodes: maps.Clone(c.nodes), inProgress: maps.Clone(c.inProgress), root: c.root}
	trial.plain(&node{typ: n.typ, size: n.size}, &Tag{}, loc)
	if len(trial.problems) == 0 {
		c.plain(n, tag, loc)
		return
	}
	c.custom(n, layout.Text, tag, loc)
}

// time makes the node of time.Time, whose wire form is the library's.
func (c *compiler) time(n *node, tag *Tag, loc location) {
	n.op, n.kind = opTime, layout.Time
	if loc.inKey {
		c.problemf(loc, "time.Time holds a pointer, and a map key may not; use its Unix time")
	}
	c.checkWords(tag, loc, n.typ, timeWords)
}

// appendOwn calls the method of the type of v on a copy: the method may keep
// its receiver, and v may lie on a stack.
func (w *writer) marshal(n *node, v reflect.Value) (b []byte, err error) {
	own := reflect.New(n.typ)
	own.Elem().Set(v)
	w.e.UserType = n.typ
	if n.op == opBinary {
		b, err = own.Interface().(encoding.BinaryMarshaler).MarshalBinary()
	} else {
		b, err = own.Interface().(encoding.TextMarshaler).MarshalText()
	}
	w.e.UserType = nil
	return b, err
}

// ownBack reads a value by its type's own method, and v becomes a copy of it.
func (r *reader) unmarshal(n *node, v reflect.Value) *Error {
	from := r.off
	b, e := r.text(n)
	if e != nil {
		return e
	}
	if e := r.charge(int64(n.size)); e != nil {
		return e
	}
	own := reflect.New(n.typ)
	var err error
	r.d.UserType = n.typ
	if n.op == opBinary {
		err = own.Interface().(encoding.BinaryUnmarshaler).UnmarshalBinary(b)
	} else {
		err = own.Interface().(encoding.TextUnmarshaler).UnmarshalText(b)
	}
	r.d.UserType = nil
	if err != nil {
		return &Error{Offset: from, Text: methodFailed(n, "Unmarshal"), Err: err}
	}
	v.Set(own.Elem())
	return nil
}

// refused says that a type's own method returned an error, whose text may
// hold the value and is left to those who unwrap it.
func methodFailed(n *node, method string) string {
	if n.op == opBinary {
		return typeName(n.typ) + "." + method + "Binary returned an error"
	}
	return typeName(n.typ) + "." + method + "Text returned an error"
}
