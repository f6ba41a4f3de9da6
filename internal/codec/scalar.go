package codec

// Numbers, bools, times and presence bytes, shared by both executors: the
// values are already loaded from memory, or not yet stored.

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/bsrpc/bsrpc/internal/plural"
	"github.com/bsrpc/bsrpc/layout"
)

// appendBool appends 0 or 1.
func appendBool(buf []byte, b bool) []byte {
	if b {
		return append(buf, 1)
	}
	return append(buf, 0)
}

// int appends a signed Go integer. Its format may be unsigned, for CompileAs.
func (w *writer) int(buf []byte, n *node, i int64) ([]byte, *Error) {
	switch {
	case !n.wireSigned():
		if i < 0 {
			return buf, encodeErrorf("negative, but the wire format is unsigned")
		}
		return w.uint(buf, n, uint64(i))
	case !fitsInt(i, n.format):
		return buf, rangeError(plural.Of(widthOf(n.format), "byte"))
	}
	if n.format == layout.Varint {
		return binary.AppendUvarint(buf, zigzag(i)), nil
	}
	return appendUint(buf, uint64(i), n.format), nil
}

// uint appends an unsigned Go integer. Its format may be signed, for CompileAs.
func (w *writer) uint(buf []byte, n *node, u uint64) ([]byte, *Error) {
	switch {
	case n.wireSigned():
		if u > math.MaxInt64 {
			return buf, rangeError("a signed number of 8 bytes")
		}
		return w.int(buf, n, int64(u))
	case !fitsUint(u, n.format):
		return buf, rangeError(plural.Of(widthOf(n.format), "byte"))
	}
	return appendUint(buf, u, n.format), nil
}

// signed reads a number into a signed Go integer of n.size bytes.
func (r *reader) signed(n *node) (int64, *Error) {
	from := r.off
	var i int64
	var err *Error
	if n.wireSigned() {
		i, err = r.int(n.format)
	} else {
		var u uint64
		if u, err = r.uint(n.format); u > math.MaxInt64 {
			return 0, r.errRange(from, n)
		}
		i = int64(u)
	}
	// The type in memory may be narrower: int of 32 bits, or by CompileAs.
	if err == nil && signExtend(uint64(i), int(n.size)) != i {
		return 0, r.errRange(from, n)
	}
	return i, err
}

// unsigned reads a number into an unsigned Go integer of n.size bytes.
func (r *reader) unsigned(n *node) (uint64, *Error) {
	from := r.off
	var u uint64
	var err *Error
	if n.wireSigned() {
		var i int64
		if i, err = r.int(n.format); i < 0 {
			return 0, r.errRange(from, n)
		}
		u = uint64(i)
	} else {
		u, err = r.uint(n.format)
	}
	// As in signed. Eight bytes hold every number.
	if err == nil && n.size < 8 && u>>(8*n.size) != 0 {
		return 0, r.errRange(from, n)
	}
	return u, err
}

// errRange returns the error of a number, read at from, out of range for the Go
// type.
func (r *reader) errRange(from int, n *node) *Error {
	r.off = from
	return r.errorf("does not fit in %s of %d bits", n.typ.Kind(), 8*n.size)
}

// float appends a float given by its bits, of size bytes in memory. Bits
// preserve all NaNs. A conversion to the other width must be exact.
func (w *writer) float(buf []byte, n *node, bits uint64, size uintptr) ([]byte, *Error) {
	if n.inKey && invalidKey(bits, size) {
		return buf, encodeErrorf("NaN and -0 cannot be map keys")
	}
	exact := true
	if widthOf(n.format) != int(size) { // rare: usually the wire has the width of the type
		bits, exact = convertFloat(bits, size)
	}
	if !exact {
		return buf, rangeError("a float of " + plural.Of(widthOf(n.format), "byte"))
	}
	return appendUint(buf, bits, n.format), nil
}

// float reads a float and returns its bits for size bytes of memory.
func (r *reader) float(n *node, size uintptr) (uint64, *Error) {
	from := r.off
	bits, err := r.uint(n.format)
	if err != nil {
		return 0, err
	}
	if wire := uintptr(widthOf(n.format)); wire != size {
		exact := false
		if bits, exact = convertFloat(bits, wire); !exact {
			return 0, r.errRange(from, n)
		}
	}
	if n.inKey && invalidKey(bits, size) {
		r.off = from
		return 0, r.errorf("NaN and -0 cannot be map keys")
	}
	return bits, nil
}

// invalidKey reports whether bits are NaN, unequal to itself, or -0, equal to
// 0.
func invalidKey(bits uint64, size uintptr) bool {
	if size == 4 {
		return bits == 1<<31 || bits&(1<<31-1) > 0xff<<23
	}
	return bits == 1<<63 || bits&(1<<63-1) > 0x7ff<<52
}

// convertFloat converts the bits of a float of size bytes to the other size and
// reports whether the conversion is exact.
func convertFloat(bits uint64, size uintptr) (uint64, bool) {
	// From 32 to 64 bits is always exact.
	if size == 4 {
		return math.Float64bits(float64(math.Float32frombits(uint32(bits)))), true
	}
	// From 64 to 32 bits only if the way back gives the same value, or for NaN.
	f := math.Float64frombits(bits)
	return uint64(math.Float32bits(float32(f))), f != f || float64(float32(f)) == f
}

// complex appends the real and the imaginary part.
func (w *writer) complex(buf []byte, n *node, bits [2]uint64) ([]byte, *Error) {
	buf, err := w.float(buf, n, bits[0], n.size/2)
	if err != nil {
		return buf, err
	}
	return w.float(buf, n, bits[1], n.size/2)
}

// complex reads the real and the imaginary part.
func (r *reader) complex(n *node) (bits [2]uint64, err *Error) {
	if bits[0], err = r.float(n, n.size/2); err != nil {
		return bits, err
	}
	bits[1], err = r.float(n, n.size/2)
	return bits, err
}

// appendTime appends Unix seconds and nanoseconds.
func appendTime(buf []byte, t time.Time) []byte {
	buf = binary.LittleEndian.AppendUint64(buf, uint64(t.Unix()))
	return binary.LittleEndian.AppendUint32(buf, uint32(t.Nanosecond()))
}

// time reads Unix seconds and nanoseconds.
func (r *reader) time() (time.Time, *Error) {
	sec, err := r.int(layout.LE8)
	if err != nil {
		return time.Time{}, err
	}
	nsec, err := r.uint(layout.LE4)
	if err != nil {
		return time.Time{}, err
	}
	// One encoding per time: seconds and nanoseconds must be normalized.
	if nsec >= 1e9 {
		r.off -= 4
		return time.Time{}, r.errorf("want less than 1e9 nanoseconds")
	}
	return time.Unix(sec, int64(nsec)).UTC(), nil
}

// present appends the presence byte of a pointer and checks the depth of its
// target. For opDeref there is no such byte, and nil is an error.
func (w *writer) present(buf []byte, n *node, present bool, depth int) ([]byte, *Error) {
	switch {
	case n.op == opPointer:
		buf = appendBool(buf, present)
	case !present:
		return buf, encodeErrorf("nil pointer, but the wire format requires a value")
	}
	if !present {
		return buf, nil
	}
	if err := w.checkDepth(depth); err != nil {
		return buf, err
	}
	return buf, w.checkRoom(buf, 0)
}

// pointer reads the presence byte of a pointer and charges the memory of its
// target.
func (r *reader) pointer(n *node, depth int) (bool, *Error) {
	if n.op == opPointer {
		if present, err := r.presence("a pointer's value"); err != nil || !present {
			return false, err
		}
	}
	if err := r.checkDepth(depth); err != nil {
		return false, err
	}
	return true, r.charge(int64(n.elem.size))
}
