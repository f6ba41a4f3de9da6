package codec

import (
	"fmt"

	"github.com/bsrpc/bsrpc/layout"
)

// maxLayoutNodes limits the tree of a layout. The node tree shares nodes of
// equal types, so the layout may be exponentially larger. The limit is no
// restriction: the text, with a limit of its own, has at least one byte per
// node.
const maxLayoutNodes = 64 << 10

// A layoutBuilder derives a layout from a node tree.
type layoutBuilder struct {
	enclosing []*node // composites around the current node, outermost first
	left      int     // of maxLayoutNodes
}

// layoutOf returns the layout of n.
func layoutOf(n *node) (*layout.Type, error) {
	w := layoutBuilder{left: maxLayoutNodes}
	l := w.layout(n)
	if w.left < 0 {
		return nil, fmt.Errorf("the layout has more than %d nodes; use a smaller type", maxLayoutNodes)
	}
	return l, nil
}

// layout returns the layout of n, or a back reference to an enclosing n.
func (w *layoutBuilder) layout(n *node) *layout.Type {
	if w.left--; w.left < 0 {
		return nil
	}
	switch n.op {
	case opDeref:
		return w.layout(n.elem)
	case opJSON:
		return n.json.layout
	}
	if n.op == opStream || n.op == opFunc {
		l := &layout.Type{Kind: n.kind, Func: n.fn}
		if n.item != nil {
			l.Elem = n.item.layout
		}
		return l
	}
	l := &layout.Type{Kind: n.kind, Format: n.format, Bytes: n.lenFormat, Len: n.length, GoType: n.typ.Name()}
	switch n.op {
	case opInt:
		if n.kind == layout.Duration {
			l.Format = layout.NoFormat
		}
	case opBlank:
		if n.only != nil {
			l.Const = n.only.text
		}
	case opBinary, opText, opRaw:
		l.Format, l.Opaque = layout.NoFormat, n.typ.String()
	case opStruct, opUnion, opSlice, opArray, opMap, opPointer:
		// A node is shared by all places with equal types and tags, so a back
		// reference is found by identity.
		for i, a := range w.enclosing {
			if a == n {
				return &layout.Type{Kind: layout.BackRef, Len: len(w.enclosing) - i, GoType: n.typ.Name()}
			}
		}
		w.enclosing = append(w.enclosing, n)
		w.children(l, n)
		w.enclosing = w.enclosing[:len(w.enclosing)-1]
	}
	return l
}

// children sets the children of a composite.
func (w *layoutBuilder) children(l *layout.Type, n *node) {
	if n.key != nil {
		l.Key = w.layout(n.key)
	}
	if n.elem != nil {
		l.Elem = w.layout(n.elem)
	}
	for _, f := range n.fields {
		l.Fields = append(l.Fields, layout.Field{Name: f.name, Type: w.layout(f.node), Optional: f.optional})
	}
}
