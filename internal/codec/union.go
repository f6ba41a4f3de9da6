package codec

// A union is one byte, the number of the member that is set, from 1 in their order, and the
// target of its pointer. The number 0 is free.

// none is the index of the set member of a union without one.
const none = -1

// errTwoMembers returns the error of a union with both members i and k set.
func (n *node) errTwoMembers(i, k int) *Error {
	return encodeErrorf("%s and %s are set, two members of a union; set one", n.fields[i].path[1:], n.fields[k].path[1:])
}

// member appends the number of the member i and checks the limits before its target.
func (w *writer) member(buf []byte, i, depth int) ([]byte, *Error) {
	if i == none {
		return buf, encodeErrorf("no member of the union is set; set one")
	}
	buf = append(buf, byte(i+1))
	return buf, w.checkTarget(buf, depth)
}

// member reads the number of a member and charges the memory of its target.
func (r *reader) member(n *node, depth int) (*field, *Error) {
	if r.off >= len(r.data) && !r.more(1) {
		return nil, r.errShort(1)
	}
	// The offset of an error is that of the number.
	i := int(r.data[r.off])
	if i < 1 || i > len(n.fields) {
		return nil, r.errorf("want 1 to %d for the member of a union", len(n.fields))
	}
	r.off++
	f := &n.fields[i-1]
	return f, r.target(f.node, depth)
}
