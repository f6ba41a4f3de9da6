package codec

import (
	"reflect"
	"slices"
	"strings"

	"github.com/bsrpc/bsrpc/internal/plural"
	"github.com/bsrpc/bsrpc/layout"
)

// structOf completes a struct. Each field is compiled with the tag on it.
func (c *compiler) structOf(n *node, tag *Tag, loc location) {
	c.checkWords(tag, loc, n.typ, structWords)
	if isUnion(n.typ) {
		c.unionOf(n, loc)
		return
	}
	n.op, n.kind = opStruct, layout.Struct
	hidden := false // there are unexported fields, other than padding
	for i := range n.typ.NumField() {
		f := n.typ.Field(i)
		tag, skip := c.fieldTag(f, loc)
		if skip {
			hidden = hidden || !f.IsExported() && !isPadding(f)
			continue
		}
		if f.Name == "_" {
			at := loc.in("._")
			n.fields = append(n.fields, field{name: f.Name, path: "._", index: -1, node: c.blank(f.Type, tag, at)})
			continue
		}
		c.addField(n, f, f.Type, tag, loc)
	}
	if len(n.fields) == 0 && hidden {
		text := "export some, implement MarshalBinary and UnmarshalBinary, or use another type"
		if advice := insteadOfStream(reflect.PointerTo(n.typ), c.wordAt(loc)); advice != "" { // as *os.File
			text = advice
		}
		c.problemf(loc, "%s has fields but none is exported; %s", typeName(n.typ), text)
	}
}

// addField adds f to a struct or union, with the node of t.
func (c *compiler) addField(n *node, f reflect.StructField, t reflect.Type, tag *Tag, loc location) {
	name, at := tag.name(f.Name), loc.in("."+f.Name)
	if slices.ContainsFunc(n.fields, func(other field) bool { return other.name == name }) {
		c.problemf(at, "duplicate field name %s; rename one with name=", name)
	}
	made := field{name: name, path: "." + f.Name, index: f.Index[0], off: f.Offset, optional: tag.Optional, ignorable: tag.Ignorable}
	// These are for this field only; the node is shared by all fields of its type.
	tag.Name, tag.Optional, tag.Ignorable, tag.Secret = "", false, false, false
	made.node = c.node(t, tag, at)
	n.fields = append(n.fields, made)
}

// name returns the name in the layout of the field with this tag.
func (t *Tag) name(field string) string {
	if t.Name != "" {
		return t.Name
	}
	return field
}

// fieldTag parses the tag of f. It reports whether to skip f.
func (c *compiler) fieldTag(f reflect.StructField, loc location) (tag *Tag, skip bool) {
	at := loc.in("." + f.Name)
	text, ok := f.Tag.Lookup("bsrpc")
	// Lookup ignores malformed tags, a common mistake.
	if !ok && strings.Contains(string(f.Tag), "bsrpc:") {
		c.problemf(at, "malformed tag %q; want `bsrpc:\"...\"`", f.Tag)
	}
	tag, skip, err := ParseFieldTag(text)
	if err != nil {
		c.problemf(at, "%v", err)
		tag = &Tag{}
	}
	blank := tag != nil && (tag.Pad || tag.Const != "")
	if skip || f.IsExported() && !tag.Union && !blank || f.Name == "_" && blank {
		return tag, skip
	}
	switch {
	case tag.Union && isMarker(f):
	case tag.Union:
		c.problemf(at, unionMarks)
	case blank:
		c.problemf(at, "pad and const= are for blank fields, such as _ [3]byte")
	case isPadding(f):
		c.problemf(at, "a blank field of %s is not encoded, unlike padding in encoding/binary; tag it pad, const= or \"-\", or name it",
			plural.Of(int(f.Type.Size()), "byte"))
	case ok && err == nil:
		c.problemf(at, "unexported fields are not encoded and take no tag")
	case f.Anonymous && hasExported(f.Type, nil):
		c.problemf(at, "embedded but unexported, so its fields are not encoded; give it an exported name, or tag it \"-\"")
	}
	return tag, true
}

// isPadding reports whether f is a blank field with a size. One of size zero,
// such as struct{}, is only a marker.
func isPadding(f reflect.StructField) bool { return f.Name == "_" && f.Type.Size() > 0 }

// hasExported reports whether an embedded type promotes exported fields, as if
// they were encoded. around lists the embedding types.
func hasExported(t reflect.Type, around []reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || slices.Contains(around, t) {
		return false
	}
	around = append(around, t)
	for i := range t.NumField() {
		if f := t.Field(i); f.IsExported() || f.Anonymous && hasExported(f.Type, around) {
			return true
		}
	}
	return false
}
