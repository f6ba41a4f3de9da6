package codec

import "math"

// A measured is what is worked out over all nodes of a codec.
//
// Its figures bound the memory that reading makes. Each byte of input belongs
// to one instance of a type: an element, a pointer's value, the text of a
// string. A byte may pay for its instance, which has at least the node's
// least bytes, and once more for what a prefix in it makes beyond its
// elements: rounding up, and a map's head.
type memoryBound struct {
	perByte  float64 // most memory for a byte of an instance
	overhead float64 // most memory for a byte of a prefix
	userCode bool
	huge     bool // there is a type whose values take a GiB at least
	seen     map[*node]bool
}

func measure(n *node) *memoryBound {
	m := &memoryBound{seen: map[*node]bool{}}
	m.visit(n)
	return m
}

func (m *memoryBound) maxPerByte() int {
	return int(math.Ceil(m.perByte + m.overhead))
}

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

// rounding is how much the allocator may add to all but the smallest sizes.
const allocRounding = 1.5

func (m *memoryBound) measure(n *node) {
	m.huge = m.huge || n.minSize >= maxMinSize
	switch n.op {
	case opString, opBytes:
		m.add(allocRounding, 8/float64(max(n.minSize, 1)))
	case opBinary, opText:
		m.userCode = true
		m.add(allocRounding, float64(n.size)/4)
	case opSlice:
		m.add(allocRounding*float64(n.elem.size)/float64(n.elem.minSize), 8/float64(n.minSize))
	case opPointer, opDeref:
		m.pointer(n)
	case opMap:
		m.mapOf(n)
	}
}

func (m *memoryBound) add(instance, overhead float64) {
	m.perByte = max(m.perByte, instance)
	m.overhead = max(m.overhead, overhead)
}

// pointer measures the value of a pointer, which pays with the presence byte
// if it has no byte of its own.
func (m *memoryBound) pointer(n *node) {
	size := max(8, allocRounding*float64(n.elem.size))
	switch {
	case n.elem.size == 0:
	case n.op == opDeref: // the bytes are those of what holds the pointer, too
		m.add(0, size/float64(max(n.elem.minSize, 1)))
	case n.elem.minSize == 0:
		m.add(0, size)
	default:
		m.add(size/float64(n.elem.minSize), 0)
	}
}

// mapOf measures a map: of no pairs, of few, which take a group of eight, and
// of many. What it makes counts as overhead, for its bytes may belong to other
// instances.
func (m *memoryBound) mapOf(n *node) {
	slot := float64(slotSize(n))
	least := float64(n.key.minSize + n.elem.minSize)
	prefix := float64(n.minSize)
	few := mapHeaderSize + 1.25*(8*slot+8) + slot + 16 // and the pair on its way
	m.add(0, max(mapHeaderSize/prefix, few/(prefix+least), 2.5*(slot+1)/least))
}
