package codec

import (
	"reflect"
	"slices"
	"strings"

	"github.com/bsrpc/bsrpc/layout"
)

// structOf makes the node of a struct.
func (c *compiler) structOf(n *node, p *Place, s site) {
	n.op, n.kind = opStruct, layout.Struct
	c.allow(p, s, n.typ, structWords)
	names := map[string]bool{}
	hidden := false
	for i := range n.typ.NumField() {
		f := n.typ.Field(i)
		place, skip := c.fieldPlace(f, s)
		if skip {
			hidden = hidden || !f.IsExported() && !isPadding(f)
			continue
		}
		name := place.name(f.Name)
		if names[name] {
			c.problem(s.in("."+f.Name), "a second field of the name %s; name= gives it another", name)
		}
		names[name] = true
		place.Name = ""
		n.fields = append(n.fields, field{name, "." + f.Name, i, f.Offset, c.node(f.Type, place, s.in("."+f.Name))})
	}
	if len(n.fields) == 0 && hidden {
		c.problem(s, "%s has fields but none exported; export them, give it MarshalBinary and UnmarshalBinary, or send what it holds in another type", typeName(n.typ))
	}
}

func (p *Place) name(field string) string {
	if p.Name != "" {
		return p.Name
	}
	return field
}

// fieldPlace parses the tag of f and says whether f is left out.
func (c *compiler) fieldPlace(f reflect.StructField, s site) (p *Place, skip bool) {
	at := s.in("." + f.Name)
	tag, ok := f.Tag.Lookup("bsrpc")
	if !ok && strings.Contains(string(f.Tag), "bsrpc:") {
		c.problem(at, "the tag %q is not of the form `bsrpc:\"...\"`", f.Tag)
	}
	p, skip, err := ParseField(tag)
	if err != nil {
		c.problem(at, "%v", err)
		p = &Place{}
	}
	if f.IsExported() || skip {
		return p, skip
	}
	switch {
	case isPadding(f):
		c.problem(at, "a blank field of %s does not travel, as padding does with encoding/binary; give it a name, or the tag \"-\"",
			amount(int(f.Type.Size()), "byte"))
	case ok:
		c.problem(at, "not exported, so it does not travel and takes no tag")
	case f.Anonymous && hasExported(f.Type):
		c.problem(at, "embedded but not exported, so its fields do not travel; give it an exported name, or the tag \"-\"")
	}
	return p, true
}

// isPadding reports whether f is a blank field with a size. One without, as
// struct{}, only marks its struct.
func isPadding(f reflect.StructField) bool { return f.Name == "_" && f.Type.Size() > 0 }

// hasExported reports whether an embedded type has fields that a reader of
// the code would expect to travel.
func hasExported(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return false
	}
	return slices.ContainsFunc(reflect.VisibleFields(t), reflect.StructField.IsExported)
}
