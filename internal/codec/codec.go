package codec

import (
	"reflect"
	"strconv"
	"sync"

	"github.com/bsrpc/bsrpc/internal/plural"
	"github.com/bsrpc/bsrpc/internal/wire"
	"github.com/bsrpc/bsrpc/layout"
)

// A Codec encodes and decodes values of one Go type. It is immutable and safe
// for concurrent use.
type Codec struct {
	root           pathRoot
	node           *node
	fastPath       *node          // simple struct encoded in a single pass: the value or the target of its only pointer; nil if there is none
	singlePointer  bool           // the encoding consists of one pointer, as for most lists of parameters
	structWithText structWithText // allocates the target together with its only string, if short
	layout         *layout.Type
	maxPerByte     int  // see MaxPerByte
	userCode       bool // see UserCode
	useFast        bool // the fast executor runs the node tree
	standalone     *Problem
	toEnd          bool // see ToEnd

	absent    *absent // see WriteTo; nil for none
	peer      string  // ... without them
	unchecked *Codec  // ... that does not check them
}

// codecs caches the results of Compile by type and tag.
var codecs sync.Map // reflect.Type without a tag, or codecKey, to *Codec

// A codecKey is the key of a codec with a tag. The text of a tag is canonical.
type codecKey struct {
	typ reflect.Type
	tag string
}

// Compile returns the codec of t with the given tag; nil means the defaults. It
// caches codecs. Errors are of type Problems.
func Compile(t reflect.Type, tag *Tag) (*Codec, error) {
	key := any(t) // hashes in half the time
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

// CompileList returns the codec of a list of parameters or results: of a struct
// with the fields A0, A1 and so on. Paths call its elements word and a number:
// "parameter 1". The slice tags contains one tag per type, possibly nil, or is
// nil. Streams and readers are elements without bytes, see [Codec.Stream]. Elements of
// kind func are in funcs, with the layout of their calls.
func CompileList(word string, types []reflect.Type, tags []*Tag, funcs map[int]*layout.Signature) (*Codec, error) {
	t := listType(types)
	return compile(pathRoot{typ: t, word: word}, func(c *compiler) *node {
		n := listNode(t)
		for i := range types {
			var tag *Tag
			if tags != nil {
				tag = tags[i]
			}
			loc := location{path: ".A" + strconv.Itoa(i)}
			n.addElement(t, c.element(types[i], tag, funcs[i], loc), tag)
			if i > 0 && n.fields[i-1].optional && !n.fields[i].optional {
				c.problemf(loc, "must be optional, too, as %s %d before it", word, i)
			}
		}
		return n
	})
}

// listType returns the struct type of a list.
func listType(types []reflect.Type) reflect.Type {
	fields := make([]reflect.StructField, len(types))
	for i, t := range types {
		fields[i] = reflect.StructField{Name: "A" + strconv.Itoa(i), Type: t}
	}
	return reflect.StructOf(fields)
}

// listNode returns the node of a list of type t, without elements.
func listNode(t reflect.Type) *node {
	return &node{op: opStruct, kind: layout.Struct, typ: t, size: t.Size()}
}

// addElement adds the node of the next element of the list n of type t. The tag may be
// nil.
func (n *node) addElement(t reflect.Type, elem *node, tag *Tag) {
	f := t.Field(len(n.fields))
	made := field{name: f.Name, path: "." + f.Name, index: f.Index[0], off: f.Offset, node: elem}
	if tag != nil {
		made.optional, made.ignorable = tag.Optional, tag.Ignorable
	}
	n.fields = append(n.fields, made)
}

// compile returns the codec of the node returned by makeNode.
func compile(r pathRoot, makeNode func(*compiler) *node) (*Codec, error) {
	c := newCompiler(r)
	n := makeNode(c)
	c.checkSizes()
	c.checkUnions()
	toEnd := c.checkRest(n)
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	// The tree is complete and valid: derive everything else from it.
	n.finish()
	l, err := layoutOf(n)
	if err != nil {
		c.problemf(location{}, "%v", err)
		return nil, c.problems
	}
	m := measure(n)
	if m.huge {
		c.problemf(location{}, "every value takes at least 1 GiB; use a slice")
		return nil, c.problems
	}
	made := &Codec{root: r, node: n, layout: l, maxPerByte: m.maxPerByte(), userCode: m.userCode, standalone: c.standalone, toEnd: toEnd}
	if fastWorks() {
		made.enableFast()
	}
	return made, nil
}

// enableFast makes c use the fast executor.
func (c *Codec) enableFast() {
	c.useFast = true
	if c.fastPath, c.singlePointer = c.node.fastPath(); c.singlePointer {
		c.structWithText = c.fastPath.newStructWithText()
	}
}

// Type returns the Go type of the values.
func (c *Codec) Type() reflect.Type { return c.node.typ }

// Layout returns the layout of the values.
func (c *Codec) Layout() *layout.Type { return c.layout }

// Layouts returns the layouts of a list's elements.
func (c *Codec) Layouts() []*layout.Type {
	list := make([]*layout.Type, len(c.layout.Fields))
	for i, f := range c.layout.Fields {
		list[i] = f.Type
	}
	return list
}

// Optional returns how many of a list's last elements a peer may lack.
func (c *Codec) Optional() int {
	n := 0
	for _, f := range c.layout.Fields {
		if f.Optional {
			n++
		}
	}
	return n
}

// Min returns the minimum size of an encoding.
func (c *Codec) Min() int { return c.node.minSize }

// MaxPerByte returns the maximum number of bytes allocated by Read per byte of
// input, not counting allocations of the types' own methods.
func (c *Codec) MaxPerByte() int { return c.maxPerByte }

// UserCode reports whether the codec calls marshal methods of users' types.
func (c *Codec) UserCode() bool { return c.userCode }

// Standalone returns the error of using c for a part of a call, or nil. It is of type
// Problems. Only Compile returns codecs with one.
func (c *Codec) Standalone() error {
	if c.standalone == nil {
		return nil
	}
	return Problems{*c.standalone}
}

// ToEnd reports whether values go on to the end of the input, by the word rest. Such a value
// is complete only if there are no more bytes to come.
func (c *Codec) ToEnd() bool { return c.toEnd }

// appendSlow is Append for values without a fast path.
func (c *Codec) appendSlow(e *Encoder, v Ref) error {
	if c.absent != nil {
		return c.appendChecked(e, v)
	}
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

// Read decodes all of d.Data into v. It leaves unexported and skipped fields
// unchanged and replaces everything else: it reuses neither slices nor maps nor
// targets of pointers. Errors are of type *Error; v is then partly set.
func (c *Codec) Read(d *Decoder, v Ref) error {
	if c.readFast(d, v) {
		return nil
	}
	return c.readSlow(d, v)
}

// readSlow is Read for values without a fast path.
func (c *Codec) readSlow(d *Decoder, v Ref) error {
	var r reader
	r.begin(d)
	err := c.readValue(&r, v)
	if err == nil && r.off != len(r.data) {
		err = r.errorf("%s", plural.Of(len(r.data)-r.off, "trailing byte"))
	}
	if err != nil {
		return err.withPath(c.root)
	}
	return nil
}

// ReadStart decodes the value at the start of d.Data into v, like Read, and returns the
// size of its encoding. With d.More it uses the reflect executor: the fast one holds
// addresses of the input.
func (c *Codec) ReadStart(d *Decoder, v Ref) (int, error) {
	if n := c.fastPath; n != nil && !c.singlePointer && n.fixedSize && len(d.Data) >= n.minSize {
		start := Decoder{Data: d.Data[:n.minSize], Budget: d.Budget, Lenient: d.Lenient}
		if c.readFast(&start, v) {
			return n.minSize, nil
		}
	}
	var r reader
	r.begin(d)
	var err *Error
	if d.More == nil {
		err = c.readValue(&r, v)
	} else {
		err = c.reflectRead(&r, v)
	}
	if err != nil {
		return 0, err.withPath(c.root)
	}
	return r.off, nil
}

// Encode appends v to buf with the defaults of an Encoder. After an error it
// returns buf unchanged.
func Encode(c *Codec, buf []byte, v Ref) ([]byte, error) {
	// The fast path works on an Encoder on the stack, the slow path on a pooled
	// one.
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

// Decode decodes data into v with the defaults of a Decoder.
func Decode(c *Codec, data []byte, v Ref) error {
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

// DecodeStart is ReadStart with the defaults of a Decoder.
func DecodeStart(c *Codec, data []byte, v Ref) (int, error) {
	d := decoders.Get().(*Decoder)
	d.Data = data
	n, err := c.ReadStart(d, v)
	d.Data = nil
	decoders.Put(d)
	return n, err
}

// Encoders and decoders for Encode and Decode, pooled because those passed to
// the slow paths escape to the heap. They hold no memory while in the pool.
var (
	encoders = sync.Pool{New: func() any { return new(Encoder) }}
	decoders = sync.Pool{New: func() any { return new(Decoder) }}
)
