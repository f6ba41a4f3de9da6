package codec

// What types take, and how problems say it.

import (
	"fmt"
	"io"
	"reflect"
	"slices"
)

// noWireForm says why a kind is refused and what to use in its place.
func noWireForm(t reflect.Type) string {
	return typeName(t) + " has no wire form; " + instead(t)
}

// instead says what to use in place of a type without a wire form.
func instead(t reflect.Type) string {
	switch {
	case t.PkgPath() == "context" && t.Name() == "Context":
		return "it can only be a method's first parameter"
	case t == reflect.TypeFor[error]():
		return "it can only be a method's last result"
	case t.PkgPath() == "iter":
		return "this version has no streams, so use a slice"
	}
	switch t.Kind() {
	case reflect.Chan:
		return "this version has no streams, so use a slice, or a call for each value"
	case reflect.Func:
		return "this version has no callbacks, so pass and return values"
	case reflect.Interface:
		if t.Implements(byteReader) || t.Implements(byteWriter) {
			return "this version has no streams, so use a []byte"
		}
		return "use a concrete type"
	}
	return "an address means nothing elsewhere"
}

var (
	byteReader = reflect.TypeFor[io.Reader]()
	byteWriter = reflect.TypeFor[io.Writer]()
)

// typeName is how problems call a type.
func typeName(t reflect.Type) string { return t.String() }

// What the types take, as allow and its messages have it.
var (
	noWords     = allowedWords{text: "no words"}
	stringWords = allowedWords{"len=, max=, utf8 or fixed=", []string{"len=", "max=", "utf8", "fixed="}}
	bytesWords  = allowedWords{"len=, max=, fixed=, le1 or list", []string{"len=", "max=", "fixed="}}
	sliceWords  = allowedWords{"list, len=, max=, elem= or a format of its numbers", []string{"list", "len=", "max=", "elem="}}
	mapWords    = allowedWords{"list, len=, max=, key=, elem= or a format of its numbers", []string{"list", "len=", "max=", "key=", "elem="}}
	structWords = allowedWords{text: "no words, its fields have tags of their own"}
	timeWords   = allowedWords{text: "binary or text, or no word"}
	textWords   = allowedWords{"text, max= or utf8", []string{"text", "max=", "utf8"}}
	binaryWords = allowedWords{"binary or max=", []string{"binary", "max="}}
)

// takes is the words that some types take.
type allowedWords struct {
	text  string
	words []string
}

// allow reports each word of p that is not among those t takes.
func (c *compiler) checkWords(tag *Tag, loc location, t reflect.Type, allowed allowedWords) {
	for _, word := range tag.words() {
		if word == "name=" || slices.Contains(allowed.words, word) {
			continue
		}
		c.problemf(loc, "%s", wrongWord(tag, word, typeName(t), allowed.text))
	}
}

// wrongWord says that word is not for t, and what is.
func wrongWord(tag *Tag, word, t, takes string) string {
	_, known := parseFormat(word)
	if word == tag.Format && !known {
		return fmt.Sprintf("unknown format %q; %s takes %s", word, t, takes)
	}
	return fmt.Sprintf("%s does not take %q; it takes %s", t, word, takes)
}
