package codec

// Writing to a peer that lacks optional fields or parameters: their values must be zero,
// because the peer drops what it does not know.
//
// The check is a tree beside the node tree, with the parts alone that the peer lacks or that
// contain such parts. It does not change what is written: the peer skips the bytes of zero
// values, too. Most pairs of versions need no check, and use the codec as it is.

import (
	"bytes"
	"reflect"
	"slices"

	"github.com/bsrpc/bsrpc/layout"
)

// WriteTo returns a codec that appends values of c for a peer with the layout l. Its
// Append fails if a value that the peer lacks is not zero, unless it may be ignored; peer
// names the peer, as "the server", in that error. It is c if the peer lacks nothing of that kind.
func (c *Codec) WriteTo(l *layout.Type, peer string) *Codec {
	return c.checked(peer, func(f *absentFinder) *absent { return f.find(c.node, l) })
}

// WriteListTo is [Codec.WriteTo] for a list of parameters.
func (c *Codec) WriteListTo(list []*layout.Type, peer string) *Codec {
	return c.checked(peer, func(f *absentFinder) *absent {
		a := f.make(opStruct)
		for i, own := range c.node.fields {
			var l *layout.Type
			if i < len(list) {
				l = list[i]
			}
			f.field(a, &own, l)
		}
		return a
	})
}

// checked returns c with a check of the values that find finds.
func (c *Codec) checked(peer string, find func(*absentFinder) *absent) *Codec {
	f := &absentFinder{known: make(map[translation]*absent)}
	a := find(f)
	if f.prune(); !a.lacks {
		return c
	}
	made := *c
	made.absent, made.peer, made.unchecked, made.fastPath, made.singlePointer = a, peer, c, nil, false
	return &made
}

// appendChecked is Append with a check of what the peer lacks.
func (c *Codec) appendChecked(e *Encoder, v Ref) error {
	buf, cuts := e.Buf, e.Cuts
	if err := c.unchecked.Append(e, v); err != nil {
		return err
	}
	// Only now: v is not cyclic.
	if err := c.absent.check(c.valueAt(v), c.peer); err != nil {
		clear(e.Cuts[len(cuts):])
		e.Buf, e.Cuts = buf, cuts
		return err.withPath(c.root)
	}
	return nil
}

// An absent is a value of which a peer lacks some parts. It is nil if the peer has all.
type absent struct {
	op     op
	fields []absentField // struct
	elem   *absent       // of an array, slice, map or pointer
	lacks  bool          // the peer lacks parts, here or below
}

// An absentField is a field of which a peer lacks parts, or all.
type absentField struct {
	index int // in the Go struct
	path  string
	own   *node
	value *absent // nil: the peer lacks the field
}

// An absentFinder compares own nodes with the layouts of the peer.
type absentFinder struct {
	scope
	known map[translation]*absent // complete or in progress, for recursive types
	all   []*absent               // in the order of their beginning
}

// make returns the absent of an operation.
func (f *absentFinder) make(o op) *absent {
	a := &absent{op: o}
	f.all = append(f.all, a)
	return a
}

// find returns what a peer with the layout l lacks of own.
func (f *absentFinder) find(own *node, l *layout.Type) *absent {
	l, restore := f.resolve(l)
	defer restore()
	k := translation{own, l}
	if a, ok := f.known[k]; ok {
		return a
	}
	a := f.make(own.op)
	f.known[k] = a
	// The peer reads T into *T: the pointer has no counterpart here.
	if l.Kind == layout.Pointer && own.op != opPointer {
		f.enclosing = append(f.enclosing, l)
		a.op, a.elem = opDeref, f.find(own, l.Elem)
		f.enclosing = f.enclosing[:len(f.enclosing)-1]
		return a
	}
	f.enclosing = append(f.enclosing, l)
	switch own.op {
	case opArray, opSlice, opMap, opPointer:
		a.elem = f.find(own.elem, l.Elem)
	case opStruct, opUnion:
		union := own.op == opUnion
		a.op = opStruct
		for i := range own.fields {
			own := &own.fields[i]
			if own.node.op == opBlank { // the peer has the same
				continue
			}
			at := slices.IndexFunc(l.Fields, func(f layout.Field) bool { return f.Name == own.name })
			switch {
			// The peer reads a member that it lacks as none.
			case at < 0 && union:
			case at < 0:
				f.field(a, own, nil)
			case union: // own is the target of the member
				part := f.make(opPointer)
				part.elem = f.find(own.node, l.Fields[at].Type)
				a.fields = append(a.fields, absentField{index: own.index, path: own.path, own: own.node, value: part})
			default:
				f.field(a, own, l.Fields[at].Type)
			}
		}
	}
	f.enclosing = f.enclosing[:len(f.enclosing)-1]
	return a
}

// field adds an own field to a. l is nil if the peer lacks it.
func (f *absentFinder) field(a *absent, own *field, l *layout.Type) {
	made := absentField{index: own.index, path: own.path, own: own.node}
	switch {
	case l != nil && (own.node.op == opStream || own.node.op == opFunc): // their values are checked where they are sent
		return
	case l != nil:
		made.value = f.find(own.node, l)
	case own.ignorable:
		return
	}
	a.fields = append(a.fields, made)
}

// prune removes the values of which the peer has all parts.
func (f *absentFinder) prune() {
	// Children come after their parents, except in recursive types: those need more rounds.
	for again := true; again; {
		again = false
		for i := len(f.all) - 1; i >= 0; i-- {
			if a := f.all[i]; !a.lacks && a.lacksPart() {
				a.lacks, again = true, true
			}
		}
	}
	for _, a := range f.all {
		if a.elem != nil && !a.elem.lacks {
			a.elem = nil
		}
		a.fields = slices.DeleteFunc(a.fields, func(f absentField) bool { return f.value != nil && !f.value.lacks })
	}
}

// lacksPart is one round of prune at one value. It reports whether the peer lacks a field of
// a, or a part of its children, as far as these are known.
func (a *absent) lacksPart() bool {
	for _, f := range a.fields {
		if f.value == nil || f.value.lacks {
			return true
		}
	}
	return a.elem != nil && a.elem.lacks
}

// check walks v by reflection, which is slow, but only with a peer that lacks something of
// v. It returns an error if a part of v is not zero and the peer lacks it.
func (a *absent) check(v reflect.Value, peer string) *Error {
	if !a.lacks {
		return nil
	}
	switch a.op {
	case opStruct:
		for _, f := range a.fields {
			if f.value != nil {
				if err := f.value.check(v.Field(f.index), peer); err != nil {
					return err.in(f.path)
				}
			} else if !f.own.isZero(v.Field(f.index)) {
				return encodeErrorf("%s does not know it", peer).in(f.path)
			}
		}
	case opArray, opSlice:
		for i := range v.Len() {
			if err := a.elem.check(v.Index(i), peer); err != nil {
				return err.in("[]")
			}
		}
	case opMap:
		for it := v.MapRange(); it.Next(); {
			if err := a.elem.check(it.Value(), peer); err != nil {
				return err.in("[]")
			}
		}
	case opPointer:
		if !v.IsNil() {
			return a.elem.check(v.Elem(), peer)
		}
	case opDeref:
		return a.elem.check(v, peer)
	}
	return nil
}

// isZero reports whether the encoding of v is that of what a reader gives what it lacks.
// Unlike reflect.Value.IsZero it takes an empty slice or map for zero, also within a
// struct, and ignores the fields that are not sent.
func (n *node) isZero(v reflect.Value) bool {
	switch n.op {
	case opBytes:
		if n.format == layout.NoFormat { // fixed=: nil has no encoding
			return len(bytes.Trim(v.Bytes(), "\x00")) == 0
		}
		return v.Len() == 0
	case opSlice, opMap:
		return v.Len() == 0
	case opArray:
		for i := range v.Len() {
			if !n.elem.isZero(v.Index(i)) {
				return false
			}
		}
		return true
	case opStruct:
		for _, f := range n.fields {
			if f.node.op != opBlank && !f.node.isZero(v.Field(f.index)) {
				return false
			}
		}
		return true
	}
	return v.IsZero()
}
