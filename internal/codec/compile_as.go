package codec

import (
	"iter"
	"reflect"
	"strconv"
	"strings"

	"github.com/bsrpc/bsrpc/internal/jsontext"
	"github.com/bsrpc/bsrpc/layout"
)

// CompileAs returns a codec that encodes values of t in the layout l, for calls
// without a contract. The type must be able to represent l: number types may
// differ in width and sign, with a range check per value; struct fields are
// matched by name, and tags only set names; a pointer may stand for the value
// it points to; an any, and the types of encoding/json, stand for every layout.
// Codecs are not cached. Errors are of type Problems.
func CompileAs(t reflect.Type, l *layout.Type) (*Codec, error) {
	return compile(pathRoot{typ: t}, func(c *compiler) *node { return c.nodeAs(t, l, location{}) })
}

// CompileListAs is like CompileAs for a list of parameters or results, see
// [CompileList].
func CompileListAs(word string, types []reflect.Type, ls []*layout.Type) (*Codec, error) {
	t := listType(types)
	return compile(pathRoot{typ: t, word: word}, func(c *compiler) *node {
		n := listNode(t)
		for i := range types {
			n.addElement(t, c.elementAs(types[i], ls[i], location{path: ".A" + strconv.Itoa(i)}), nil)
		}
		return n
	})
}

// CompileRest returns the codec of a list whose only element is a []byte: all bytes of the list.
func CompileRest() *Codec {
	t := listType([]reflect.Type{reflect.TypeFor[[]byte]()})
	c, err := compile(pathRoot{typ: t}, func(c *compiler) *node {
		n := listNode(t)
		n.addElement(t, c.node(t.Field(0).Type, &Tag{Rest: true}, location{path: ".A0"}), nil)
		return n
	})
	if err != nil {
		panic(err) // a mistake here
	}
	return c
}

// Nil is the element type of nil pointers, slices and maps: it fits any layout,
// because no value of it is ever encoded.
type Nil bool

// NilType returns a type with a nil value in the layout l, or nil if there is
// none.
func NilType(l *layout.Type) reflect.Type {
	switch l.Kind {
	case layout.Bytes:
		return reflect.TypeFor[[]byte]()
	case layout.Pointer, layout.Func:
		return reflect.TypeFor[*Nil]()
	case layout.Slice:
		return reflect.TypeFor[[]Nil]()
	case layout.Map:
		return reflect.TypeFor[map[Nil]Nil]()
	}
	return nil
}

// An asCompiler builds nodes from pairs of a Go type and a layout.
type asCompiler struct {
	*compiler
	scope
	nodes map[asKey]*node
	reads bool // values are results
}

// A scope follows the back references of a layout.
type scope struct {
	enclosing []*layout.Type // composites around the current layout, outermost first; the targets of back references
}

// resolve returns the target of l if it is a back reference, or else l. It leaves in
// enclosing what encloses the result; restore undoes that.
func (s *scope) resolve(l *layout.Type) (target *layout.Type, restore func()) {
	if l.Kind != layout.BackRef {
		return l, func() {}
	}
	around := s.enclosing
	at := len(around) - l.Len
	s.enclosing = around[:at:at] // those after at stay: appending makes a copy
	return around[at], func() { s.enclosing = around }
}

type asKey struct {
	typ   reflect.Type
	l     *layout.Type
	inKey bool
}

// nodeAs returns the node of t in the layout l.
func (c *compiler) nodeAs(t reflect.Type, l *layout.Type, loc location) *node {
	f := asCompiler{compiler: c, nodes: map[asKey]*node{}, reads: strings.HasPrefix(c.root.word+c.root.place, "result")}
	if f.isWholeJSON(t, l) {
		n := &node{typ: t, size: t.Size(), kind: l.Kind}
		f.json(n, l, loc)
		return n
	}
	return f.node(t, l, loc)
}

// nilFunc is a layout with the byte of a nil func.
var nilFunc = &layout.Type{Kind: layout.Pointer, Elem: &layout.Type{Kind: layout.Bool}}

// elementAs returns the node of a whole parameter or result. A func is nil: t is its [NilType].
func (c *compiler) elementAs(t reflect.Type, l *layout.Type, loc location) *node {
	switch l.Kind {
	case layout.Stream, layout.Reader:
	case layout.Func:
		return c.nodeAs(t, nilFunc, loc)
	default:
		return c.nodeAs(t, l, loc)
	}
	n := &node{op: opStream, kind: l.Kind, typ: t, size: t.Size()}
	if l.Kind == layout.Stream {
		item, err := compile(pathRoot{typ: t.In(0).In(0), place: c.root.path(loc.path)}, func(c *compiler) *node { return c.nodeAs(t.In(0).In(0), l.Elem, location{}) })
		if problems, ok := err.(Problems); ok {
			c.problems = append(c.problems, problems...)
		}
		n.item = item
	}
	return n
}

// StreamType returns the type that a whole parameter or result of type t has in a layout of the
// kind Stream or Reader, nil if t does not fit: iterators with errors, in parameters also those
// without, io.Reader and io.ReadCloser. An any is an iter.Seq2[any, error] or an io.ReadCloser.
func StreamType(word string, t reflect.Type, kind layout.Kind) reflect.Type {
	param := word == "parameter"
	switch {
	case kind == layout.Stream && t == anyType:
		return reflect.TypeFor[iter.Seq2[any, error]]()
	case kind == layout.Stream && IsIterator(t) && (param && t.In(0).NumIn() == 1 || t.In(0).NumIn() == 2 && t.In(0).In(1) == errorType):
		return t
	case kind == layout.Reader && param && (t == anyType || t.Implements(readerType)):
		return readerType
	case kind == layout.Reader && !param && (t == anyType || t == readerType || t == readCloserType):
		return readCloserType
	}
	return nil
}

// mismatch reports that t does not fit l.
func (f *asCompiler) mismatch(loc location, t reflect.Type, l *layout.Type) {
	text := "?"
	if !refersOutside(l, 0) {
		text = l.String()
	} else {
		text = "a recursive " + map[layout.Kind]string{layout.Struct: "struct", layout.Union: "union", layout.Slice: "slice", layout.Array: "array",
			layout.Map: "map", layout.Pointer: "pointer"}[l.Kind]
	}
	f.problemf(loc, "%s does not fit %s", typeName(t), text)
}

// refersOutside reports whether l, a child at depth levels below its root,
// contains a back reference to a composite outside of the root. Its text is
// then invalid by itself.
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

// node returns the node of t in the layout l, a child of the enclosing layouts.
func (f *asCompiler) node(t reflect.Type, l *layout.Type, loc location) *node {
	l, restore := f.resolve(l)
	defer restore()
	k := asKey{t, l, loc.inKey}
	if n, ok := f.nodes[k]; ok {
		return n
	}
	// There is no value of this type, so any operation will do.
	if t == reflect.TypeFor[Nil]() {
		return &node{op: opBool, kind: layout.Bool, typ: t, size: t.Size(), inKey: loc.inKey}
	}
	n := &node{typ: t, size: t.Size(), kind: l.Kind, format: l.Format, lenFormat: l.Bytes, length: l.Len, inKey: loc.inKey}
	f.nodes[k] = n
	f.fill(n, l, loc)
	return n
}

// fill completes n. A pointer without a pointer in the layout is dereferenced.
func (f *asCompiler) fill(n *node, l *layout.Type, loc location) {
	t := n.typ
	// Keys are excluded: they must not contain pointers.
	if t.Kind() == reflect.Pointer && t.Name() == "" && l.Kind != layout.Pointer && !loc.inKey {
		*n = node{op: opDeref, typ: t, size: n.size}
		n.elem = f.node(t.Elem(), l, loc)
		return
	}
	if l.Kind == layout.Binary || l.Kind == layout.Text || l.Kind == layout.Raw {
		f.checkKey(t, loc)
	}
	switch {
	case isJSON(t) && !(f.reads && jsontext.IsNumber(t)): // a result may be no number
		f.json(n, l, loc)
	case loc.inKey && (t.Kind() == reflect.Pointer || t == timeType):
		f.problemf(loc, "%s: map keys must not contain pointers", typeName(t))
	case l.Kind == layout.Time && t == timeType:
		n.op = opTime
	case l.Kind == layout.Binary && t.String() == l.Opaque && (hasBinary(t) || t == timeType):
		n.op, n.format = opBinary, layout.LE4
	case l.Kind == layout.Text && t.String() == l.Opaque && (hasText(t) || t == timeType):
		n.op, n.format = opText, layout.LE4
	case l.Kind == layout.Raw && t.String() == l.Opaque && reflect.PointerTo(t).Implements(binaryAppender) && reflect.PointerTo(t).Implements(binaryDecoder):
		n.op = opRaw
	case l.Kind == layout.Time, l.Kind == layout.Binary, l.Kind == layout.Text, l.Kind == layout.Raw:
		f.mismatch(loc, t, l)
	default:
		f.byKind(n, l, loc)
	}
}

// byKind completes n by kind.
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
	case opStruct, opUnion:
		f.structOf(n, l, loc)
	}
}

// opFor returns the operation for t in the layout l, or 0 if t does not fit.
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
		if isUnion(t) {
			return opIf(l.Kind == layout.Union, opUnion)
		}
		return opIf(l.Kind == layout.Struct, opStruct)
	}
	return 0
}

// opIf returns o if ok, or else 0.
func opIf(ok bool, o op) op {
	if ok {
		return o
	}
	return 0
}

// structOf completes a struct or union. Fields are matched by name, and every field of
// both sides needs a match.
func (f *asCompiler) structOf(n *node, l *layout.Type, loc location) {
	// Only name= and - of a tag apply: the layout determines all formats.
	have := map[string]reflect.StructField{}
	for i := range n.typ.NumField() {
		sf := n.typ.Field(i)
		if tag, skip := f.fieldTag(sf, loc); !skip && sf.Name != "_" {
			have[tag.name(sf.Name)] = sf
		}
	}
	for _, lf := range l.Fields {
		if lf.Name == "_" {
			n.fields = append(n.fields, field{name: lf.Name, path: "._", index: -1, node: blankAs(lf.Type)})
			continue
		}
		sf, ok := have[lf.Name]
		if !ok {
			f.problemf(loc, "%s has no field %s, required by the wire format", typeName(n.typ), lf.Name)
			continue
		}
		delete(have, lf.Name)
		path, t := "."+sf.Name, sf.Type
		if n.op == opUnion {
			if t = f.memberType(sf, loc); t == nil {
				continue
			}
		}
		n.fields = append(n.fields, field{name: lf.Name, path: path, index: sf.Index[0], off: sf.Offset, node: f.node(t, lf.Type, loc.in(path))})
	}
	for i := range n.typ.NumField() {
		if sf := n.typ.Field(i); have[sf.Name].Name != "" {
			f.problemf(loc.in("."+sf.Name), "not a field of the wire format")
		}
	}
}
