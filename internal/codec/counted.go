package codec

// What surrounds the elements of a slice or map: byte length and count.

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"github.com/bsrpc/bsrpc/layout"
)

// An opened is a slice or map whose elements are being appended.
type opened struct {
	at   int // where the elements' byte length stands, or belongs
	cuts int // cuts before it
	size int // bytes in them
}

// open appends what stands before count elements. The byte length is not yet
// known: room is left for it, but for a varint, whose room is not known either.
func (w *writer) open(buf []byte, n *node, count, depth int) ([]byte, opened, *Error) {
	o := opened{len(buf), w.noted(), w.cutSize}
	if err := w.deeper(depth); err != nil {
		return buf, o, err
	}
	if n.max > 0 && count > n.max {
		return buf, o, refuse("%s exceed max=%d", amount(count, "element"), n.max)
	}
	if !fitsUint(uint64(count), n.form) {
		return buf, o, refuse("%s do not fit in a count of %s", amount(count, "element"), amount(widthOf(n.form), "byte"))
	}
	if n.bytes != layout.NoFormat && n.bytes != layout.Varint {
		buf = appendUint(buf, 0, n.bytes)
	}
	return appendUint(buf, uint64(count), n.form), o, nil
}

// close sets the byte length once all elements are there.
func (w *writer) close(buf []byte, n *node, o opened) ([]byte, *Error) {
	if err := w.room(buf, 0); err != nil {
		return buf, err
	}
	width := widthOf(n.bytes)
	size := uint64(len(buf)-o.at-width) + uint64(w.cutSize-o.size)
	switch {
	case n.bytes == layout.NoFormat:
	case n.bytes == layout.Varint:
		var b [binary.MaxVarintLen64]byte
		prefix := binary.AppendUvarint(b[:0], size)
		buf = slices.Insert(buf, o.at, prefix...)
		for i := o.cuts; i < len(w.cuts); i++ {
			w.cuts[i].At += len(prefix)
		}
	case !fitsUint(size, n.bytes):
		return buf, refuse("%s do not fit in a length of %s", amount(size, "byte"), amount(width, "byte"))
	default:
		appendUint(buf[:o.at], size, n.bytes)
	}
	return buf, nil
}

// noted is how many cuts there are.
func (w *writer) noted() int { return max(len(w.cuts), len(w.e.Cuts)) }

// A closed is a slice or map whose elements are being read.
type closed struct {
	data []byte // all the input that was readable around it
	end  int    // where the elements end; -1: not known
}

// open reads what stands before elements and narrows the input to them. That
// the count is no larger than the input can hold is checked before anything
// is made of it.
func (r *reader) open(n *node, least, depth int) (count int, c closed, err *Error) {
	c = closed{r.data, -1}
	if err := r.deeper(depth); err != nil {
		return 0, c, err
	}
	if n.bytes != layout.NoFormat {
		size, err := r.uint(n.bytes)
		if err != nil {
			return 0, c, err
		}
		if size > uint64(len(r.data)-r.off) {
			return 0, c, r.fail("want %s of elements, have %d", amount(size, "byte"), len(r.data)-r.off)
		}
		c.end = r.off + int(size)
		r.data = r.data[:c.end]
	}
	from := r.off
	u, err := r.uint(n.form)
	if err != nil {
		return 0, c, err
	}
	if u > math.MaxInt32 || int64(u)*int64(least) > int64(len(r.data)-r.off) {
		have := len(r.data) - r.off
		r.off = from
		return 0, c, r.fail("%s of at least %s, have %d", amount(u, "element"), amount(least, "byte"), have)
	}
	if n.max > 0 && u > uint64(n.max) {
		r.off = from
		return 0, c, r.fail("%s exceed max=%d", amount(u, "element"), n.max)
	}
	return int(u), c, nil
}

// close checks that the elements took all of their bytes.
func (r *reader) close(c closed) *Error {
	if c.end >= 0 && r.off != c.end {
		return r.fail("%s left over after the elements", amount(c.end-r.off, "byte"))
	}
	r.data = c.data
	return nil
}

// A pair is a map's key and value in the buffer.
type pair struct {
	from, value, end int
	head             uint64 // of the key, for sorting: the first bytes in which keys differ
}

// sortPairs brings the pairs of a map, which end the buffer, into the order of
// their keys' bytes.
func sortPairs(buf []byte, pairs []pair) *Error {
	if len(pairs) < 2 {
		return nil
	}
	base := pairs[0].from
	old := bytes.Clone(buf[base:])
	key := func(p pair) []byte { return old[p.from-base : p.value-base] }
	common := key(pairs[0]) // what all keys begin with
	for i := range pairs {
		common = commonPrefix(common, key(pairs[i]))
	}
	for i := range pairs {
		var head [8]byte
		copy(head[:], key(pairs[i])[len(common):])
		pairs[i].head = binary.BigEndian.Uint64(head[:])
	}
	slices.SortFunc(pairs, func(p, q pair) int {
		if p.head != q.head {
			return cmp.Compare(p.head, q.head)
		}
		return bytes.Compare(key(p), key(q))
	})
	to := base
	for i, p := range pairs {
		if i > 0 && bytes.Equal(key(pairs[i-1]), key(p)) {
			return refuse("two keys have the same bytes").in("[key]")
		}
		to += copy(buf[to:], old[p.from-base:p.end-base])
	}
	return nil
}

// commonPrefix returns what a and b both begin with.
func commonPrefix(a, b []byte) []byte {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return a[:i]
		}
	}
	return a[:n]
}

// mapCost is what count pairs of a map cost in memory. Go's maps keep eight
// pairs together and are at worst a little less than half full.
func mapCost(n *node, count int) int64 {
	slot := int64(slotSize(n) + 1)
	switch {
	case count == 0:
		return mapHead
	case count <= 8:
		return mapHead + 8*slot
	}
	return mapHead + int64(count)*slot*5/2
}

// slotSize is what a pair of a map takes in memory.
func slotSize(n *node) uintptr { return (n.key.size + n.elem.size + 7) &^ 7 }

const mapHead = 48

// closeUnless is close unless there is an error already.
func (w *writer) closeUnless(buf []byte, n *node, o opened, err *Error) ([]byte, *Error) {
	if err != nil {
		return buf, err
	}
	return w.close(buf, n, o)
}

// rising checks that the bytes of the key just read, the i-th, come after
// those of the one before, and returns them.
func (r *reader) rising(last []byte, from, i int) ([]byte, *Error) {
	key := r.data[from:r.off]
	if i > 0 && bytes.Compare(last, key) >= 0 {
		r.off = from
		return nil, r.fail("want keys in the order of their bytes, each once").in("[key]")
	}
	return key, nil
}

// closeMap checks that no two keys were equal to Go.
func (r *reader) closeMap(c closed, size, count int) *Error {
	if size != count {
		return r.fail("two keys are equal").in("[key]")
	}
	return r.close(c)
}
