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

// appendAtOnce appends a value that is flat, or a pointer to one, if there is
// nothing to bound or to check: most small values need no writer.
func (c *Codec) appendAtOnce(e *Encoder, v Ref) bool {
	n, p := c.flat, v.p
	if n == nil || e.Lenient {
		return false
	}
	if c.lone {
		if p = *pointerAt(p); p == nil {
			return false
		}
	}
	if 1+n.least <= cap(e.Buf)-len(e.Buf) {
		buf := c.begun(e.Buf)
		if k, made := appendShort(buf, n.steps, p); made == len(n.steps) && (e.Max <= 0 || int(k)-len(e.Buf) <= e.Max) {
			e.Buf = buf[:k]
			return true
		}
	}
	size := 1 + n.sizeAt(p)
	if size > maxLeast || e.Max > 0 && size > uintptr(e.Max) {
		return false
	}
	buf, left := appendFlat(c.begun(grow(e.Buf, int(size))), n.steps, p)
	if len(left) > 0 { // another goroutine has made a text longer
		return false
	}
	e.Buf = buf
	return true
}

// begun returns buf with what stands before a value that is appended at once.
func (c *Codec) begun(buf []byte) []byte {
	if c.lone {
		return append(buf, 1)
	}
	return buf
}

// sizeAt returns the bytes of the flat struct at p, or more than maxLeast.
func (n *node) sizeAt(p address) uintptr {
	size := uintptr(n.least)
	for i := range n.steps {
		if s := &n.steps[i]; s.op == stepString && size <= maxLeast {
			size += uintptr(len(*stringAt(at(p, s.off))))
		}
	}
	return size
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
		b, err := w.appendOwn(n, n.value(p))
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
		// They may all point to one value, so that count bounds nothing.
		if each := 1 + n.elem.elem.least; count <= maxLeast/each && w.deeper(depth+1) == nil && w.room(buf, count*each) == nil {
			return fastPointers(grow(buf, count*each), n, data, count), nil
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
	wide := runOf(e.raw) == stepRun16
	to, k := dataOf(buf), uintptr(len(buf))
	for i := range uintptr(count) {
		p := *pointerAt(at(data, i*n.elem.size))
		*boolAt(at(to, k)) = p != nil
		k++
		switch {
		case p == nil:
			continue
		case wide:
			move16(at(to, k), p, e.raw)
		case e.raw > 0:
			move(at(to, k), p, e.raw)
		default:
			e.columns(1, at(to, k), p, false)
		}
		k += uintptr(e.least)
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
	next, wide := n.elem.size, run.op == stepRun16
	to, k, room := dataOf(buf), uintptr(len(buf)), roomOf(buf)
	for i := range uintptr(count) {
		p := at(data, i*next)
		text, size := textAt(at(p, textOff))
		if run.n+4+size > room-k {
			var err *Error
			if buf, err = w.fastStruct(buf[:k], n.elem, p, 0); err != nil {
				return buf, err.in("[]")
			}
			to, k, room = dataOf(buf), uintptr(len(buf)), roomOf(buf)
			continue
		}
		if wide {
			move16(at(to, k), at(p, run.off), run.n)
		} else {
			move(at(to, k), at(p, run.off), run.n)
		}
		k += run.n
		binary.LittleEndian.PutUint32(array4At(at(to, k))[:], uint32(size))
		switch k += 4; {
		case 8 <= size && size < 16:
			move8(at(to, k), text, size)
		case size > 0:
			move(at(to, k), text, size)
		}
		k += size
	}
	return buf[:k], nil
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
