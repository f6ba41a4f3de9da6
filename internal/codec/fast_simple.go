//go:build !bsrpc_safe && (386 || amd64 || arm || arm64 || loong64 || mips || mipsle || mips64 || mips64le || ppc64 || ppc64le || riscv64 || s390x || wasm)

package codec

// The fast executor on simple steps: copies, swaps and unchecked strings. Most
// small structs consist of nothing else.

import (
	"encoding/binary"

	"github.com/bsrpc/bsrpc/layout"
)

// appendSimple executes steps up to the first one that is not simple or exceeds
// the capacity, and returns the remaining steps. It requires capacity for the
// minimum size of all steps: only strings are checked, against what the later
// steps leave.
func appendSimple(buf []byte, steps []step, p address) ([]byte, []step) {
	for len(steps) > 0 {
		k, made := appendInline(buf, steps, p)
		buf, steps = buf[:k], steps[made:]
		if len(steps) == 0 {
			break
		}
		switch s := &steps[0]; s.op {
		case stepCopy:
			buf = append(buf, bytesView(offset(p, s.off), s.size)...)
		case stepString:
			text := *stringAt(offset(p, s.off))
			// The later steps keep their minimum size: a longer string must
			// grow the buffer first, in fastStruct.
			if uintptr(len(text)) > bufLimit(buf)-k-4-uintptr(s.minRest) {
				return buf, steps
			}
			buf = append(binary.LittleEndian.AppendUint32(buf, uint32(len(text))), text...)
		default:
			return buf, steps
		}
		steps = steps[1:]
	}
	return buf, steps
}

// appendInline is appendSimple for copies of up to maxInlineCopy bytes. It
// returns the new length of the buffer and the number of executed steps. It
// makes no calls, so its variables stay in registers. It writes the length of a
// string before the check of its capacity, which the minimum size covers.
func appendInline(buf []byte, steps []step, p address) (uintptr, int) {
	// to is the start of the buffer, k the length so far, and room its limit.
	to, k, room := dataPtr(buf), uintptr(len(buf)), bufLimit(buf)
	for i := range steps {
		s := &steps[i]
		from := offset(p, s.off)
		switch s.op {
		case stepCopy1to3:
			copy1to3(offset(to, k), from, s.size)
			k += s.size
		case stepCopy4:
			*array4At(offset(to, k)) = *array4At(from)
			k += 4
		case stepCopy5to7:
			copy4to8(offset(to, k), from, s.size)
			k += s.size
		case stepCopy8:
			*array8At(offset(to, k)) = *array8At(from)
			k += 8
		case stepCopy9to15:
			copy8to16(offset(to, k), from, s.size)
			k += s.size
		case stepCopy16to32:
			copy16to32(offset(to, k), from, s.size)
			k += s.size
		case stepSwap2:
			swap2(offset(to, k), from)
			k += 2
		case stepSwap4:
			swap4(offset(to, k), from)
			k += 4
		case stepSwap8:
			swap8(offset(to, k), from)
			k += 8
		case stepString:
			text, n := textAt(from)
			binary.LittleEndian.PutUint32(array4At(offset(to, k))[:], uint32(n))
			// k+4+minRest <= room by the requirement, so the subtraction cannot
			// wrap around.
			if n > maxInlineCopy || n > room-k-4-uintptr(s.minRest) {
				return k, i
			}
			switch k += 4; {
			case n >= 16:
				copy16to32(offset(to, k), text, n)
			case n >= 8:
				copy8to16(offset(to, k), text, n)
			case n >= 4:
				copy4to8(offset(to, k), text, n)
			case n > 0:
				copy1to3(offset(to, k), text, n)
			}
			k += n
		default:
			return k, i
		}
	}
	return k, len(steps)
}

// readSimple decodes simple steps to p from the input at from, of which k bytes are read and
// end bytes are all. It returns the number of bytes read, and of steps done: fewer than all
// if a text is too long. It requires at least the minimum size of all steps.
//
// Short strings share the arena of r. Without r each has its own allocation, or if room is
// not nil, that is space for the only one, as long as the rest of the input.
func readSimple(r *reader, steps []step, p, from address, k, end uintptr, room address) (uintptr, int, *Error) {
	for i := range steps {
		s := &steps[i]
		to := offset(p, s.off)
		switch s.op {
		case stepCopy1to3:
			copy1to3(to, offset(from, k), s.size)
			k += s.size
		case stepCopy4:
			*array4At(to) = *array4At(offset(from, k))
			k += 4
		case stepCopy5to7:
			copy4to8(to, offset(from, k), s.size)
			k += s.size
		case stepCopy8:
			*array8At(to) = *array8At(offset(from, k))
			k += 8
		case stepCopy9to15:
			copy8to16(to, offset(from, k), s.size)
			k += s.size
		case stepCopy16to32:
			copy16to32(to, offset(from, k), s.size)
			k += s.size
		case stepCopy:
			copy(bytesView(to, s.size), bytesView(offset(from, k), s.size))
			k += s.size
		case stepString:
			size := uintptr(binary.LittleEndian.Uint32(array4At(offset(from, k))[:]))
			// The later steps need minRest bytes, so their copies stay within
			// the data.
			if size > end-k-4-uintptr(s.minRest) {
				return k, i, nil
			}
			k += 4
			// A string of any length up to the end of data: in the space
			// provided for it, in the arena, or in an allocation of its own.
			text := ""
			switch {
			case size == 0:
			case room != nil:
				copyShort(room, offset(from, k), size)
				text = stringOf(room, size)
			case r == nil:
				text = string(bytesView(offset(from, k), size))
			// As newString does, without the calls: most strings are short, and the arena has
			// room for them.
			case size <= maxArenaString && int(size) <= r.arena.avail():
				into := r.arena.alloc(int(size))
				if 8 <= size && size < 16 {
					copy8to16(into, offset(from, k), size)
				} else {
					copyShort(into, offset(from, k), size)
				}
				text = stringOf(into, size)
			default:
				var err *Error
				r.off = int(k + size)
				if text, err = r.newString(bytesView(offset(from, k), size)); err != nil {
					return k, i, err.in(s.path)
				}
			}
			k += size
			*stringAt(to) = text
		case stepSwap2:
			swap2(to, offset(from, k))
			k += 2
		case stepSwap4:
			swap4(to, offset(from, k))
			k += 4
		case stepSwap8:
			swap8(to, offset(from, k))
			k += 8
		case stepWiden:
			widen(s.node, to, offset(from, k))
			k += s.size
		case stepSkip:
			k += s.size
		case stepSkipText:
			size := uintptr(binary.LittleEndian.Uint32(array4At(offset(from, k))[:]))
			if size > end-k-4-uintptr(s.minRest) {
				return k, i, nil
			}
			k += 4 + size
		}
	}
	return k, len(steps), nil
}

// widen reads a number with n.widens at from to to. Its range needs no check, as every value
// of the narrower format fits. The common formats are read without a copy; the conversion of
// a float is exact.
func widen(n *node, to, from address) {
	width := widthOf(n.format)
	var u uint64
	switch n.format {
	case layout.LE1:
		u = uint64(*byteAt(from))
	case layout.LE2:
		u = uint64(binary.LittleEndian.Uint16(bytesView(from, 2)))
	case layout.LE4:
		u = uint64(binary.LittleEndian.Uint32(array4At(from)[:]))
	default:
		u = uintOf(bytesView(from, uintptr(width)), n.format)
	}
	switch {
	case n.op == opFloat:
		u, _ = convertFloat(u, 4)
	case n.wireSigned():
		u = uint64(signExtend(u, width))
	}
	storeUint(to, n.size, u)
}

// bufLimit returns the capacity of buf, limited so that lengths fit their
// prefixes.
func bufLimit(buf []byte) uintptr {
	return uintptr(len(buf)) + uintptr(min(cap(buf)-len(buf), maxMinSize))
}
