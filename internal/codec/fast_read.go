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
	case opJSON:
		return r.json(n, n.value(p), depth)
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
