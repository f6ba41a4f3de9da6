//go:build !bsrpc_safe && (386 || amd64 || arm || arm64 || loong64 || mips || mipsle || mips64 || mips64le || ppc64 || ppc64le || riscv64 || s390x || wasm)

package codec

// The fast executor on many structs of a constant size. It copies column by
// column, to dispatch on the operation once per field instead of once per
// struct.

// columns copies count structs from memory to the wire or, if back is set, from
// the wire to memory. Both sides must have space for all of them.
func (n *node) columns(count int, wire, mem address, back bool) {
	off := uintptr(0)
	for i := range n.steps {
		s := &n.steps[i]
		c := column{s.op, s.size, count}
		switch {
		// What a peer writes and this end lacks has a column on the wire only.
		case s.op == stepSkip:
		case s.op == stepWiden:
			for k := range uintptr(count) {
				widen(s.node, offset(mem, s.off+k*n.size), offset(wire, off+k*uintptr(n.minSize)))
			}
		case back:
			c.copy(offset(mem, s.off), n.size, offset(wire, off), uintptr(n.minSize))
		default:
			c.copy(offset(wire, off), uintptr(n.minSize), offset(mem, s.off), n.size)
		}
		off += s.wireSize()
	}
}

// wireSize returns the size of a step of constant size on the wire.
func (s *step) wireSize() uintptr {
	if s.node != nil {
		return uintptr(s.node.minSize)
	}
	return s.size
}

// A column is one step for many structs.
type column struct {
	op    stepOp
	size  uintptr // of a run
	count int
}

// copy copies the column. A stride is the distance between two structs.
func (c column) copy(to address, toStride uintptr, from address, fromStride uintptr) {
	t, f := uintptr(0), uintptr(0)
	switch c.op {
	case stepSwap2:
		for range c.count {
			swap2(offset(to, t), offset(from, f))
			t, f = t+toStride, f+fromStride
		}
	case stepSwap4:
		for range c.count {
			swap4(offset(to, t), offset(from, f))
			t, f = t+toStride, f+fromStride
		}
	case stepSwap8:
		for range c.count {
			swap8(offset(to, t), offset(from, f))
			t, f = t+toStride, f+fromStride
		}
	case stepCopy8:
		for range c.count {
			*array8At(offset(to, t)) = *array8At(offset(from, f))
			t, f = t+toStride, f+fromStride
		}
	default:
		for range c.count {
			copyShort(offset(to, t), offset(from, f), c.size)
			t, f = t+toStride, f+fromStride
		}
	}
}
