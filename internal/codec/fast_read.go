//go:build !bsrpc_safe && (386 || amd64 || arm || arm64 || loong64 || mips || mipsle || mips64 || mips64le || ppc64 || ppc64le || riscv64 || s390x || wasm)

package codec

// The fast executor, reading. It follows the node tree over memory.

import (
	"encoding/binary"
	"reflect"
)

// readValue reads into the value at v.
func (c *Codec) readValue(r *reader, v Ref) *Error {
	switch {
	case !c.useFast:
		return c.reflectRead(r, v)
	case c.node.op == opStruct:
		return fastReadStruct(r, c.node, v.p, 0)
	}
	return fastReadValue(r, c.node, v.p, 0)
}

// splitString returns the text of the unchecked string at the start of b. It
// returns false if b is too short.
func splitString(b []byte) ([]byte, bool) {
	if len(b) < 4 {
		return nil, false
	}
	size := uint64(binary.LittleEndian.Uint32(b))
	if b = b[4:]; size > uint64(len(b)) {
		return nil, false
	}
	return b[:size], true
}

// reflectRead leaves the value at v to the reflect executor.
func (c *Codec) reflectRead(r *reader, v Ref) *Error {
	return reflectReadValue(r, c.node, c.node.value(v.p), 0)
}

// fastReadValue reads into the value at p.
func fastReadValue(r *reader, n *node, p address, depth int) (err *Error) {
	switch n.op {
	case opStruct:
		return fastReadStruct(r, n, p, depth)
	case opSlice:
		return fastReadSlice(r, n, p, depth)
	case opBool:
		*boolAt(p), err = r.bool()
	case opInt:
		i, err := r.signed(n)
		storeUint(p, n.size, uint64(i))
		return err
	case opUint:
		u, err := r.unsigned(n)
		storeUint(p, n.size, u)
		return err
	case opFloat:
		bits, err := r.float(n, n.size)
		storeUint(p, n.size, bits)
		return err
	case opComplex:
		bits, err := r.complex(n)
		storeUint(p, n.size/2, bits[0])
		storeUint(offset(p, n.size/2), n.size/2, bits[1])
		return err
	case opString:
		if n.isUncheckedString() {
			*stringAt(p), err = r.uncheckedString(n, r.off)
		} else {
			*stringAt(p), err = r.string(n)
		}
	case opBytes:
		*bytesAt(p), err = r.blob(n)
	case opTime:
		*timeAt(p), err = r.time()
	case opBinary, opText:
		return r.unmarshal(n, n.value(p))
	case opRaw:
		return r.raw(n, n.value(p))
	case opArray:
		return fastReadArray(r, n, p, depth)
	case opMap:
		return fastReadMap(r, n, p, depth)
	case opUnion:
		return fastReadUnion(r, n, p, depth)
	case opSkip:
		return r.skipValue(n.skipped, depth)
	case opBlank:
		return r.blank(n)
	case opFunc: // one stored before stays
		set, err := r.presence("a func")
		if !set {
			*pointerAt(p) = nil
		}
		return err
	default:
		return fastReadPointer(r, n, p, depth)
	}
	return err
}

// fastReadStruct executes the plan of a struct.
func fastReadStruct(r *reader, n *node, p address, depth int) *Error {
	return fastReadSteps(r, n.steps, p, depth)
}

// fastReadSteps executes steps of the plan of the struct at p.
func fastReadSteps(r *reader, steps []step, p address, depth int) *Error {
	off := r.off // local copy; r.off is set before calls
	for i := range steps {
		s := &steps[i]
		q := offset(p, s.off)
		switch {
		case s.fields != nil:
			if uintptr(len(r.data)-off) < s.size {
				return r.errShortRun(s, off)
			}
			copyShort(q, offset(dataPtr(r.data), uintptr(off)), s.size)
			off += int(s.size)
		case s.op == stepString:
			text, err := r.uncheckedString(s.node, off)
			if err != nil {
				return err.in(s.path)
			}
			*stringAt(q) = text
			off = r.off
		case s.op == stepSkip:
			if uintptr(len(r.data)-off) < s.size {
				r.off = off
				return r.errShort(int(s.size)).in(s.path)
			}
			off += int(s.size)
		default:
			r.off = off
			if err := fastReadValue(r, s.node, q, depth); err != nil {
				return err.in(s.path)
			}
			off = r.off
		}
	}
	r.off = off
	return nil
}

// uncheckedString reads an unchecked string at off.
func (r *reader) uncheckedString(n *node, off int) (string, *Error) {
	r.off = off
	if text, ok := splitString(r.data[off:]); ok && !r.d.Lenient {
		r.off += 4 + len(text)
		return r.newString(text)
	}
	return r.string(n)
}

// errShortRun returns the error of truncated input in a run. It reads the run
// field by field, for the error of the reflect executor.
func (r *reader) errShortRun(s *step, off int) *Error {
	r.off = off
	// One of the fields is incomplete; skip returns its error.
	for i := range s.fields {
		f := &s.fields[i]
		if err := r.skip(f.node); err != nil {
			return err.in(f.path)
		}
	}
	return r.errShort(1)
}

// skip skips a raw value, or returns the error of truncated input with its
// path.
func (r *reader) skip(n *node) *Error {
	if n.rawSize <= uintptr(len(r.data)-r.off) {
		r.off += int(n.rawSize)
		return nil
	}
	switch n.op {
	case opArray:
		// Skip the complete elements: the error is in the next one.
		r.off += (len(r.data) - r.off) / int(n.elem.rawSize) * int(n.elem.rawSize)
		return r.skip(n.elem).in("[]")
	case opStruct:
		for i := range n.fields {
			if err := r.skip(n.fields[i].node); err != nil {
				return err.in(n.fields[i].path)
			}
		}
	case opComplex:
		r.off += (len(r.data) - r.off) / int(n.rawSize/2) * int(n.rawSize/2)
		return r.errShort(int(n.rawSize / 2))
	}
	return r.errShort(int(n.rawSize))
}

// fastReadArray reads an array: a single copy if it is raw.
func fastReadArray(r *reader, n *node, p address, depth int) *Error {
	if n.rawSize > 0 {
		if uintptr(len(r.data)-r.off) < n.rawSize {
			return r.skip(n)
		}
		r.off += copy(bytesView(p, n.rawSize), r.data[r.off:])
		return nil
	}
	if n.elem.isNothing() {
		return nil
	}
	for i := range n.length {
		if err := fastReadValue(r, n.elem, offset(p, uintptr(i)*n.elem.size), depth); err != nil {
			return err.in("[]")
		}
	}
	return nil
}

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

// fastReadSimple reads simple structs. It leaves truncated ones to fastReadSteps.
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

// fastReadMap reads a map to p.
func fastReadMap(r *reader, n *node, p address, depth int) *Error {
	m, list, err := r.beginMap(n, depth)
	if err != nil {
		return err
	}
	*pointerAt(p) = m.UnsafePointer()
	return r.readPairs(n, m, list, depth, true)
}

// fastReadTo reads into the target of p.
func fastReadTo(r *reader, n *node, p reflect.Value, depth int) *Error {
	return fastReadValue(r, n, p.UnsafePointer(), depth)
}

// fastReadPointer reads a pointer to p. The target is stored before it is read: the
// garbage collector must see it from then on.
func fastReadPointer(r *reader, n *node, p address, depth int) *Error {
	*pointerAt(p) = nil
	present, err := r.pointer(n, depth+1)
	if err != nil || !present {
		return err
	}
	q := n.elem.alloc.new()
	*pointerAt(p) = q
	return fastReadValue(r, n.elem, q, depth+1)
}

// fastReadUnion reads the target of one pointer in the union at p and sets the others to nil.
func fastReadUnion(r *reader, n *node, p address, depth int) *Error {
	// Before the number is read: after an error no old member may remain beside a new one.
	for i := range n.fields {
		if f := &n.fields[i]; f.node.op != opSkip {
			*pointerAt(offset(p, f.off)) = nil
		}
	}
	f, err := r.member(n, depth+1)
	if err != nil {
		return err
	}
	if f.node.op == opSkip { // none is set
		if err := r.skipValue(f.node.skipped, depth+1); err != nil {
			return err.in(f.path)
		}
		return nil
	}
	q := f.node.alloc.new()
	*pointerAt(offset(p, f.off)) = q
	if err := fastReadValue(r, f.node, q, depth+1); err != nil {
		return err.in(f.path)
	}
	return nil
}
