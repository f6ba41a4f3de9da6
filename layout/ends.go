package layout

// The ends of strings and bytes: a length in front of them, a fixed length, a byte after
// them, or the end of the message. The last two are not in the text of a method.

import (
	"slices"
	"strconv"
)

// appendEnd appends what tells where a String or Bytes ends.
func (l *Type) appendEnd(b []byte) []byte {
	if l.Format != NoFormat {
		b = append(b, l.Format.String()...)
	}
	switch l.Format {
	case Until:
		b = append(b, '=')
		fallthrough
	case NoFormat:
		b = strconv.AppendInt(b, int64(l.Len), 10)
	}
	return b
}

// endOf parses the rest of a String or Bytes. It is the inverse of appendEnd.
func (p *parser) endOf(l *Type) {
	switch {
	case p.peekDigit():
		l.Len = p.number()
	case p.accept("until="):
		p.checkStandalone("until=")
		before := p.rest
		if l.Format, l.Len = Until, p.number(); l.Len > 255 {
			p.rest = before
			p.errorExpected("a byte, 0 to 255")
		}
	case p.accept(Rest.String()):
		p.checkStandalone("rest")
		l.Format = Rest
	default:
		l.Format = p.format()
	}
}

// A restChecker requires that Rest comes last: at the end of the text's type, or of the
// last field of a struct there. Nothing could be read behind it. A member of a union has
// the place of the union, and the target of a pointer that of the pointer.
type restChecker struct {
	p         *parser
	enclosing []*Type
}

// visit checks l. last reports whether nothing follows it.
func (c *restChecker) visit(l *Type, last bool) {
	switch {
	case l == nil:
		return
	case l.Kind == BackRef:
		// The target is checked where it stands, but for this place only here.
		if target := c.enclosing[len(c.enclosing)-l.Len]; !last && goesOn(target) {
			c.p.errorf("a type with rest is not at the end of the message")
		}
		return
	case l.Format == Rest && !last:
		c.p.errorf("rest is not at the end of the message")
	}
	c.enclosing = append(c.enclosing, l)
	c.visit(l.Key, false)
	c.visit(l.Elem, last && l.Kind == Pointer)
	for i, f := range l.Fields {
		c.visit(f.Type, last && (l.Kind == Union || i == len(l.Fields)-1))
	}
	c.enclosing = c.enclosing[:len(c.enclosing)-1]
}

// goesOn reports whether values of l may go on to the end of the message. It follows what
// comes last in l, up to a back reference: the caller has begun at its target, or around it.
func goesOn(l *Type) bool {
	for {
		switch {
		case l.Format == Rest:
			return true
		case l.Kind == Pointer:
			l = l.Elem
		case l.Kind == Union:
			return slices.ContainsFunc(l.Fields, func(f Field) bool { return goesOn(f.Type) })
		case l.Kind == Struct && len(l.Fields) > 0:
			l = l.Fields[len(l.Fields)-1].Type
		default:
			return false
		}
	}
}
