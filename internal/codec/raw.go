package codec

// Values with the word raw: bytes of the type's own, without a length before them. Its
// methods decide how many there are. They are users' code: whatever they do ends in a
// value or an error.

import (
	"encoding"
	"errors"
	"io"
	"reflect"

	"github.com/bsrpc/bsrpc/internal/plural"
	"github.com/bsrpc/bsrpc/layout"
)

// A rawDecoder decodes the value at the start of data and returns the number of its
// bytes. An error that matches io.ErrUnexpectedEOF means that data ends within it.
type rawDecoder interface {
	DecodeBinary(data []byte) (n int, err error)
}

// The methods of a type with the word raw.
const (
	appendMethod = "AppendBinary(b []byte) ([]byte, error)"
	decodeMethod = "DecodeBinary(data []byte) (n int, err error)"
)

// rawOrInside completes n, the node of a type with the word raw: by its methods, or by
// those of what it points to or is an array of.
func (c *compiler) rawOrInside(n *node, tag *Tag, loc location) {
	p := reflect.PointerTo(n.typ)
	appends, decodes := p.Implements(binaryAppender), p.Implements(binaryDecoder)
	switch k := n.typ.Kind(); {
	case appends && decodes:
		n.op, n.kind = opRaw, layout.Raw
		c.onlyStandalone(loc, "raw")
		c.checkKey(n.typ, loc)
		c.checkWords(tag, loc, n.typ, rawWords)
	case !appends && !decodes && (k == reflect.Pointer || k == reflect.Array):
		c.plain(n, tag, loc)
	default:
		lacks := appendMethod
		if appends {
			lacks = decodeMethod
		} else if !decodes {
			lacks += " and " + decodeMethod
		}
		c.problemf(loc, "raw is for types with methods for their own bytes; %s lacks %s", typeName(n.typ), lacks)
	}
}

// isNothing reports whether values have neither memory nor bytes: struct{} and [0]T.
// Those with raw may have bytes without memory. The children are finished.
func (n *node) isNothing() bool {
	switch n.op {
	case opStruct:
		return n.size == 0 && len(n.steps) == 0
	case opArray:
		return n.length == 0 || n.elem.isNothing()
	}
	return false
}

// raw appends a value by its method, called on a copy as in marshal. What the method
// makes of the slice passed to it changes no byte of the encoding so far.
func (w *writer) raw(buf []byte, n *node, v reflect.Value) ([]byte, *Error) {
	own := reflect.New(n.typ)
	own.Elem().Set(v)
	b, err := n.appendRaw(own.Interface().(encoding.BinaryAppender), buf[len(buf):])
	if err != nil {
		return buf, &Error{Offset: -1, Text: rawFailed(n, "Append", err), Err: err}
	}
	if err := w.checkRoom(buf, len(b)); err != nil {
		return buf, err
	}
	return append(buf, b...), nil
}

// raw reads a value by its method, called on a new value as in unmarshal. The method sees
// the rest of the message, or of the list around it.
func (r *reader) raw(n *node, v reflect.Value) *Error {
	if err := r.charge(int64(n.size)); err != nil {
		return err
	}
	for {
		own := reflect.New(n.typ)
		rest := r.data[r.off:len(r.data):len(r.data)]
		size, err := n.decodeRaw(own.Interface().(rawDecoder), rest)
		switch _, panicked := err.(*panicError); {
		case err == nil && (size < 0 || size > len(rest)):
			return r.errorf("%s.DecodeBinary returned %d for %s", typeName(n.typ), size, plural.Of(len(rest), "byte"))
		case err == nil:
			r.off += size
			v.Set(own.Elem())
			return nil
		case panicked || !errors.Is(err, io.ErrUnexpectedEOF):
			return &Error{Offset: r.off, Text: rawFailed(n, "Decode", err), Err: err}
		case !r.more(uint64(len(rest)) + 1):
			e := r.short(uint64(len(rest))+1, &Error{Offset: r.off, Text: rawFailed(n, "Decode", err)})
			e.Err = err
			return e
		}
	}
}

// appendRaw calls AppendBinary. A panic becomes its error.
func (n *node) appendRaw(v encoding.BinaryAppender, to []byte) (b []byte, err error) {
	defer n.recovered("Append", &err)
	return v.AppendBinary(to)
}

// decodeRaw calls DecodeBinary. A panic becomes its error.
func (n *node) decodeRaw(v rawDecoder, data []byte) (size int, err error) {
	defer n.recovered("Decode", &err)
	return v.DecodeBinary(data)
}

// recovered, deferred, makes a panic of a method the error *err.
func (n *node) recovered(method string, err *error) {
	if p := recover(); p != nil {
		*err = &panicError{typeName(n.typ) + "." + method + "Binary", p}
	}
	if *err != nil {
		*err = causeOf(*err)
	}
}

// rawFailed is the text of an error from a type's own method.
func rawFailed(n *node, method string, err error) string {
	if p, ok := err.(*panicError); ok {
		return p.Error()
	}
	return methodFailed(n, method)
}
