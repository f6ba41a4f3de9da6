package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/bsrpc/bsrpc/layout"
)

// A tree is a type of a layout with what Go source needs: where its back references lead,
// which fields are secret, and the words of tags.
//
// A layout has no names of types, so equal types become one: those with equal rooted texts.
// A rooted text begins at the type and follows back references out of it, so that the node of
// a linked list is the same type as an element of [][]Node.
type tree struct {
	*layout.Type
	parent    *tree // the enclosing composite; nil at the root
	key, elem *tree
	fields    []*tree
	secret    []bool // of fields
	target    *tree  // of a back reference

	named bool   // declared under a name: structs, unions, and some recursive composites
	alias string // of the declaration that it has
}

// newTree returns the tree of l. place is its path as in introspect.Method.Secrets.
func newTree(l *layout.Type, parent *tree, place string, secrets []string) *tree {
	n := &tree{Type: l, parent: parent}
	switch l.Kind {
	case layout.BackRef:
		n.target = parent
		for range l.Len - 1 {
			n.target = n.target.parent
		}
	case layout.Pointer:
		n.elem = newTree(l.Elem, n, place, secrets)
	case layout.Slice, layout.Array:
		n.elem = newTree(l.Elem, n, place+"[]", secrets)
	case layout.Map:
		n.key = newTree(l.Key, n, place+"[key]", secrets)
		n.elem = newTree(l.Elem, n, place+"[]", secrets)
	case layout.Struct, layout.Union:
		n.named = len(l.Fields) > 0
		for _, f := range l.Fields {
			at := place + "." + f.Name
			n.fields = append(n.fields, newTree(f.Type, n, at, secrets))
			n.secret = append(n.secret, slices.Contains(secrets, at))
		}
	}
	return n
}

// resolved returns the target of a back reference, and other types as they are.
func (n *tree) resolved() *tree {
	if n.target != nil {
		return n.target
	}
	return n
}

// children returns the types within n.
func (n *tree) children() (list []*tree) {
	for _, c := range append([]*tree{n.key, n.elem}, n.fields...) {
		if c != nil {
			list = append(list, c)
		}
	}
	return list
}

// isComposite reports whether back references can lead to n.
func (n *tree) isComposite() bool { return len(n.children()) > 0 || n.Kind == layout.Struct }

// nameCycles names the types that contain themselves without a struct between, such as
// type List []List: Go source cannot write them otherwise.
func (n *tree) nameCycles() {
	if n.target != nil {
		through := n.target.named
		for a := n.parent; a != n.target && !through; a = a.parent {
			through = a.named
		}
		n.target.named = n.target.named || !through
	}
	for _, c := range n.children() {
		c.nameCycles()
	}
}

// A rooter prints rooted texts.
type rooter struct {
	strings.Builder
	path []*tree
	left int // bytes before it gives up
}

// rooted returns the rooted text of n, "" if it is too long.
func (n *tree) rooted(max int) string {
	w := &rooter{left: max}
	w.write(n)
	if w.left < 0 {
		return ""
	}
	return w.String()
}

// add adds a text.
func (w *rooter) add(s string) {
	if w.left -= len(s); w.left >= 0 {
		w.WriteString(s)
	}
}

// write writes the text of n.
func (w *rooter) write(n *tree) {
	n = n.resolved()
	if i := slices.Index(w.path, n); i >= 0 {
		w.add("^" + strconv.Itoa(len(w.path)-i))
		return
	}
	if !n.isComposite() {
		w.add(n.Type.String())
		return
	}
	w.path = append(w.path, n)
	w.add(shallow(n.Type) + "(")
	if n.key != nil {
		w.write(n.key)
		w.add(";")
	}
	if n.elem != nil {
		w.write(n.elem)
	}
	for i, f := range n.fields {
		if w.left < 0 {
			break
		}
		w.add(n.Fields[i].Name)
		if n.Fields[i].Optional {
			w.add("?")
		}
		if n.secret[i] {
			w.add("!")
		}
		w.add(" ")
		w.write(f)
		w.add(";")
	}
	w.add(")")
	w.path = w.path[:len(w.path)-1]
}

// shallow returns a text of a composite that tells it from others with the same children.
func shallow(l *layout.Type) string {
	own := *l
	own.Fields = nil
	bool := &layout.Type{Kind: layout.Bool}
	if own.Elem != nil {
		own.Elem = bool
	}
	if own.Key != nil {
		own.Key = bool
	}
	return own.String()
}

// A tag is the words of a value, as in docs/tags.md.
type tag struct {
	format    string
	own       []string
	key, elem *tag
}

// list returns the words of t.
func (t *tag) list() (list []string) {
	if t.format != "" {
		list = append(list, t.format)
	}
	list = append(list, t.own...)
	if g := t.key.group(); g != "" {
		list = append(list, "key="+g)
	}
	if g := t.elem.group(); g != "" {
		list = append(list, "elem="+g)
	}
	return list
}

// group returns t as a group, "" without words.
func (t *tag) group() string {
	if t == nil {
		return ""
	}
	list := t.list()
	if len(list) == 0 || len(list) == 1 && !strings.Contains(list[0], "=") {
		return strings.Join(list, "")
	}
	return "(" + strings.Join(list, " ") + ")"
}

// String returns the words of t in a text that is the same for equal tags.
func (t *tag) String() string { return strings.Join(t.list(), " ") }

// add adds a word.
func (t *tag) add(word string) { t.own = append(t.own, word) }

// lengths adds the words for the length of a list, and reports whether there are some that
// say it.
func (t *tag) lengths(l *layout.Type) bool {
	switch {
	case l.Format == layout.NoFormat:
		t.add("bytes=" + l.Bytes.String())
	case l.Bytes == layout.NoFormat:
		t.add("list")
		fallthrough
	case l.Bytes == l.Format:
		if l.Format != layout.LE4 {
			t.add("len=" + l.Format.String())
		}
	default:
		return false
	}
	return true
}

// A speller finds the words of types. Its problem is the first type that has none.
type speller struct {
	path    []*tree
	binary  func(opaque string) bool // whether binary must be said
	problem string
}

// words returns the words for a value of type n.
func (s *speller) words(n *tree) *tag {
	n = n.resolved()
	t := new(tag)
	if slices.Contains(s.path, n) { // a list of itself, whose words would have no end
		return t
	}
	s.path = append(s.path, n)
	defer func() { s.path = s.path[:len(s.path)-1] }()
	switch n.Kind {
	case layout.Int, layout.Uint, layout.Float, layout.Complex:
		if _, native := bits[n.Format]; !native {
			t.format = n.Format.String()
		}
	case layout.String, layout.Bytes:
		switch n.Format {
		case layout.LE4:
		case layout.NoFormat:
			t.add("fixed=" + strconv.Itoa(n.Len))
		default:
			t.add("len=" + n.Format.String())
		}
	case layout.Binary:
		if s.binary(n.Opaque) {
			t.add("binary")
		}
	case layout.Text:
		t.add("text")
	case layout.Pointer, layout.Array:
		return s.words(n.elem)
	case layout.Slice, layout.Map:
		if !t.lengths(n.Type) {
			s.problem = "the formats of " + shallow(n.Type) + " have no words"
		}
		if n.key != nil {
			t.key = s.words(n.key)
		}
		t.elem = s.words(n.elem)
		t.format, t.elem.format = t.elem.format, ""
		// []byte is text of bytes unless a word says that it is a list of numbers.
		if e := n.elem.resolved(); n.Kind == layout.Slice && e.Kind == layout.Uint && e.Format == layout.LE1 && !slices.Contains(t.own, "list") {
			t.format = layout.LE1.String()
		}
		if n.recursive() && t.String() != "" {
			s.problem = "a list of itself takes no words"
		}
	}
	return t
}

// recursive reports whether n contains itself without a struct between.
func (n *tree) recursive() bool {
	var within func(c *tree) bool
	within = func(c *tree) bool {
		if c.target != nil {
			return c.target == n
		}
		return c.Kind != layout.Struct && c.Kind != layout.Union && slices.ContainsFunc(c.children(), within)
	}
	return slices.ContainsFunc(n.children(), within)
}
