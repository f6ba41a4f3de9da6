package layout

import (
	"fmt"
	"unicode/utf8"
)

// A spot is where in a parameter or result a difference is.
type spot struct {
	root  string // "parameter 1"
	path  string // "Order.Items[].Price"
	open  bool   // path has the shape of what is below, up to the first type with a name
	depth int
}

func (at spot) String() string {
	if at.path == "" {
		return at.root
	}
	return at.root + ", " + shortenPath(at.path)
}

// shortenPath cuts the middle of a path, for both its ends matter.
func shortenPath(path string) string {
	if len(path) <= 3*longest {
		return path
	}
	tail := len(path) - longest
	for !utf8.RuneStart(path[tail]) {
		tail++
	}
	return shorten(path) + path[tail:]
}

// element is the spot of what is inside of l, which is here.
func (at spot) element(l *Type, brackets string) spot {
	at.depth++
	at.open = at.open && l.GoType == ""
	if !at.open || brackets == "[key]" {
		at.open = false
		at.path += brackets
	}
	return at
}

// field is the spot of a field of the struct that is here.
func (at spot) field(name string) spot {
	at.depth++
	at.open = false
	if at.path != "" {
		at.path += "."
	}
	at.path += name
	return at
}

// rootName names the type of a whole parameter or result: by its own name, or by
// what is around the first type that has one. Go's own types need no name.
func rootName(l *Type) string {
	for l.Kind == Pointer && l.GoType == "" {
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
		case Pointer:
		default:
			return text
		}
		l = l.Elem
	}
	return text + l.GoType
}

func keyName(l *Type) string {
	if l.GoType == "" {
		return shorten(l.String())
	}
	return l.GoType
}

func predeclared(name string) bool {
	switch name {
	case "bool", "string", "int", "int8", "int16", "int32", "int64", "uint", "uint8", "uint16", "uint32", "uint64",
		"float32", "float64", "complex64", "complex128":
		return true
	}
	return false
}
