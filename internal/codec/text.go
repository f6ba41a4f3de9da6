package codec

// Strings, bytes and the encodings of types' own: a length and bytes.

import (
	"bytes"
	"strings"

	"github.com/bsrpc/bsrpc/layout"
)

// prefix appends the length of a string or bytes, after all checks.
func (w *writer) prefix(buf []byte, n *node, size int) ([]byte, *Error) {
	switch {
	case n.max > 0 && size > n.max:
		return buf, refuse("%s exceed max=%d", amount(size, "byte"), n.max)
	case !fitsUint(uint64(size), n.form):
		return buf, refuse("%s do not fit in a length of %s", amount(size, "byte"), amount(widthOf(n.form), "byte"))
	}
	if err := w.room(buf, size+leastOf(n.form)); err != nil {
		return buf, err
	}
	return appendUint(buf, uint64(size), n.form), nil
}

// string appends a string.
func (w *writer) string(buf []byte, n *node, s string) ([]byte, *Error) {
	if notUTF8(n, w.e.Lenient, s) {
		return buf, refuse("not UTF-8")
	}
	if n.form == layout.NoFormat {
		return w.padded(buf, n.n, s)
	}
	buf, err := w.prefix(buf, n, len(s))
	if err != nil {
		return buf, err
	}
	return append(buf, s...), nil
}

// padded appends a string of a fixed size, filled up with zeros.
func (w *writer) padded(buf []byte, size int, s string) ([]byte, *Error) {
	switch {
	case len(s) > size:
		return buf, refuse("%s, and fixed=%d", amount(len(s), "byte"), size)
	case strings.HasSuffix(s, "\x00"):
		return buf, refuse("ends in a zero byte, which fixed=%d cannot tell from padding", size)
	}
	if err := w.room(buf, size); err != nil {
		return buf, err
	}
	buf = append(buf, s...)
	return append(buf, make([]byte, size-len(s))...), nil
}

// blob appends bytes.
func (w *writer) blob(buf []byte, n *node, b []byte) ([]byte, *Error) {
	if n.form == layout.NoFormat {
		if len(b) != n.n {
			return buf, refuse("%s, and fixed=%d", amount(len(b), "byte"), n.n)
		}
		if err := w.room(buf, len(b)); err != nil {
			return buf, err
		}
		return w.memory(buf, b), nil
	}
	buf, err := w.prefix(buf, n, len(b))
	if err != nil {
		return buf, err
	}
	return w.memory(buf, b), nil
}

// memory appends b, or notes it as a cut if it is long.
func (w *writer) memory(buf, b []byte) []byte {
	if len(b) >= w.cut {
		w.leave(buf, b)
		return buf
	}
	return append(buf, b...)
}

// owned appends what a type's own method returned.
func (w *writer) owned(buf []byte, n *node, b []byte, err error) ([]byte, *Error) {
	if err != nil {
		return buf, &Error{Offset: -1, Text: refused(n, "Marshal"), Err: err}
	}
	if n.op == opText && notUTF8(n, w.e.Lenient, b) {
		return buf, refuse("not UTF-8")
	}
	buf, e := w.prefix(buf, n, len(b))
	if e != nil {
		return buf, e
	}
	return append(buf, b...), nil
}

// text reads the bytes of a string, bytes or own encoding, after all checks.
// They are part of the input.
func (r *reader) text(n *node) ([]byte, *Error) {
	if n.form == layout.NoFormat {
		return r.fixed(n)
	}
	from := r.off
	size, err := r.uint(n.form)
	if err != nil {
		return nil, err
	}
	if size > uint64(len(r.data)-r.off) {
		return nil, r.fail("want %s, have %d", amount(size, "byte"), len(r.data)-r.off)
	}
	if n.max > 0 && size > uint64(n.max) {
		r.off = from
		return nil, r.fail("%s exceed max=%d", amount(size, "byte"), n.max)
	}
	b, _ := r.next(int(size))
	return b, r.checkText(n, b)
}

// fixed reads text without a length. A string loses its padding.
func (r *reader) fixed(n *node) ([]byte, *Error) {
	b, err := r.next(n.n)
	if err != nil || n.op == opBytes {
		return b, err
	}
	b = bytes.TrimRight(b, "\x00")
	return b, r.checkText(n, b)
}

func (r *reader) checkText(n *node, b []byte) *Error {
	if (n.op == opString || n.op == opText) && notUTF8(n, r.d.Lenient, b) {
		return r.fail("not UTF-8")
	}
	return nil
}

// string reads a string.
func (r *reader) string(n *node) (string, *Error) {
	b, err := r.text(n)
	if err != nil {
		return "", err
	}
	return r.keepString(b)
}

// blob reads bytes.
func (r *reader) blob(n *node) ([]byte, *Error) {
	b, err := r.text(n)
	if err != nil {
		return nil, err
	}
	return r.keep(b)
}
