package codec

import "github.com/bsrpc/bsrpc/layout"

// A step encodes or decodes one part of a struct: a run of adjacent fields
// without conversion, or a single field.
type step struct {
	op      stepOp
	off     uintptr // in memory
	size    uintptr // run, skip, widen: bytes on the wire
	minRest int     // minimum bytes of the later steps
	node    *node   // single field
	path    string  // ".Item.ID"; of the first field of a run
	fields  []field // run
}

// A stepOp selects the code for a step. Runs have several, by size, so that
// short copies need no call and no loop.
type stepOp uint8

const (
	stepGeneric  stepOp = iota // by the operation of the node
	stepCopy                   // run of more than 32 bytes
	stepCopy1to3               // run of 1 to 3 bytes
	stepCopy4
	stepCopy5to7
	stepCopy8
	stepCopy9to15
	stepCopy16to32
	stepSwap2 // reverse the bytes of a number
	stepSwap4
	stepSwap8
	stepString // string with an le4 length and no limits

	// Only for reading what a peer with another version of a type writes: a plan with
	// these steps stays simple. Appending does not know them.
	stepWiden    // number of a peer, narrower than the own one
	stepSkip     // bytes without a place in memory, as many as size
	stepSkipText // bytes without a place in memory, behind an le4 length
)

// An elemLoop selects the loop over the elements of a slice.
type elemLoop uint8

const (
	loopGeneric   elemLoop = iota
	loopCopy               // raw elements: a single copy
	loopSwap               // byte-swapped numbers
	loopFixedSize          // structs of a constant size: column by column
	loopRunString          // structs of a run and an unchecked string
	loopSimple             // simple structs
	loopPointer            // pointers to values of a constant size
	loopSlice              // slices of raw elements without limits
	loopWiden              // numbers of a peer, narrower than the own ones
)

// appendSteps appends the steps of the struct n, at offset off of the outermost
// struct. Nested structs are flattened, and fields without bytes are skipped.
func (n *node) appendSteps(steps []step, off uintptr, path string) []step {
	if n.op != opStruct {
		return nil
	}
	for _, f := range n.fields {
		f.off, f.path = off+f.off, path+f.path
		switch m := f.node; {
		case m.op == opStream:
			continue
		case m.isNothing():
			continue
		case m.rawSize > 0:
			steps = appendRun(steps, f)
		case m.op == opStruct:
			steps = m.appendSteps(steps, f.off, f.path)
		default:
			s := step{op: stepOpOf(m), off: f.off, node: m, path: f.path}
			if s.op == stepSkip || s.op == stepWiden {
				s.size = uintptr(m.minSize)
			}
			steps = append(steps, s)
		}
	}
	return steps
}

// appendRun extends the last run by f if adjacent in memory, or else starts a
// run. Padding between fields ends a run.
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

// setMinRest sets minRest of each step.
func setMinRest(steps []step) {
	rest := 0
	for i := len(steps) - 1; i >= 0; i-- {
		steps[i].minRest = rest
		if n := steps[i].node; n != nil {
			rest += n.minSize
		} else {
			rest += int(steps[i].size)
		}
	}
}

// maxInlineCopy is the longest copy without a call or a loop.
const maxInlineCopy = 32

// copyOp returns the operation for a run of n bytes.
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

// stepOpOf returns the operation for a single field.
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
	case n.widens():
		return stepWiden
	case n.op == opSkip && n.skipped.fixed:
		return stepSkip
	case n.op == opSkip && n.skipped.isText() && n.skipped.format == layout.LE4:
		return stepSkipText
	}
	return stepGeneric
}

// isUncheckedString reports whether a string only needs a check of its length
// against the input or the buffer.
func (n *node) isUncheckedString() bool {
	return n.op == opString && n.format == layout.LE4 && n.max == 0 && !n.utf8
}

// chooseLoop returns the loop over the elements of n, the fastest one first.
func (n *node) chooseLoop() elemLoop {
	if n.op != opSlice {
		return loopGeneric
	}
	switch e := n.elem; {
	case e.rawSize > 0:
		return loopCopy
	case e.swapSize > 0:
		return loopSwap
	case e.fixedSize:
		return loopFixedSize
	case len(e.steps) == 2 && e.steps[0].fields != nil && e.steps[1].op == stepString:
		return loopRunString
	case e.simple:
		return loopSimple
	case e.widens():
		return loopWiden
	case e.op == opPointer && (e.elem.rawSize > 0 || e.elem.fixedSize):
		return loopPointer
	// The inner lengths have a constant width, so the loop needs no beginList.
	case e.loop == loopCopy && e.format == layout.LE4 && e.lenFormat == layout.LE4 && e.max == 0:
		return loopSlice
	}
	return loopGeneric
}
