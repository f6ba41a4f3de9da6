//go:build !bsrpc_safe && (386 || amd64 || arm || arm64 || loong64 || mips || mipsle || mips64 || mips64le || ppc64 || ppc64le || riscv64 || s390x || wasm)

package codec

// The fast path: a simple struct, or a pointer to one, is encoded and decoded
// in a single pass. This covers the parameters and results of most calls.

import "encoding/binary"

// Append appends the encoding of v to e.Buf and e.Cuts. Errors are of type
// *Error and leave both unchanged.
//
// A simple struct in pieces, or a pointer to one, is appended here, if it fits the remaining
// capacity: without calls, so that the variables of the loop stay in registers. It writes
// beyond the length of e.Buf only, so giving up in the middle has no effect.
func (c *Codec) Append(e *Encoder, v Ref) error {
	if n, p := c.fastPath, v.p; n != nil && n.inPieces.room <= cap(e.Buf)-len(e.Buf) && !e.Lenient {
		to, k, room := dataPtr(e.Buf), uintptr(len(e.Buf)), bufLimit(e.Buf)
		if c.singlePointer {
			if p = *pointerAt(p); p == nil {
				return c.appendSlow(e, v)
			}
			*byteAt(offset(to, k)) = 1
			k++
		}
		left := n.inPieces.pieces
		for len(left) > 0 {
			s := &left[0]
			if s.size > 0 {
				*array8At(offset(to, k)) = *array8At(offset(p, s.first))
				*array8At(offset(to, k+s.lastAt)) = *array8At(offset(p, s.last))
				k += s.size
			}
			if s.hasText {
				text, size := textAt(offset(p, s.text))
				binary.LittleEndian.PutUint32(array4At(offset(to, k))[:], uint32(size))
				k += 4
				// k+least <= room by the first condition, so the subtraction cannot
				// wrap around.
				if size > maxInlineCopy || size > room-k-s.least {
					break
				}
				switch {
				case size >= 16:
					copy16to32(offset(to, k), text, size)
				case size >= 8:
					copy8to16(offset(to, k), text, size)
				case size >= 4:
					copy4to8(offset(to, k), text, size)
				case size > 0:
					copy1to3(offset(to, k), text, size)
				}
				k += size
			}
			left = left[1:]
		}
		if size := n.inPieces.tailSize; len(left) == 0 && (e.Max <= 0 || int(k+size)-len(e.Buf) <= e.Max) {
			switch tail := n.inPieces.tail; {
			case size >= 4:
				copy4to8(offset(to, k), offset(p, tail), size)
			case size > 0:
				copy1to3(offset(to, k), offset(p, tail), size)
			}
			e.Buf = e.Buf[:k+size]
			return nil
		}
	}
	if c.appendFast(e, v) {
		return nil
	}
	return c.appendSlow(e, v)
}

// appendFast appends a simple struct, or a pointer to one, without a writer. It
// first tries to fit all of it in the remaining capacity by inline copies
// alone, and else grows the buffer once. It returns false, without any effect,
// for other values and near limits.
func (c *Codec) appendFast(e *Encoder, v Ref) bool {
	n, p := c.fastPath, v.p
	if n == nil || e.Lenient {
		return false
	}
	if c.singlePointer {
		if p = *pointerAt(p); p == nil {
			return false
		}
	}
	// First attempt, for most values: no calls, no growth. appendInline writes
	// beyond the length of e.Buf only, so giving up in the middle has no
	// effect.
	if 1+n.minSize <= cap(e.Buf)-len(e.Buf) {
		buf := c.appendPresence(e.Buf)
		if k, made := appendInline(buf, n.steps, p); made == len(n.steps) && (e.Max <= 0 || int(k)-len(e.Buf) <= e.Max) {
			e.Buf = buf[:k]
			return true
		}
	}
	// Second attempt: grow once to the exact size. The strings may have changed
	// since, in another goroutine, so appendSimple still checks their sizes.
	size := 1 + n.encodedSize(p)
	if size > maxMinSize || e.Max > 0 && size > uintptr(e.Max) {
		return false
	}
	buf, left := appendSimple(c.appendPresence(grow(e.Buf, int(size))), n.steps, p)
	if len(left) > 0 { // a data race: a string became longer meanwhile
		return false
	}
	e.Buf = buf
	return true
}

// appendPresence appends the presence byte of a single pointer.
func (c *Codec) appendPresence(buf []byte) []byte {
	if c.singlePointer {
		return append(buf, 1)
	}
	return buf
}

// encodedSize returns the size of the simple struct at p, or a size above
// maxMinSize.
func (n *node) encodedSize(p address) uintptr {
	size := uintptr(n.minSize)
	for i := range n.steps {
		if s := &n.steps[i]; s.op == stepString && size <= maxMinSize {
			size += uintptr(len(*stringAt(offset(p, s.off))))
		}
	}
	return size
}

// readFast reads a simple struct, or a pointer to one, without a reader. It
// returns false for other values, near limits, for several strings better
// placed in an arena, and for invalid data. The value is then partly set, and
// readSlow reads it again, with a detailed error.
func (c *Codec) readFast(d *Decoder, v Ref) bool {
	n, p, data := c.fastPath, v.p, d.Data
	// With an explicit budget the maximum of all allocations is checked in
	// advance.
	if n == nil || d.Lenient || d.Budget > 0 && int64(len(data))+int64(n.size)+int64(c.structWithText.room) > d.Budget {
		return false
	}
	if c.singlePointer {
		if len(data) == 0 || data[0] != 1 {
			return false
		}
		data = data[1:]
	}
	// Several strings in a longer message share an arena: leave them to
	// readSlow.
	if len(data) < n.minSize || len(data) >= 2*minArenaRest && n.numStrings > 1 {
		return false
	}
	// The target of a single pointer is allocated together with its string, if
	// that fits. The length of the string follows from the length of the data.
	var room address
	if text := len(data) - n.minSize; c.singlePointer {
		if 0 < text && text <= c.structWithText.room {
			p, room = c.structWithText.new(n.size)
		} else {
			p = n.alloc.new()
		}
		*pointerAt(v.p) = p
	}
	from, end := dataPtr(data), uintptr(len(data))
	k, done, _ := readSimple(nil, n.steps, p, from, 0, end, room)
	return done == len(n.steps) && k == end
}
