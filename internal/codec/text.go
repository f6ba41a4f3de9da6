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
		return buf, encodeErrorf("%s exceed max=%d", plural(size, "byte"), n.max)
	case !fitsUint(uint64(size), n.format):
		return buf, encodeErrorf("%s do not fit in a length of %s", plural(size, "byte"), plural(widthOf(n.format), "byte"))
	}
	if err := w.checkRoom(buf, size+minWidth(n.format)); err != nil {
		return buf, err
	}
	return appendUint(buf, uint64(size), n.format), nil
}

// string appends a string.
func (w *writer) string(buf []byte, n *node, s string) ([]byte, *Error) {
	if invalidUTF8(n, w.e.Lenient, s) {
		return buf, encodeErrorf("not UTF-8")
	}
	if n.format == layout.NoFormat {
		return w.padded(buf, n.length, s)
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
		return buf, encodeErrorf("%s, and fixed=%d", plural(len(s), "byte"), size)
	case strings.HasSuffix(s, "\x00"):
		return buf, encodeErrorf("ends in a zero byte, which fixed=%d cannot tell from padding", size)
	}
	if err := w.checkRoom(buf, size); err != nil {
		return buf, err
	}
	buf = append(buf, s...)
	return append(buf, make([]byte, size-len(s))...), nil
}

// blob appends bytes.
func (w *writer) blob(buf []byte, n *node, b []byte) ([]byte, *Error) {
	if n.format == layout.NoFormat {
		if len(b) != n.length {
			return buf, encodeErrorf("%s, and fixed=%d", plural(len(b), "byte"), n.length)
		}
		if err := w.checkRoom(buf, len(b)); err != nil {
			return buf, err
		}
		return w.blobBytes(buf, b), nil
	}
	buf, err := w.prefix(buf, n, len(b))
	if err != nil {
		return buf, err
	}
	return w.blobBytes(buf, b), nil
}

// memory appends b, or notes it as a cut if it is long.
func (w *writer) blobBytes(buf, b []byte) []byte {
	if len(b) >= w.minCut {
		w.addCut(buf, b)
		return buf
	}
	return append(buf, b...)
}

// owned appends what a type's own method returned.
func (w *writer) custom(buf []byte, n *node, b []byte, err error) ([]byte, *Error) {
	if err != nil {
		return buf, &Error{Offset: -1, Text: methodFailed(n, "Marshal"), Err: err}
	}
	if n.op == opText && invalidUTF8(n, w.e.Lenient, b) {
		return buf, encodeErrorf("not UTF-8")
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
	if n.format == layout.NoFormat {
		return r.fixed(n)
	}
	from := r.off
	size, err := r.uint(n.format)
	if err != nil {
		return nil, err
	}
	if size > uint64(len(r.data)-r.off) {
		return nil, r.errorf("want %s, have %d", plural(size, "byte"), len(r.data)-r.off)
	}
	if n.max > 0 && size > uint64(n.max) {
		r.off = from
		return nil, r.errorf("%s exceed max=%d", plural(size, "byte"), n.max)
	}
	b, _ := r.next(int(size))
	return b, r.checkText(n, b)
}

// fixed reads text without a length. A string loses its padding.
func (r *reader) fixed(n *node) ([]byte, *Error) {
	b, err := r.next(n.length)
	if err != nil || n.op == opBytes {
		return b, err
	}
	b = bytes.TrimRight(b, "\x00")
	return b, r.checkText(n, b)
}

func (r *reader) checkText(n *node, b []byte) *Error {
	if (n.op == opString || n.op == opText) && invalidUTF8(n, r.d.Lenient, b) {
		return r.errorf("not UTF-8")
	}
	return nil
}

// string reads a string.
func (r *reader) string(n *node) (string, *Error) {
	b, err := r.text(n)
	if err != nil {
		return "", err
	}
	return r.newString(b)
}

// blob reads bytes.
func (r *reader) blob(n *node) ([]byte, *Error) {
	b, err := r.text(n)
	if err != nil {
		return nil, err
	}
	return r.newBytes(b)
}
