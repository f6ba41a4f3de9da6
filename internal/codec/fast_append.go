//go:build !bsrpc_safe && (386 || amd64 || arm || arm64 || loong64 || mips || mipsle || mips64 || mips64le || ppc64 || ppc64le || riscv64 || s390x || wasm)

package codec

// The fast executor, appending: a node tree followed over memory. It gives
// the bytes and errors of the plain one.

import (
	"encoding/binary"
	"reflect"
	"slices"
)

// run appends the value at v.
func (c *Codec) run(w *writer, buf []byte, v Ref) ([]byte, *Error) {
	switch {
	case !c.fast:
		return w.plainAt(buf, c.node, v.p)
	case c.node.op == opStruct:
		return w.fastStruct(buf, c.node, v.p, 0)
	}
	return w.fast(buf, c.node, v.p, 0)
}

// appendAtOnce appends a value that is all runs and plain strings, or a pointer to
// it, if there is nothing to bound or to check: most small values need no writer.
func (c *Codec) appendAtOnce(e *Encoder, v Ref) bool {
	n, p, buf := c.node, v.p, e.Buf
	if !c.fast || e.Lenient {
		return false
	}
	if c.lone != nil {
		if n, p = c.lone, *pointerAt(p); p == nil {
			return false
		}
		buf = append(grow(buf, 1+n.least), 1)
	} else if n.flat {
		buf = grow(buf, n.least)
	} else {
		return false
	}
	buf, left := appendFlat(buf, n.steps, p)
	if len(left) > 0 || e.Max > 0 && len(buf)-len(e.Buf) > e.Max {
		return false
	}
	e.Buf = buf
	return true
}

func (w *writer) plainAt(buf []byte, n *node, p address) ([]byte, *Error) {
	return w.plain(buf, n, n.value(p), 0)
}

func (w *writer) fast(buf []byte, n *node, p address, depth int) ([]byte, *Error) {
	switch n.op {
	case opStruct:
		return w.fastStruct(buf, n, p, depth)
	case opSlice:
		return w.fastSlice(buf, n, p, depth)
	case opBool:
		return appendBool(buf, *boolAt(p)), nil
	case opInt:
		return w.int(buf, n, signExtend(loadUint(p, n.size), int(n.size)))
	case opUint:
		return w.uint(buf, n, loadUint(p, n.size))
	case opFloat:
		return w.float(buf, n, loadUint(p, n.size), n.size)
	case opComplex:
		half := n.size / 2
		return w.complex(buf, n, [2]uint64{loadUint(p, half), loadUint(at(p, half), half)})
	case opString:
		return w.string(buf, n, *stringAt(p))
	case opBytes:
		return w.blob(buf, n, *bytesAt(p))
	case opTime:
		return appendTime(buf, *timeAt(p)), nil
	case opBinary, opText:
		b, err := appendOwn(n, n.value(p))
		return w.owned(buf, n, b, err)
	case opArray:
		return w.fastArray(buf, n, p, depth)
	case opMap:
		return w.fastMap(buf, n, p, depth)
	}
	return w.fastPointer(buf, n, p, depth)
}

// fastStruct makes sure of room for all that the steps to come take at least,
// lets appendFlat go as far as it can, and makes one step itself.
func (w *writer) fastStruct(buf []byte, n *node, p address, depth int) (_ []byte, err *Error) {
	buf = grow(buf, n.least)
	steps := n.steps
	for len(steps) > 0 {
		if !w.e.Lenient {
			if buf, steps = appendFlat(buf, steps, p); len(steps) == 0 {
				break
			}
		}
		s := &steps[0]
		if s.run != nil {
			buf = append(buf, view(at(p, s.off), s.n)...)
		} else if buf, err = w.fast(buf, s.node, at(p, s.off), depth); err != nil {
			return buf, err.in(s.path)
		}
		buf = grow(buf, s.rest)
		steps = steps[1:]
	}
	return buf, nil
}

// appendFlat makes steps that are runs, swapped numbers and plain strings, as
// long as there is room in the buffer, and returns those that are left. There is room for what
// all of them take at least. It is apart because it makes no calls and so
// keeps all it needs in registers.
func appendFlat(buf []byte, steps []step, p address) ([]byte, []step) {
	to := dataOf(buf)
	k, room := uintptr(len(buf)), roomOf(buf)
	for i := range steps {
		s := &steps[i]
		q := at(p, s.off)
		switch s.op {
		case stepRun8:
			*array8At(at(to, k)) = *array8At(q)
			k += 8
		case stepRun4:
			*array4At(at(to, k)) = *array4At(q)
			k += 4
		case stepRun:
			copyRun(view(at(to, k), s.n), view(q, s.n))
			k += s.n
		case stepSwap2:
			swap2(at(to, k), q)
			k += 2
		case stepSwap4:
			swap4(at(to, k), q)
			k += 4
		case stepSwap8:
			swap8(at(to, k), q)
			k += 8
		case stepString:
			text := *stringAt(q)
			size := uintptr(len(text))
			if size > room-k-4-uintptr(s.rest) {
				return buf[:k], steps[i:]
			}
			binary.LittleEndian.PutUint32(array4At(at(to, k))[:], uint32(size))
			if k += 4; size > 0 {
				copyText(view(at(to, k), size), text)
				k += size
			}
		default:
			return buf[:k], steps[i:]
		}
	}
	return buf[:k], nil
}

// grow makes room for n more bytes.
func grow(buf []byte, n int) []byte {
	if n <= cap(buf)-len(buf) {
		return buf
	}
	return slices.Grow(buf, n)
}

func (w *writer) fastArray(buf []byte, n *node, p address, depth int) (_ []byte, err *Error) {
	if n.raw > 0 {
		return append(buf, view(p, n.raw)...), nil
	}
	if n.elem.size == 0 {
		return buf, nil
	}
	for i := range n.n {
		if buf, err = w.fast(buf, n.elem, at(p, uintptr(i)*n.elem.size), depth); err != nil {
			return buf, err.in("[]")
		}
	}
	return buf, nil
}

func (w *writer) fastSlice(buf []byte, n *node, p address, depth int) ([]byte, *Error) {
	data, count := sliceAt(p)
	buf, o, err := w.open(buf, n, count, depth+1)
	if err == nil && count > 0 {
		buf, err = w.fastElems(buf, n, data, count, depth+1)
	}
	return w.closeUnless(buf, n, o, err)
}

func (w *writer) fastElems(buf []byte, n *node, data address, count, depth int) ([]byte, *Error) {
	if n.elems == elemsRaw {
		b := view(data, uintptr(count)*n.elem.raw)
		if err := w.room(buf, len(b)); err != nil {
			return buf, err
		}
		return w.memory(buf, b), nil
	}
	// What the elements take at least is there at once, so that a fresh
	// buffer grows seldom. It cannot overflow: each has taken memory.
	least := count * n.elem.least
	if err := w.room(buf, least); err != nil {
		return buf, err
	}
	buf = grow(buf, least)
	switch n.elems {
	case elemsSwap:
		c := column{stepOf(n.elem), 0, count}
		c.move(at(dataOf(buf), uintptr(len(buf))), n.elem.swap, data, n.elem.swap)
		return buf[:len(buf)+least], nil
	case elemsFixed:
		n.elem.columns(count, at(dataOf(buf), uintptr(len(buf))), data, false)
		return buf[:len(buf)+least], nil
	case elemsRunString:
		if !w.e.Lenient {
			return w.fastRunStrings(buf, n, data, count)
		}
	case elemsFlat:
		if !w.e.Lenient {
			return w.fastFlat(buf, n, data, count)
		}
	case elemsPointer:
		if most := count * (1 + n.elem.elem.least); w.deeper(depth+1) == nil && w.room(buf, most) == nil {
			return fastPointers(grow(buf, most), n, data, count), nil
		}
	case elemsSlice:
		return w.fastSlices(buf, n, data, count, depth)
	}
	var err *Error
	for i := range count {
		if buf, err = w.fast(buf, n.elem, at(data, uintptr(i)*n.elem.size), depth); err != nil {
			return buf, err.in("[]")
		}
	}
	return buf, nil
}

// fastFlat appends structs that are flat and have strings.
func (w *writer) fastFlat(buf []byte, n *node, data address, count int) (_ []byte, err *Error) {
	for i := range count {
		p := at(data, uintptr(i)*n.elem.size)
		whole, left := appendFlat(grow(buf, n.elem.least), n.elem.steps, p)
		if len(left) == 0 {
			buf = whole
		} else if buf, err = w.fastStruct(buf, n.elem, p, 0); err != nil {
			return buf, err.in("[]")
		}
	}
	return buf, nil
}

// fastPointers appends pointers to values that take the same bytes always.
// There is room for all of them.
func fastPointers(buf []byte, n *node, data address, count int) []byte {
	e := n.elem.elem
	to, k := dataOf(buf), uintptr(len(buf))
	for i := range uintptr(count) {
		p := *pointerAt(at(data, i*n.elem.size))
		*boolAt(at(to, k)) = p != nil
		switch k++; {
		case p == nil:
		case e.raw > 0:
			copyRun(view(at(to, k), e.raw), view(p, e.raw))
			k += e.raw
		default:
			e.columns(1, at(to, k), p, false)
			k += uintptr(e.least)
		}
	}
	return buf[:k]
}

// fastSlices appends slices whose elements lie in memory as on the wire.
func (w *writer) fastSlices(buf []byte, n *node, data address, count, depth int) (_ []byte, err *Error) {
	shallow := w.deeper(depth+1) == nil
	for i := range count {
		p := at(data, uintptr(i)*n.elem.size)
		from, k := sliceAt(p)
		size := k * int(n.elem.elem.raw) // k elements have taken memory: it cannot overflow
		if !shallow || size >= min(w.cut, maxLeast) || w.room(buf, 8+size) != nil {
			if buf, err = w.fastSlice(buf, n.elem, p, depth); err != nil {
				return buf, err.in("[]")
			}
			continue
		}
		buf = binary.LittleEndian.AppendUint32(grow(buf, 8+size), uint32(4+size))
		buf = binary.LittleEndian.AppendUint32(buf, uint32(k))
		if k > 0 {
			buf = append(buf, view(from, uintptr(size))...)
		}
	}
	return buf, nil
}

// fastRunStrings appends the commonest kind of struct: a run, then a string.
func (w *writer) fastRunStrings(buf []byte, n *node, data address, count int) ([]byte, *Error) {
	run, textOff := n.elem.steps[0], n.elem.steps[1].off // not looked up for each element
	next, wide := n.elem.size, 16 <= run.n && run.n <= 32
	to, k, room := dataOf(buf), uintptr(len(buf)), roomOf(buf)
	for i := range uintptr(count) {
		p := at(data, i*next)
		text := *stringAt(at(p, textOff))
		size := uintptr(len(text))
		if run.n+4+size > room-k {
			var err *Error
			if buf, err = w.fastStruct(buf[:k], n.elem, p, 0); err != nil {
				return buf, err.in("[]")
			}
			to, k, room = dataOf(buf), uintptr(len(buf)), roomOf(buf)
			continue
		}
		if wide {
			copyWide(view(at(to, k), run.n), view(at(p, run.off), run.n))
		} else {
			copyRun(view(at(to, k), run.n), view(at(p, run.off), run.n))
		}
		k += run.n
		binary.LittleEndian.PutUint32(array4At(at(to, k))[:], uint32(size))
		if k += 4; size > 0 {
			copyText(view(at(to, k), size), text)
			k += size
		}
	}
	return buf[:k], nil
}

// roomOf returns how far the buffer reaches, or so far that a longer string
// would not fit its prefix.
func roomOf(buf []byte) uintptr { return uintptr(min(cap(buf), len(buf)+maxLeast)) }

// copyRun copies from, in few moves if it has one of the commonest lengths,
// and returns its length. There is room for it.
func copyRun(to, from []byte) int {
	switch len(from) {
	case 4:
		*(*[4]byte)(to) = [4]byte(from)
	case 8:
		*(*[8]byte)(to) = [8]byte(from)
	case 16:
		*(*[16]byte)(to) = [16]byte(from)
	case 24:
		*(*[24]byte)(to) = [24]byte(from)
	case 32:
		*(*[32]byte)(to) = [32]byte(from)
	default:
		copy(to, from)
	}
	return len(from)
}

// copyWide copies 16 to 32 bytes, in two moves. There is room for them.
func copyWide(to, from []byte) {
	first, last := [16]byte(from), [16]byte(from[len(from)-16:])
	*(*[16]byte)(to) = first
	*(*[16]byte)(to[len(from)-16:]) = last
}

// copyText copies text, in two moves if it has 8 to 16 bytes. There is room
// for it.
func copyText[T string | []byte](to []byte, text T) {
	n := len(text)
	if n < 8 || n > 16 {
		copy(to, text)
		return
	}
	from := textBytes(text)
	first, last := binary.NativeEndian.Uint64(from), binary.NativeEndian.Uint64(from[n-8:])
	binary.NativeEndian.PutUint64(to, first)
	binary.NativeEndian.PutUint64(to[n-8:], last)
}

func (w *writer) fastMap(buf []byte, n *node, p address, depth int) ([]byte, *Error) {
	m := n.mapAt(p)
	buf, o, err := w.open(buf, n, m.Len(), depth+1)
	if err != nil || m.Len() == 0 {
		return w.closeUnless(buf, n, o, err)
	}
	cut := w.cut
	w.cut = never // what is sorted later cannot lie elsewhere
	defer func() { w.cut = cut }()
	pairs := make([]pair, 0, m.Len())
	key, elem := reflect.New(n.key.typ), reflect.New(n.elem.typ)
	for it := m.MapRange(); it.Next(); {
		key.Elem().SetIterKey(it)
		elem.Elem().SetIterValue(it)
		x := pair{from: len(buf)}
		if buf, err = w.fast(buf, n.key, key.UnsafePointer(), depth+1); err != nil {
			return buf, err.in("[key]")
		}
		x.value = len(buf)
		if buf, err = w.fast(buf, n.elem, elem.UnsafePointer(), depth+1); err != nil {
			return buf, err.in("[]")
		}
		x.end = len(buf)
		pairs = append(pairs, x)
	}
	return w.closeUnless(buf, n, o, sortPairs(buf, pairs))
}

func (w *writer) fastPointer(buf []byte, n *node, p address, depth int) ([]byte, *Error) {
	q := *pointerAt(p)
	buf, err := w.present(buf, n, q != nil, depth+1)
	if err != nil || q == nil {
		return buf, err
	}
	return w.fast(buf, n.elem, q, depth+1)
}
