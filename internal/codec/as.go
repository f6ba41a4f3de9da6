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
	return compile(root{typ: t}, func(c *compiler) *node { return c.as(t, l, site{}) })
}

// CompileListAs is CompileAs for a list of parameters or results; see
// [CompileList].
func CompileListAs(word string, types []reflect.Type, ls []*layout.Type) (*Codec, error) {
	t := listType(types)
	return compile(root{t, word}, func(c *compiler) *node {
		n := listNode(t)
		for i := range types {
			n.addElement(t, c.as(types[i], ls[i], site{path: ".A" + strconv.Itoa(i)}))
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
type fitter struct {
	*compiler
	nodes  map[fitKey]*node
	around []*layout.Type // the composites around what is fitted, outermost first
}

type fitKey struct {
	typ   reflect.Type
	l     *layout.Type
	inKey bool
}

func (c *compiler) as(t reflect.Type, l *layout.Type, s site) *node {
	f := fitter{compiler: c, nodes: map[fitKey]*node{}}
	return f.node(t, l, s)
}

// misfit reports that t cannot have the wire form l.
func (f *fitter) misfit(s site, t reflect.Type, l *layout.Type) {
	text := "?"
	if !hasBack(l, 0) {
		text = l.String()
	} else {
		text = "a recursive " + map[layout.Kind]string{layout.Struct: "struct", layout.Slice: "slice", layout.Array: "array",
			layout.Map: "map", layout.Pointer: "pointer"}[l.Kind]
	}
	f.problem(s, "%s does not fit %s", typeName(t), text)
}

// hasBack reports whether l refers to a composite further out than itself,
// depth levels above.
func hasBack(l *layout.Type, depth int) bool {
	if l == nil {
		return false
	}
	if l.Kind == layout.BackRef {
		return l.Len > depth
	}
	if hasBack(l.Elem, depth+1) || hasBack(l.Key, depth+1) {
		return true
	}
	for _, f := range l.Fields {
		if hasBack(f.Type, depth+1) {
			return true
		}
	}
	return false
}

// node returns the node of t as l.
func (f *fitter) node(t reflect.Type, l *layout.Type, s site) *node {
	if l.Kind == layout.BackRef {
		around := f.around
		defer func() { f.around = around }()
		f.around = around[:len(around)-l.Len]
		l = around[len(around)-l.Len]
	}
	k := fitKey{t, l, s.inKey}
	if n, ok := f.nodes[k]; ok {
		return n
	}
	if t == reflect.TypeFor[Nil]() {
		return &node{op: opBool, kind: layout.Bool, typ: t, size: t.Size(), inKey: s.inKey}
	}
	n := &node{typ: t, size: t.Size(), kind: l.Kind, form: l.Format, bytes: l.Bytes, n: l.Len, inKey: s.inKey}
	f.nodes[k] = n
	f.fill(n, l, s)
	return n
}

// fill sets what n does. A pointer where the wire has none stands for its
// value.
func (f *fitter) fill(n *node, l *layout.Type, s site) {
	t := n.typ
	if t.Kind() == reflect.Pointer && t.Name() == "" && l.Kind != layout.Pointer && !s.inKey {
		*n = node{op: opDirect, typ: t, size: n.size}
		n.elem = f.node(t.Elem(), l, s)
		return
	}
	if l.Kind == layout.Binary || l.Kind == layout.Text {
		f.checkKey(t, s)
	}
	switch {
	case s.inKey && (t.Kind() == reflect.Pointer || t == timeType):
		f.problem(s, "%s: a map key may not hold a pointer", typeName(t))
	case l.Kind == layout.Time && t == timeType:
		n.op = opTime
	case l.Kind == layout.Binary && t.String() == l.Opaque && (hasBinary(t) || t == timeType):
		n.op, n.form = opBinary, layout.LE4
	case l.Kind == layout.Text && t.String() == l.Opaque && (hasText(t) || t == timeType):
		n.op, n.form = opText, layout.LE4
	case l.Kind == layout.Time, l.Kind == layout.Binary, l.Kind == layout.Text:
		f.misfit(s, t, l)
	default:
		f.byKind(n, l, s)
	}
}

// byKind pairs Go kinds with kinds of layouts.
func (f *fitter) byKind(n *node, l *layout.Type, s site) {
	n.op = opFor(n.typ, l)
	if l.Kind == layout.Duration {
		n.form = layout.LE8
	}
	if n.op == 0 {
		f.misfit(s, n.typ, l)
		return
	}
	f.around = append(f.around, l)
	defer func() { f.around = f.around[:len(f.around)-1] }()
	switch n.op {
	case opArray, opPointer:
		n.elem = f.node(n.typ.Elem(), l.Elem, s.in(textIf(n.op == opArray, "[]")))
	case opSlice:
		n.elem = f.node(n.typ.Elem(), l.Elem, s.in("[]"))
		f.sized = append(f.sized, sizedPlace{s.path, []*node{n.elem}})
	case opMap:
		n.key = f.node(n.typ.Key(), l.Key, site{s.path + "[key]", true})
		n.elem = f.node(n.typ.Elem(), l.Elem, s.in("[]"))
		f.sized = append(f.sized, sizedPlace{s.path, []*node{n.key, n.elem}})
	case opStruct:
		f.structOf(n, l, s)
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
func (f *fitter) structOf(n *node, l *layout.Type, s site) {
	have := map[string]reflect.StructField{}
	for i := range n.typ.NumField() {
		sf := n.typ.Field(i)
		if place, skip := f.fieldPlace(sf, s); !skip {
			have[place.name(sf.Name)] = sf
		}
	}
	for _, lf := range l.Fields {
		sf, ok := have[lf.Name]
		if !ok {
			f.problem(s, "%s has no field %s, which the wire has", typeName(n.typ), lf.Name)
			continue
		}
		delete(have, lf.Name)
		path := "." + sf.Name
		n.fields = append(n.fields, field{lf.Name, path, sf.Index[0], sf.Offset, f.node(sf.Type, lf.Type, s.in(path))})
	}
	for i := range n.typ.NumField() {
		if sf := n.typ.Field(i); have[sf.Name].Name != "" {
			f.problem(s.in("."+sf.Name), "the wire has no such field")
		}
	}
}
