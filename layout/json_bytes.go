package layout

import (
	"bytes"
	"strconv"

	"github.com/bsrpc/bsrpc/internal/plural"
)

// The bytes of numbers and texts in their formats, for JSON. internal/codec has the same for
// Go values, where it matters how long it takes, and a test there compares the two.

// invalidKey is the text of the error of floats that Go's maps cannot find again.
const invalidKey = "NaN and -0 cannot be map keys"

// maxVarint is the size of the longest varint.
const maxVarint = 10

// isVarint reports whether numbers in f have different sizes.
func (f Format) isVarint() bool { return f == Varint || f == Uvarint }

// appendUint appends the low bytes of u in format f, without a check of its range: fitsUint and
// fitsInt are for that. A loop over bytes serves all widths and both orders.
func appendUint(dst []byte, u uint64, f Format) []byte {
	if f.isVarint() {
		for ; u >= 0x80; u >>= 7 {
			dst = append(dst, byte(u)|0x80)
		}
		return append(dst, byte(u))
	}
	n := f.width()
	for i := range n {
		if f >= BE2 {
			i = n - 1 - i
		}
		dst = append(dst, byte(u>>(8*i)))
	}
	return dst
}

// appendInt appends a signed number in format f.
func appendInt(dst []byte, i int64, f Format) []byte {
	if f == Varint { // zigzag
		return appendUint(dst, uint64(i<<1)^uint64(i>>63), f)
	}
	return appendUint(dst, uint64(i), f)
}

// signed returns the signed number of what uint has read in format f: zigzag in a varint, and two's
// complement of the width of all others.
func signed(u uint64, f Format) int64 {
	switch shift := 64 - 8*f.width(); f {
	case Varint:
		return int64(u>>1) ^ -int64(u&1)
	case Uvarint:
		return int64(u)
	default:
		return int64(u<<shift) >> shift
	}
}

// fitsUint reports whether u is in the range of f. The width of a varint is 8 here, since all
// 64 bits fit in one.
func (f Format) fitsUint(u uint64) bool { n := f.width(); return n == 8 || u>>(8*n) == 0 }

// fitsInt reports whether i is in the range of f: the low bytes must read as i again, with the
// sign of their highest bit.
func (f Format) fitsInt(i int64) bool { return f.isVarint() || signed(uint64(i), f) == i }

// uint reads an unsigned number in format f, or the bits of a signed one. Only the shortest form
// of a varint is valid, so that a number has one encoding.
func (w *jsonWriter) uint(f Format) (uint64, *JSONError) {
	if !f.isVarint() {
		b, err := w.next(f.width())
		var u uint64
		for i, c := range b {
			if f < BE2 {
				u |= uint64(c) << (8 * i)
			} else {
				u = u<<8 | uint64(c)
			}
		}
		return u, err
	}
	var u uint64
	for i := range maxVarint {
		if i == len(w.data)-w.off {
			return 0, w.errorf("truncated varint")
		}
		c := w.data[w.off+i]
		if i == maxVarint-1 && c > 1 {
			break
		}
		if u |= uint64(c&0x7f) << (7 * i); c >= 0x80 {
			continue
		}
		if i > 0 && c == 0 {
			return 0, w.errorf("varint is not in its shortest form")
		}
		w.off += i + 1
		return u, nil
	}
	return 0, w.errorf("varint does not fit in 64 bits")
}

// bytes reads the bytes of a string, of bytes, or of a type with methods of its own. The result is
// a part of the input. Limits of tags, as max= and utf8, are not in a layout: they are not checked,
// and a receiver may refuse what has a JSON.
func (w *jsonWriter) bytes(l *Type) ([]byte, *JSONError) {
	f := l.Format
	if l.Kind == Binary || l.Kind == Text {
		f = LE4
	}
	switch f {
	case NoFormat:
		b, err := w.next(l.Len)
		if l.Kind == String { // a string does not end in a zero byte, see padding
			b = bytes.TrimRight(b, "\x00")
		}
		return b, err
	case Rest:
		return w.next(len(w.data) - w.off)
	case Until:
		n := bytes.IndexByte(w.data[w.off:], byte(l.Len))
		if n < 0 {
			return nil, w.errorf("want the byte %#02x (until=%d) in the last %s", l.Len, l.Len, plural.Of(len(w.data)-w.off, "byte"))
		}
		b, err := w.next(n + 1)
		return b[:n], err
	}
	size, err := w.uint(f)
	if err != nil {
		return nil, err
	}
	if size > uint64(len(w.data)-w.off) {
		return nil, w.errorf("want %s, have %d", plural.Of(size, "byte"), len(w.data)-w.off)
	}
	return w.next(int(size))
}

// constBytes returns the bytes of a constant. Its text is canonical and in range, as the parser of
// layouts has seen to.
func (l *Type) constBytes() []byte {
	if l.Kind == Int {
		i, _ := strconv.ParseInt(l.Const, 10, 64)
		return appendInt(nil, i, l.Format)
	}
	u, _ := strconv.ParseUint(l.Const, 10, 64)
	return appendUint(nil, u, l.Format)
}
