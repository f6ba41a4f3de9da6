//go:build !bsrpc_safe && (386 || amd64 || arm || arm64 || loong64 || mips || mipsle || mips64 || mips64le || ppc64 || ppc64le || riscv64 || s390x || wasm)

package codec

// The fast executor, reading slices: a loop for each kind of elements. A loop dispatches on
// the kind once, and keeps what it needs in local variables. Each gives the values and the
// errors of the generic loop at the end of fastReadElems, and leaves invalid input to the
// code below it: errors are worth no speed.

import "encoding/binary"

// fastReadSlice reads a slice to p. It first sets the slice to nil: the old
// elements may belong to the caller and must not be overwritten, and after an
// error no partly initialized header may remain.
func fastReadSlice(r *reader, n *node, p address, depth int) *Error {
	// All slices have the same header, so a []byte stands for any of them.
	*bytesAt(p) = nil
	count, list, err := r.beginList(n, n.elem.minSize, depth+1)
	if err != nil {
		return err
	}
	if count > 0 {
		if err := r.charge(int64(count) * int64(n.elem.size)); err != nil {
			return err
		}
		if err := fastReadElems(r, n, p, count, depth+1); err != nil {
			return err.in("[]")
		}
	} else if count < 0 {
		return r.readRest(n, n.value(p), list, depth+1, true)
	}
	return r.endList(list)
}

// fastReadElems allocates a slice of count elements at p and reads them by the
// slice's loop. beginList has checked that the input contains at least count
// times minSize bytes, so the loops for a constant size need no further check.
func fastReadElems(r *reader, n *node, p address, count, depth int) *Error {
	if n.loop == loopCopy { // beginList has checked the size
		b, _ := r.next(count * int(n.elem.rawSize))
		n.setRawSlice(p, b, count)
		return nil
	}
	// Every other loop needs zeroed memory with the type of the elements.
	data := n.makeSlice(p, count)
	switch n.loop {
	case loopSwap:
		b, _ := r.next(count * int(n.elem.swapSize))
		c := column{stepOpOf(n.elem), 0, count}
		c.copy(data, n.elem.swapSize, dataPtr(b), n.elem.swapSize)
		return nil
	case loopFixedSize:
		b, _ := r.next(count * n.elem.minSize)
		n.elem.columns(count, dataPtr(b), data, true)
		return nil
	case loopRunString:
		if !r.d.Lenient {
			return fastReadRunStrings(r, n, data, count)
		}
	case loopSimple:
		if !r.d.Lenient {
			return fastReadSimple(r, n, data, count)
		}
	case loopWiden:
		b, _ := r.next(count * n.elem.minSize)
		for i := range uintptr(count) {
			widen(n.elem, offset(data, i*n.elem.size), offset(dataPtr(b), i*uintptr(n.elem.minSize)))
		}
		return nil
	case loopPointer:
		return fastReadPointers(r, n, data, count, depth)
	}
	for i := range count {
		if err := fastReadValue(r, n.elem, offset(data, uintptr(i)*n.elem.size), depth); err != nil {
			return err
		}
	}
	return nil
}

// fastReadPointers reads pointers to values of a constant size.
func fastReadPointers(r *reader, n *node, data address, count, depth int) *Error {
	e := n.elem.elem
	for i := range uintptr(count) {
		present, err := r.pointer(n.elem, depth+1)
		if err != nil {
			return err
		}
		if !present {
			continue
		}
		p := e.alloc.new()
		*pointerAt(offset(data, i*n.elem.size)) = p
		if len(r.data)-r.off < e.minSize {
			return fastReadValue(r, e, p, depth+1) // returns the error
		}
		from := offset(dataPtr(r.data), uintptr(r.off))
		// The size of a raw target is minSize; of others columns knows both
		// sizes.
		if e.rawSize > 0 {
			copyShort(p, from, e.rawSize)
		} else {
			e.columns(1, from, p, true)
		}
		r.off += e.minSize
	}
	return nil
}

// fastReadRunStrings reads structs of a run and a string, the most common kind. It
// keeps the offset in local variables and leaves truncated structs to
// fastStruct.
func fastReadRunStrings(r *reader, n *node, data address, count int) (err *Error) {
	run, textOff := n.elem.steps[0], n.elem.steps[1].off // hoisted
	next, fixed := n.elem.size, run.size+4
	wide := run.op == stepCopy16to32
	from, k, end := dataPtr(r.data), uintptr(r.off), uintptr(len(r.data))
	for i := range uintptr(count) {
		p := offset(data, i*next)
		// All subtractions below are of larger numbers minus smaller ones: k
		// never exceeds end.
		if fixed > end-k {
			r.off = int(k)
			return fastReadStruct(r, n.elem, p, 0) // returns the error
		}
		if wide {
			copy16to32(offset(p, run.off), offset(from, k), run.size)
		} else {
			copyShort(offset(p, run.off), offset(from, k), run.size)
		}
		size := uintptr(binary.LittleEndian.Uint32(array4At(offset(from, k+run.size))[:]))
		if size > end-k-fixed {
			r.off = int(k)
			return fastReadStruct(r, n.elem, p, 0)
		}
		k += fixed
		if size == 0 {
			continue
		}
		text, to := offset(from, k), stringAt(offset(p, textOff))
		k += size
		// No space in the arena: newString starts a new one or allocates the
		// string. The budget is charged there, once per arena.
		if size > maxArenaString || int(size) > r.arena.avail() {
			r.off = int(k)
			if *to, err = r.newString(bytesView(text, size)); err != nil {
				return err.in(n.elem.steps[1].path)
			}
			continue
		}
		into := r.arena.alloc(int(size))
		if 8 <= size && size < 16 {
			copy8to16(into, text, size)
		} else {
			copyShort(into, text, size)
		}
		*to = stringOf(into, size)
	}
	r.off = int(k)
	return nil
}

// fastReadSimple reads simple structs. It keeps the offset in a local variable. Of a
// truncated struct it leaves the steps not done to fastReadSteps: those before have charged
// the budget already.
func fastReadSimple(r *reader, n *node, data address, count int) *Error {
	e := n.elem
	from, k, end := dataPtr(r.data), uintptr(r.off), uintptr(len(r.data))
	for i := range uintptr(count) {
		p, done := offset(data, i*e.size), 0
		if uintptr(e.minSize) <= end-k {
			var err *Error
			if k, done, err = readSimple(r, e.steps, p, from, k, end, nil); err != nil {
				return err
			}
		}
		if done < len(e.steps) {
			r.off = int(k)
			return fastReadSteps(r, e.steps[done:], p, 0) // returns the error
		}
	}
	r.off = int(k)
	return nil
}
