package codec

// What types take, and how problems say it.

import (
	"fmt"
	"reflect"
	"slices"
)

// noWireForm says why a kind is refused and what to use in its place.
func noWireForm(t reflect.Type) string {
	name := typeName(t)
	switch {
	case name == "context.Context":
		return name + " has no wire form; it can only be a method's first parameter"
	case t == reflect.TypeFor[error]():
		return name + " has no wire form; it can only be a method's last result"
	case t.PkgPath() == "iter":
		return name + " has no wire form in this version; use a slice"
	}
	switch t.Kind() {
	case reflect.Chan:
		return name + " has no wire form; streams are iter.Seq2[T, error]"
	case reflect.Func:
		return name + " has no wire form; methods are registered with their receiver"
	case reflect.Interface:
		return name + " has no wire form; use a concrete type"
	}
	return name + " has no wire form; an address means nothing elsewhere"
}

// typeName is how problems call a type.
func typeName(t reflect.Type) string { return t.String() }

// What the types take, as allow and its messages have it.
var (
	noWords     = takes{text: "no words"}
	stringWords = takes{"len=, max=, utf8 or fixed=", []string{"len=", "max=", "utf8", "fixed="}}
	bytesWords  = takes{"len=, max=, fixed=, le1 or list", []string{"len=", "max=", "fixed="}}
	sliceWords  = takes{"list, len=, max=, elem= or a format of its numbers", []string{"list", "len=", "max=", "elem="}}
	mapWords    = takes{"list, len=, max=, key=, elem= or a format of its numbers", []string{"list", "len=", "max=", "key=", "elem="}}
	structWords = takes{text: "no words, its fields have tags of their own"}
	timeWords   = takes{text: "binary or text, or no word"}
	textWords   = takes{"text, max= or utf8", []string{"text", "max=", "utf8"}}
	binaryWords = takes{"binary or max=", []string{"binary", "max="}}
)

// takes is the words that some types take.
type takes struct {
	text  string
	words []string
}

// allow reports each word of p that is not among those t takes.
func (c *compiler) allow(p *Place, s site, t reflect.Type, may takes) {
	for _, word := range p.used() {
		if word == "name=" || slices.Contains(may.words, word) {
			continue
		}
		c.problem(s, "%s", wrongWord(p, word, typeName(t), may.text))
	}
}

// wrongWord says that word is not for t, and what is.
func wrongWord(p *Place, word, t, takes string) string {
	_, known := parseWordFormat(word)
	switch {
	case word != p.Format, known:
		return fmt.Sprintf("%s does not take %q; it takes %s", t, word, takes)
	case looksLikeFormat(word):
		return fmt.Sprintf("unknown format %q; %s takes %s", word, t, takes)
	}
	return fmt.Sprintf("unknown word %q; %s takes %s", word, t, takes)
}
