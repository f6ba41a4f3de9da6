package codec

import "github.com/bsrpc/bsrpc/layout"

// computeMinSize returns the minimum size of an encoding. It descends only into
// arrays and structs, so it terminates for recursive types and needs no
// finished children.
func (n *node) computeMinSize() int {
	switch n.op {
	case opBool, opPointer, opUnion, opFunc:
		return 1
	case opInt, opUint, opFloat:
		return minWidth(n.format)
	case opComplex:
		return 2 * minWidth(n.format)
	case opString, opBytes:
		if n.format == layout.Until {
			return 1
		}
		return addSaturated(minWidth(n.format), n.length)
	case opTime:
		return 12
	case opSlice, opMap:
		return minWidth(n.format) + minWidth(n.lenFormat)
	case opBinary, opText:
		return 4
	case opArray:
		return mulSaturated(n.length, n.elem.computeMinSize())
	case opStruct:
		sum := 0
		for _, f := range n.fields {
			sum = addSaturated(sum, f.node.computeMinSize())
		}
		return sum
	}
	switch n.op {
	case opDeref:
		return n.elem.computeMinSize()
	case opStream, opRaw:
		return 0
	case opSkip, opJSON:
		return n.skipped.minSize
	case opBlank:
		return n.blankSize()
	}
	return 1 // has problems: avoid a further one
}

// isConstant reports whether all encodings have the minimum size. The children are
// finished.
func (n *node) isConstant() bool {
	switch n.op {
	case opBool, opTime, opBlank:
		return true
	case opInt, opUint, opFloat, opComplex:
		return widthOf(n.format) > 0
	case opString, opBytes:
		return n.format == layout.NoFormat
	case opArray:
		return n.length == 0 || n.elem.constant
	case opStruct:
		for _, f := range n.fields {
			if !f.node.constant {
				return false
			}
		}
		return true
	}
	return false
}

// maxMinSize limits the minimum size of a type. It prevents overflows in sums
// and products of sizes, also with an int of 32 bits.
const maxMinSize = 1 << 30

// mulSaturated returns a*b, at most maxMinSize.
func mulSaturated(a, b int) int {
	return int(min(int64(a)*int64(b), maxMinSize))
}

// addSaturated returns a+b, at most maxMinSize.
func addSaturated(a, b int) int {
	return int(min(int64(a)+int64(b), maxMinSize))
}

// computeRawSize returns the size of a value with the same bytes in memory as
// on the wire, and without any invalid encoding, or else 0.
func (n *node) computeRawSize() uintptr {
	switch n.op {
	case opInt, opUint:
		if isNative(n.format, n.size) && n.wireSigned() == (n.op == opInt) {
			return n.size
		}
	case opFloat:
		if isNative(n.format, n.size) && !n.inKey {
			return n.size
		}
	case opComplex:
		if isNative(n.format, n.size/2) && !n.inKey {
			return n.size
		}
	case opArray:
		if n.elem.rawSize == n.elem.size {
			return n.size
		}
	case opStruct:
		if steps := n.appendSteps(nil, 0, ""); len(steps) == 1 && steps[0].fields != nil && steps[0].size == n.size {
			return n.size
		}
	}
	return 0
}

// computeSwapSize returns the size of a number with its bytes in reverse order
// on the wire, or else 0.
func (n *node) computeSwapSize() uintptr {
	// Varints, and widths converted by CompileAs, have a different size on the
	// wire.
	whole := n.size > 1 && widthOf(n.format) == int(n.size) && !isNative(n.format, n.size)
	switch n.op {
	case opInt, opUint:
		if whole && n.wireSigned() == (n.op == opInt) {
			return n.size
		}
	case opFloat:
		if whole && !n.inKey {
			return n.size
		}
	}
	return 0
}

// wireSigned reports whether an integer is signed on the wire.
func (n *node) wireSigned() bool { return n.kind == layout.Int || n.kind == layout.Duration }

// widens reports whether n reads a number of a constant size that fits in memory whatever
// its value is. Numbers with the bytes of memory are raw or swapped and come first. Only a
// node of a translation is for reading alone: appending the number would need a check of its
// range, so an own tag for a narrower number takes the generic step.
func (n *node) widens() bool {
	width := uintptr(widthOf(n.format))
	if !n.readOnly || width == 0 {
		return false
	}
	switch n.op {
	case opInt:
		return width < n.size || width == n.size && n.wireSigned()
	case opUint:
		return width <= n.size && !n.wireSigned()
	case opFloat:
		return width <= n.size && !n.inKey
	}
	return false
}
