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

// readAtOnce reads a value that is flat, or a pointer to one, if there is nothing to bound and no string that could share memory: most small
// values need no reader. If it reports false, the value may be set in part, and
// what reads it again says what is wrong.
func (c *Codec) readAtOnce(d *Decoder, v Ref) bool {
	n, p, data := c.flat, v.p, d.Data
	if n == nil || d.Lenient || d.Budget > 0 && int64(len(data))+int64(n.size)+int64(c.roomy.room) > d.Budget {
		return false
	}
	if c.lone {
		if len(data) == 0 || data[0] != 1 {
			return false
		}
		data = data[1:]
	}
	if len(data) < n.least || len(data) >= 2*fewBytes && n.texts > 1 {
		return false
	}
	var room address
	if text := len(data) - n.least; c.lone {
		if 0 < text && text <= c.roomy.room {
			p, room = c.roomy.make(n.size)
		} else {
			p = n.blank.make()
		}
		*pointerAt(v.p) = p
	}
	return readFlat(data, n.steps, p, room)
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
		switch {
		case s.run != nil:
			if uintptr(len(r.data)-off) < s.n {
				return r.shortRun(s, off)
			}
			move(q, at(dataOf(r.data), uintptr(off)), s.n)
			off += int(s.n)
		case s.op == stepString:
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
	case elemsPointer:
		return r.fastPointers(n, data, count, depth)
	}
	for i := range count {
		if err := r.fast(n.elem, at(data, uintptr(i)*n.elem.size), depth); err != nil {
			return err
		}
	}
	return nil
}

// fastPointers reads pointers to values that take the same bytes always.
func (r *reader) fastPointers(n *node, data address, count, depth int) *Error {
	e := n.elem.elem
	for i := range uintptr(count) {
		present, err := r.pointer(n.elem, depth+1)
		if err != nil {
			return err
		}
		if !present {
			continue
		}
		p := e.blank.make()
		*pointerAt(at(data, i*n.elem.size)) = p
		if len(r.data)-r.off < e.least {
			return r.fast(e, p, depth+1) // says what is short
		}
		from := at(dataOf(r.data), uintptr(r.off))
		if e.raw > 0 {
			move(p, from, e.raw)
		} else {
			e.columns(1, from, p, true)
		}
		r.off += e.least
	}
	return nil
}

// fastRunStrings reads the commonest kind of struct: a run, then a string.
func (r *reader) fastRunStrings(n *node, data address, count int) (err *Error) {
	run, textOff := n.elem.steps[0], n.elem.steps[1].off // not looked up for each element
	next, fixed := n.elem.size, run.n+4
	wide := run.op == stepRun16
	from, k, end := dataOf(r.data), uintptr(r.off), uintptr(len(r.data))
	for i := range uintptr(count) {
		p := at(data, i*next)
		if fixed > end-k {
			r.off = int(k)
			return r.fastStruct(n.elem, p, 0) // says what is short
		}
		if wide {
			move16(at(p, run.off), at(from, k), run.n)
		} else {
			move(at(p, run.off), at(from, k), run.n)
		}
		size := uintptr(binary.LittleEndian.Uint32(array4At(at(from, k+run.n))[:]))
		if size > end-k-fixed {
			r.off = int(k)
			return r.fastStruct(n.elem, p, 0)
		}
		k += fixed
		if size == 0 {
			continue
		}
		text, to := at(from, k), stringAt(at(p, textOff))
		k += size
		if size > blockMost || int(size) > r.block.free() {
			r.off = int(k)
			if *to, err = r.keepString(view(text, size)); err != nil {
				return err.in(n.elem.steps[1].path)
			}
			continue
		}
		into := r.block.take(int(size))
		if 8 <= size && size < 16 {
			move8(into, text, size)
		} else {
			move(into, text, size)
		}
		*to = stringOf(into, size)
	}
	r.off = int(k)
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
	q := n.elem.blank.make()
	*pointerAt(p) = q
	return r.fast(n.elem, q, depth+1)
}
