package codec

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/bsrpc/bsrpc/layout"
)

// A compiler builds the node tree of one codec and collects the problems.
type compiler struct {
	nodes      map[nodeKey]*node // complete or in progress; no nodes with problems
	inProgress map[nodeKey]int   // nodes whose children are being compiled, and the number of problems before them
	problems   Problems
	sizeChecks []sizeCheck // deferred until the tree is complete
	unions     []union     // for checkUnions, deferred as well
	root       pathRoot
	standalone *Problem // of the first word that a call cannot have
}

// A nodeKey identifies a node: equal types with equal tags share one.
type nodeKey struct {
	typ   reflect.Type
	tag   string
	inKey bool
}

// A sizeCheck requires that the elements of a list take at least one byte. It
// runs last, as a recursive element has no size before its node is complete.
type sizeCheck struct {
	path  string
	elems []*node
}

// A location is the place of a node in the codec's type.
type location struct {
	path  string
	inKey bool // part of a map key
}

// newCompiler returns a compiler for one codec.
func newCompiler(r pathRoot) *compiler {
	return &compiler{nodes: map[nodeKey]*node{}, inProgress: map[nodeKey]int{}, root: r}
}

// in returns the location of a child, step being ".Field", "[]" or "[key]".
func (loc location) in(step string) location { return location{loc.path + step, loc.inKey} }

// problemf adds a problem at loc.
func (c *compiler) problemf(loc location, format string, args ...any) {
	c.problems = append(c.problems, Problem{c.root.path(loc.path), fmt.Sprintf(format, args...)})
}

// onlyStandalone notes a word, at loc, for values that stand alone: those of Marshal and
// Unmarshal. In a part of a call it is a problem: an end without the word could not skip
// the value, and a call has one encoding for each value.
func (c *compiler) onlyStandalone(loc location, word string) {
	text := standaloneText(word)
	if c.root.inCall() {
		c.problemf(loc, "%s", text)
	} else if c.standalone == nil {
		c.standalone = &Problem{c.root.path(loc.path), text}
	}
}

// standaloneText is the problem of a word for values that stand alone in a call.
func standaloneText(word string) string {
	return fmt.Sprintf("%q is for Marshal and Unmarshal only, not for calls; send the result of Marshal as a []byte", word)
}

// node returns the node of t with the given tag. For a type in progress it
// returns the incomplete node, closing the cycle of a recursive type.
func (c *compiler) node(t reflect.Type, tag *Tag, loc location) *node {
	if tag == nil {
		tag = &Tag{}
	}
	k := nodeKey{t, tag.String(), loc.inKey}
	// A node in progress is its own descendant. If a format reaches it without
	// passing a number, by pointers and slices alone, the format has no effect.
	if n, ok := c.nodes[k]; ok {
		if before, making := c.inProgress[k]; making && before == len(c.problems) && tag.Format != "" {
			c.problemf(loc, "%q applies to no number", tag.Format)
		}
		return n
	}
	n := &node{typ: t, size: t.Size()}
	// Register the node before its children, so that they find it.
	before := len(c.problems)
	c.nodes[k], c.inProgress[k] = n, before
	c.fill(n, tag, loc)
	delete(c.inProgress, k)
	if len(c.problems) > before {
		delete(c.nodes, k) // report the problem at other places, too
		n.op = 0
	}
	return n
}

// fill completes n: with the custom encoding of its type, if there is one, or
// else by kind.
func (c *compiler) fill(n *node, tag *Tag, loc location) {
	if tag.Name != "" {
		c.problemf(loc, "name= applies to struct fields only")
	}
	if tag.Optional {
		c.problemf(loc, "optional applies to struct fields, and to whole parameters and results of a method")
	}
	if tag.Secret {
		c.problemf(loc, "secret applies to struct fields, and to whole parameters and results of a method")
	}
	if tag.Raw {
		c.rawOrInside(n, tag, loc)
		return
	}
	// A text encoding is second choice to the plain form, unless the tag asks
	// for it.
	own := c.customEncoding(n.typ, tag, loc)
	switch {
	case own == layout.Binary || own == layout.Text && tag.Text:
		c.custom(n, own, tag, loc)
	case n.typ == timeType:
		c.time(n, tag, loc)
	case own == layout.Text:
		c.plainOrText(n, tag, loc)
	default:
		c.plain(n, tag, loc)
	}
}

// plain completes n by the kind of its type, ignoring its methods.
func (c *compiler) plain(n *node, tag *Tag, loc location) {
	switch n.typ.Kind() {
	case reflect.Bool:
		n.op, n.kind = opBool, layout.Bool
		c.checkWords(tag, loc, n.typ, noWords)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n.op, n.kind = opInt, layout.Int
		if n.typ == durationType {
			n.kind = layout.Duration
		}
		c.integer(n, tag, loc)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n.op, n.kind = opUint, layout.Uint
		c.integer(n, tag, loc)
	case reflect.Float32, reflect.Float64:
		n.op, n.kind = opFloat, layout.Float
		c.float(n, n.size, tag, loc)
	case reflect.Complex64, reflect.Complex128:
		n.op, n.kind = opComplex, layout.Complex
		c.float(n, n.size/2, tag, loc)
	case reflect.String:
		n.op, n.kind = opString, layout.String
		c.sizedText(n, tag, loc, stringWords)
	case reflect.Slice:
		c.slice(n, tag, loc)
	case reflect.Array:
		n.op, n.kind, n.length = opArray, layout.Array, n.typ.Len()
		n.elem = c.node(n.typ.Elem(), tag, loc.in("[]"))
	case reflect.Map:
		c.mapOf(n, tag, loc)
	case reflect.Pointer:
		n.op, n.kind = opPointer, layout.Pointer
		if loc.inKey {
			c.problemf(loc, "%s: map keys must not contain pointers", typeName(n.typ))
			return
		}
		n.elem = c.node(n.typ.Elem(), tag, loc)
	case reflect.Struct:
		c.structOf(n, tag, loc)
	default:
		c.problemf(loc, "%s", noWireForm(n.typ, c.wordAt(loc)))
	}
}

// wordAt returns "parameter" or "result" at the location of a whole one of a method, ""
// elsewhere: also in the lists of a func among the parameters.
func (c *compiler) wordAt(loc location) string {
	if word := c.root.word; strings.LastIndexAny(loc.path, ".[") <= 0 && (word == "parameter" || word == "result") {
		return word
	}
	return ""
}

// integer sets the format of an integer. int and uint are eight bytes on the
// wire, on every platform.
func (c *compiler) integer(n *node, tag *Tag, loc location) {
	n.format = nativeFormat(n.size)
	if k := n.typ.Kind(); k == reflect.Int || k == reflect.Uint {
		n.format = layout.LE8
	}
	if n.kind == layout.Duration {
		c.checkWords(tag, loc, n.typ, noWords)
		return
	}
	allowed := allowedWords{text: allFormats}
	if f, ok := parseFormat(tag.Format); ok {
		if n.format = f; n.op == opUint {
			n.format = unsignedFormat(f)
		}
		allowed.words = []string{tag.Format}
	}
	c.checkWords(tag, loc, n.typ, allowed)
}

// nativeFormat returns the default format for a width: little-endian.
func nativeFormat(size uintptr) layout.Format {
	switch size {
	case 1:
		return layout.LE1
	case 2:
		return layout.LE2
	case 4:
		return layout.LE4
	}
	return layout.LE8
}

// float sets the format of a float of the given size, or of a complex with such
// parts.
func (c *compiler) float(n *node, size uintptr, tag *Tag, loc location) {
	n.inKey = loc.inKey
	n.format = nativeFormat(size)
	little, big := fmt.Sprintf("le%d", size), fmt.Sprintf("be%d", size)
	switch tag.Format {
	case big:
		n.format = layout.BE4
		if size == 8 {
			n.format = layout.BE8
		}
		fallthrough
	case little:
		c.checkWords(tag, loc, n.typ, allowedWords{little + " or " + big, []string{tag.Format}})
	default:
		c.checkWords(tag, loc, n.typ, allowedWords{text: little + " or " + big})
	}
}

// sizedText sets the length prefix and limits of a string or []byte.
func (c *compiler) sizedText(n *node, tag *Tag, loc location, allowed allowedWords) {
	c.checkWords(tag, loc, n.typ, allowed)
	n.format, n.max, n.utf8 = layout.LE4, tag.Max, tag.UTF8
	if tag.Len != "" {
		n.format = lengthFormat(tag.Len)
	}
	if tag.Fixed > 0 {
		n.format, n.length = layout.NoFormat, tag.Fixed
		if tag.Len != "" || tag.Max > 0 {
			c.problemf(loc, "fixed=%d has no length prefix; omit len= and max=", tag.Fixed)
		}
	}
	c.setEnd(n, tag, loc)
	c.checkMax(n, tag, loc)
}

// checkMax reports a max= beyond the range of the length prefix.
func (c *compiler) checkMax(n *node, tag *Tag, loc location) {
	if n.max > 0 && n.format != layout.NoFormat && !fitsUint(uint64(n.max), n.format) {
		c.problemf(loc, "max=%d does not fit in len=%s", n.max, tag.Len)
	}
}

// slice completes a slice: as bytes, or as a list if its tag or a custom
// encoding of its elements requires that.
func (c *compiler) slice(n *node, tag *Tag, loc location) {
	elem := n.typ.Elem()
	// Elements with a custom encoding are values of their own, not bytes.
	if elem.Kind() == reflect.Uint8 && tag.Format == "" && !tag.List && !hasBinary(elem) {
		n.op, n.kind = opBytes, layout.Bytes
		c.sizedText(n, tag, loc, bytesWords)
		return
	}
	n.op, n.kind = opSlice, layout.Slice
	c.list(n, tag, loc, sliceWords)
	n.elem = c.node(elem, c.elemTag(tag, loc), loc.in("[]"))
	c.sizeChecks = append(c.sizeChecks, sizeCheck{loc.path, []*node{n.elem}})
}

// mapOf completes a map.
func (c *compiler) mapOf(n *node, tag *Tag, loc location) {
	n.op, n.kind = opMap, layout.Map
	if loc.inKey {
		c.problemf(loc, "%s cannot be a map key", typeName(n.typ))
		return
	}
	c.list(n, tag, loc, mapWords)
	// Everything below a key is part of the key: no pointers, NaN or maps.
	n.key = c.node(n.typ.Key(), tag.key, location{loc.path + "[key]", true})
	n.elem = c.node(n.typ.Elem(), c.elemTag(tag, loc), loc.in("[]"))
	c.sizeChecks = append(c.sizeChecks, sizeCheck{loc.path, []*node{n.key, n.elem}})
}

// list sets the length prefixes and limit of a slice or map.
func (c *compiler) list(n *node, tag *Tag, loc location, allowed allowedWords) {
	own := *tag
	own.Format = "" // for the elements
	c.checkWords(&own, loc, n.typ, allowed)
	n.format, n.lenFormat, n.max = layout.LE4, layout.LE4, tag.Max
	if tag.Len != "" {
		n.format = lengthFormat(tag.Len)
		n.lenFormat = n.format
	}
	if tag.Bytes != "" {
		n.format, n.lenFormat = layout.NoFormat, lengthFormat(tag.Bytes)
	}
	if tag.List || tag.Rest {
		n.lenFormat = layout.NoFormat
	}
	c.setEnd(n, tag, loc)
	c.checkMax(n, tag, loc)
}

// elemTag returns the tag of the elements: elem= and the format, which applies
// to the innermost numbers.
func (c *compiler) elemTag(tag *Tag, loc location) *Tag {
	if tag.Format == "" {
		return tag.elem
	}
	e := Tag{}
	if tag.elem != nil {
		e = *tag.elem
	}
	if e.Format != "" {
		c.problemf(loc, "two formats, %q and %q within elem=; give one", tag.Format, e.Format)
	}
	e.Format = tag.Format
	return &e
}

// checkSizes reports list elements without bytes on the wire. A few bytes could
// announce billions of them.
func (c *compiler) checkSizes() {
	for _, z := range c.sizeChecks {
		least := 0
		for _, n := range z.elems {
			least += n.computeMinSize()
		}
		switch {
		case least > 0:
		case c.standalone != nil && c.standalone.Text == standaloneText("raw"):
			c.problemf(location{path: z.path}, "elements may take no bytes on the wire; make the list itself a type with raw")
		default:
			c.problemf(location{path: z.path}, "elements take no bytes on the wire")
		}
	}
}
