package codec

import (
	"encoding"
	"maps"
	"reflect"
)

// hasBinary reports whether t encodes itself as bytes.
func hasBinary(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return t != timeType && p.Implements(binaryAppender) && p.Implements(binaryReader)
}

// hasText reports whether t encodes itself as text.
func hasText(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return t != timeType && p.Implements(textAppender) && p.Implements(textReader)
}

// ownEncoding says which encoding of its own t has at p: KindBinary, KindText,
// or 0 for none.
func (c *compiler) ownEncoding(t reflect.Type, p *Place, s site) Kind {
	binary, text := hasBinary(t), hasText(t)
	if t == timeType {
		binary, text = p.Binary, p.Text
	}
	own := Kind(0)
	switch {
	case p.Binary && p.Text:
		c.problem(s, "binary and text; give one")
	case text && p.Text, text && !binary:
		own = KindText
	case binary && (p.Binary || p.Format == "" && !p.List):
		own = KindBinary
	}
	if own != 0 && !p.Binary && !p.Text {
		c.checkPromoted(t, s)
	}
	return own
}

// checkPromoted refuses a struct that has its encoding from an embedded
// field: its other fields would not travel.
func (c *compiler) checkPromoted(t reflect.Type, s site) {
	if t.Kind() != reflect.Struct || t.NumField() < 2 {
		return
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.Anonymous || !encodesItself(f.Type) {
			continue
		}
		c.problem(s, "%s encodes itself by the methods of its embedded field %s, without its other fields; "+
			"give the field a name, or say binary or text if the methods are its own", typeName(t), f.Name)
		return
	}
}

// encodesItself reports whether a struct that embeds t has its methods.
func encodesItself(t reflect.Type) bool {
	p := t
	if t.Kind() != reflect.Pointer && t.Kind() != reflect.Interface {
		p = reflect.PointerTo(t)
	}
	return p.Implements(binaryAppender) && p.Implements(binaryReader) ||
		p.Implements(textAppender) && p.Implements(textReader)
}

// opaque makes the node of a type that encodes itself.
func (c *compiler) opaque(n *node, kind Kind, p *Place, s site) {
	n.kind, n.form, n.max = kind, LE4, p.Max
	if kind == KindBinary {
		n.op = opBinary
		c.allow(p, s, n.typ, binaryWords)
		return
	}
	n.op, n.utf8 = opText, p.UTF8
	c.allow(p, s, n.typ, textWords)
}

// plainOrText makes the plain form of a type that could be text too, so that
// an enum stays a number, and text where there is no plain form.
func (c *compiler) plainOrText(n *node, p *Place, s site) {
	trial := compiler{nodes: maps.Clone(c.nodes), root: c.root}
	trial.plain(&node{typ: n.typ, size: n.size}, &Place{}, s)
	if len(trial.problems) == 0 {
		c.plain(n, p, s)
		return
	}
	c.opaque(n, KindText, p, s)
}

// time makes the node of time.Time, whose wire form is the library's.
func (c *compiler) time(n *node, p *Place, s site) {
	n.op, n.kind = opTime, KindTime
	if s.inKey {
		c.problem(s, "time.Time holds a pointer, and a map key may not; use its Unix time")
	}
	c.allow(p, s, n.typ, timeWords)
}

// appendOwn calls the type's own method. v is addressable.
func appendOwn(n *node, v reflect.Value) ([]byte, error) {
	if n.op == opBinary {
		return v.Addr().Interface().(encoding.BinaryMarshaler).MarshalBinary()
	}
	return v.Addr().Interface().(encoding.TextMarshaler).MarshalText()
}

// readOwn calls the type's own method. v is addressable.
func readOwn(n *node, v reflect.Value, b []byte) error {
	if n.op == opBinary {
		return v.Addr().Interface().(encoding.BinaryUnmarshaler).UnmarshalBinary(b)
	}
	return v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText(b)
}
