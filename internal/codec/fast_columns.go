//go:build !bsrpc_safe && (386 || amd64 || arm || arm64 || loong64 || mips || mipsle || mips64 || mips64le || ppc64 || ppc64le || riscv64 || s390x || wasm)

package codec

// The fast executor, on many values that take the same bytes always: field by
// field, so that what a field needs is decided once for all of them.

// columns moves count values of a fixed struct from memory to the wire, or
// back. There is room for all of them.
func (n *node) columns(count int, wire, mem address, back bool) {
	off := uintptr(0)
	for i := range n.steps {
		s := &n.steps[i]
		c := column{s.op, s.size, count}
		if back {
			c.copy(offset(mem, s.off), n.size, offset(wire, off), uintptr(n.minSize))
		} else {
			c.copy(offset(wire, off), uintptr(n.minSize), offset(mem, s.off), n.size)
		}
		off += s.wireSize()
	}
}

// wireBytes returns what a step that is fixed takes on the wire.
func (s *step) wireSize() uintptr {
	if s.node != nil {
		return s.node.swapSize
	}
	return s.size
}

// A column is one step of many values.
type column struct {
	op    stepOp
	size  uintptr // bytes of a run
	count int
}

// move copies the column. The strides are from value to value.
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
