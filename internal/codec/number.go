package codec

import (
	"encoding/binary"
	"math/bits"
	"strings"

	"github.com/bsrpc/bsrpc/layout"
)

// parseFormat returns the format for a word of a tag.
func parseFormat(word string) (f layout.Format, ok bool) {
	if word == "be1" {
		return layout.LE1, true
	}
	for f := layout.LE1; f <= layout.Uvarint; f++ {
		if f.String() == word {
			return f, true
		}
	}
	return layout.NoFormat, false
}

// unsignedFormat returns the format of an unsigned number or a length for f: the
// varints differ in negative numbers only.
func unsignedFormat(f layout.Format) layout.Format {
	if f == layout.Uvarint {
		return layout.Varint
	}
	return f
}

// lengthFormat returns the format for the value of len=, checked before.
func lengthFormat(word string) layout.Format {
	f, _ := parseFormat(word)
	return unsignedFormat(f)
}

// allFormats lists the words for messages.
const allFormats = "le1 to le8, be1 to be8, varint or uvarint"

// looksLikeFormat reports whether word was intended as a format: le9, be16, le.
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
	// In the order of the formats, LE8 is followed by BE2.
	switch {
	case f <= layout.LE8:
		return int(f)
	case f <= layout.BE8:
		return int(f-layout.LE8) + 1
	}
	return 0
}

// minWidth returns the minimum size of a number in format f, or of what else ends a
// value: Until takes a byte.
func minWidth(f layout.Format) int {
	if f == layout.NoFormat || f == layout.Rest {
		return 0
	}
	return max(widthOf(f), 1)
}

// littleEndian reports the byte order of this platform.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// isNative reports whether numbers of a size have the same bytes in memory as
// in format f.
func isNative(f layout.Format, size uintptr) bool {
	if widthOf(f) != int(size) {
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
	return appendOther(buf, u, f)
}

// appendOther is appendUint for varints and for the widths without an instruction. It
// writes nothing after the number: lengths are set in front of their elements.
//
//go:noinline
func appendOther(buf []byte, u uint64, f layout.Format) []byte {
	var whole [8]byte
	switch n := widthOf(f); {
	case unprefixed(f): // the count of a list without one
		return buf
	case n == 0:
		return binary.AppendUvarint(buf, u)
	case f <= layout.LE8:
		binary.LittleEndian.PutUint64(whole[:], u)
		return append(buf, whole[:n]...)
	default:
		binary.BigEndian.PutUint64(whole[:], u)
		return append(buf, whole[8-n:]...)
	}
}

// appendLength is appendUint for lengths and counts.
func appendLength(buf []byte, n int, f layout.Format) []byte { return appendUint(buf, uint64(n), f) }

// uint reads an unsigned number in format f.
func (r *reader) uint(f layout.Format) (uint64, *Error) {
	if f >= layout.Varint {
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
	case layout.BE8:
		return binary.BigEndian.Uint64(b), nil
	}
	return uintOf(b, f), nil
}

// uintOf returns the number of at most 7 bytes b in format f.
func uintOf(b []byte, f layout.Format) uint64 {
	var whole [8]byte
	if f <= layout.LE8 {
		copy(whole[:], b)
		return binary.LittleEndian.Uint64(whole[:])
	}
	copy(whole[8-len(b):], b)
	return binary.BigEndian.Uint64(whole[:])
}

// int reads a signed number in format f.
func (r *reader) int(f layout.Format) (int64, *Error) {
	u, err := r.uint(f)
	switch f {
	case layout.Varint:
		return unzigzag(u), err
	case layout.Uvarint:
		return int64(u), err
	}
	return signExtend(u, widthOf(f)), err
}

// varint reads a varint. Only the shortest form is valid.
func (r *reader) varint() (uint64, *Error) {
	// Uvarint accepts longer forms of a number, padded with zeros.
	u, n := binary.Uvarint(r.data[r.off:])
	for n == 0 && r.more(uint64(len(r.data)-r.off)+1) {
		u, n = binary.Uvarint(r.data[r.off:])
	}
	switch {
	case n == 0:
		return 0, r.short(uint64(len(r.data)-r.off)+1, r.errorf("truncated varint"))
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
