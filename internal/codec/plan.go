package codec

import (
	"encoding"
	"reflect"
	"time"

	"github.com/bsrpc/bsrpc/layout"
)

// A node describes how values of one Go type, with one tag, are encoded. Nodes
// form a tree, with cycles for recursive types. They are immutable after
// finish.
type node struct {
	op        op
	kind      layout.Kind // of the layout; it may differ from the Go kind for CompileAs
	typ       reflect.Type
	size      uintptr       // of a value in memory
	format    layout.Format // of a number, of the length of a string, or of the count of a slice or map
	lenFormat layout.Format // slice, map: of the byte length; NoFormat if omitted
	length    int           // array: elements; string, []byte: bytes if format is NoFormat, the last one if Until; padding: bytes
	max       int           // limit for bytes of a string, elements of a slice or map; 0: none
	utf8      bool          // string: must be valid UTF-8
	inKey     bool          // float: part of a map key, must not be NaN or -0
	elem      *node
	key       *node
	fields    []field           // of a union: the nodes of the targets of its pointers
	item      *Codec            // of a stream
	fn        *layout.Signature // of a func
	skipped   *skipped          // of opSkip; of opJSON for its size
	json      *jsonCode         // of opJSON
	only      *constant         // of a blank field; nil for padding
	readOnly  bool              // made to read what a peer writes

	finished // set by finish, from the fields above
}

// finished is what finish computes from a complete tree.
type finished struct {
	done       bool
	minSize    int       // minimum bytes on the wire, at most maxMinSize
	constant   bool      // all values take minSize bytes
	rawSize    uintptr   // size of a value with the same bytes in memory as on the wire; 0 for others
	swapSize   uintptr   // size of a number with its bytes in reverse order on the wire; 0 for others
	steps      []step    // struct: the plan
	inPieces   pieceList // struct: the same, shorter, for appending
	simple     bool      // struct: all steps are copies, swaps and unchecked strings
	numStrings int       // number of stepString
	fixedSize  bool      // simple struct of a constant size above zero
	loop       elemLoop  // slice: the loop over its elements
	alloc      allocator // target of a pointer: allocates a value
}

// An op is the operation for a node: it selects the code for its values. It
// depends on the Go kind, while the format depends on the wire.
type op uint8

const (
	opBool op = iota + 1 // 0: incomplete, or has problems
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
	opDeref // a pointer without a presence byte on the wire: must not be nil
	opStruct
	opUnion
	opBinary
	opText
	opRaw
	opStream // a stream or reader in a list: without bytes
	opFunc   // a func in a list
	opSkip   // bytes of a peer without a place in memory
	opJSON   // a value of JSON, for CompileAs
	opBlank  // a blank field: a constant, or padding
)

// A field is a field of a struct node, or a member of a union node.
type field struct {
	name  string  // in the layout
	path  string  // ".ID"
	index int     // in the Go struct; -1 for blank fields
	off   uintptr // in memory
	node  *node

	optional, ignorable bool // a peer may lack it; then its value is dropped
}

var (
	timeType     = reflect.TypeFor[time.Time]()
	durationType = reflect.TypeFor[time.Duration]()

	binaryMarshaler   = reflect.TypeFor[encoding.BinaryMarshaler]()
	binaryUnmarshaler = reflect.TypeFor[encoding.BinaryUnmarshaler]()
	binaryAppender    = reflect.TypeFor[encoding.BinaryAppender]()
	binaryDecoder     = reflect.TypeFor[rawDecoder]()
	textMarshaler     = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshaler   = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// finish sets the derived fields of a complete tree, children first. A
// recursive type meets itself unfinished, behind a pointer, slice, map or union, and
// then gets the generic code there.
func (n *node) finish() {
	if n == nil || n.done {
		return
	}
	n.done = true
	for i := range n.fields {
		n.fields[i].node.finish()
		if n.op == opUnion {
			n.fields[i].node.setAllocator()
		}
	}
	n.key.finish()
	n.elem.finish()
	// The order matters: each of these uses the ones before.
	n.minSize = n.computeMinSize()
	n.constant = n.isConstant()
	n.rawSize = n.computeRawSize()
	n.swapSize = n.computeSwapSize()
	n.steps = n.appendSteps(nil, 0, "")
	setMinRest(n.steps)
	n.simple = n.op == opStruct && n.minSize < maxMinSize // else minSize is not the sum of the steps
	// One generic step makes a struct not simple. Texts are simple, but have no constant
	// size, whether they are kept or dropped.
	n.fixedSize = n.simple && n.minSize > 0
	for _, s := range n.steps {
		n.simple = n.simple && s.op != stepGeneric
		n.fixedSize = n.fixedSize && n.simple && s.op != stepString && s.op != stepSkipText
		if s.op == stepString {
			n.numStrings++
		}
	}
	n.inPieces = n.makePieces()
	n.loop = n.chooseLoop()
	if n.op == opPointer || n.op == opDeref {
		n.elem.setAllocator()
	}
}

// setAllocator prepares n for being the target of a pointer.
func (n *node) setAllocator() { n.alloc = newAllocator(n.typ) }

// fastPath returns the struct for appendFast and readFast: n itself if it is
// simple, or the simple target of n or of the only pointer in n, or nil.
func (n *node) fastPath() (simple *node, pointer bool) {
	switch {
	case n.simple:
		return n, false
	case n.op == opPointer && n.elem.simple:
		return n.elem, true
	}
	if n.op != opStruct || len(n.steps) != 1 || n.steps[0].off != 0 {
		return nil, false
	}
	if p := n.steps[0].node; p != nil && p.op == opPointer && p.elem.simple {
		return p.elem, true
	}
	return nil, false
}
