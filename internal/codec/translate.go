package codec

// Reading what a peer with another version of a type writes. The peer's layout and the own
// node tree, matched as layout.Compare does, make a node tree that reads the peer's bytes
// into own values. Both executors run it as any other, and its plans are computed as those
// of any other: a type whose last field is new at this end is read as fast as before.
//
// A node of the new tree has the operation, the Go type and the limits of the own node, and
// the formats and the order of the peer's layout:
//
//	own            peer             read by
//	a number       a number         the own operation, in the peer's format
//	a pointer      its target       opDeref, which has no byte for the presence
//	a struct       a struct         the fields of the peer, in its order
//	(no field)     a field          opSkip
//	a field        (no field)       nothing; it stays zero
//	a union        a union          the members of the peer, by its numbers
//	(no member)    a member         opSkip, and no member is set
//
// Only reading is translated. Each end writes its own layout, because the writer of an old
// version cannot know what a new one wants, while the reader of a new one knows both.

import (
	"fmt"
	"slices"

	"github.com/bsrpc/bsrpc/layout"
)

// ReadFrom returns a codec that reads what a peer with the layout l writes into values of
// c. It reads into zero values only, since fields that the peer lacks stay as they are, and
// it does not append. layout.Compare must have found that c can read l.
func (c *Codec) ReadFrom(l *layout.Type) (*Codec, error) {
	return c.translated(func(t *translator) *node { return t.node(c.node, l) })
}

// ReadListFrom is [Codec.ReadFrom] for a list of parameters or results.
func (c *Codec) ReadListFrom(list []*layout.Type) (*Codec, error) {
	return c.translated(func(t *translator) *node {
		n := listNode(c.node.typ)
		for i, l := range list {
			if i < len(c.node.fields) {
				f := c.node.fields[i]
				f.node = t.element(f.node, l)
				n.fields = append(n.fields, f)
			} else {
				n.fields = append(n.fields, t.skip(fmt.Sprintf("A%d", i), l))
			}
		}
		return n
	})
}

// translated returns a codec with the values of c and the node of makeNode.
func (c *Codec) translated(makeNode func(*translator) *node) (*Codec, error) {
	t := &translator{nodes: make(map[translation]*node), skips: make(map[*layout.Type]*skipped)}
	n := makeNode(t)
	if t.err != nil {
		return nil, t.err
	}
	// The trees are complete: sizes do not meet a layout in progress. Skipped fields without
	// bytes are no work at all.
	for _, s := range t.skips {
		s.setSize()
	}
	for _, m := range t.nodes {
		if m.op == opUnion { // each member has its number
			continue
		}
		m.fields = slices.DeleteFunc(m.fields, func(f field) bool { return f.node.op == opSkip && f.node.skipped.empty() })
	}
	n.finish()
	m := measure(n)
	made := &Codec{root: c.root, node: n, layout: c.layout, maxPerByte: m.maxPerByte(), userCode: m.userCode}
	if fastWorks() {
		made.enableFast()
	}
	return made, nil
}

// A translator makes nodes from pairs of an own node and a layout of the peer.
type translator struct {
	scope
	nodes map[translation]*node
	skips map[*layout.Type]*skipped
	err   error
}

// A translation is what one node reads. Equal pairs share it: a recursive type of either
// end would have no end otherwise.
type translation struct {
	own  *node
	peer *layout.Type
}

// fail records that own cannot read l.
func (t *translator) fail(own *node, l *layout.Type) *node {
	if t.err == nil {
		t.err = fmt.Errorf("%s cannot read its counterpart of kind %d", typeName(own.typ), l.Kind)
	}
	return own
}

// element returns the node of a whole parameter or result.
func (t *translator) element(own *node, l *layout.Type) *node {
	switch {
	case own.op == opStream && own.kind == l.Kind && own.item != nil:
		item, err := own.item.ReadFrom(l.Elem)
		if err != nil {
			t.err = err
			return own
		}
		n := *own
		n.item = item
		return &n
	case own.op == opStream || own.op == opFunc:
		if own.kind != l.Kind {
			return t.fail(own, l)
		}
		return own
	}
	return t.node(own, l)
}

// node returns the node that reads l into a value of own.
func (t *translator) node(own *node, l *layout.Type) *node {
	if own.readsAsIs(l) {
		return own
	}
	l, restore := t.resolve(l)
	defer restore()
	k := translation{own, l}
	if n, ok := t.nodes[k]; ok {
		return n
	}
	n := &node{op: own.op, kind: own.kind, typ: own.typ, size: own.size, format: own.format, lenFormat: own.lenFormat,
		length: own.length, max: own.max, utf8: own.utf8, inKey: own.inKey, readOnly: true}
	t.nodes[k] = n // before its children, which may refer to it
	// The peer's value is always present, so the pointer has no byte for its presence.
	if own.op == opPointer && l.Kind != layout.Pointer {
		if own.pointsToItself() {
			return t.fail(own, l)
		}
		n.op = opDeref
		n.elem = t.node(own.elem, l)
		return n
	}
	if own.kind != l.Kind {
		if own.kind != layout.Int || l.Kind != layout.Uint {
			return t.fail(own, l)
		}
		n.kind = layout.Uint
	}
	t.enclosing = append(t.enclosing, l)
	t.fill(n, own, l)
	t.enclosing = t.enclosing[:len(t.enclosing)-1]
	return n
}

// readsAsIs reports whether own has no parts and reads l without a translation.
func (own *node) readsAsIs(l *layout.Type) bool {
	if own.kind != l.Kind {
		return false
	}
	switch own.op {
	case opBool, opTime:
		return true
	case opInt, opUint, opFloat, opComplex:
		return own.format == l.Format || l.Format == layout.NoFormat // a Duration
	case opString, opBytes:
		return own.format == l.Format && own.length == l.Len
	}
	return false
}

// pointsToItself reports whether n is a pointer like type P *P: it leads to no other value,
// and reading one in its place would never end. Pointers nest at most as deep as layouts.
func (n *node) pointsToItself() bool {
	for range layout.MaxDepth {
		if n.op != opPointer {
			return false
		}
		n = n.elem
	}
	return true
}

// fill completes n, which reads l and has what own has.
func (t *translator) fill(n, own *node, l *layout.Type) {
	switch own.op {
	// The executors check the range of each number for the Go type.
	case opInt, opUint, opFloat, opComplex:
		if l.Format != layout.NoFormat { // as that of a Duration
			n.format = l.Format
		}
	// The limits of the own tag stay: max=, utf8.
	case opString, opBytes:
		n.format, n.length = l.Format, l.Len
	case opSlice:
		n.format, n.lenFormat = l.Format, l.Bytes
		n.elem = t.node(own.elem, l.Elem)
	case opMap:
		n.format, n.lenFormat = l.Format, l.Bytes
		n.key, n.elem = t.node(own.key, l.Key), t.node(own.elem, l.Elem)
	case opArray:
		if n.length != l.Len {
			t.fail(own, l)
			return
		}
		n.elem = t.node(own.elem, l.Elem)
	case opPointer:
		n.elem = t.node(own.elem, l.Elem)
	case opStruct, opUnion:
		t.structOf(n, own, l)
	case opBinary, opText:
		if own.typ.String() != l.Opaque {
			t.fail(own, l)
		}
	}
}

// structOf sets the fields of n, a struct or a union, in the order of the peer. Own fields without a
// counterpart are not among them: nothing reads them, so they stay zero.
func (t *translator) structOf(n, own *node, l *layout.Type) {
	var byName map[string]*field // only for fields at other places
	for i, peer := range l.Fields {
		// The constants of both ends are equal. One between fields in another order has its
		// place from the peer.
		if peer.Type.Const != "" {
			n.fields = append(n.fields, field{name: peer.Name, path: "._", index: -1, node: blankAs(peer.Type)})
			continue
		}
		var f *field
		if i < len(own.fields) && own.fields[i].name == peer.Name {
			f = &own.fields[i]
		} else {
			if byName == nil {
				byName = make(map[string]*field, len(own.fields))
				for i := range own.fields {
					byName[own.fields[i].name] = &own.fields[i]
				}
			}
			f = byName[peer.Name]
		}
		if f != nil {
			made := *f
			made.node = t.node(f.node, peer.Type)
			n.fields = append(n.fields, made)
		} else {
			n.fields = append(n.fields, t.skip(peer.Name, peer.Type))
		}
	}
}
