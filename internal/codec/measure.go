package codec

import "math"

// A memoryBound computes the maximum memory allocated by Read per byte of
// input, over all nodes of a codec.
//
// Each byte of input belongs to one instance of a type: an element, the target
// of a pointer, the text of a string. Its memory is spread over the bytes of
// the instance, at least minSize of them. The bytes of a length prefix pay in
// addition for memory independent of the elements: the rounding of allocations
// and the header of a map.
type memoryBound struct {
	perByte  float64 // maximum for a byte of an instance
	overhead float64 // maximum for a byte of a prefix, in addition
	userCode bool    // there is a type with marshal methods
	huge     bool    // there is a type with a minSize of maxMinSize
	seen     map[*node]bool
}

// measure visits all nodes of n.
func measure(n *node) *memoryBound {
	m := &memoryBound{seen: map[*node]bool{}}
	m.visit(n)
	return m
}

// maxPerByte returns the total: a byte may pay for an instance and as part of a
// prefix.
func (m *memoryBound) maxPerByte() int {
	return int(math.Ceil(m.perByte + m.overhead))
}

// visit measures n and all nodes below it, once each.
func (m *memoryBound) visit(n *node) {
	if n == nil || m.seen[n] {
		return
	}
	m.seen[n] = true
	m.visit(n.key)
	m.visit(n.elem)
	for _, f := range n.fields {
		m.visit(f.node)
	}
	m.measure(n)
}

// allocRounding bounds the ratio of an allocation to its requested size, except
// for the smallest sizes, covered by the overhead.
const allocRounding = 1.5

// measure adds the memory of values of n, without their children.
func (m *memoryBound) measure(n *node) {
	m.huge = m.huge || n.minSize >= maxMinSize
	switch n.op {
	case opString, opBytes:
		m.add(allocRounding, 8/float64(max(n.minSize, 1)))
	case opBinary, opText:
		m.userCode = true
		m.add(allocRounding, float64(n.size)/4)
	case opRaw: // only its new value: the other memory is that of its methods
		m.userCode = true
		m.add(0, allocRounding*float64(n.size))
	case opSlice:
		growth := 1.0
		if unprefixed(n.format) && !n.elem.constant { // see readRest
			growth = 4
		}
		m.add(growth*allocRounding*float64(n.elem.size)/float64(n.elem.minSize), 8/float64(max(n.minSize, 1)))
	case opPointer, opDeref:
		m.pointer(n, n.elem)
	case opUnion:
		for _, f := range n.fields {
			m.pointer(n, f.node)
		}
	case opMap:
		m.mapOf(n)
	}
}

// add raises the maxima.
func (m *memoryBound) add(instance, overhead float64) {
	m.perByte = max(m.perByte, instance)
	m.overhead = max(m.overhead, overhead)
}

// pointer adds the target of a pointer, or of a union's pointers. A target
// without bytes is paid by the byte before it.
func (m *memoryBound) pointer(n, target *node) {
	size := max(8, allocRounding*float64(target.size))
	switch {
	case target.size == 0:
	case n.op == opDeref: // the bytes also belong to the instance with the pointer
		m.add(0, size/float64(max(target.minSize, 1)))
	case target.minSize == 0:
		m.add(0, size)
	default:
		m.add(size/float64(target.minSize), 0)
	}
}

// mapOf adds a map: empty, of few pairs in a single group of eight, or of many.
// All of it counts as overhead, as the bytes of its pairs may also belong to
// other instances.
func (m *memoryBound) mapOf(n *node) {
	slot := float64(slotSize(n))
	least := float64(n.key.minSize + n.elem.minSize)
	prefix := float64(n.minSize)
	few := mapHeaderSize + 1.25*(8*slot+8) + slot + 16 // with the variables for a pair
	growth := 1.0
	if unprefixed(n.format) && !(n.key.constant && n.elem.constant) { // see chargePair
		growth = 2
	}
	m.add(0, max(mapHeaderSize/prefix, few/(prefix+least), growth*2.5*(slot+1)/least))
}
