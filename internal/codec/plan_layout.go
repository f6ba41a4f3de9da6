package codec

import (
	"fmt"

	"github.com/bsrpc/bsrpc/layout"
)

// maxLayoutNodes bounds the tree of a layout, whose text has at least a byte
// for each: types that hold each other many times over grow exponentially.
const maxLayoutNodes = 64 << 10

// A layouter writes the layout of a tree of nodes.
type layouter struct {
	around []*node // the composites around what is written, outermost first
	left   int
}

// layoutOf returns the layout of n.
func layoutOf(n *node) (*layout.Type, error) {
	w := layouter{left: maxLayoutNodes}
	l := w.layout(n)
	if w.left < 0 {
		return nil, fmt.Errorf("the layout has more than %d parts; make the type smaller", maxLayoutNodes)
	}
	return l, nil
}

func (w *layouter) layout(n *node) *layout.Type {
	if w.left--; w.left < 0 {
		return nil
	}
	if n.op == opDirect {
		return w.layout(n.elem)
	}
	l := &layout.Type{Kind: n.kind, Format: n.form, Bytes: n.bytes, Len: n.n, GoType: n.typ.Name()}
	switch n.op {
	case opInt:
		if n.kind == layout.Duration {
			l.Format = layout.NoFormat
		}
	case opBinary, opText:
		l.Format, l.Opaque = layout.NoFormat, n.typ.String()
	case opStruct, opSlice, opArray, opMap, opPointer:
		for i, a := range w.around {
			if a == n {
				return &layout.Type{Kind: layout.BackRef, Len: len(w.around) - i, GoType: n.typ.Name()}
			}
		}
		w.around = append(w.around, n)
		w.inside(l, n)
		w.around = w.around[:len(w.around)-1]
	}
	return l
}

// inside writes what a composite holds.
func (w *layouter) inside(l *layout.Type, n *node) {
	if n.key != nil {
		l.Key = w.layout(n.key)
	}
	if n.elem != nil {
		l.Elem = w.layout(n.elem)
	}
	for _, f := range n.fields {
		l.Fields = append(l.Fields, layout.Field{Name: f.name, Type: w.layout(f.node)})
	}
}
