package codec

// Strings, []byte and custom encodings: a length prefix and bytes, or a fixed
// number of bytes, or bytes up to an end.

import (
	"bytes"
	"strings"

	"github.com/bsrpc/bsrpc/internal/plural"
	"github.com/bsrpc/bsrpc/layout"
)

// prefix checks a size against all limits and appends it as a length prefix.
func (w *writer) prefix(buf []byte, n *node, size int) ([]byte, *Error) {
	switch {
	case n.max > 0 && size > n.max:
		return buf, encodeErrorf("%s%s", plural.Of(size, "byte"), n.aboveMax())
	case !fitsUint(uint64(size), n.format):
		return buf, encodeErrorf("%s do not fit in a length of %s", plural.Of(size, "byte"), plural.Of(widthOf(n.format), "byte"))
	}
	if err := w.checkRoom(buf, size+minWidth(n.format)); err != nil {
		return buf, err
	}
	return appendLength(buf, size, n.format), nil
}

// string appends a string.
func (w *writer) string(buf []byte, n *node, s string) ([]byte, *Error) {
	if invalidUTF8(n, w.e.Lenient, s) {
		return buf, encodeErrorf("not UTF-8")
	}
	if unprefixed(n.format) {
		return w.unprefixedString(buf, n, s)
	}
	buf, err := w.prefix(buf, n, len(s))
	if err != nil {
		return buf, err
	}
	return append(buf, s...), nil
}

// unprefixedString appends a string without a length prefix.
func (w *writer) unprefixedString(buf []byte, n *node, s string) ([]byte, *Error) {
	switch n.format {
	case layout.Until:
		return w.until(buf, n, []byte(s))
	case layout.Rest:
		if err := w.checkSize(buf, n, len(s)); err != nil {
			return buf, err
		}
		return append(buf, s...), nil
	}
	return w.padded(buf, n.length, s) // fixed=N
}

// padded appends a string of a fixed size, padded with zero bytes.
func (w *writer) padded(buf []byte, size int, s string) ([]byte, *Error) {
	switch {
	case len(s) > size:
		return buf, encodeErrorf("%s exceed fixed=%d", plural.Of(len(s), "byte"), size)
	// Read removes all zero bytes from the end.
	case strings.HasSuffix(s, "\x00"):
		return buf, encodeErrorf("ends in a zero byte, ambiguous with the padding of fixed=%d", size)
	}
	if err := w.checkRoom(buf, size); err != nil {
		return buf, err
	}
	buf = append(buf, s...)
	return append(buf, make([]byte, size-len(s))...), nil
}

// blob appends a []byte.
func (w *writer) blob(buf []byte, n *node, b []byte) ([]byte, *Error) {
	if unprefixed(n.format) {
		return w.unprefixedBlob(buf, n, b)
	}
	buf, err := w.prefix(buf, n, len(b))
	if err != nil {
		return buf, err
	}
	return w.blobBytes(buf, b), nil
}

// unprefixedBlob appends a []byte without a length prefix.
func (w *writer) unprefixedBlob(buf []byte, n *node, b []byte) ([]byte, *Error) {
	switch {
	case n.format == layout.Until:
		return w.until(buf, n, b)
	case n.format == layout.NoFormat && len(b) != n.length:
		return buf, encodeErrorf("want %s (fixed=%d), have %d", plural.Of(n.length, "byte"), n.length, len(b))
	}
	if err := w.checkSize(buf, n, len(b)); err != nil {
		return buf, err
	}
	return w.blobBytes(buf, b), nil
}

// blobBytes appends b to the buffer or, if it is long, to the cuts.
func (w *writer) blobBytes(buf, b []byte) []byte {
	if len(b) >= w.minCut {
		w.addCut(buf, b)
		return buf
	}
	return append(buf, b...)
}

// custom appends the result of a marshal method.
func (w *writer) custom(buf []byte, n *node, b []byte, err error) ([]byte, *Error) {
	if err != nil {
		return buf, &Error{Offset: -1, Text: methodFailed(n, "Marshal"), Err: causeOf(err)}
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

// text reads and checks the bytes of a string, []byte or custom encoding. The
// result aliases the input.
func (r *reader) text(n *node) ([]byte, *Error) {
	if unprefixed(n.format) {
		return r.unprefixed(n)
	}
	from := r.off
	size, err := r.uint(n.format)
	if err != nil {
		return nil, err
	}
	// Compare as uint64: the size is from the peer and may not fit in an int.
	if n.max > 0 && size > uint64(n.max) {
		r.off = from
		return nil, r.errorf("%s%s", plural.Of(size, "byte"), n.aboveMax())
	}
	if size > uint64(len(r.data)-r.off) && !r.more(size) {
		return nil, r.short(size, r.errorf("want %s, have %d", plural.Of(size, "byte"), len(r.data)-r.off))
	}
	b, _ := r.next(int(size))
	return b, r.checkText(n, b)
}

// unprefixed reads bytes without a length prefix and removes the padding of strings. An own tag
// has either fixed= or max=, but the fixed= of a peer is read under an own max=.
func (r *reader) unprefixed(n *node) ([]byte, *Error) {
	switch n.format {
	case layout.Until:
		return r.until(n)
	case layout.Rest:
		return r.rest(n)
	}
	from := r.off
	b, err := r.next(n.length)
	if err != nil {
		return nil, err
	}
	if n.op == opString {
		// Padding is unambiguous, as Append refuses strings ending in a zero byte.
		b = bytes.TrimRight(b, "\x00")
	}
	if n.max > 0 && len(b) > n.max { // fixed= of a peer, and max= of this end
		r.off = from
		return nil, r.errorf("%s exceed max=%d", plural.Of(len(b), "byte"), n.max)
	}
	return b, r.checkText(n, b)
}

// checkText returns an error if b must be UTF-8 and is not.
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

// blob reads a []byte.
func (r *reader) blob(n *node) ([]byte, *Error) {
	b, err := r.text(n)
	if err != nil {
		return nil, err
	}
	return r.newBytes(b)
}
