package codec

import "github.com/bsrpc/bsrpc/layout"

// leastBytes needs only what can be held by value, so cycles do no harm.
func (n *node) computeMinSize() int {
	switch n.op {
	case opBool, opPointer:
		return 1
	case opInt, opUint, opFloat:
		return minWidth(n.format)
	case opComplex:
		return 2 * minWidth(n.format)
	case opString, opBytes:
		return minWidth(n.format) + n.length
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
			sum = min(sum+f.node.computeMinSize(), maxMinSize)
		}
		return sum
	}
	if n.op == opDeref {
		return n.elem.computeMinSize()
	}
	return 1 // what has a problem has no other
}

// maxLeast is the least size from which on a type is refused. It keeps sums
// and products of sizes from overflowing.
const maxMinSize = 1 << 30

func mulSaturated(a, b int) int {
	return int(min(int64(a)*int64(b), maxMinSize))
}

// rawBytes returns the size of a value whose memory is its wire form.
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
		if steps := n.appendSteps(nil, 0, ""); len(steps) == 1 && steps[0].size == n.size {
			return n.size
		}
	}
	return 0
}

// swapBytes returns the size of a number whose memory, reversed, is its wire
// form.
func (n *node) computeSwapSize() uintptr {
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

// wireSigned reports whether a number is signed on the wire.
func (n *node) wireSigned() bool { return n.kind == layout.Int || n.kind == layout.Duration }

// isFixed reports whether n is a struct that takes the same bytes always, by
// flat steps, and takes any.
func (n *node) isFixedSize() bool { return n.simple && n.numStrings == 0 && n.minSize > 0 }
