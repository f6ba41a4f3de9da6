// Package codec turns Go values into bytes and back.
//
// [Compile] looks at a type and at what tags say about it, once, and makes a
// tree of nodes: how each part lies in memory and on the wire. The [Layout],
// which both ends of a connection compare, is written from that tree, and two
// executors follow it. The fast one works on memory and stands on the named
// operations of memory_unsafe.go; the plain one uses reflect.Value, runs
// everywhere, and is what the fast one is tested against. The build tag
// bsrpc_safe leaves the fast one out.
package codec

import (
	"reflect"
	"strconv"
	"sync"

	"github.com/bsrpc/bsrpc/internal/wire"
	"github.com/bsrpc/bsrpc/layout"
)

// A Codec encodes and decodes the values of one Go type. It is immutable and
// safe for concurrent use.
type Codec struct {
	root           pathRoot
	node           *node
	fastPath       *node          // what is appended and read at once: the value, or what its one pointer points to; nil: nothing is
	singlePointer  bool           // all that travels is one pointer, as of most lists of parameters
	structWithText structWithText // what is made for it if there is one short text, too
	layout         *layout.Type
	maxPerByte     int
	userCode       bool
	useFast        bool
}

// codecs holds the codecs made by Compile, one for each type and place.
var codecs sync.Map // cacheKey, or reflect.Type at no place, to *Codec

type codecKey struct {
	typ reflect.Type
	tag string
}

// Compile returns the codec of t at p, nil for the defaults. An error is
// Problems, all of them, each with its path.
func Compile(t reflect.Type, tag *Tag) (*Codec, error) {
	key := any(t) // its hash takes half the time
	if tag != nil {
		key = codecKey{t, tag.String()}
	}
	if c, ok := codecs.Load(key); ok {
		return c.(*Codec), nil
	}
	made, err := compile(pathRoot{typ: t}, func(c *compiler) *node { return c.node(t, tag, location{}) })
	if err != nil {
		return nil, err
	}
	c, _ := codecs.LoadOrStore(key, made)
	return c.(*Codec), nil
}

// CompileList returns the codec of a list of parameters or results: of a
// struct whose fields A0, A1 and so on are the list. Word is what paths call
// an element, "parameter" or "result". Places is nil, or has one for each
// type, which may be nil.
func CompileList(word string, types []reflect.Type, places []*Tag) (*Codec, error) {
	t := listType(types)
	return compile(pathRoot{t, word}, func(c *compiler) *node {
		n := listNode(t)
		for i := range types {
			var tag *Tag
			if places != nil {
				tag = places[i]
			}
			n.addElement(t, c.node(types[i], tag, location{path: ".A" + strconv.Itoa(i)}))
		}
		return n
	})
}

// listType makes the struct that holds a list.
func listType(types []reflect.Type) reflect.Type {
	fields := make([]reflect.StructField, len(types))
	for i, t := range types {
		fields[i] = reflect.StructField{Name: "A" + strconv.Itoa(i), Type: t}
	}
	return reflect.StructOf(fields)
}

func listNode(t reflect.Type) *node {
	return &node{op: opStruct, kind: layout.Struct, typ: t, size: t.Size()}
}

// addElement makes n the node of the next element of the list t.
func (n *node) addElement(t reflect.Type, elem *node) {
	f := t.Field(len(n.fields))
	n.fields = append(n.fields, field{f.Name, "." + f.Name, f.Index[0], f.Offset, elem})
}

// compile makes a codec of the node that make returns.
func compile(r pathRoot, make func(*compiler) *node) (*Codec, error) {
	c := newCompiler(r)
	n := make(c)
	c.checkSizes()
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	n.finish()
	l, err := layoutOf(n)
	if err != nil {
		c.problemf(location{}, "%v", err)
		return nil, c.problems
	}
	m := measure(n)
	if m.huge {
		c.problemf(location{}, "a value takes a GiB at least; use a slice")
		return nil, c.problems
	}
	made := &Codec{root: r, node: n, layout: l, maxPerByte: m.maxPerByte(), userCode: m.userCode}
	if fastWorks() {
		made.enableFast()
	}
	return made, nil
}

// quicken makes c use the fast executor.
func (c *Codec) enableFast() {
	c.useFast = true
	if c.fastPath, c.singlePointer = c.node.fastPath(); c.singlePointer {
		c.structWithText = c.fastPath.newStructWithText()
	}
}

// Type returns the Go type.
func (c *Codec) Type() reflect.Type { return c.node.typ }

// Layout returns the wire form of the value.
func (c *Codec) Layout() *layout.Type { return c.layout }

// Layouts returns the wire forms of a list's elements.
func (c *Codec) Layouts() []*layout.Type {
	list := make([]*layout.Type, len(c.layout.Fields))
	for i, f := range c.layout.Fields {
		list[i] = f.Type
	}
	return list
}

// Min returns the least bytes of a value.
func (c *Codec) Min() int { return c.node.minSize }

// MaxPerByte returns the most bytes of memory that reading makes for a byte
// of input, but for what the methods of users make.
func (c *Codec) MaxPerByte() int { return c.maxPerByte }

// UserCode reports whether the codec calls methods of users' types.
func (c *Codec) UserCode() bool { return c.userCode }

// Append appends the encoding of v to e.Buf. After an error, an *Error, e.Buf
// and e.Cuts are as before.
func (c *Codec) Append(e *Encoder, v Ref) error {
	if c.appendFast(e, v) {
		return nil
	}
	return c.appendSlow(e, v)
}

// write is Append of what is not appended at once.
func (c *Codec) appendSlow(e *Encoder, v Ref) error {
	var w writer
	w.begin(e)
	buf, err := c.appendValue(&w, e.Buf, v)
	if err == nil {
		err = w.checkRoom(buf, 0)
	}
	if err != nil {
		if w.cuts != nil {
			clear(w.cuts[len(e.Cuts):])
		}
		return err.withPath(c.root)
	}
	e.Buf = buf
	if w.cuts != nil {
		e.Cuts = w.cuts
	}
	return nil
}

// Read sets v from d.Data, all of it. Unexported and skipped fields stay as
// they are; everything else is made anew. After an error, an *Error, v is set
// in part.
func (c *Codec) Read(d *Decoder, v Ref) error {
	if c.readFast(d, v) {
		return nil
	}
	return c.readSlow(d, v)
}

// read is Read of what is not read at once.
func (c *Codec) readSlow(d *Decoder, v Ref) error {
	var r reader
	r.begin(d)
	err := c.readValue(&r, v)
	if err == nil && r.off != len(r.data) {
		err = r.errorf("%s left over", plural(len(r.data)-r.off, "byte"))
	}
	if err != nil {
		return err.withPath(c.root)
	}
	return nil
}

// Encode appends v to buf as Append does with an Encoder's defaults. After an
// error it returns buf as it was.
func (c *Codec) Encode(buf []byte, v Ref) ([]byte, error) {
	short := Encoder{Body: wire.Body{Buf: buf}} // on the stack
	if c.appendFast(&short, v) {
		return short.Buf, nil
	}
	e := encoders.Get().(*Encoder)
	e.Buf = buf
	err := c.appendSlow(e, v)
	buf, e.Buf = e.Buf, nil
	encoders.Put(e)
	return buf, err
}

// Decode sets v from data as Read does with a Decoder's defaults.
func (c *Codec) Decode(data []byte, v Ref) error {
	short := Decoder{Data: data} // on the stack
	if c.readFast(&short, v) {
		return nil
	}
	d := decoders.Get().(*Decoder)
	d.Data = data
	err := c.readSlow(d, v)
	d.Data = nil
	decoders.Put(d)
	return err
}

// Kept, because those that Append and Read take are on the heap. None holds memory.
var (
	encoders = sync.Pool{New: func() any { return new(Encoder) }}
	decoders = sync.Pool{New: func() any { return new(Decoder) }}
)
