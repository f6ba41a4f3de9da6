package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bsrpc/bsrpc/layout"
)

// expr returns n in Go source.
func (a *attempt) expr(n *tree) string {
	n = n.resolved()
	if n.alias != "" {
		return n.alias
	}
	return a.literal(n)
}

// literal returns n in Go source, without a name of its own.
func (a *attempt) literal(n *tree) string {
	switch n.Kind {
	case layout.Bool:
		return "bool"
	case layout.Int, layout.Uint, layout.Float, layout.Complex:
		p := new(printer)
		p.number(map[layout.Kind]string{layout.Int: "int", layout.Uint: "uint", layout.Float: "float", layout.Complex: "complex"}[n.Kind],
			n.Format, map[bool]int{false: 1, true: 2}[n.Kind == layout.Complex])
		name, _, _ := strings.Cut(p.String(), " ") // the format is a word of the tag
		return name
	case layout.String:
		return "string"
	case layout.Bytes:
		return "[]byte"
	case layout.Time:
		return a.importName("time", "time") + ".Time"
	case layout.Duration:
		return a.importName("time", "time") + ".Duration"
	case layout.Binary, layout.Text:
		name, _ := a.opaque(n.Opaque) // checked before
		return name
	case layout.Array:
		return fmt.Sprintf("[%d]%s", n.Len, a.expr(n.elem))
	case layout.Slice:
		return "[]" + a.expr(n.elem)
	case layout.Map:
		return "map[" + a.expr(n.key) + "]" + a.expr(n.elem)
	case layout.Pointer:
		return "*" + a.expr(n.elem)
	}
	return "struct{}" // those with fields have names
}

// body returns the declared type of n.
func (a *attempt) body(n *tree) (string, error) {
	if n.Kind != layout.Struct && n.Kind != layout.Union {
		return a.literal(n), nil
	}
	var b strings.Builder
	b.WriteString("struct {\n")
	if n.Kind == layout.Union {
		b.WriteString("_ struct{} `bsrpc:\"union\"`\n")
	}
	used := make(map[string]bool)
	for i, f := range n.fields {
		about := n.Fields[i]
		name, words := about.Name, a.words(f).list()
		if name != "_" {
			name = exported(name)
			for used[name] {
				name += "_"
			}
			used[name] = true
		}
		if name != about.Name {
			words = append(words, "name="+about.Name)
		}
		if about.Optional {
			words = append(words, "optional")
		}
		if n.secret[i] {
			words = append(words, "secret")
		}
		if f.Const != "" {
			words = append(words, "const="+f.Const)
		}
		typ := a.expr(f)
		if n.Kind == layout.Union {
			typ = "*" + typ
		}
		b.WriteString(name + " " + typ)
		if len(words) > 0 {
			b.WriteString(" `bsrpc:\"" + strings.Join(words, ",") + "\"`")
		}
		b.WriteString("\n")
	}
	b.WriteString("}")
	return b.String(), nil
}

// A deriver derives a layout from generated types as the library does from Go types: a type
// within itself, with the same words, is a back reference.
type deriver struct {
	*attempt
	left int // types before it gives up
}

// An identity is what makes two types one to the library.
type identity struct{ typ, words string }

// derive returns the layout of n with the words of its place.
func (d *deriver) derive(n *tree, words *tag, enclosing []identity) *layout.Type {
	if d.left--; d.left < 0 {
		return &layout.Type{Kind: layout.Bool}
	}
	n = n.resolved()
	own := *n.Type
	if !n.isComposite() {
		return &own
	}
	id := identity{d.expr(n), words.String()}
	if i := slices.Index(enclosing, id); i >= 0 {
		return &layout.Type{Kind: layout.BackRef, Len: len(enclosing) - i}
	}
	enclosing = append(slices.Clip(enclosing), id)
	if n.named { // the fields are those of the declaration
		if declared := d.find(d.key(n)); declared != nil {
			n = declared.tree
		}
	}
	if n.key != nil {
		own.Key = d.derive(n.key, d.words(n.key), enclosing)
	}
	if n.elem != nil {
		own.Elem = d.derive(n.elem, d.words(n.elem), enclosing)
	}
	own.Fields = slices.Clone(n.Fields)
	for i, f := range n.fields {
		own.Fields[i].Type = d.derive(f, d.words(f), enclosing)
	}
	return &own
}
