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
	op        op
	kind      layout.Kind // of the layout; for numbers also what they are on the wire
	typ       reflect.Type
	size      uintptr       // of the Go value in memory
	format    layout.Format // of a number; of the length of a string or bytes; of the count of a slice or map
	lenFormat layout.Format // slice, map: of the byte length before the count
	length    int           // array: elements; string, bytes: exact bytes if form is FormatNone
	max       int           // most bytes of a string, elements of a slice or map; 0: no bound
	utf8      bool
	inKey     bool // float: within a map key, where NaN and -0 are refused
	elem      *node
	key       *node
	fields    []field

	// What follows is worked out from the above when all nodes are there.

	done       bool
	minSize    int       // least bytes on the wire
	rawSize    uintptr   // bytes of a value that lies in memory as on the wire; 0: it does not
	swapSize   uintptr   // bytes of a number that lies there the other way round; 0: it does not
	steps      []step    // struct: its fields, nested structs taken apart, runs made one
	simple     bool      // struct: all steps are runs, swapped numbers and plain strings, ...
	numStrings int       // ... and this many are strings
	loop       elemLoop  // slice: what kind of elements has a loop of its own
	alloc      allocator // what a pointer points to: how a new one is made
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
	opDeref // a pointer whose value always follows, without a presence byte
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

var (
	timeType     = reflect.TypeFor[time.Time]()
	durationType = reflect.TypeFor[time.Duration]()

	binaryMarshaler   = reflect.TypeFor[encoding.BinaryMarshaler]()
	binaryUnmarshaler = reflect.TypeFor[encoding.BinaryUnmarshaler]()
	textMarshaler     = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshaler   = reflect.TypeFor[encoding.TextUnmarshaler]()
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
	n.minSize = n.computeMinSize()
	n.rawSize = n.computeRawSize()
	n.swapSize = n.computeSwapSize()
	n.steps = n.appendSteps(nil, 0, "")
	setMinRest(n.steps)
	n.simple = n.op == opStruct
	for _, s := range n.steps {
		n.simple = n.simple && s.op != stepGeneric
		if s.op == stepString {
			n.numStrings++
		}
	}
	n.loop = n.chooseLoop()
	if n.op == opPointer || n.op == opDeref {
		n.elem.alloc = newAllocator(n.elem.typ)
	}
}

// atOnce returns the flat struct that n is, or points to and is nothing else;
// nil if it neither is nor does.
func (n *node) fastPath() (flat *node, pointer bool) {
	if n.simple {
		return n, false
	}
	if n.op != opStruct || len(n.steps) != 1 || n.steps[0].off != 0 {
		return nil, false
	}
	if p := n.steps[0].node; p != nil && p.op == opPointer && p.elem.simple {
		return p.elem, true
	}
	return nil, false
}
