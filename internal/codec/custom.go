package codec

import (
	"cmp"
	"encoding"
	"maps"
	"reflect"
	"slices"
	"strconv"

	"github.com/bsrpc/bsrpc/layout"
)

// hasBinary reports whether t implements the binary marshal methods. time.Time
// has an encoding of the library's and does not count.
func hasBinary(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return t != timeType && p.Implements(binaryMarshaler) && p.Implements(binaryUnmarshaler)
}

// hasText reports whether t implements the text marshal methods.
func hasText(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return t != timeType && p.Implements(textMarshaler) && p.Implements(textUnmarshaler)
}

// customEncoding returns the custom encoding selected by t and its tag:
// layout.Binary, layout.Text, or 0 for none. By default binary wins over text,
// and a format or list selects the plain form. Without an explicit word in the
// tag it also checks that the encoding is complete.
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

// lossyTypes lists types of the standard library with a text that loses
// information, and the advice.
var lossyTypes = map[string]string{
	"math/big.Float": "rounds to 64 bits; send its Text('p', 0) as a string and its Prec, or accept this with the tag text",
	"regexp.Regexp":  "loses POSIX and Longest; send its String as a string, or accept this with the tag text",
}

// checkLossy reports a type with a lossy text.
func (c *compiler) checkLossy(t reflect.Type, own layout.Kind, loc location) {
	if own != layout.Text {
		return
	}
	if loses := lossyText(t, nil); loses != "" {
		c.problemf(loc, "the text of %s %s", typeName(t), loses)
	}
}

// lossyText returns the entry of t in lossyTypes, or the entry of an embedded
// field with promoted methods; "" if there is none. around lists the embedding
// types.
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

// checkKey reports a map key compared by address, hidden in a custom encoding:
// a decoded key would equal no other key.
func (c *compiler) checkKey(t reflect.Type, loc location) {
	if loc.inKey && comparesPointers(t) {
		c.problemf(loc, "%s contains a pointer, and map keys must not; use its text as the key", typeName(t))
	}
}

// comparesPointers reports whether == on t compares addresses, or may panic on
// an interface. Pointers in package unique stand for values and are excepted.
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

// checkPromoted reports a struct with marshal methods promoted from an embedded
// field, directly or through further embedded structs: other fields are lost.
func (c *compiler) checkPromoted(t reflect.Type, loc location) {
	around := []reflect.Type{t}
	for t.Kind() == reflect.Struct {
		i := promotingField(t)
		if i < 0 {
			return
		}
		f := t.Field(i)
		if t.NumField() > 1 {
			c.problemf(loc, "%s is encoded by methods promoted from its embedded field %s, without its other fields; "+
				"name that field, or accept this with the tag binary or text", typeName(t), f.Name)
			return
		}
		// The embedded type may itself lose fields.
		if t = f.Type; t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if slices.Contains(around, t) {
			return
		}
		around = append(around, t)
	}
}

// promotingField returns the index of the embedded field of t with marshal
// methods, or -1.
func promotingField(t reflect.Type) int {
	for i := range t.NumField() {
		if f := t.Field(i); f.Anonymous && hasCustomEncoding(f.Type) {
			return i
		}
	}
	return -1
}

// hasCustomEncoding reports whether embedding t promotes marshal methods.
func hasCustomEncoding(t reflect.Type) bool {
	p := t
	if t.Kind() != reflect.Pointer && t.Kind() != reflect.Interface {
		p = reflect.PointerTo(t)
	}
	return p.Implements(binaryMarshaler) && p.Implements(binaryUnmarshaler) ||
		p.Implements(textMarshaler) && p.Implements(textUnmarshaler)
}

// defaultOwnMax is the max= of types with methods of their own. The time of these methods
// is not the library's: UnmarshalText of a big.Int takes seconds for 1 MiB.
const defaultOwnMax = 64 << 10

// aboveMax is the end of the text of a value longer than n.max.
func (n *node) aboveMax() string {
	text := " exceed max=" + strconv.Itoa(n.max)
	if (n.op == opBinary || n.op == opText) && n.max == defaultOwnMax {
		text += ", the default for types with methods of their own"
	}
	return text
}

// custom completes n with a custom encoding.
func (c *compiler) custom(n *node, kind layout.Kind, tag *Tag, loc location) {
	n.kind, n.format, n.max = kind, layout.LE4, cmp.Or(tag.Max, defaultOwnMax)
	c.checkKey(n.typ, loc)
	if kind == layout.Binary {
		n.op = opBinary
		c.checkWords(tag, loc, n.typ, binaryWords)
		return
	}
	n.op, n.utf8 = opText, tag.UTF8
	c.checkWords(tag, loc, n.typ, textWords)
}

// plainOrText completes a type with text methods: in its plain form, so that an
// enum remains a number, or as text if it has no plain form.
func (c *compiler) plainOrText(n *node, tag *Tag, loc location) {
	// Compile the plain form on copies of the maps: a failed attempt must leave
	// neither problems nor nodes behind.
	trial := compiler{nodes: maps.Clone(c.nodes), inProgress: maps.Clone(c.inProgress), root: c.root}
	trial.plain(&node{typ: n.typ, size: n.size}, &Tag{}, loc)
	if len(trial.problems) == 0 {
		c.plain(n, tag, loc)
		return
	}
	c.custom(n, layout.Text, tag, loc)
}

// time completes a time.Time in the library's encoding.
func (c *compiler) time(n *node, tag *Tag, loc location) {
	n.op, n.kind = opTime, layout.Time
	if loc.inKey {
		c.problemf(loc, "time.Time contains a pointer, and map keys must not; use its Unix time")
	}
	c.checkWords(tag, loc, n.typ, timeWords)
}

// marshal calls the marshal method of v's type, on a copy: the method may
// retain its receiver, and v may lie on the caller's stack. UserType identifies
// the type should the method panic.
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

// unmarshal calls the unmarshal method of n's type on a new value and copies it
// to v, for the same reason.
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
		return &Error{Offset: from, Text: methodFailed(n, "Unmarshal"), Err: causeOf(err)}
	}
	v.Set(own.Elem())
	return nil
}

// methodFailed is the text of an error from a type's own method. It does not
// contain the method's text, which may quote the value; callers may unwrap the
// error.
func methodFailed(n *node, method string) string {
	if n.op != opText {
		return typeName(n.typ) + "." + method + "Binary returned an error"
	}
	return typeName(n.typ) + "." + method + "Text returned an error"
}
