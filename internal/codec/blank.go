package codec

// Blank fields of structs: constants and padding. They have bytes on the wire, but no
// value in memory.

import (
	"reflect"
	"strconv"
	"strings"

	"github.com/bsrpc/bsrpc/layout"
)

// A constant is the only value of a blank field.
type constant struct {
	text  string // in decimal
	bytes []byte // encoded
}

// blank returns the node of a blank field with the tag pad or const=.
func (c *compiler) blank(t reflect.Type, tag *Tag, loc location) *node {
	n := &node{op: opBlank, kind: layout.Pad, typ: t, size: t.Size()}
	if !tag.Pad {
		c.constant(n, tag, loc)
		return n
	}
	c.onlyStandalone(loc, "pad")
	n.length = padSize(t)
	// In a key, noise would change the order of the pairs, and equal keys would be read.
	switch {
	case n.length == 0:
		c.problemf(loc, "%s does not take \"pad\"; pad takes numbers of a fixed size, and arrays of them, such as [3]byte", typeName(t))
	case loc.inKey:
		c.problemf(loc, "map keys must not contain padding: their order depends on their bytes")
	}
	return n
}

// A blank field is no part of the memory of a value for either executor: index -1 and
// offset 0 stand for the struct itself.

// padSize returns the size of a number or an array of numbers, 0 for other types: those
// of other sizes on other platforms, too.
func padSize(t reflect.Type) int {
	switch t.Kind() {
	case reflect.Array:
		return mulSaturated(t.Len(), padSize(t.Elem()))
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64,
		reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		return int(t.Size())
	}
	return 0
}

// A constant has a number as a value, and its bytes are computed once. They are all that
// the executors need.

// constant completes n, the node of a blank field with const=.
func (c *compiler) constant(n *node, tag *Tag, loc location) {
	number := *tag
	number.Const = ""
	// An int has 64 bits on the wire, on every platform. Other types have the range of
	// their own, even if the format has more.
	bits := 64
	if k := n.typ.Kind(); k != reflect.Int && k != reflect.Uint {
		bits = int(8 * n.size)
	}
	switch k := n.typ.Kind(); {
	case n.typ == durationType, k < reflect.Int, k > reflect.Uint64:
		c.problemf(loc, "%s does not take \"const=\"; a constant is an integer, such as uint32 with be4 for four letters", typeName(n.typ))
		return
	case k <= reflect.Int64:
		n.kind, n.op = layout.Int, opInt
	default:
		n.kind, n.op = layout.Uint, opUint
	}
	before := len(c.problems)
	c.integer(n, &number, loc)
	n.op = opBlank
	if len(c.problems) > before {
		return
	}
	if width := widthOf(n.format); width > 0 {
		bits = min(bits, 8*width)
	}
	if n.only = newConstant(tag.Const, n.kind, n.format, bits); n.only == nil {
		c.problemf(loc, "const=%s does not fit in %v of %s", tag.Const, n.format, typeName(n.typ))
	}
}

// newConstant returns the constant of a decimal text, nil if it is not in the range of
// an integer of that kind and number of bits.
func newConstant(text string, kind layout.Kind, f layout.Format, bits int) *constant {
	u, err := strconv.ParseUint(text, 10, bits)
	// Signed numbers are in two's complement, except for the varint.
	if kind == layout.Int {
		var i int64
		i, err = strconv.ParseInt(text, 10, bits)
		if u = uint64(i); f == layout.Varint {
			u = zigzag(i)
		}
	}
	if err != nil {
		return nil
	}
	return &constant{text, appendUint(nil, u, f)}
}

// Text of tags is canonical, so that equal tags share a node: a number is kept in decimal.

// parseInteger parses a decimal or hexadecimal integer and returns it in decimal.
func parseInteger(text string) (decimal string, ok bool) {
	digits, negative := strings.CutPrefix(text, "-")
	base := 10
	if hex, ok := strings.CutPrefix(digits, "0x"); ok {
		digits, base = hex, 16
	} else if len(digits) > 1 && digits[0] == '0' { // may be meant as octal
		return "", false
	}
	u, err := strconv.ParseUint(digits, base, 64)
	if err != nil || negative && u > 1<<63 {
		return "", false
	}
	return stringIf(negative && u > 0, "-") + strconv.FormatUint(u, 10), true
}

// blankAs returns the node of a blank field in the layout l, which a struct without that
// field has, too: its bytes do not depend on the value.
func blankAs(l *layout.Type) *node {
	n := &node{op: opBlank, kind: l.Kind, typ: reflect.TypeFor[struct{}](), format: l.Format, length: l.Len}
	if l.Kind != layout.Pad {
		n.only = newConstant(l.Const, l.Kind, l.Format, 64)
	}
	return n
}

// blankSize returns the size of a blank field.
func (n *node) blankSize() int {
	if n.only != nil {
		return len(n.only.bytes)
	}
	return min(n.length, maxMinSize)
}

// blank appends a constant, or zeros.
func (w *writer) blank(buf []byte, n *node) ([]byte, *Error) {
	if n.only != nil {
		return append(buf, n.only.bytes...), nil
	}
	if err := w.checkRoom(buf, n.length); err != nil {
		return buf, err
	}
	return append(buf, make([]byte, n.length)...), nil
}

// blank reads a constant, or any bytes of padding.
func (r *reader) blank(n *node) *Error {
	from := r.off
	b, err := r.next(n.blankSize())
	// The bytes are compared: the encoding of a number is unique.
	if err == nil && n.only != nil && string(b) != string(n.only.bytes) {
		r.off = from
		return r.errorf("want the constant %s, which is % x", n.only.text, n.only.bytes)
	}
	return err
}
