package codec

import "math"

// A measured is what is worked out over all nodes of a codec.
//
// Its figures bound the memory that reading makes. Each byte of input belongs
// to one instance of a type: an element, a pointer's value, the text of a
// string. A byte may pay for its instance, which has at least the node's
// least bytes, and once more for what a prefix in it makes beyond its
// elements: rounding up, and a map's head.
type measured struct {
	instance float64 // most memory for a byte of an instance
	overhead float64 // most memory for a byte of a prefix
	user     bool
	huge     bool // there is a type whose values take a GiB at least
	seen     map[*node]bool
}

func measure(n *node) *measured {
	m := &measured{seen: map[*node]bool{}}
	m.visit(n)
	return m
}

func (m *measured) perByte() int {
	return int(math.Ceil(m.instance + m.overhead))
}

func (m *measured) visit(n *node) {
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
const rounding = 1.5

func (m *measured) measure(n *node) {
	m.huge = m.huge || n.least >= maxLeast
	switch n.op {
	case opString, opBytes:
		m.add(rounding, 8/float64(max(n.least, 1)))
	case opBinary, opText:
		m.user = true
		m.add(rounding, float64(n.size)/4)
	case opSlice:
		m.add(rounding*float64(n.elem.size)/float64(n.elem.least), 8/float64(n.least))
	case opPointer, opDirect:
		m.pointer(n)
	case opMap:
		m.mapOf(n)
	}
}

func (m *measured) add(instance, overhead float64) {
	m.instance = max(m.instance, instance)
	m.overhead = max(m.overhead, overhead)
}

// pointer measures the value of a pointer, which pays with the presence byte
// if it has no byte of its own.
func (m *measured) pointer(n *node) {
	size := max(8, rounding*float64(n.elem.size))
	switch {
	case n.elem.size == 0:
	case n.op == opDirect: // the bytes are those of what holds the pointer, too
		m.add(0, size/float64(max(n.elem.least, 1)))
	case n.elem.least == 0:
		m.add(0, size)
	default:
		m.add(size/float64(n.elem.least), 0)
	}
}

// mapOf measures a map: of no pairs, of few, which take a group of eight, and
// of many. What it makes counts as overhead, for its bytes may belong to other
// instances.
func (m *measured) mapOf(n *node) {
	slot := float64(slotSize(n))
	least := float64(n.key.least + n.elem.least)
	prefix := float64(n.least)
	few := mapHead + 1.25*(8*slot+8) + slot + 16 // and the pair on its way
	m.add(0, max(mapHead/prefix, few/(prefix+least), 2.5*(slot+1)/least))
}
