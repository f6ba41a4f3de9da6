package codec

// The elements of a slice or map follow their length in bytes, which the word
// list omits, and their count. Map pairs are sorted by the bytes of their keys.

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"reflect"

	"github.com/bsrpc/bsrpc/internal/plural"
	"github.com/bsrpc/bsrpc/layout"
)

// A listWriter is the state of a slice or map being appended.
type listWriter struct {
	at       int // offset of the byte length in the buffer
	cuts     int // number of cuts before it
	cutBytes int // writer.cutBytes before it
}

// beginList appends the lengths before count elements. The byte length is
// unknown yet: a fixed width is reserved for it, while endList inserts a
// varint.
func (w *writer) beginList(buf []byte, n *node, count, depth int) ([]byte, listWriter, *Error) {
	list := listWriter{len(buf), w.numCuts(), w.cutBytes}
	if err := w.checkDepth(depth); err != nil {
		return buf, list, err
	}
	if n.max > 0 && count > n.max {
		return buf, list, encodeErrorf("%s exceed max=%d", plural.Of(count, "element"), n.max)
	}
	if !fitsUint(uint64(count), n.format) {
		return buf, list, encodeErrorf("%s do not fit in a count of %s", plural.Of(count, "element"), plural.Of(widthOf(n.format), "byte"))
	}
	if n.lenFormat != layout.NoFormat && n.lenFormat != layout.Varint {
		buf = appendLength(buf, 0, n.lenFormat)
	}
	return appendLength(buf, count, n.format), list, nil
}

// endList sets the byte length after the elements.
func (w *writer) endList(buf []byte, n *node, list listWriter) ([]byte, *Error) {
	if err := w.checkRoom(buf, 0); err != nil {
		return buf, err
	}
	width := widthOf(n.lenFormat)
	// The byte length counts everything after itself, in the buffer and in
	// cuts.
	size := len(buf) - list.at - width + w.cutBytes - list.cutBytes
	switch {
	case n.lenFormat == layout.NoFormat:
	// Insert the varint before the elements and move the cuts behind it.
	case n.lenFormat == layout.Varint:
		more := uvarintLen(uint64(size))
		buf = append(buf, make([]byte, more)...)
		copy(buf[list.at+more:], buf[list.at:])
		appendLength(buf[:list.at], size, n.lenFormat)
		for i := list.cuts; i < len(w.cuts); i++ {
			w.cuts[i].At += more
		}
	case !fitsUint(uint64(size), n.lenFormat):
		return buf, encodeErrorf("%s do not fit in a length of %s", plural.Of(size, "byte"), plural.Of(width, "byte"))
	default:
		appendLength(buf[:list.at], size, n.lenFormat)
	}
	return buf, nil
}

// numCuts returns the number of cuts, including those of earlier values.
func (w *writer) numCuts() int { return max(len(w.cuts), len(w.e.Cuts)) }

// A listReader is the state of a slice or map being read.
type listReader struct {
	data []byte // reader.data outside of the list
	end  int    // offset of the end of the elements; -1 without a byte length

	bounded bool // reader.bounded outside of the list
}

// beginList reads the lengths before the elements, each of at least least
// bytes, and narrows the input to the elements. It returns an error if the
// remaining input cannot contain count elements, so callers may allocate count
// of them. The count is -1 if only the end of the elements is known.
func (r *reader) beginList(n *node, least, depth int) (count int, list listReader, err *Error) {
	list = listReader{r.data, -1, r.bounded}
	if err := r.checkDepth(depth); err != nil {
		return 0, list, err
	}
	if n.lenFormat != layout.NoFormat {
		size, err := r.uint(n.lenFormat)
		if err != nil {
			return 0, list, err
		}
		if size > uint64(len(r.data)-r.off) && !r.more(size) {
			return 0, list, r.short(size, r.errorf("want %s of elements, have %d", plural.Of(size, "byte"), len(r.data)-r.off))
		}
		list.data, list.end = r.data, r.off+int(size)
		r.data, r.bounded = r.data[:list.end], true
	}
	if unprefixed(n.format) {
		count, err = r.countRest(n)
		return count, list, err
	}
	from := r.off
	u, err := r.uint(n.format)
	if err != nil {
		return 0, list, err
	}
	if n.max > 0 && u > uint64(n.max) {
		r.off = from
		return 0, list, r.errorf("%s exceed max=%d", plural.Of(u, "element"), n.max)
	}
	// u is limited first: the product of two 31-bit numbers fits in 64 bits.
	if u > math.MaxInt32 || u*uint64(least) > uint64(len(r.data)-r.off) && !r.more(u*uint64(least)) {
		return 0, list, r.errCount(from, u, least)
	}
	return int(u), list, nil
}

// errCount returns the error of a count, read at from, beyond the remaining input.
func (r *reader) errCount(from int, count uint64, least int) *Error {
	e := r.errorf("want %s of at least %s, have %s", plural.Of(count, "element"), plural.Of(least, "byte"), plural.Of(len(r.data)-r.off, "byte"))
	if e.Offset = from; count <= math.MaxInt32 {
		e = r.short(count*uint64(least), e)
	}
	return e
}

// endList restores the input. Bytes left in the list are an error.
func (r *reader) endList(list listReader) *Error {
	if list.end >= 0 && r.off != list.end {
		return r.errorf("%s after the elements", plural.Of(list.end-r.off, "trailing byte"))
	}
	if list.end >= 0 { // otherwise reader.more may have moved the data
		r.data, r.bounded = list.data, list.bounded
	}
	return nil
}

// appendPairs appends the map m in iteration order, by the fast executor or the
// reflect executor, and then sorts the pairs, for a single encoding of equal maps.
func (w *writer) appendPairs(buf []byte, n *node, m reflect.Value, depth int, fast bool) ([]byte, *Error) {
	buf, list, err := w.beginList(buf, n, m.Len(), depth+1)
	if err != nil || m.Len() == 0 {
		return w.endListOr(buf, n, list, err)
	}
	cut := w.minCut
	w.minCut = noCuts // sortPairs moves bytes within the buffer only
	defer func() { w.minCut = cut }()
	// Iteration copies keys and elements to variables, reused for all pairs, so
	// that they have an address.
	key, elem := reflect.New(n.key.typ), reflect.New(n.elem.typ)
	pairs := make([]mapPair, 0, m.Len())
	for it := m.MapRange(); it.Next(); {
		key.Elem().SetIterKey(it)
		elem.Elem().SetIterValue(it)
		p := mapPair{from: len(buf)}
		if buf, err = w.appendAt(buf, n.key, key, depth+1, fast); err != nil {
			return buf, err.in("[key]")
		}
		p.value = len(buf)
		if buf, err = w.appendAt(buf, n.elem, elem, depth+1, fast); err != nil {
			return buf, err.in("[]")
		}
		p.end = len(buf)
		pairs = append(pairs, p)
	}
	return w.endListOr(buf, n, list, sortPairs(buf, pairs))
}

// appendAt appends the target of p.
func (w *writer) appendAt(buf []byte, n *node, p reflect.Value, depth int, fast bool) ([]byte, *Error) {
	if fast {
		return fastAppendAt(w, buf, n, p, depth)
	}
	return reflectAppendValue(w, buf, n, p.Elem(), depth)
}

// A mapPair is an encoded key and value in the buffer.
type mapPair struct {
	from, value, end int    // offsets of the key, the value, and the end
	sortKey          uint64 // eight bytes of the key after the common prefix of all keys
}

// sortPairs sorts the pairs at the end of buf by the bytes of their keys. Most
// comparisons need the sortKey alone.
func sortPairs(buf []byte, pairs []mapPair) *Error {
	if len(pairs) < 2 {
		return nil
	}
	base := pairs[0].from
	old := bytes.Clone(buf[base:])
	key := func(p mapPair) []byte { return old[p.from-base : p.value-base] }
	// Long common prefixes are frequent in real keys. Without them eight bytes
	// decide most comparisons, as one integer.
	common := key(pairs[0]) // prefix of all keys
	for i := range pairs {
		common = commonPrefix(common, key(pairs[i]))
	}
	for i := range pairs {
		var head [8]byte
		copy(head[:], key(pairs[i])[len(common):])
		pairs[i].sortKey = binary.BigEndian.Uint64(head[:])
	}
	order := keyOrder{old, base}
	order.sort(pairs)
	to := base
	for i, p := range pairs {
		if i > 0 && bytes.Equal(key(pairs[i-1]), key(p)) {
			return encodeErrorf("two keys have the same bytes").in("[key]")
		}
		to += copy(buf[to:], old[p.from-base:p.end-base])
	}
	return nil
}

// A keyOrder sorts pairs by the bytes of their keys. slices.SortFunc would add 15 kB
// to every program.
type keyOrder struct {
	old  []byte // the pairs, ...
	base int    // ... from this offset
}

// less compares the keys of two pairs.
func (o *keyOrder) less(p, q *mapPair) bool {
	if p.sortKey != q.sortKey {
		return p.sortKey < q.sortKey
	}
	return bytes.Compare(o.old[p.from-o.base:p.value-o.base], o.old[q.from-o.base:q.value-o.base]) < 0
}

// sort is a quicksort. Its pivots are random: no keys make it slow.
func (o *keyOrder) sort(pairs []mapPair) {
	for len(pairs) > 12 {
		pivot := pairs[rand.IntN(len(pairs))]
		i, k := 0, len(pairs)-1
		for i <= k {
			for o.less(&pairs[i], &pivot) {
				i++
			}
			for o.less(&pivot, &pairs[k]) {
				k--
			}
			if i <= k {
				pairs[i], pairs[k] = pairs[k], pairs[i]
				i++
				k--
			}
		}
		// Recurse into the smaller part, for a bound of the stack.
		a, b := pairs[:k+1], pairs[i:]
		if len(a) > len(b) {
			a, b = b, a
		}
		o.sort(a)
		pairs = b
	}
	for i := 1; i < len(pairs); i++ {
		for k := i; k > 0 && o.less(&pairs[k], &pairs[k-1]); k-- {
			pairs[k], pairs[k-1] = pairs[k-1], pairs[k]
		}
	}
}

// commonPrefix returns the longest common prefix of a and b.
func commonPrefix(a, b []byte) []byte {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return a[:i]
		}
	}
	return a[:n]
}

// mapMemory returns the memory of a map of count pairs. Go's maps have groups
// of eight slots and are at least about 40 % full.
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

// slotSize returns the memory of a pair in a map.
func slotSize(n *node) uintptr { return (n.key.size + n.elem.size + 7) &^ 7 }

// mapHeaderSize is the memory of an empty map.
const mapHeaderSize = 48

// endListOr returns err, or else the result of endList.
func (w *writer) endListOr(buf []byte, n *node, list listWriter, err *Error) ([]byte, *Error) {
	if err != nil {
		return buf, err
	}
	return w.endList(buf, n, list)
}

// checkKeyOrder returns the bytes of the i-th key, read at from. It returns an
// error unless they are greater than those of the previous key.
func (r *reader) checkKeyOrder(last []byte, from, i int) ([]byte, *Error) {
	key := r.data[from:r.off]
	if i > 0 && bytes.Compare(last, key) >= 0 {
		r.off = from
		return nil, r.errorf("want unique keys in the order of their bytes").in("[key]")
	}
	return key, nil
}

// A mapReader is the state of a map being read.
type mapReader struct {
	listReader
	count int // -1: up to the end
}

// beginMap reads the lengths before the pairs and makes the map. An empty map
// decodes as an empty map: a nil map was encoded as one.
func (r *reader) beginMap(n *node, depth int) (m reflect.Value, list mapReader, err *Error) {
	list.count, list.listReader, err = r.beginList(n, n.key.minSize+n.elem.minSize, depth+1)
	if err == nil {
		// Before the map is made, so that a forged count cannot allocate it.
		err = r.charge(mapMemory(n, max(list.count, 0)))
	}
	if err != nil {
		return m, list, err
	}
	return reflect.MakeMapWithSize(n.typ, max(list.count, 0)), list, nil
}

// readPairs reads the pairs of m, by the fast executor or the reflect executor.
// Keys and elements are read to variables, reused for all pairs: SetMapIndex
// copies them.
func (r *reader) readPairs(n *node, m reflect.Value, list mapReader, depth int, fast bool) *Error {
	if list.count == 0 {
		return r.endList(list.listReader)
	}
	key, elem := reflect.New(n.key.typ), reflect.New(n.elem.typ)
	var last []byte
	i := 0
	for ; i < list.count || list.count < 0 && r.off < len(r.data); i++ {
		if list.count < 0 {
			if err := r.chargePair(n, i); err != nil {
				return err
			}
		}
		from := r.off
		if err := r.readAt(n.key, key, depth+1, fast); err != nil {
			return err.in("[key]")
		}
		// The order of keys is the order of their encodings, so it is checked
		// on the input, before the element is read.
		var err *Error
		if last, err = r.checkKeyOrder(last, from, i); err != nil {
			return err
		}
		if err := r.readAt(n.elem, elem, depth+1, fast); err != nil {
			return err.in("[]")
		}
		m.SetMapIndex(key.Elem(), elem.Elem())
	}
	return r.endMap(list.listReader, m.Len(), i)
}

// readAt reads into the target of p.
func (r *reader) readAt(n *node, p reflect.Value, depth int, fast bool) *Error {
	if fast {
		return fastReadTo(r, n, p, depth)
	}
	return reflectReadValue(r, n, p.Elem(), depth)
}

// endMap is endList for maps. Keys with different bytes may still be equal in
// Go, by a custom encoding: the map is then smaller than count.
func (r *reader) endMap(list listReader, size, count int) *Error {
	if size != count {
		return r.errorf("two keys are equal").in("[key]")
	}
	return r.endList(list)
}
