package codec

import (
	"fmt"
	"reflect"

	"github.com/bsrpc/bsrpc/layout"
)

// A compiler makes the nodes of one codec and collects all that is wrong.
type compiler struct {
	nodes    map[nodeKey]*node
	making   map[nodeKey]int // those that are not finished, and how many problems there were before
	problems Problems
	sized    []sizedPlace
	root     root
}

// A nodeKey tells the nodes of one compiler apart.
type nodeKey struct {
	typ   reflect.Type
	place string
	inKey bool
}

// A sizedPlace is where elements have to take at least a byte, which is known
// only when all nodes are there.
type sizedPlace struct {
	path  string
	elems []*node
}

// A site is where in the tree a node is compiled.
type site struct {
	path  string
	inKey bool // within a map key
}

func newCompiler(r root) *compiler {
	return &compiler{nodes: map[nodeKey]*node{}, making: map[nodeKey]int{}, root: r}
}

func (s site) in(step string) site { return site{s.path + step, s.inKey} }

func (c *compiler) problem(s site, format string, args ...any) {
	c.problems = append(c.problems, Problem{c.root.path(s.path), fmt.Sprintf(format, args...)})
}

// node returns the node for t at p. Types that are being compiled are found
// again, which is what makes recursive ones end.
func (c *compiler) node(t reflect.Type, p *Place, s site) *node {
	if p == nil {
		p = &Place{}
	}
	k := nodeKey{t, p.String(), s.inKey}
	if n, ok := c.nodes[k]; ok {
		if before, making := c.making[k]; making && before == len(c.problems) && p.Format != "" {
			c.problem(s, "%q reaches no number", p.Format)
		}
		return n
	}
	n := &node{typ: t, size: t.Size()}
	before := len(c.problems)
	c.nodes[k], c.making[k] = n, before
	c.fill(n, p, s)
	delete(c.making, k)
	if len(c.problems) > before {
		delete(c.nodes, k) // so that the next place that meets it says so too
		n.op = 0
	}
	return n
}

// fill makes n what its type and place say: types with an encoding of their
// own first, then by kind.
func (c *compiler) fill(n *node, p *Place, s site) {
	if p.Name != "" {
		c.problem(s, "name= is for the fields of a struct")
	}
	own := c.ownEncoding(n.typ, p, s)
	switch {
	case own == layout.Binary || own == layout.Text && p.Text:
		c.opaque(n, own, p, s)
	case n.typ == timeType:
		c.time(n, p, s)
	case own == layout.Text:
		c.plainOrText(n, p, s)
	default:
		c.plain(n, p, s)
	}
}

// plain is the one switch over kinds.
func (c *compiler) plain(n *node, p *Place, s site) {
	switch n.typ.Kind() {
	case reflect.Bool:
		n.op, n.kind = opBool, layout.Bool
		c.allow(p, s, n.typ, noWords)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n.op, n.kind = opInt, layout.Int
		if n.typ == durationType {
			n.kind = layout.Duration
		}
		c.integer(n, p, s)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n.op, n.kind = opUint, layout.Uint
		c.integer(n, p, s)
	case reflect.Float32, reflect.Float64:
		n.op, n.kind = opFloat, layout.Float
		c.float(n, n.size, p, s)
	case reflect.Complex64, reflect.Complex128:
		n.op, n.kind = opComplex, layout.Complex
		c.float(n, n.size/2, p, s)
	case reflect.String:
		n.op, n.kind = opString, layout.String
		c.lengths(n, p, s, stringWords)
	case reflect.Slice:
		c.slice(n, p, s)
	case reflect.Array:
		n.op, n.kind, n.n = opArray, layout.Array, n.typ.Len()
		n.elem = c.node(n.typ.Elem(), p, s.in("[]"))
	case reflect.Map:
		c.mapOf(n, p, s)
	case reflect.Pointer:
		n.op, n.kind = opPointer, layout.Pointer
		if s.inKey {
			c.problem(s, "%s: a map key may not hold a pointer", typeName(n.typ))
			return
		}
		n.elem = c.node(n.typ.Elem(), p, s)
	case reflect.Struct:
		c.structOf(n, p, s)
	default:
		c.problem(s, "%s", noWireForm(n.typ))
	}
}

// integer sets the format of an integer.
func (c *compiler) integer(n *node, p *Place, s site) {
	n.form = nativeFormat(n.size)
	if k := n.typ.Kind(); k == reflect.Int || k == reflect.Uint {
		n.form = layout.LE8
	}
	if n.kind == layout.Duration {
		c.allow(p, s, n.typ, noWords)
		return
	}
	may := takes{text: allFormats}
	if f, ok := parseWordFormat(p.Format); ok {
		n.form = f
		may.words = []string{p.Format}
	}
	c.allow(p, s, n.typ, may)
}

// nativeFormat is the little-endian format of a width.
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

// float sets the format of a float, or of the halves of a complex.
func (c *compiler) float(n *node, size uintptr, p *Place, s site) {
	n.inKey = s.inKey
	n.form = nativeFormat(size)
	little, big := fmt.Sprintf("le%d", size), fmt.Sprintf("be%d", size)
	switch p.Format {
	case big:
		n.form = layout.BE4
		if size == 8 {
			n.form = layout.BE8
		}
		fallthrough
	case little:
		c.allow(p, s, n.typ, takes{little + " or " + big, []string{p.Format}})
	default:
		c.allow(p, s, n.typ, takes{text: little + " or " + big})
	}
}

// lengths sets the prefix and bounds of a string or of bytes.
func (c *compiler) lengths(n *node, p *Place, s site, may takes) {
	c.allow(p, s, n.typ, may)
	n.form, n.max, n.utf8 = layout.LE4, p.Max, p.UTF8
	if p.Len != "" {
		n.form, _ = parseWordFormat(p.Len)
	}
	if p.Fixed > 0 {
		n.form, n.n = layout.NoFormat, p.Fixed
		if p.Len != "" || p.Max > 0 {
			c.problem(s, "fixed=%d has no length, so leave out len= and max=", p.Fixed)
		}
	}
	c.bound(n, p, s)
}

// bound refuses a max= that the prefix cannot reach.
func (c *compiler) bound(n *node, p *Place, s site) {
	if n.max > 0 && n.form != layout.NoFormat && !fitsUint(uint64(n.max), n.form) {
		c.problem(s, "max=%d does not fit in len=%s", n.max, p.Len)
	}
}

// slice tells bytes from slices of elements.
func (c *compiler) slice(n *node, p *Place, s site) {
	elem := n.typ.Elem()
	if elem.Kind() == reflect.Uint8 && p.Format == "" && !p.List && !hasBinary(elem) {
		n.op, n.kind = opBytes, layout.Bytes
		c.lengths(n, p, s, bytesWords)
		return
	}
	n.op, n.kind = opSlice, layout.Slice
	c.counted(n, p, s, sliceWords)
	n.elem = c.node(elem, c.elemPlace(p, s), s.in("[]"))
	c.sized = append(c.sized, sizedPlace{s.path, []*node{n.elem}})
}

// mapOf makes the node of a map.
func (c *compiler) mapOf(n *node, p *Place, s site) {
	n.op, n.kind = opMap, layout.Map
	if s.inKey {
		c.problem(s, "%s cannot be a map key", typeName(n.typ))
		return
	}
	c.counted(n, p, s, mapWords)
	n.key = c.node(n.typ.Key(), p.key, site{s.path + "[key]", true})
	n.elem = c.node(n.typ.Elem(), c.elemPlace(p, s), s.in("[]"))
	c.sized = append(c.sized, sizedPlace{s.path, []*node{n.key, n.elem}})
}

// counted sets the prefixes and the bound of a slice or map.
func (c *compiler) counted(n *node, p *Place, s site, may takes) {
	own := *p
	own.Format = "" // it goes on to the innermost number
	c.allow(&own, s, n.typ, may)
	n.form, n.bytes, n.max = layout.LE4, layout.LE4, p.Max
	if p.Len != "" {
		n.form, _ = parseWordFormat(p.Len)
		n.bytes = n.form
	}
	if p.List {
		n.bytes = layout.NoFormat
	}
	c.bound(n, p, s)
}

// elemPlace is what a slice's or map's place says of its elements.
func (c *compiler) elemPlace(p *Place, s site) *Place {
	if p.Format == "" {
		return p.elem
	}
	e := Place{}
	if p.elem != nil {
		e = *p.elem
	}
	if e.Format != "" {
		c.problem(s, "two formats, %q and %q within elem=; give one", p.Format, e.Format)
	}
	e.Format = p.Format
	return &e
}

// checkSizes refuses elements that take no bytes: a count of them costs the
// sender nothing.
func (c *compiler) checkSizes() {
	for _, z := range c.sized {
		least := 0
		for _, n := range z.elems {
			least += n.leastBytes()
		}
		if least == 0 {
			c.problem(site{path: z.path}, "elements take no bytes on the wire")
		}
	}
}
