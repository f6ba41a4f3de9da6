package codec

// Values without a count or a length in front of them. Strings and bytes go on up to a given
// byte, or to the end of the message; elements to the end of the message, or of as many bytes
// as their length says. All but the last of these are for values that stand alone.

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"github.com/bsrpc/bsrpc/internal/plural"
	"github.com/bsrpc/bsrpc/layout"
)

// checkEnds reports words that exclude each other: each of them says where a value ends.
func (t *Tag) checkEnds() error {
	ends := slices.DeleteFunc(t.words(), func(word string) bool {
		return word != "fixed=" && word != "until=" && word != "rest" && word != "bytes="
	})
	switch {
	case len(ends) > 1:
		return fmt.Errorf("%s and %s exclude each other; give one", ends[0], ends[1])
	case len(ends) == 1 && ends[0] != "fixed=" && (t.List || t.Len != ""):
		return fmt.Errorf("%s leaves no place for another length or count; omit list and len=", ends[0])
	}
	return nil
}

// unprefixed reports whether the format of a string or []byte is none of a length, as for
// fixed=, until= and rest, or that of a slice or map none of a count, as for rest and bytes=.
func unprefixed(f layout.Format) bool { return f-1 >= layout.Uvarint } // NoFormat wraps around

// setEnd sets the format for until= or rest. The place of rest is checked when the tree is
// complete, see restCheck.
func (c *compiler) setEnd(n *node, tag *Tag, loc location) {
	switch {
	case tag.Until != "":
		c.onlyStandalone(loc, "until=")
		end, _ := strconv.Atoi(tag.Until)
		n.format, n.length = layout.Until, end
	case tag.Rest:
		c.onlyStandalone(loc, "rest")
		n.format = layout.Rest
	}
}

// checkRest checks the places of rest in a complete tree, and reports whether there is one
// at the end. Nodes are shared, so it follows places.
func (c *compiler) checkRest(n *node) bool {
	if c.standalone == nil { // as in most types
		return false
	}
	r := restCheck{c: c, seen: map[restPlace]bool{}}
	r.visit(n, "", true)
	return r.found
}

// A restCheck requires that values with rest are the last ones of their message.
type restCheck struct {
	c     *compiler
	seen  map[restPlace]bool
	found bool // at the end of a message
}

// A restPlace is a node at the end of a message, or elsewhere.
type restPlace struct {
	n    *node
	last bool
}

// visit checks n and all nodes below it. A node may be used at several places.
func (r *restCheck) visit(n *node, path string, last bool) {
	k := restPlace{n, last}
	if n == nil || r.seen[k] {
		return
	}
	r.seen[k] = true
	// The executors read what is left, and would leave nothing for later fields.
	r.found = r.found || n.format == layout.Rest
	if n.format == layout.Rest && !last {
		r.c.problemf(location{path: path}, "rest goes on to the end of the message, so it is for the last field only")
	}
	for i, f := range n.fields {
		r.visit(f.node, path+f.path, last && (n.op == opUnion || i == len(n.fields)-1))
	}
	switch n.op {
	case opPointer, opDeref:
		r.visit(n.elem, path, last)
	default:
		r.visit(n.key, path+"[key]", false)
		r.visit(n.elem, path+"[]", false)
	}
}

// A value that contains its own end could not be read back: it is refused, not cut.

// until appends b and the byte after it.
func (w *writer) until(buf []byte, n *node, b []byte) ([]byte, *Error) {
	end := byte(n.length)
	if bytes.IndexByte(b, end) >= 0 {
		return buf, encodeErrorf("contains the byte %#02x, which ends it (until=%d)", end, end)
	}
	if err := w.checkSize(buf, n, len(b)); err != nil {
		return buf, err
	}
	return append(append(buf, b...), end), nil
}

// checkSize checks the size of a value without a length prefix against all limits.
func (w *writer) checkSize(buf []byte, n *node, size int) *Error {
	if n.max > 0 && size > n.max {
		return encodeErrorf("%s exceed max=%d", plural.Of(size, "byte"), n.max)
	}
	return w.checkRoom(buf, size)
}

// until reads the bytes up to the one that ends them, which it consumes.
func (r *reader) until(n *node) ([]byte, *Error) {
	end, size := byte(n.length), -1
	for seen := 0; size < 0; {
		b := r.data[r.off:]
		// The limit of the value is one of the search, too. The end itself may be behind it.
		if n.max > 0 && n.max < len(b)-1 {
			b = b[:n.max+1]
		}
		switch i := bytes.IndexByte(b[seen:], end); {
		case i >= 0:
			size = seen + i
		case n.max > 0 && n.max < len(b):
			return nil, r.errorf("want at most max=%d bytes before the byte %#02x (until=%d)", n.max, end, end)
		case !r.more(uint64(len(b)) + 1):
			e := r.errorf("want the byte %#02x (until=%d) in the last %s", end, end, plural.Of(len(r.data)-r.off, "byte"))
			return nil, r.short(uint64(len(b))+1, e)
		default:
			seen = len(b)
		}
	}
	b, err := r.next(size + 1)
	if err != nil {
		return nil, err
	}
	return b[:size:size], r.checkText(n, b[:size])
}

// waitRest waits for all bytes left, or for more than most of them, if that is not 0. It
// returns their number.
func (r *reader) waitRest(most int) int {
	size := len(r.data) - r.off
	for (most == 0 || size <= most) && r.more(uint64(size)+1) {
		size = len(r.data) - r.off
	}
	return size
}

// rest reads all bytes left.
func (r *reader) rest(n *node) ([]byte, *Error) {
	size := r.waitRest(n.max)
	if n.max > 0 && size > n.max {
		return nil, r.errorf("more than max=%d bytes", n.max)
	}
	b, err := r.next(size)
	if err != nil {
		return nil, err
	}
	return b, r.checkText(n, b)
}

// countRest returns the number of elements in all bytes left, each with the same size, or -1
// if they have different ones.
func (r *reader) countRest(n *node) (int, *Error) {
	// With elements of one size both executors go on as if the count had been read. Only
	// with others the slice or map grows, see readRest and chargePair.
	each := n.elem.minSize
	constant := n.elem.constant
	if n.key != nil {
		each, constant = each+n.key.minSize, constant && n.key.constant
	}
	if !constant {
		return -1, nil
	}
	size := r.waitRest(mulSaturated(n.max, each))
	if err := r.checkCount(n, size/each); err != nil {
		return 0, err
	}
	if size%each != 0 {
		return 0, r.errorf("want a multiple of %s, have %d", plural.Of(each, "byte"), size)
	}
	return size / each, nil
}

// checkCount returns an error if count elements exceed max=.
func (r *reader) checkCount(n *node, count int) *Error {
	if n.max > 0 && count > n.max {
		return r.errorf("more than max=%d elements", n.max)
	}
	return nil
}

// A slice grows to twice its size, as by append. In total at most four times the memory of
// its elements is allocated, which measure accounts for.

// readRest reads elements of different sizes up to the end of the list into the slice v,
// which grows with them. A capacity is charged before it is allocated, and limited to what
// the bytes left can contain, if there are no more to wait for.
func (r *reader) readRest(n *node, v reflect.Value, list listReader, depth int, fast bool) *Error {
	for count := 0; r.off < len(r.data) || r.more(1); count++ {
		if err := r.checkCount(n, count+1); err != nil {
			return err
		}
		// Every element takes a byte at least, so that the input limits the loop, too.
		if count == v.Cap() {
			size := count + max(count, 4)
			if r.d.More == nil || r.bounded {
				size = min(size, count+(len(r.data)-r.off)/n.elem.minSize+1)
			}
			if err := r.charge(int64(size) * int64(n.elem.size)); err != nil {
				return err
			}
			more := reflect.MakeSlice(n.typ, count, size)
			reflect.Copy(more, v)
			v.Set(more)
		}
		v.SetLen(count + 1)
		if err := r.readAt(n.elem, v.Index(count).Addr(), depth, fast); err != nil {
			return err.in("[]")
		}
	}
	return r.endList(list)
}

// chargePair charges the memory of the next pair of a map with count pairs, made without
// knowing how many there will be. Growth may copy all of them once more.
func (r *reader) chargePair(n *node, count int) *Error {
	if err := r.checkCount(n, count+1); err != nil {
		return err
	}
	return r.charge(2 * (mapMemory(n, count+1) - mapMemory(n, count)))
}
