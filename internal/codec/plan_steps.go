package codec

import "github.com/bsrpc/bsrpc/layout"

// A step is one move of the fast executor through a struct.
type step struct {
	op      stepOp
	off     uintptr
	size    uintptr // bytes of a run
	minRest int     // least bytes of the steps behind it
	node    *node
	path    string // ".Item.ID", or of the first field of a run
	fields  []field
}

// A stepOp says how a step is made.
type stepOp uint8

const (
	stepGeneric    stepOp = iota // by the node's own code
	stepCopy                     // copy n bytes
	stepCopy1to3                 // of which there are 1 to 3
	stepCopy4                    // 4
	stepCopy5to7                 // 5 to 7
	stepCopy8                    // 8
	stepCopy9to15                // 9 to 15
	stepCopy16to32               // 16 to 32
	stepSwap2                    // a number with its bytes the other way round
	stepSwap4
	stepSwap8
	stepString // le4 length, no further checks
)

// An elemKind is a kind of slice element that has a loop of its own.
type elemLoop uint8

const (
	loopGeneric   elemLoop = iota
	loopCopy               // elements lie in memory as on the wire: one copy
	loopSwap               // numbers with their bytes the other way round
	loopFixedSize          // flat structs without strings
	loopRunString          // structs of one run and one plain string
	loopSimple             // flat structs with strings
	loopPointer            // pointers to what is fixed
	loopSlice              // slices of what is raw, with nothing to check
)

// fuse appends the steps of a struct whose memory begins at off.
func (n *node) appendSteps(steps []step, off uintptr, path string) []step {
	if n.op != opStruct {
		return nil
	}
	for _, f := range n.fields {
		f.off, f.path = off+f.off, path+f.path
		switch m := f.node; {
		case m.size == 0 && m.minSize == 0 && m.op != opStruct:
			continue
		case m.rawSize > 0:
			steps = appendRun(steps, f)
		case m.op == opStruct:
			steps = m.appendSteps(steps, f.off, f.path)
		default:
			steps = append(steps, step{op: stepOpOf(m), off: f.off, node: m, path: f.path})
		}
	}
	return steps
}

// addRun lengthens the last run if f follows it, else begins one.
func appendRun(steps []step, f field) []step {
	if k := len(steps) - 1; k >= 0 && steps[k].fields != nil && steps[k].off+steps[k].size == f.off {
		s := &steps[k]
		s.size += f.node.rawSize
		s.fields = append(s.fields, f)
		s.op = copyOp(s.size)
		return steps
	}
	return append(steps, step{op: copyOp(f.node.rawSize), off: f.off, size: f.node.rawSize, path: f.path, fields: []field{f}})
}

// setRest tells each step what follows it.
func setMinRest(steps []step) {
	rest := 0
	for i := len(steps) - 1; i >= 0; i-- {
		steps[i].minRest = rest
		rest += int(steps[i].size)
		if steps[i].node != nil {
			rest += steps[i].node.minSize
		}
	}
}

// moveMost is how many bytes a move copies at most without a call.
const maxInlineCopy = 32

func copyOp(n uintptr) stepOp {
	switch {
	case n < 4:
		return stepCopy1to3
	case n == 4:
		return stepCopy4
	case n < 8:
		return stepCopy5to7
	case n == 8:
		return stepCopy8
	case n < 16:
		return stepCopy9to15
	case n <= maxInlineCopy:
		return stepCopy16to32
	}
	return stepCopy
}

func stepOpOf(n *node) stepOp {
	switch {
	case n.isUncheckedString():
		return stepString
	case n.swapSize == 2:
		return stepSwap2
	case n.swapSize == 4:
		return stepSwap4
	case n.swapSize == 8:
		return stepSwap8
	}
	return stepGeneric
}

// isPlainString reports whether a string needs no check but of its length.
func (n *node) isUncheckedString() bool {
	return n.op == opString && n.format == layout.LE4 && n.max == 0 && !n.utf8
}

func (n *node) chooseLoop() elemLoop {
	if n.op != opSlice {
		return loopGeneric
	}
	switch e := n.elem; {
	case e.rawSize > 0:
		return loopCopy
	case e.swapSize > 0:
		return loopSwap
	case e.isFixedSize():
		return loopFixedSize
	case len(e.steps) == 2 && e.steps[0].fields != nil && e.steps[1].op == stepString:
		return loopRunString
	case e.simple:
		return loopSimple
	case e.op == opPointer && (e.elem.rawSize > 0 || e.elem.isFixedSize()):
		return loopPointer
	case e.loop == loopCopy && e.format == layout.LE4 && e.lenFormat == layout.LE4 && e.max == 0:
		return loopSlice
	}
	return loopGeneric
}
