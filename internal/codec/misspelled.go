package codec

import (
	"reflect"
	"strconv"
	"strings"
)

// A Misspelt is a field whose tag has a key that is a slip of the pen away from
// bsrpc. It may also be another library's, so it is no error.
type MisspelledKey struct {
	Field string // "Order.Price"; ".Price" of a struct without a name
	Key   string // "bsrcp"
}

// Bounds of a search for misspelt keys, which is made only for people.
const (
	maxMisspelled    = 3
	maxSearchedTypes = 1000 // types
)

// MisspeltKeys returns the first fields with misspelt keys among those that values
// of the types are sent by.
func FindMisspelledKeys(types []reflect.Type) []MisspelledKey {
	m := keySearch{seen: make(map[reflect.Type]bool)}
	for _, t := range types {
		m.visit(t)
	}
	return m.found
}

type keySearch struct {
	found []MisspelledKey
	seen  map[reflect.Type]bool
}

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
	case reflect.Struct:
		for i := range t.NumField() {
			m.visitField(t, t.Field(i))
		}
	}
}

func (m *keySearch) visitField(t reflect.Type, f reflect.StructField) {
	if !f.IsExported() || f.Tag.Get("bsrpc") == "-" {
		return
	}
	if key := FindMisspelledKey(f.Tag); key != "" && len(m.found) < maxMisspelled {
		m.found = append(m.found, MisspelledKey{t.Name() + "." + f.Name, key})
	}
	m.visit(f.Type)
}

// MisspeltKey returns the key of a tag that is probably meant to be bsrpc, "" if
// there is none or bsrpc is there too.
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

// isSlipOf reports whether word is want but for the case of its letters, or one
// letter that is missing, too many, another, or swapped with the next.
func isTypoOf(word, want string) bool {
	word = strings.ToLower(word)
	n := 0 // letters that both begin with
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
