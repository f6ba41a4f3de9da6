package codec

// Unions: one byte, the number of the member that is set, from 1 in their order, and the
// target of its pointer. No writer writes 0: the number is free. The target is limited as
// that of any pointer.

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
	if err := w.checkDepth(depth); err != nil {
		return buf, err
	}
	return append(buf, byte(i+1)), w.checkRoom(buf, 1)
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
	if err := r.checkDepth(depth); err != nil {
		return nil, err
	}
	f := &n.fields[i-1]
	return f, r.charge(int64(f.node.size))
}
