package codec

// The words allowed for each type, and the texts of related problems.

import (
	"fmt"
	"reflect"
	"slices"
)

// noWireForm is the problem of a type without a wire form. word is that of a whole
// parameter or result, "" elsewhere.
func noWireForm(t reflect.Type, word string) string {
	return typeName(t) + " has no wire form; " + instead(t, word)
}

// instead suggests an alternative to a type without a wire form.
func instead(t reflect.Type, word string) string {
	switch {
	case t.PkgPath() == "context" && t.Name() == "Context":
		return "it can only be a method's first parameter"
	case t == errorType:
		return "it can only be a method's last result"
	}
	if text := insteadOfStream(t, word); text != "" {
		return text
	}
	switch t.Kind() {
	case reflect.Func:
		return "only a whole parameter of a method can be a func"
	case reflect.Interface:
		return "use a concrete type"
	}
	return "addresses are meaningless in other processes"
}

// typeName returns the name of a type for messages.
func typeName(t reflect.Type) string {
	if isSeq(t) {
		return seqName(t)
	}
	return t.String()
}

// The allowed words by type. Formats are added by the caller.
var (
	noWords     = allowedWords{text: "no words"}
	stringWords = allowedWords{"len=, max=, utf8, fixed=, until= or rest", []string{"len=", "max=", "utf8", "fixed=", "until=", "rest"}}
	bytesWords  = allowedWords{"len=, max=, fixed=, until=, rest, le1 or list", []string{"len=", "max=", "fixed=", "until=", "rest"}}
	sliceWords  = allowedWords{"list, len=, max=, bytes=, rest, elem= or a format of its numbers", []string{"list", "len=", "max=", "bytes=", "rest", "elem="}}
	mapWords    = allowedWords{"list, len=, max=, bytes=, key=, elem= or a format of its numbers", []string{"list", "len=", "max=", "bytes=", "key=", "elem="}}
	structWords = allowedWords{text: "no words; tag its fields instead"}
	timeWords   = allowedWords{text: "binary or text, or no word"}
	textWords   = allowedWords{"text, max= or utf8", []string{"text", "max=", "utf8"}}
	rawWords    = allowedWords{"raw alone", []string{"raw"}}
	binaryWords = allowedWords{"binary or max=", []string{"binary", "max="}}
)

// allowedWords are the words allowed for a type, and their list for messages.
type allowedWords struct {
	text  string
	words []string
}

// checkWords reports each word of tag not allowed for t.
func (c *compiler) checkWords(tag *Tag, loc location, t reflect.Type, allowed allowedWords) {
	for _, word := range tag.words() {
		if word == "name=" || word == "optional" || word == "ignorable" || word == "secret" || slices.Contains(allowed.words, word) {
			continue
		}
		c.problemf(loc, "%s", wrongWord(tag, word, typeName(t), allowed.text))
	}
}

// wrongWord is the problem of a word not allowed for t.
func wrongWord(tag *Tag, word, t, takes string) string {
	_, known := parseFormat(word)
	if word == tag.Format && !known {
		return fmt.Sprintf("unknown format %q; %s takes %s", word, t, takes)
	}
	return fmt.Sprintf("%s does not take %q; it takes %s", t, word, takes)
}
