package layout

import (
	"fmt"
	"unicode/utf8"
)

// A location is a path into a parameter or result.
type location struct {
	root       string // "parameter 1"
	path       string // "Order.Items[].Price"
	inTypeName bool   // path already spells out the children, up to the first named type
	depth      int
}

// String returns the path from the parameter or result on.
func (loc location) String() string {
	if loc.path == "" {
		return loc.root
	}
	return loc.root + ", " + truncatePath(loc.path)
}

// truncatePath cuts a path in the middle: both its ends matter to the reader.
func truncatePath(path string) string {
	if len(path) <= 3*maxQuoted {
		return path
	}
	tail := len(path) - maxQuoted
	for !utf8.RuneStart(path[tail]) {
		tail++
	}
	return truncate(path) + path[tail:]
}

// elem returns the location of the element of l, the type at loc. Brackets are
// omitted while they are part of the type's name: []Order, not []Order[].
func (loc location) elem(l *Type, brackets string) location {
	loc.depth++
	loc.inTypeName = loc.inTypeName && l.GoType == ""
	if !loc.inTypeName || brackets == "[key]" {
		loc.inTypeName = false
		loc.path += brackets
	}
	return loc
}

// field returns the location of a field of the struct at loc.
func (loc location) field(name string) location {
	loc.depth++
	loc.inTypeName = false
	if loc.path != "" {
		loc.path += "."
	}
	loc.path += name
	return loc
}

// rootName returns the name of a parameter's or result's type, as in Go source:
// Order, []Order, map[string]Order. Predeclared and unnamed types have none.
func rootName(l *Type) string {
	for (l.Kind == Pointer || l.Kind == Stream) && l.GoType == "" {
		l = l.Elem
	}
	if predeclared(l.GoType) {
		return ""
	}
	text := ""
	for l.GoType == "" {
		switch l.Kind {
		case Slice:
			text += "[]"
		case Array:
			text += fmt.Sprintf("[%d]", l.Len)
		case Map:
			text += "map[" + keyName(l.Key) + "]"
		case Pointer, Stream:
		default:
			return text
		}
		l = l.Elem
	}
	return text + l.GoType
}

// keyName returns the name of a map's key type, or its layout.
func keyName(l *Type) string {
	if l.GoType == "" {
		return truncate(l.String())
	}
	return l.GoType
}

// predeclared reports whether name is a predeclared Go type.
func predeclared(name string) bool {
	switch name {
	case "bool", "string", "int", "int8", "int16", "int32", "int64", "uint", "uint8", "uint16", "uint32", "uint64",
		"float32", "float64", "complex64", "complex128":
		return true
	}
	return false
}
