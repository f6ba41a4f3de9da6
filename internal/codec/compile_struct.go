package codec

import (
	"reflect"
	"slices"
	"strings"

	"github.com/bsrpc/bsrpc/layout"
)

// structOf makes the node of a struct.
func (c *compiler) structOf(n *node, tag *Tag, loc location) {
	n.op, n.kind = opStruct, layout.Struct
	c.checkWords(tag, loc, n.typ, structWords)
	names := map[string]bool{}
	hidden := false
	for i := range n.typ.NumField() {
		f := n.typ.Field(i)
		place, skip := c.fieldTag(f, loc)
		if skip {
			hidden = hidden || !f.IsExported() && !isPadding(f)
			continue
		}
		name := place.name(f.Name)
		if names[name] {
			c.problemf(loc.in("."+f.Name), "a second field of the name %s; name= gives it another", name)
		}
		names[name] = true
		place.Name = ""
		n.fields = append(n.fields, field{name, "." + f.Name, i, f.Offset, c.node(f.Type, place, loc.in("."+f.Name))})
	}
	if len(n.fields) == 0 && hidden {
		c.problemf(loc, "%s has fields but none exported; export them, give it MarshalBinary and UnmarshalBinary, or send what it holds in another type", typeName(n.typ))
	}
}

func (tag *Tag) name(field string) string {
	if tag.Name != "" {
		return tag.Name
	}
	return field
}

// fieldPlace parses the tag of f and says whether f is left out.
func (c *compiler) fieldTag(f reflect.StructField, loc location) (tag *Tag, skip bool) {
	at := loc.in("." + f.Name)
	text, ok := f.Tag.Lookup("bsrpc")
	if !ok && strings.Contains(string(f.Tag), "bsrpc:") {
		c.problemf(at, "the tag %q is not of the form `bsrpc:\"...\"`", f.Tag)
	}
	tag, skip, err := ParseFieldTag(text)
	if err != nil {
		c.problemf(at, "%v", err)
		tag = &Tag{}
	}
	if f.IsExported() || skip {
		return tag, skip
	}
	switch {
	case isPadding(f):
		c.problemf(at, "a blank field of %s does not travel, as padding does with encoding/binary; give it a name, or the tag \"-\"",
			plural(int(f.Type.Size()), "byte"))
	case ok:
		c.problemf(at, "not exported, so it does not travel and takes no tag")
	case f.Anonymous && hasExported(f.Type):
		c.problemf(at, "embedded but not exported, so its fields do not travel; give it an exported name, or the tag \"-\"")
	}
	return tag, true
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
