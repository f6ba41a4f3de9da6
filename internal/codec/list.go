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
type listWriter struct {
	at       int // where the elements' byte length stands, or belongs
	cuts     int // cuts before it
	cutBytes int // bytes in them
}

// open appends what stands before count elements. The byte length is not yet
// known: room is left for it, but for a varint, whose room is not known either.
func (w *writer) beginList(buf []byte, n *node, count, depth int) ([]byte, listWriter, *Error) {
	list := listWriter{len(buf), w.numCuts(), w.cutBytes}
	if err := w.checkDepth(depth); err != nil {
		return buf, list, err
	}
	if n.max > 0 && count > n.max {
		return buf, list, encodeErrorf("%s exceed max=%d", plural(count, "element"), n.max)
	}
	if !fitsUint(uint64(count), n.format) {
		return buf, list, encodeErrorf("%s do not fit in a count of %s", plural(count, "element"), plural(widthOf(n.format), "byte"))
	}
	if n.lenFormat != layout.NoFormat && n.lenFormat != layout.Varint {
		buf = appendUint(buf, 0, n.lenFormat)
	}
	return appendUint(buf, uint64(count), n.format), list, nil
}

// close sets the byte length once all elements are there.
func (w *writer) endList(buf []byte, n *node, list listWriter) ([]byte, *Error) {
	if err := w.checkRoom(buf, 0); err != nil {
		return buf, err
	}
	width := widthOf(n.lenFormat)
	size := uint64(len(buf)-list.at-width) + uint64(w.cutBytes-list.cutBytes)
	switch {
	case n.lenFormat == layout.NoFormat:
	case n.lenFormat == layout.Varint:
		var b [binary.MaxVarintLen64]byte
		prefix := binary.AppendUvarint(b[:0], size)
		buf = slices.Insert(buf, list.at, prefix...)
		for i := list.cuts; i < len(w.cuts); i++ {
			w.cuts[i].At += len(prefix)
		}
	case !fitsUint(size, n.lenFormat):
		return buf, encodeErrorf("%s do not fit in a length of %s", plural(size, "byte"), plural(width, "byte"))
	default:
		appendUint(buf[:list.at], size, n.lenFormat)
	}
	return buf, nil
}

// noted is how many cuts there are.
func (w *writer) numCuts() int { return max(len(w.cuts), len(w.e.Cuts)) }

// A closed is a slice or map whose elements are being read.
type listReader struct {
	data []byte // all the input that was readable around it
	end  int    // where the elements end; -1: not known
}

// open reads what stands before elements and narrows the input to them. That
// the count is no larger than the input can hold is checked before anything
// is made of it.
func (r *reader) beginList(n *node, least, depth int) (count int, list listReader, err *Error) {
	list = listReader{r.data, -1}
	if err := r.checkDepth(depth); err != nil {
		return 0, list, err
	}
	if n.lenFormat != layout.NoFormat {
		size, err := r.uint(n.lenFormat)
		if err != nil {
			return 0, list, err
		}
		if size > uint64(len(r.data)-r.off) {
			return 0, list, r.errorf("want %s of elements, have %d", plural(size, "byte"), len(r.data)-r.off)
		}
		list.end = r.off + int(size)
		r.data = r.data[:list.end]
	}
	from := r.off
	u, err := r.uint(n.format)
	if err != nil {
		return 0, list, err
	}
	if u > math.MaxInt32 || int64(u)*int64(least) > int64(len(r.data)-r.off) {
		have := len(r.data) - r.off
		r.off = from
		return 0, list, r.errorf("%s of at least %s, have %d", plural(u, "element"), plural(least, "byte"), have)
	}
	if n.max > 0 && u > uint64(n.max) {
		r.off = from
		return 0, list, r.errorf("%s exceed max=%d", plural(u, "element"), n.max)
	}
	return int(u), list, nil
}

// close checks that the elements took all of their bytes.
func (r *reader) endList(list listReader) *Error {
	if list.end >= 0 && r.off != list.end {
		return r.errorf("%s left over after the elements", plural(list.end-r.off, "byte"))
	}
	r.data = list.data
	return nil
}

// A pair is a map's key and value in the buffer.
type mapPair struct {
	from, value, end int
	sortKey          uint64 // of the key, for sorting: the first bytes in which keys differ
}

// sortPairs brings the pairs of a map, which end the buffer, into the order of
// their keys' bytes.
func sortPairs(buf []byte, pairs []mapPair) *Error {
	if len(pairs) < 2 {
		return nil
	}
	base := pairs[0].from
	old := bytes.Clone(buf[base:])
	key := func(p mapPair) []byte { return old[p.from-base : p.value-base] }
	common := key(pairs[0]) // what all keys begin with
	for i := range pairs {
		common = commonPrefix(common, key(pairs[i]))
	}
	for i := range pairs {
		var head [8]byte
		copy(head[:], key(pairs[i])[len(common):])
		pairs[i].sortKey = binary.BigEndian.Uint64(head[:])
	}
	slices.SortFunc(pairs, func(p, q mapPair) int {
		if p.sortKey != q.sortKey {
			return cmp.Compare(p.sortKey, q.sortKey)
		}
		return bytes.Compare(key(p), key(q))
	})
	to := base
	for i, p := range pairs {
		if i > 0 && bytes.Equal(key(pairs[i-1]), key(p)) {
			return encodeErrorf("two keys have the same bytes").in("[key]")
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
func mapMemory(n *node, count int) int64 {
	slot := int64(slotSize(n) + 1)
	switch {
	case count == 0:
		return mapHeaderSize
	case count <= 8:
		return mapHeaderSize + 8*slot
	}
	return mapHeaderSize + int64(count)*slot*5/2
}

// slotSize is what a pair of a map takes in memory.
func slotSize(n *node) uintptr { return (n.key.size + n.elem.size + 7) &^ 7 }

const mapHeaderSize = 48

// closeUnless is close unless there is an error already.
func (w *writer) endListOr(buf []byte, n *node, list listWriter, err *Error) ([]byte, *Error) {
	if err != nil {
		return buf, err
	}
	return w.endList(buf, n, list)
}

// rising checks that the bytes of the key just read, the i-th, come after
// those of the one before, and returns them.
func (r *reader) checkKeyOrder(last []byte, from, i int) ([]byte, *Error) {
	key := r.data[from:r.off]
	if i > 0 && bytes.Compare(last, key) >= 0 {
		r.off = from
		return nil, r.errorf("want keys in the order of their bytes, each once").in("[key]")
	}
	return key, nil
}

// closeMap checks that no two keys were equal to Go.
func (r *reader) endMap(list listReader, size, count int) *Error {
	if size != count {
		return r.errorf("two keys are equal").in("[key]")
	}
	return r.endList(list)
}
