//go:build !bsrpc_safe && (386 || amd64 || arm || arm64 || loong64 || mips || mipsle || mips64 || mips64le || ppc64 || ppc64le || riscv64 || s390x || wasm)

package codec

// The fast executor, appending. It follows the node tree over memory.

import (
	"encoding/binary"
	"reflect"
	"slices"
)

// appendValue appends the value at v.
func (c *Codec) appendValue(w *writer, buf []byte, v Ref) ([]byte, *Error) {
	switch {
	case !c.useFast:
		return reflectAppendAt(w, buf, c.node, v.p)
	case c.node.op == opStruct:
		return fastAppendStruct(w, buf, c.node, v.p, 0)
	}
	return fastAppendValue(w, buf, c.node, v.p, 0)
}

// reflectAppendAt leaves the value at p to the reflect executor.
func reflectAppendAt(w *writer, buf []byte, n *node, p address) ([]byte, *Error) {
	return reflectAppendValue(w, buf, n, n.value(p), 0)
}

// fastAppendValue appends the value at p.
func fastAppendValue(w *writer, buf []byte, n *node, p address, depth int) ([]byte, *Error) {
	switch n.op {
	case opStruct:
		return fastAppendStruct(w, buf, n, p, depth)
	case opSlice:
		return fastAppendSlice(w, buf, n, p, depth)
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
		return w.complex(buf, n, [2]uint64{loadUint(p, half), loadUint(offset(p, half), half)})
	case opString:
		return w.string(buf, n, *stringAt(p))
	case opBytes:
		return w.blob(buf, n, *bytesAt(p))
	case opTime:
		return appendTime(buf, *timeAt(p)), nil
	case opBinary, opText:
		b, err := w.marshal(n, n.value(p))
		return w.custom(buf, n, b, err)
	case opRaw:
		return w.raw(buf, n, n.value(p))
	case opArray:
		return fastAppendArray(w, buf, n, p, depth)
	case opMap:
		return fastAppendMap(w, buf, n, p, depth)
	case opUnion:
		return fastAppendUnion(w, buf, n, p, depth)
	case opFunc:
		return appendBool(buf, *pointerAt(p) != nil), nil
	case opBlank:
		return w.blank(buf, n)
	case opJSON:
		return w.json(buf, n, n.value(p), depth)
	}
	return fastAppendPointer(w, buf, n, p, depth)
}

// fastAppendStruct alternates between appendSimple, for as many steps as possible,
// and one other step. Before each it ensures capacity for the minimum size of
// all remaining steps, as required by appendSimple.
func fastAppendStruct(w *writer, buf []byte, n *node, p address, depth int) (_ []byte, err *Error) {
	buf = grow(buf, n.minSize)
	steps := n.steps
	for len(steps) > 0 {
		// A lenient encoder must check strings, so it takes the generic step
		// for each.
		if !w.e.Lenient {
			if buf, steps = appendSimple(buf, steps, p); len(steps) == 0 {
				break
			}
		}
		s := &steps[0]
		// A run is left over only by appendSimple for lack of capacity, or if
		// lenient.
		if s.fields != nil {
			buf = append(buf, bytesView(offset(p, s.off), s.size)...)
		} else if buf, err = fastAppendValue(w, buf, s.node, offset(p, s.off), depth); err != nil {
			return buf, err.in(s.path)
		}
		buf = grow(buf, s.minRest)
		steps = steps[1:]
	}
	return buf, nil
}

// grow ensures capacity for n more bytes.
func grow(buf []byte, n int) []byte {
	if n <= cap(buf)-len(buf) {
		return buf
	}
	return slices.Grow(buf, n)
}

// fastAppendArray appends an array: a single copy if it is raw.
func fastAppendArray(w *writer, buf []byte, n *node, p address, depth int) (_ []byte, err *Error) {
	if n.rawSize > 0 {
		return append(buf, bytesView(p, n.rawSize)...), nil
	}
	if n.elem.isNothing() {
		return buf, nil
	}
	for i := range n.length {
		if buf, err = fastAppendValue(w, buf, n.elem, offset(p, uintptr(i)*n.elem.size), depth); err != nil {
			return buf, err.in("[]")
		}
	}
	return buf, nil
}

// fastAppendSlice appends the slice at p with its lengths.
func fastAppendSlice(w *writer, buf []byte, n *node, p address, depth int) ([]byte, *Error) {
	// The slice header is read once: with a data race its length could change.
	data, count := sliceAt(p)
	buf, list, err := w.beginList(buf, n, count, depth+1)
	if err == nil && count > 0 {
		buf, err = fastAppendElems(w, buf, n, data, count, depth+1)
	}
	return w.endListOr(buf, n, list, err)
}

// fastAppendElems appends count elements at data by the slice's loop. A loop without
// checks for lenient encoders falls through to the generic one.
func fastAppendElems(w *writer, buf []byte, n *node, data address, count, depth int) ([]byte, *Error) {
	// Raw elements may be cut instead of copied, and need no growth in advance.
	if n.loop == loopCopy {
		b := bytesView(data, uintptr(count)*n.elem.rawSize)
		if err := w.checkRoom(buf, len(b)); err != nil {
			return buf, err
		}
		return w.blobBytes(buf, b), nil
	}
	// Grow once for the minimum size of all elements. The product cannot
	// overflow, as each element occupies memory.
	least := count * n.elem.minSize
	if err := w.checkRoom(buf, least); err != nil {
		return buf, err
	}
	buf = grow(buf, least)
	switch n.loop {
	case loopSwap:
		c := column{stepOpOf(n.elem), 0, count}
		c.copy(offset(dataPtr(buf), uintptr(len(buf))), n.elem.swapSize, data, n.elem.swapSize)
		return buf[:len(buf)+least], nil
	case loopFixedSize:
		n.elem.columns(count, offset(dataPtr(buf), uintptr(len(buf))), data, false)
		return buf[:len(buf)+least], nil
	case loopRunString:
		if !w.e.Lenient {
			return fastAppendRunStrings(w, buf, n, data, count)
		}
	case loopSimple:
		if !w.e.Lenient {
			return fastAppendSimple(w, buf, n, data, count)
		}
	case loopPointer:
		// All pointers may have the same target: their number does not bound
		// the product.
		if each := 1 + n.elem.elem.minSize; count <= maxMinSize/each && w.checkDepth(depth+1) == nil && w.checkRoom(buf, count*each) == nil {
			return fastPointers(grow(buf, count*each), n, data, count), nil
		}
	case loopSlice:
		return fastAppendSlices(w, buf, n, data, count, depth)
	}
	var err *Error
	for i := range count {
		if buf, err = fastAppendValue(w, buf, n.elem, offset(data, uintptr(i)*n.elem.size), depth); err != nil {
			return buf, err.in("[]")
		}
	}
	return buf, nil
}

// fastAppendSimple appends simple structs.
func fastAppendSimple(w *writer, buf []byte, n *node, data address, count int) (_ []byte, err *Error) {
	for i := range count {
		p := offset(data, uintptr(i)*n.elem.size)
		whole, left := appendSimple(grow(buf, n.elem.minSize), n.elem.steps, p)
		if len(left) == 0 {
			buf = whole
		} else if buf, err = fastAppendStruct(w, buf, n.elem, p, 0); err != nil {
			return buf, err.in("[]")
		}
	}
	return buf, nil
}

// fastPointers appends pointers to values of a constant size. The caller has
// ensured capacity for all of them.
func fastPointers(buf []byte, n *node, data address, count int) []byte {
	e := n.elem.elem
	wide := copyOp(e.rawSize) == stepCopy16to32
	to, k := dataPtr(buf), uintptr(len(buf))
	for i := range uintptr(count) {
		p := *pointerAt(offset(data, i*n.elem.size))
		*boolAt(offset(to, k)) = p != nil
		k++
		switch {
		case p == nil:
			continue
		case wide:
			copy16to32(offset(to, k), p, e.rawSize)
		case e.rawSize > 0:
			copyShort(offset(to, k), p, e.rawSize)
		default:
			e.columns(1, offset(to, k), p, false)
		}
		k += uintptr(e.minSize)
	}
	return buf[:k]
}

// fastAppendSlices appends slices of raw elements.
func fastAppendSlices(w *writer, buf []byte, n *node, data address, count, depth int) (_ []byte, err *Error) {
	// The depth is the same for all inner slices: check it once.
	shallow := w.checkDepth(depth+1) == nil
	for i := range count {
		p := offset(data, uintptr(i)*n.elem.size)
		from, k := sliceAt(p)
		size := k * int(n.elem.elem.rawSize) // no overflow: the elements occupy memory
		// Errors, cuts and large sizes take the general path.
		if !shallow || size >= min(w.minCut, maxMinSize) || w.checkRoom(buf, 8+size) != nil {
			if buf, err = fastAppendSlice(w, buf, n.elem, p, depth); err != nil {
				return buf, err.in("[]")
			}
			continue
		}
		buf = binary.LittleEndian.AppendUint32(grow(buf, 8+size), uint32(4+size))
		buf = binary.LittleEndian.AppendUint32(buf, uint32(k))
		if k > 0 {
			buf = append(buf, bytesView(from, uintptr(size))...)
		}
	}
	return buf, nil
}

// fastAppendRunStrings appends structs of a run and a string, the most common kind.
// It keeps the buffer in local variables and leaves structs beyond its capacity
// to fastStruct.
func fastAppendRunStrings(w *writer, buf []byte, n *node, data address, count int) ([]byte, *Error) {
	run, textOff := n.elem.steps[0], n.elem.steps[1].off // hoisted
	next, wide := n.elem.size, run.op == stepCopy16to32
	to, k, room := dataPtr(buf), uintptr(len(buf)), bufLimit(buf)
	for i := range uintptr(count) {
		p := offset(data, i*next)
		text, size := textAt(offset(p, textOff))
		// k never exceeds room. The string's length is bounded by room, which
		// is limited to the range of its prefix.
		if run.size+4+size > room-k {
			var err *Error
			if buf, err = fastAppendStruct(w, buf[:k], n.elem, p, 0); err != nil {
				return buf, err.in("[]")
			}
			to, k, room = dataPtr(buf), uintptr(len(buf)), bufLimit(buf)
			continue
		}
		if wide {
			copy16to32(offset(to, k), offset(p, run.off), run.size)
		} else {
			copyShort(offset(to, k), offset(p, run.off), run.size)
		}
		k += run.size
		binary.LittleEndian.PutUint32(array4At(offset(to, k))[:], uint32(size))
		switch k += 4; {
		case 8 <= size && size < 16:
			copy8to16(offset(to, k), text, size)
		case size > 0:
			copyShort(offset(to, k), text, size)
		}
		k += size
	}
	return buf[:k], nil
}

// fastAppendMap appends the map at p. It is passed on as an interface, without its address.
func fastAppendMap(w *writer, buf []byte, n *node, p address, depth int) ([]byte, *Error) {
	return w.appendPairs(buf, n, n.mapAt(p), depth, true)
}

// fastAppendAt appends the target of p.
func fastAppendAt(w *writer, buf []byte, n *node, p reflect.Value, depth int) ([]byte, *Error) {
	return fastAppendValue(w, buf, n, p.UnsafePointer(), depth)
}

// fastAppendPointer appends the presence byte of the pointer at p and its target.
func fastAppendPointer(w *writer, buf []byte, n *node, p address, depth int) ([]byte, *Error) {
	q := *pointerAt(p)
	buf, err := w.present(buf, n, q != nil, depth+1)
	if err != nil || q == nil {
		return buf, err
	}
	return fastAppendValue(w, buf, n.elem, q, depth+1)
}

// fastAppendUnion appends the number and the target of the only pointer set in the union at p.
func fastAppendUnion(w *writer, buf []byte, n *node, p address, depth int) ([]byte, *Error) {
	// Each pointer is read once: with a data race it could become nil.
	set, target := none, address(nil)
	for i := range n.fields {
		switch q := *pointerAt(offset(p, n.fields[i].off)); {
		case q == nil:
		case set != none:
			return buf, n.errTwoMembers(set, i)
		default:
			set, target = i, q
		}
	}
	buf, err := w.member(buf, set, depth+1)
	if err != nil {
		return buf, err
	}
	f := &n.fields[set]
	if buf, err = fastAppendValue(w, buf, f.node, target, depth+1); err != nil {
		return buf, err.in(f.path)
	}
	return buf, nil
}
