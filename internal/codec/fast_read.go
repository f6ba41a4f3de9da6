//go:build !bsrpc_safe && (386 || amd64 || arm || arm64 || loong64 || mips || mipsle || mips64 || mips64le || ppc64 || ppc64le || riscv64 || s390x || wasm)

package codec

// The fast executor, reading: fast_append.go the other way round.

import (
	"encoding/binary"
	"reflect"
)

// runBack reads into the value at v.
func (c *Codec) runBack(r *reader, v Ref) *Error {
	switch {
	case !c.fast:
		return r.plainAt(c.node, v.p)
	case c.node.op == opStruct:
		return r.fastStruct(c.node, v.p, 0)
	}
	return r.fast(c.node, v.p, 0)
}

// readAtOnce reads a value that is all runs and plain strings, or a pointer to it,
// if there is nothing to bound and no string that could share memory: most small
// values need no reader. If it reports false, the value may be set in part, and
// what reads it again says what is wrong.
func (c *Codec) readAtOnce(d *Decoder, v Ref) bool {
	n, data, memory := c.node, d.Data, len(d.Data)
	if c.lone != nil {
		if len(data) == 0 || data[0] != 1 {
			return false
		}
		n, data = c.lone, data[1:]
		memory += int(n.size)
	}
	if !c.fast || !n.flat || d.Lenient || len(data) < n.least || d.Budget > 0 && int64(memory) > d.Budget {
		return false
	}
	if len(data) >= 2*fewBytes && n.texts > 1 {
		return false
	}
	p := v.p
	if c.lone != nil {
		p = makeElem(n)
		*pointerAt(v.p) = p
	}
	return readFlat(data, n.steps, p)
}

// readFlat makes steps that are runs, swapped numbers and plain strings. The
// data are as long as all of them at least.
func readFlat(data []byte, steps []step, p address) bool {
	from := dataOf(data)
	k, end := uintptr(0), uintptr(len(data))
	for i := range steps {
		s := &steps[i]
		q := at(p, s.off)
		switch s.op {
		case stepRun8:
			*array8At(q) = *array8At(at(from, k))
			k += 8
		case stepRun4:
			*array4At(q) = *array4At(at(from, k))
			k += 4
		case stepRun:
			copyRun(view(q, s.n), view(at(from, k), s.n))
			k += s.n
		case stepSwap2:
			swap2(q, at(from, k))
			k += 2
		case stepSwap4:
			swap4(q, at(from, k))
			k += 4
		case stepSwap8:
			swap8(q, at(from, k))
			k += 8
		case stepString:
			size := uintptr(binary.LittleEndian.Uint32(array4At(at(from, k))[:]))
			if k += 4; size > end-k-uintptr(s.rest) {
				return false
			}
			*stringAt(q) = ""
			if size > 0 {
				*stringAt(q) = string(view(at(from, k), size))
				k += size
			}
		}
	}
	return k == end
}

// plainText finds the text of a plain string at the beginning of b, if all of
// it is there.
func plainText(b []byte) ([]byte, bool) {
	if len(b) < 4 {
		return nil, false
	}
	size := uint64(binary.LittleEndian.Uint32(b))
	if b = b[4:]; size > uint64(len(b)) {
		return nil, false
	}
	return b[:size], true
}

func (r *reader) plainAt(n *node, p address) *Error { return r.plain(n, n.value(p), 0) }

func (r *reader) fast(n *node, p address, depth int) (err *Error) {
	switch n.op {
	case opStruct:
		return r.fastStruct(n, p, depth)
	case opSlice:
		return r.fastSlice(n, p, depth)
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
		storeUint(at(p, n.size/2), n.size/2, bits[1])
		return err
	case opString:
		if n.isPlainString() {
			*stringAt(p), err = r.plainString(n, r.off)
		} else {
			*stringAt(p), err = r.string(n)
		}
	case opBytes:
		*bytesAt(p), err = r.blob(n)
	case opTime:
		*timeAt(p), err = r.time()
	case opBinary, opText:
		return r.ownBack(n, n.value(p))
	case opArray:
		return r.fastArray(n, p, depth)
	case opMap:
		return r.fastMap(n, p, depth)
	default:
		return r.fastPointer(n, p, depth)
	}
	return err
}

func (r *reader) fastStruct(n *node, p address, depth int) *Error {
	off := r.off // of r itself only where another function looks at it
	for i := range n.steps {
		s := &n.steps[i]
		q := at(p, s.off)
		switch s.op {
		case stepRun8:
			if len(r.data)-off < 8 {
				return r.shortRun(s, off)
			}
			*array8At(q) = [8]byte(r.data[off:])
			off += 8
		case stepRun4:
			if len(r.data)-off < 4 {
				return r.shortRun(s, off)
			}
			*array4At(q) = [4]byte(r.data[off:])
			off += 4
		case stepRun:
			if uintptr(len(r.data)-off) < s.n {
				return r.shortRun(s, off)
			}
			off += copyRun(view(q, s.n), r.data[off:off+int(s.n)])
		case stepString:
			text, err := r.plainString(s.node, off)
			if err != nil {
				return err.in(s.path)
			}
			*stringAt(q) = text
			off = r.off
		default:
			r.off = off
			if err := r.fast(s.node, q, depth); err != nil {
				return err.in(s.path)
			}
			off = r.off
		}
	}
	r.off = off
	return nil
}

// plainString reads a string without bounds of its own: most strings.
func (r *reader) plainString(n *node, off int) (string, *Error) {
	r.off = off
	if text, ok := plainText(r.data[off:]); ok && !r.d.Lenient {
		r.off += 4 + len(text)
		return r.keepString(text)
	}
	return r.string(n)
}

// shortRun says which field of a run the input ends in.
func (r *reader) shortRun(s *step, off int) *Error {
	r.off = off
	for i := range s.run {
		f := &s.run[i]
		if err := r.skip(f.node); err != nil {
			return err.in(f.path)
		}
	}
	return r.short(1)
}

// skip passes over a value that lies as in memory, or says where in it the
// input ends.
func (r *reader) skip(n *node) *Error {
	if n.raw <= uintptr(len(r.data)-r.off) {
		r.off += int(n.raw)
		return nil
	}
	switch n.op {
	case opArray:
		r.off += (len(r.data) - r.off) / int(n.elem.raw) * int(n.elem.raw)
		return r.skip(n.elem).in("[]")
	case opStruct:
		for i := range n.fields {
			if err := r.skip(n.fields[i].node); err != nil {
				return err.in(n.fields[i].path)
			}
		}
	case opComplex:
		r.off += (len(r.data) - r.off) / int(n.raw/2) * int(n.raw/2)
		return r.short(int(n.raw / 2))
	}
	return r.short(int(n.raw))
}

func (r *reader) fastArray(n *node, p address, depth int) *Error {
	if n.raw > 0 {
		if uintptr(len(r.data)-r.off) < n.raw {
			return r.skip(n)
		}
		r.off += copy(view(p, n.raw), r.data[r.off:])
		return nil
	}
	if n.elem.size == 0 {
		return nil
	}
	for i := range n.n {
		if err := r.fast(n.elem, at(p, uintptr(i)*n.elem.size), depth); err != nil {
			return err.in("[]")
		}
	}
	return nil
}

func (r *reader) fastSlice(n *node, p address, depth int) *Error {
	*bytesAt(p) = nil
	count, c, err := r.open(n, n.elem.least, depth+1)
	if err != nil {
		return err
	}
	if count > 0 {
		if err := r.charge(int64(count) * int64(n.elem.size)); err != nil {
			return err
		}
		if err := r.fastElems(n, p, count, depth+1); err != nil {
			return err.in("[]")
		}
	}
	return r.close(c)
}

func (r *reader) fastElems(n *node, p address, count, depth int) *Error {
	if n.elems == elemsRaw { // open has seen that the bytes are there
		b, _ := r.next(count * int(n.elem.raw))
		n.setRawSlice(p, b, count)
		return nil
	}
	data := n.makeSlice(p, count)
	switch n.elems {
	case elemsSwap:
		b, _ := r.next(count * int(n.elem.swap))
		c := column{stepOf(n.elem), 0, count}
		c.move(data, n.elem.swap, dataOf(b), n.elem.swap)
		return nil
	case elemsFixed:
		b, _ := r.next(count * n.elem.least)
		n.elem.columns(count, dataOf(b), data, true)
		return nil
	case elemsRunString:
		if !r.d.Lenient {
			return r.fastRunStrings(n, data, count)
		}
	}
	for i := range count {
		if err := r.fast(n.elem, at(data, uintptr(i)*n.elem.size), depth); err != nil {
			return err
		}
	}
	return nil
}

// fastRunStrings reads the commonest kind of struct: a run, then a string.
func (r *reader) fastRunStrings(n *node, data address, count int) (err *Error) {
	run, str := n.elem.steps[0], n.elem.steps[1] // not looked up for each element
	next, fixed := n.elem.size, int(run.n)+4
	off := r.off
	for i := range uintptr(count) {
		p := at(data, i*next)
		rest := r.data[off:]
		if len(rest) < fixed || uint64(len(rest)-fixed) < uint64(binary.LittleEndian.Uint32(rest[run.n:])) {
			r.off = off
			return r.fastStruct(n.elem, p, 0) // says what is short
		}
		copyRun(view(at(p, run.off), run.n), rest[:run.n])
		text := rest[fixed:][:binary.LittleEndian.Uint32(rest[run.n:])]
		off += fixed + len(text)
		if to := stringAt(at(p, str.off)); len(text) > 0 && len(text) <= min(r.block.free(), blockMost) {
			*to = r.block.add(text)
		} else if r.off = off; len(text) > 0 {
			if *to, err = r.keepString(text); err != nil {
				return err.in(str.path)
			}
		}
	}
	r.off = off
	return nil
}

func (r *reader) fastMap(n *node, p address, depth int) *Error {
	count, c, err := r.open(n, n.key.least+n.elem.least, depth+1)
	if err == nil {
		err = r.charge(mapCost(n, count))
	}
	if err != nil {
		return err
	}
	m := reflect.MakeMapWithSize(n.typ, count)
	*pointerAt(p) = m.UnsafePointer()
	if count == 0 {
		return r.close(c)
	}
	key, elem := reflect.New(n.key.typ), reflect.New(n.elem.typ)
	var last []byte
	for i := range count {
		from := r.off
		if err := r.fast(n.key, key.UnsafePointer(), depth+1); err != nil {
			return err.in("[key]")
		}
		if last, err = r.rising(last, from, i); err != nil {
			return err
		}
		if err := r.fast(n.elem, elem.UnsafePointer(), depth+1); err != nil {
			return err.in("[]")
		}
		m.SetMapIndex(key.Elem(), elem.Elem())
	}
	return r.closeMap(c, m.Len(), count)
}

func (r *reader) fastPointer(n *node, p address, depth int) *Error {
	*pointerAt(p) = nil
	present, err := r.pointer(n, depth+1)
	if err != nil || !present {
		return err
	}
	q := makeElem(n.elem)
	*pointerAt(p) = q
	return r.fast(n.elem, q, depth+1)
}
