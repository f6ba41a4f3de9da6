package codec

import (
	"reflect"
	"strconv"

	"github.com/bsrpc/bsrpc/layout"
)

// CompileAs returns the codec that gives values of t the wire form l, for
// calls without a contract. Every Go kind that can hold such values fits, and
// each value's range is checked; structs go by the names of their fields, tags
// say only those; a pointer may stand where the wire has its value. Results
// are not kept: compile once for each method. An error is Problems.
func CompileAs(t reflect.Type, l *layout.Type) (*Codec, error) {
	return compile(pathRoot{typ: t}, func(c *compiler) *node { return c.nodeAs(t, l, location{}) })
}

// CompileListAs is CompileAs for a list of parameters or results; see
// [CompileList].
func CompileListAs(word string, types []reflect.Type, ls []*layout.Type) (*Codec, error) {
	t := listType(types)
	return compile(pathRoot{t, word}, func(c *compiler) *node {
		n := listNode(t)
		for i := range types {
			n.addElement(t, c.nodeAs(types[i], ls[i], location{path: ".A" + strconv.Itoa(i)}))
		}
		return n
	})
}

// Nil is the element of a pointer, slice or map that is nil, whatever the
// layout of its elements.
type Nil bool

// NilType returns the type of a value that is nil and has the wire form l, nil
// if there is no such value.
func NilType(l *layout.Type) reflect.Type {
	switch l.Kind {
	case layout.Bytes:
		return reflect.TypeFor[[]byte]()
	case layout.Pointer:
		return reflect.TypeFor[*Nil]()
	case layout.Slice:
		return reflect.TypeFor[[]Nil]()
	case layout.Map:
		return reflect.TypeFor[map[Nil]Nil]()
	}
	return nil
}

// A fitter makes nodes of Go types and layouts together.
type asCompiler struct {
	*compiler
	nodes     map[asKey]*node
	enclosing []*layout.Type // the composites around what is fitted, outermost first
}

type asKey struct {
	typ   reflect.Type
	l     *layout.Type
	inKey bool
}

func (c *compiler) nodeAs(t reflect.Type, l *layout.Type, loc location) *node {
	f := asCompiler{compiler: c, nodes: map[asKey]*node{}}
	return f.node(t, l, loc)
}

// misfit reports that t cannot have the wire form l.
func (f *asCompiler) mismatch(loc location, t reflect.Type, l *layout.Type) {
	text := "?"
	if !refersOutside(l, 0) {
		text = l.String()
	} else {
		text = "a recursive " + map[layout.Kind]string{layout.Struct: "struct", layout.Slice: "slice", layout.Array: "array",
			layout.Map: "map", layout.Pointer: "pointer"}[l.Kind]
	}
	f.problemf(loc, "%s does not fit %s", typeName(t), text)
}

// hasBack reports whether l refers to a composite further out than itself,
// depth levels above.
func refersOutside(l *layout.Type, depth int) bool {
	if l == nil {
		return false
	}
	if l.Kind == layout.BackRef {
		return l.Len > depth
	}
	if refersOutside(l.Elem, depth+1) || refersOutside(l.Key, depth+1) {
		return true
	}
	for _, f := range l.Fields {
		if refersOutside(f.Type, depth+1) {
			return true
		}
	}
	return false
}

// node returns the node of t as l.
func (f *asCompiler) node(t reflect.Type, l *layout.Type, loc location) *node {
	if l.Kind == layout.BackRef {
		around := f.enclosing
		defer func() { f.enclosing = around }()
		f.enclosing = around[:len(around)-l.Len]
		l = around[len(around)-l.Len]
	}
	k := asKey{t, l, loc.inKey}
	if n, ok := f.nodes[k]; ok {
		return n
	}
	if t == reflect.TypeFor[Nil]() {
		return &node{op: opBool, kind: layout.Bool, typ: t, size: t.Size(), inKey: loc.inKey}
	}
	n := &node{typ: t, size: t.Size(), kind: l.Kind, format: l.Format, lenFormat: l.Bytes, length: l.Len, inKey: loc.inKey}
	f.nodes[k] = n
	f.fill(n, l, loc)
	return n
}

// fill sets what n does. A pointer where the wire has none stands for its
// value.
func (f *asCompiler) fill(n *node, l *layout.Type, loc location) {
	t := n.typ
	if t.Kind() == reflect.Pointer && t.Name() == "" && l.Kind != layout.Pointer && !loc.inKey {
		*n = node{op: opDeref, typ: t, size: n.size}
		n.elem = f.node(t.Elem(), l, loc)
		return
	}
	if l.Kind == layout.Binary || l.Kind == layout.Text {
		f.checkKey(t, loc)
	}
	switch {
	case loc.inKey && (t.Kind() == reflect.Pointer || t == timeType):
		f.problemf(loc, "%s: a map key may not hold a pointer", typeName(t))
	case l.Kind == layout.Time && t == timeType:
		n.op = opTime
	case l.Kind == layout.Binary && t.String() == l.Opaque && (hasBinary(t) || t == timeType):
		n.op, n.format = opBinary, layout.LE4
	case l.Kind == layout.Text && t.String() == l.Opaque && (hasText(t) || t == timeType):
		n.op, n.format = opText, layout.LE4
	case l.Kind == layout.Time, l.Kind == layout.Binary, l.Kind == layout.Text:
		f.mismatch(loc, t, l)
	default:
		f.byKind(n, l, loc)
	}
}

// byKind pairs Go kinds with kinds of layouts.
func (f *asCompiler) byKind(n *node, l *layout.Type, loc location) {
	n.op = opFor(n.typ, l)
	if l.Kind == layout.Duration {
		n.format = layout.LE8
	}
	if n.op == 0 {
		f.mismatch(loc, n.typ, l)
		return
	}
	f.enclosing = append(f.enclosing, l)
	defer func() { f.enclosing = f.enclosing[:len(f.enclosing)-1] }()
	switch n.op {
	case opArray, opPointer:
		n.elem = f.node(n.typ.Elem(), l.Elem, loc.in(stringIf(n.op == opArray, "[]")))
	case opSlice:
		n.elem = f.node(n.typ.Elem(), l.Elem, loc.in("[]"))
		f.sizeChecks = append(f.sizeChecks, sizeCheck{loc.path, []*node{n.elem}})
	case opMap:
		n.key = f.node(n.typ.Key(), l.Key, location{loc.path + "[key]", true})
		n.elem = f.node(n.typ.Elem(), l.Elem, loc.in("[]"))
		f.sizeChecks = append(f.sizeChecks, sizeCheck{loc.path, []*node{n.key, n.elem}})
	case opStruct:
		f.structOf(n, l, loc)
	}
}

// opFor returns what handles t as l, 0 if it does not fit.
func opFor(t reflect.Type, l *layout.Type) op {
	switch t.Kind() {
	case reflect.Bool:
		return opIf(l.Kind == layout.Bool, opBool)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return opIf(l.Kind == layout.Int || l.Kind == layout.Uint || l.Kind == layout.Duration, opInt)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return opIf(l.Kind == layout.Int || l.Kind == layout.Uint, opUint)
	case reflect.Float32, reflect.Float64:
		return opIf(l.Kind == layout.Float, opFloat)
	case reflect.Complex64, reflect.Complex128:
		return opIf(l.Kind == layout.Complex, opComplex)
	case reflect.String:
		return opIf(l.Kind == layout.String, opString)
	case reflect.Slice:
		if l.Kind == layout.Bytes {
			return opIf(t.Elem().Kind() == reflect.Uint8, opBytes)
		}
		return opIf(l.Kind == layout.Slice, opSlice)
	case reflect.Array:
		return opIf(l.Kind == layout.Array && l.Len == t.Len(), opArray)
	case reflect.Map:
		return opIf(l.Kind == layout.Map, opMap)
	case reflect.Pointer:
		return opIf(l.Kind == layout.Pointer, opPointer)
	case reflect.Struct:
		return opIf(l.Kind == layout.Struct, opStruct)
	}
	return 0
}

func opIf(ok bool, o op) op {
	if ok {
		return o
	}
	return 0
}

// structOf pairs fields by their names.
func (f *asCompiler) structOf(n *node, l *layout.Type, loc location) {
	have := map[string]reflect.StructField{}
	for i := range n.typ.NumField() {
		sf := n.typ.Field(i)
		if place, skip := f.fieldTag(sf, loc); !skip {
			have[place.name(sf.Name)] = sf
		}
	}
	for _, lf := range l.Fields {
		sf, ok := have[lf.Name]
		if !ok {
			f.problemf(loc, "%s has no field %s, which the wire has", typeName(n.typ), lf.Name)
			continue
		}
		delete(have, lf.Name)
		path := "." + sf.Name
		n.fields = append(n.fields, field{lf.Name, path, sf.Index[0], sf.Offset, f.node(sf.Type, lf.Type, loc.in(path))})
	}
	for i := range n.typ.NumField() {
		if sf := n.typ.Field(i); have[sf.Name].Name != "" {
			f.problemf(loc.in("."+sf.Name), "the wire has no such field")
		}
	}
}
