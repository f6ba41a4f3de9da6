package codec

import (
	"reflect"
	"strconv"
	"strings"
)

// A MisspelledKey is a field tag with a key similar to bsrpc. It may belong to
// another library, so it is not an error.
type MisspelledKey struct {
	Field string // "Order.Price"; ".Price" in an unnamed struct
	Key   string // "bsrcp"
}

// Limits of a search for misspelled keys.
const (
	maxMisspelled    = 3
	maxSearchedTypes = 1000
)

// FindMisspelledKeys returns the first misspelled keys among the encoded fields
// of types, to explain a mismatch.
func FindMisspelledKeys(types []reflect.Type) []MisspelledKey {
	m := keySearch{seen: make(map[reflect.Type]bool)}
	for _, t := range types {
		m.visit(t)
	}
	return m.found
}

// A keySearch visits types and collects misspelled keys.
type keySearch struct {
	found []MisspelledKey
	seen  map[reflect.Type]bool
}

// visit visits t and the types of its elements and fields, once each.
func (m *keySearch) visit(t reflect.Type) {
	if m.seen[t] || len(m.seen) >= maxSearchedTypes {
		return
	}
	m.seen[t] = true
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array:
		m.visit(t.Elem())
	case reflect.Map:
		m.visit(t.Key())
		m.visit(t.Elem())
	case reflect.Func:
		if isSeq(t) {
			m.visit(t.In(0).In(0))
		}
	case reflect.Struct:
		for i := range t.NumField() {
			m.visitField(t, t.Field(i))
		}
	}
}

// visitField checks the tag of a field and visits its type.
func (m *keySearch) visitField(t reflect.Type, f reflect.StructField) {
	if !f.IsExported() || f.Tag.Get("bsrpc") == "-" {
		return
	}
	if key := FindMisspelledKey(f.Tag); key != "" && len(m.found) < maxMisspelled {
		m.found = append(m.found, MisspelledKey{t.Name() + "." + f.Name, key})
	}
	m.visit(f.Type)
}

// FindMisspelledKey returns the first key of a tag that is probably a
// misspelled bsrpc. It returns "" if there is none or the tag also contains
// bsrpc.
func FindMisspelledKey(tag reflect.StructTag) (key string) {
	rest := string(tag)
	for {
		name, value, ok := strings.Cut(strings.TrimLeft(rest, " "), ":")
		quoted, err := strconv.QuotedPrefix(value)
		switch {
		case !ok || err != nil || name == "bsrpc":
			if name == "bsrpc" {
				key = ""
			}
			return key
		case key == "" && isTypoOf(name, "bsrpc"):
			key = name
		}
		rest = value[len(quoted):]
	}
}

// isTypoOf reports whether word differs from want in case only, or in one
// letter added, removed, replaced, or swapped with the next.
func isTypoOf(word, want string) bool {
	word = strings.ToLower(word)
	n := 0 // length of the common prefix
	for n < len(word) && n < len(want) && word[n] == want[n] {
		n++
	}
	a, b := word[n:], want[n:]
	switch {
	case len(a) == len(b) && len(a) >= 2 && a[0] == b[1] && a[1] == b[0] && a[2:] == b[2:]:
		return true
	case len(a) == len(b):
		return a == "" || a[1:] == b[1:]
	case len(a) == len(b)+1:
		return a[1:] == b
	}
	return len(a)+1 == len(b) && a == b[1:]
}
