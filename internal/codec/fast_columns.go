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
		c := column{s.op, s.n, count}
		if back {
			c.move(at(mem, s.off), n.size, at(wire, off), uintptr(n.least))
		} else {
			c.move(at(wire, off), uintptr(n.least), at(mem, s.off), n.size)
		}
		off += s.wireBytes()
	}
}

// wireBytes returns what a step that is fixed takes on the wire.
func (s *step) wireBytes() uintptr {
	if s.node != nil {
		return s.node.swap
	}
	return s.n
}

// A column is one step of many values.
type column struct {
	op    stepOp
	run   uintptr // bytes of a run
	count int
}

// move copies the column. The strides are from value to value.
func (c column) move(to address, toStride uintptr, from address, fromStride uintptr) {
	t, f := uintptr(0), uintptr(0)
	switch c.op {
	case stepSwap2:
		for range c.count {
			swap2(at(to, t), at(from, f))
			t, f = t+toStride, f+fromStride
		}
	case stepSwap4:
		for range c.count {
			swap4(at(to, t), at(from, f))
			t, f = t+toStride, f+fromStride
		}
	case stepSwap8:
		for range c.count {
			swap8(at(to, t), at(from, f))
			t, f = t+toStride, f+fromStride
		}
	case stepRun8:
		for range c.count {
			*array8At(at(to, t)) = *array8At(at(from, f))
			t, f = t+toStride, f+fromStride
		}
	default:
		for range c.count {
			move(at(to, t), at(from, f), c.run)
			t, f = t+toStride, f+fromStride
		}
	}
}
