package codec

import (
	"encoding/binary"
	"math/bits"
	"strings"

	"github.com/bsrpc/bsrpc/layout"
)

// parseFormat returns the format for a word of a tag.
func parseFormat(word string) (f layout.Format, ok bool) {
	switch word {
	case "le1", "be1":
		f = layout.LE1
	case "le2":
		f = layout.LE2
	case "le4":
		f = layout.LE4
	case "le8":
		f = layout.LE8
	case "be2":
		f = layout.BE2
	case "be4":
		f = layout.BE4
	case "be8":
		f = layout.BE8
	case "varint":
		f = layout.Varint
	default:
		return layout.NoFormat, false
	}
	return f, true
}

// allFormats lists the words for messages.
const allFormats = "le1, le2, le4, le8, be1, be2, be4, be8 or varint"

// looksLikeFormat reports whether word was intended as a format: le3, be16, le.
func looksLikeFormat(word string) bool {
	if _, ok := parseFormat(word); ok {
		return true
	}
	digits, ok := strings.CutPrefix(word, "le")
	if !ok {
		digits, ok = strings.CutPrefix(word, "be")
	}
	return ok && !strings.ContainsFunc(digits, func(r rune) bool { return r < '0' || r > '9' })
}

// widthOf returns the size of a number in format f, 0 for a varint.
func widthOf(f layout.Format) int {
	switch f {
	case layout.LE1:
		return 1
	case layout.LE2, layout.BE2:
		return 2
	case layout.LE4, layout.BE4:
		return 4
	case layout.LE8, layout.BE8:
		return 8
	}
	return 0
}

// minWidth returns the minimum size of a number in format f.
func minWidth(f layout.Format) int {
	if f == layout.NoFormat {
		return 0
	}
	return max(widthOf(f), 1)
}

// littleEndian reports the byte order of this platform.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// isNative reports whether numbers of a size have the same bytes in memory as
// in format f.
func isNative(f layout.Format, size uintptr) bool {
	if f == layout.Varint || widthOf(f) != int(size) {
		return false
	}
	switch f {
	case layout.LE1:
		return true
	case layout.LE2, layout.LE4, layout.LE8:
		return littleEndian
	}
	return !littleEndian
}

// fitsUint reports whether u is in the range of format f.
func fitsUint(u uint64, f layout.Format) bool {
	n := widthOf(f)
	return n == 0 || n == 8 || u>>(8*n) == 0
}

// fitsInt reports whether i is in the range of format f.
func fitsInt(i int64, f layout.Format) bool {
	n := widthOf(f)
	return n == 0 || n == 8 || signExtend(uint64(i), n) == i
}

// signExtend returns the low n bytes of u as a two's complement number.
func signExtend(u uint64, n int) int64 {
	shift := 64 - 8*n
	return int64(u<<shift) >> shift
}

// zigzag maps small negative numbers to small unsigned ones, for varints.
func zigzag(i int64) uint64   { return uint64(i<<1) ^ uint64(i>>63) }
func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

// appendUint appends u in format f, without a check of its range.
func appendUint(buf []byte, u uint64, f layout.Format) []byte {
	switch f {
	case layout.LE1:
		return append(buf, byte(u))
	case layout.LE2:
		return binary.LittleEndian.AppendUint16(buf, uint16(u))
	case layout.LE4:
		return binary.LittleEndian.AppendUint32(buf, uint32(u))
	case layout.LE8:
		return binary.LittleEndian.AppendUint64(buf, u)
	case layout.BE2:
		return binary.BigEndian.AppendUint16(buf, uint16(u))
	case layout.BE4:
		return binary.BigEndian.AppendUint32(buf, uint32(u))
	case layout.BE8:
		return binary.BigEndian.AppendUint64(buf, u)
	}
	return binary.AppendUvarint(buf, u)
}

// appendLength is appendUint for lengths and counts, whose callers would be much longer
// if it was inlined.
//
//go:noinline
func appendLength(buf []byte, n int, f layout.Format) []byte { return appendUint(buf, uint64(n), f) }

// uint reads an unsigned number in format f.
func (r *reader) uint(f layout.Format) (uint64, *Error) {
	if f == layout.Varint {
		return r.varint()
	}
	b, err := r.next(widthOf(f))
	if err != nil {
		return 0, err
	}
	switch f {
	case layout.LE1:
		return uint64(b[0]), nil
	case layout.LE2:
		return uint64(binary.LittleEndian.Uint16(b)), nil
	case layout.LE4:
		return uint64(binary.LittleEndian.Uint32(b)), nil
	case layout.LE8:
		return binary.LittleEndian.Uint64(b), nil
	case layout.BE2:
		return uint64(binary.BigEndian.Uint16(b)), nil
	case layout.BE4:
		return uint64(binary.BigEndian.Uint32(b)), nil
	}
	return binary.BigEndian.Uint64(b), nil
}

// int reads a signed number in format f.
func (r *reader) int(f layout.Format) (int64, *Error) {
	u, err := r.uint(f)
	if f == layout.Varint {
		return unzigzag(u), err
	}
	return signExtend(u, widthOf(f)), err
}

// varint reads a varint. Only the shortest form is valid.
func (r *reader) varint() (uint64, *Error) {
	// Uvarint accepts longer forms of a number, padded with zeros.
	u, n := binary.Uvarint(r.data[r.off:])
	switch {
	case n == 0:
		return 0, r.errorf("truncated varint")
	case n < 0:
		return 0, r.errorf("varint does not fit in 64 bits")
	case n != uvarintLen(u):
		return 0, r.errorf("varint is not in its shortest form")
	}
	r.off += n
	return u, nil
}

// uvarintLen returns the length of u as a varint.
func uvarintLen(u uint64) int { return (bits.Len64(u|1) + 6) / 7 }
