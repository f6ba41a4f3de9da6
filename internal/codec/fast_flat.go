//go:build !bsrpc_safe && (386 || amd64 || arm || arm64 || loong64 || mips || mipsle || mips64 || mips64le || ppc64 || ppc64le || riscv64 || s390x || wasm)

package codec

// The fast executor, on steps that need no check: runs, swapped numbers and
// plain strings. Most small structs are nothing else.

import "encoding/binary"

// appendFlat makes steps as long as there is room in the buffer, and returns
// those that are left. There is room for what all of them take at least.
func appendFlat(buf []byte, steps []step, p address) ([]byte, []step) {
	for len(steps) > 0 {
		k, made := appendShort(buf, steps, p)
		buf, steps = buf[:k], steps[made:]
		if len(steps) == 0 {
			break
		}
		switch s := &steps[0]; s.op {
		case stepRun:
			buf = append(buf, view(at(p, s.off), s.n)...)
		case stepString:
			text := *stringAt(at(p, s.off))
			if uintptr(len(text)) > roomOf(buf)-k-4-uintptr(s.rest) {
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

// appendShort makes steps up to the first that is long, has no room or is not
// flat, and returns where the next goes and how many are made. It calls nothing
// and so keeps all it needs in registers.
func appendShort(buf []byte, steps []step, p address) (uintptr, int) {
	to, k, room := dataOf(buf), uintptr(len(buf)), roomOf(buf)
	for i := range steps {
		s := &steps[i]
		from := at(p, s.off)
		switch s.op {
		case stepRun1:
			move1(at(to, k), from, s.n)
			k += s.n
		case stepRun4:
			*array4At(at(to, k)) = *array4At(from)
			k += 4
		case stepRun5:
			move4(at(to, k), from, s.n)
			k += s.n
		case stepRun8:
			*array8At(at(to, k)) = *array8At(from)
			k += 8
		case stepRun9:
			move8(at(to, k), from, s.n)
			k += s.n
		case stepRun16:
			move16(at(to, k), from, s.n)
			k += s.n
		case stepSwap2:
			swap2(at(to, k), from)
			k += 2
		case stepSwap4:
			swap4(at(to, k), from)
			k += 4
		case stepSwap8:
			swap8(at(to, k), from)
			k += 8
		case stepString:
			text, n := textAt(from)
			binary.LittleEndian.PutUint32(array4At(at(to, k))[:], uint32(n))
			if n > moveMost || n > room-k-4-uintptr(s.rest) {
				return k, i
			}
			switch k += 4; {
			case n >= 16:
				move16(at(to, k), text, n)
			case n >= 8:
				move8(at(to, k), text, n)
			case n >= 4:
				move4(at(to, k), text, n)
			case n > 0:
				move1(at(to, k), text, n)
			}
			k += n
		default:
			return k, i
		}
	}
	return k, len(steps)
}

// readFlat makes steps the other way round. The data are as long as all of them
// at least. At room, if it is not nil, there is room for all that they are longer.
func readFlat(data []byte, steps []step, p, room address) bool {
	from := dataOf(data)
	k, end := uintptr(0), uintptr(len(data))
	for i := range steps {
		s := &steps[i]
		to := at(p, s.off)
		switch s.op {
		case stepRun1:
			move1(to, at(from, k), s.n)
			k += s.n
		case stepRun4:
			*array4At(to) = *array4At(at(from, k))
			k += 4
		case stepRun5:
			move4(to, at(from, k), s.n)
			k += s.n
		case stepRun8:
			*array8At(to) = *array8At(at(from, k))
			k += 8
		case stepRun9:
			move8(to, at(from, k), s.n)
			k += s.n
		case stepRun16:
			move16(to, at(from, k), s.n)
			k += s.n
		case stepRun:
			copy(view(to, s.n), view(at(from, k), s.n))
			k += s.n
		case stepString:
			size := uintptr(binary.LittleEndian.Uint32(array4At(at(from, k))[:]))
			if k += 4; size > end-k-uintptr(s.rest) {
				return false
			}
			text := ""
			switch {
			case size == 0:
			case room != nil:
				move(room, at(from, k), size)
				text = stringOf(room, size)
			default:
				text = string(view(at(from, k), size))
			}
			k += size
			*stringAt(to) = text
		case stepSwap2:
			swap2(to, at(from, k))
			k += 2
		case stepSwap4:
			swap4(to, at(from, k))
			k += 4
		case stepSwap8:
			swap8(to, at(from, k))
			k += 8
		}
	}
	return k == end
}

// roomOf returns how far the buffer reaches, or so far that a longer string
// would not fit its prefix.
func roomOf(buf []byte) uintptr { return uintptr(len(buf)) + uintptr(min(cap(buf)-len(buf), maxLeast)) }
