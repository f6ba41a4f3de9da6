package codec

import (
	"encoding"
	"reflect"
	"time"

	"github.com/bsrpc/bsrpc/layout"
)

// A node says how the values of one Go type, at one place, become bytes. The
// compiler makes a tree of nodes, which has cycles where a type is recursive;
// the layout is written from it and both executors, fast and plain, follow
// it. A node is never changed once compiled.
type node struct {
	op     op
	kind   layout.Kind // of the layout; for numbers also what they are on the wire
	typ    reflect.Type
	size   uintptr       // of the Go value in memory
	form   layout.Format // of a number; of the length of a string or bytes; of the count of a slice or map
	bytes  layout.Format // slice, map: of the byte length before the count
	n      int           // array: elements; string, bytes: exact bytes if form is FormatNone
	max    int           // most bytes of a string, elements of a slice or map; 0: no bound
	utf8   bool
	inKey  bool // float: within a map key, where NaN and -0 are refused
	elem   *node
	key    *node
	fields []field

	// What follows is worked out from the above when all nodes are there.

	done  bool
	least int      // least bytes on the wire
	raw   uintptr  // bytes of a value that lies in memory as on the wire; 0: it does not
	swap  uintptr  // bytes of a number that lies there the other way round; 0: it does not
	steps []step   // struct: its fields, nested structs taken apart, runs made one
	flat  bool     // struct: all steps are runs, swapped numbers and plain strings, ...
	texts int      // ... and this many are strings
	elems elemKind // slice: what kind of elements has a loop of its own
	blank blank    // what a pointer points to: how a new one is made
}

// An op says what kind of memory a node is about, and so which code handles it.
type op uint8

const (
	opBool op = iota + 1 // 0: the node is not made yet, or cannot be
	opInt
	opUint
	opFloat
	opComplex
	opString
	opBytes
	opTime
	opArray
	opSlice
	opMap
	opPointer
	opDirect // a pointer whose value always follows, without a presence byte
	opStruct
	opBinary
	opText
)

// A field is an encoded field of a struct.
type field struct {
	name  string // in the layout
	path  string // ".ID"
	index int    // in the Go struct
	off   uintptr
	node  *node
}

// A step is one move of the fast executor through a struct.
type step struct {
	op   stepOp
	off  uintptr
	n    uintptr // bytes of a run
	rest int     // least bytes of the steps behind it
	node *node
	path string // ".Item.ID", or of the first field of a run
	run  []field
}

// A stepOp says how a step is made.
type stepOp uint8

const (
	stepNode  stepOp = iota // by the node's own code
	stepRun                 // copy n bytes
	stepRun1                // of which there are 1 to 3
	stepRun4                // 4
	stepRun5                // 5 to 7
	stepRun8                // 8
	stepRun9                // 9 to 15
	stepRun16               // 16 to 32
	stepSwap2               // a number with its bytes the other way round
	stepSwap4
	stepSwap8
	stepString // le4 length, no further checks
)

// An elemKind is a kind of slice element that has a loop of its own.
type elemKind uint8

const (
	elemsAny       elemKind = iota
	elemsRaw                // elements lie in memory as on the wire: one copy
	elemsSwap               // numbers with their bytes the other way round
	elemsFixed              // flat structs without strings
	elemsRunString          // structs of one run and one plain string
	elemsFlat               // flat structs with strings
	elemsPointer            // pointers to what is fixed
	elemsSlice              // slices of what is raw, with nothing to check
)

var (
	timeType     = reflect.TypeFor[time.Time]()
	durationType = reflect.TypeFor[time.Duration]()

	binaryAppender = reflect.TypeFor[encoding.BinaryMarshaler]()
	binaryReader   = reflect.TypeFor[encoding.BinaryUnmarshaler]()
	textAppender   = reflect.TypeFor[encoding.TextMarshaler]()
	textReader     = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// finish works out what follows from a complete tree.
func (n *node) finish() {
	if n == nil || n.done {
		return
	}
	n.done = true
	for i := range n.fields {
		n.fields[i].node.finish()
	}
	n.key.finish()
	n.elem.finish()
	n.least = n.leastBytes()
	n.raw = n.rawBytes()
	n.swap = n.swapBytes()
	n.steps = n.fuse(nil, 0, "")
	setRest(n.steps)
	n.flat = n.op == opStruct
	for _, s := range n.steps {
		n.flat = n.flat && s.op != stepNode
		if s.op == stepString {
			n.texts++
		}
	}
	n.elems = n.elemShape()
	if n.op == opPointer || n.op == opDirect {
		n.elem.blank = blankOf(n.elem.typ)
	}
}

// leastBytes needs only what can be held by value, so cycles do no harm.
func (n *node) leastBytes() int {
	switch n.op {
	case opBool, opPointer:
		return 1
	case opInt, opUint, opFloat:
		return leastOf(n.form)
	case opComplex:
		return 2 * leastOf(n.form)
	case opString, opBytes:
		return leastOf(n.form) + n.n
	case opTime:
		return 12
	case opSlice, opMap:
		return leastOf(n.form) + leastOf(n.bytes)
	case opBinary, opText:
		return 4
	case opArray:
		return mulSaturated(n.n, n.elem.leastBytes())
	case opStruct:
		sum := 0
		for _, f := range n.fields {
			sum = min(sum+f.node.leastBytes(), maxLeast)
		}
		return sum
	}
	if n.op == opDirect {
		return n.elem.leastBytes()
	}
	return 1 // what has a problem has no other
}

// maxLeast is the least size from which on a type is refused. It keeps sums
// and products of sizes from overflowing.
const maxLeast = 1 << 30

func mulSaturated(a, b int) int {
	return int(min(int64(a)*int64(b), maxLeast))
}

// rawBytes returns the size of a value whose memory is its wire form.
func (n *node) rawBytes() uintptr {
	switch n.op {
	case opInt, opUint:
		if isNative(n.form, n.size) && n.wireSigned() == (n.op == opInt) {
			return n.size
		}
	case opFloat:
		if isNative(n.form, n.size) && !n.inKey {
			return n.size
		}
	case opComplex:
		if isNative(n.form, n.size/2) && !n.inKey {
			return n.size
		}
	case opArray:
		if n.elem.raw == n.elem.size {
			return n.size
		}
	case opStruct:
		if steps := n.fuse(nil, 0, ""); len(steps) == 1 && steps[0].n == n.size {
			return n.size
		}
	}
	return 0
}

// swapBytes returns the size of a number whose memory, reversed, is its wire
// form.
func (n *node) swapBytes() uintptr {
	whole := n.size > 1 && widthOf(n.form) == int(n.size) && !isNative(n.form, n.size)
	switch n.op {
	case opInt, opUint:
		if whole && n.wireSigned() == (n.op == opInt) {
			return n.size
		}
	case opFloat:
		if whole && !n.inKey {
			return n.size
		}
	}
	return 0
}

// wireSigned reports whether a number is signed on the wire.
func (n *node) wireSigned() bool { return n.kind == layout.Int || n.kind == layout.Duration }

// fuse appends the steps of a struct whose memory begins at off.
func (n *node) fuse(steps []step, off uintptr, path string) []step {
	if n.op != opStruct {
		return nil
	}
	for _, f := range n.fields {
		f.off, f.path = off+f.off, path+f.path
		switch m := f.node; {
		case m.size == 0 && m.least == 0 && m.op != opStruct:
			continue
		case m.raw > 0:
			steps = addRun(steps, f)
		case m.op == opStruct:
			steps = m.fuse(steps, f.off, f.path)
		default:
			steps = append(steps, step{op: stepOf(m), off: f.off, node: m, path: f.path})
		}
	}
	return steps
}

// addRun lengthens the last run if f follows it, else begins one.
func addRun(steps []step, f field) []step {
	if k := len(steps) - 1; k >= 0 && steps[k].run != nil && steps[k].off+steps[k].n == f.off {
		s := &steps[k]
		s.n += f.node.raw
		s.run = append(s.run, f)
		s.op = runOf(s.n)
		return steps
	}
	return append(steps, step{op: runOf(f.node.raw), off: f.off, n: f.node.raw, path: f.path, run: []field{f}})
}

// setRest tells each step what follows it.
func setRest(steps []step) {
	rest := 0
	for i := len(steps) - 1; i >= 0; i-- {
		steps[i].rest = rest
		rest += int(steps[i].n)
		if steps[i].node != nil {
			rest += steps[i].node.least
		}
	}
}

// moveMost is how many bytes a move copies at most without a call.
const moveMost = 32

func runOf(n uintptr) stepOp {
	switch {
	case n < 4:
		return stepRun1
	case n == 4:
		return stepRun4
	case n < 8:
		return stepRun5
	case n == 8:
		return stepRun8
	case n < 16:
		return stepRun9
	case n <= moveMost:
		return stepRun16
	}
	return stepRun
}

func stepOf(n *node) stepOp {
	switch {
	case n.isPlainString():
		return stepString
	case n.swap == 2:
		return stepSwap2
	case n.swap == 4:
		return stepSwap4
	case n.swap == 8:
		return stepSwap8
	}
	return stepNode
}

// isPlainString reports whether a string needs no check but of its length.
func (n *node) isPlainString() bool {
	return n.op == opString && n.form == layout.LE4 && n.max == 0 && !n.utf8
}

func (n *node) elemShape() elemKind {
	if n.op != opSlice {
		return elemsAny
	}
	switch e := n.elem; {
	case e.raw > 0:
		return elemsRaw
	case e.swap > 0:
		return elemsSwap
	case e.isFixed():
		return elemsFixed
	case len(e.steps) == 2 && e.steps[0].run != nil && e.steps[1].op == stepString:
		return elemsRunString
	case e.flat:
		return elemsFlat
	case e.op == opPointer && (e.elem.raw > 0 || e.elem.isFixed()):
		return elemsPointer
	case e.elems == elemsRaw && e.form == layout.LE4 && e.bytes == layout.LE4 && e.max == 0:
		return elemsSlice
	}
	return elemsAny
}

// atOnce returns the flat struct that n is, or points to and is nothing else;
// nil if it neither is nor does.
func (n *node) atOnce() (flat *node, pointer bool) {
	if n.flat {
		return n, false
	}
	if n.op != opStruct || len(n.steps) != 1 || n.steps[0].off != 0 {
		return nil, false
	}
	if p := n.steps[0].node; p != nil && p.op == opPointer && p.elem.flat {
		return p.elem, true
	}
	return nil, false
}

// A blank is a type of which values are made.
type blank struct {
	typ  reflect.Type
	zero reflect.Value // a variable, where an interface made of it holds a copy of it
}

// blankMost is the largest value that is copied: above, that costs more than it saves.
const blankMost = 256

// blankOf returns the blank of t. A type that is a pointer, in whatever wrapping, is held by
// interfaces as it is.
func blankOf(t reflect.Type) blank {
	if t.Size() > blankMost || t.Size() == reflect.TypeFor[uintptr]().Size() {
		return blank{typ: t}
	}
	return blank{t, reflect.New(t).Elem()}
}

// A roomy is a struct and, behind it, room for the only text that it has: one
// allocation for both. Its zero value has no room.
type roomy struct {
	blank blank
	room  int
}

// roomy returns the one for n, if it is so small that it pays.
func (n *node) roomy() roomy {
	const class = 16 // Go's allocator has sizes of this many bytes apart, to 128
	size := (int(n.size) + 2*class - 1) / class * class
	if n.texts != 1 || size > 128 {
		return roomy{}
	}
	room := size - int(n.size)
	return roomy{room: room, blank: blankOf(reflect.StructOf([]reflect.StructField{
		{Name: "Value", Type: n.typ},
		{Name: "Text", Type: reflect.ArrayOf(room, reflect.TypeFor[byte]())},
	}))}
}

// isFixed reports whether n is a struct that takes the same bytes always, by
// flat steps, and takes any.
func (n *node) isFixed() bool { return n.flat && n.texts == 0 && n.least > 0 }
