package codec

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/bsrpc/bsrpc/internal/similar"
)

// A Tag is the parsed tag on one value: a field, parameter, result, element or
// key. Nil and the zero Tag mean the defaults.
type Tag struct {
	Format string // as written; the compiler checks it against the type
	List   bool
	UTF8   bool
	Binary bool
	Text   bool
	Raw    bool
	Len    string
	Max    int
	Fixed  int
	Until  string // a byte, in decimal
	Rest   bool
	Bytes  string // a format, as Len
	Name   string
	Union  bool
	Pad    bool
	Const  string // an integer, in decimal

	Optional, Ignorable bool // a peer may lack it; ... and a call drops its value then
	Secret              bool // tools mask it; neither in the layout nor in the bytes

	key, elem *Tag // of key= and elem=; nil: defaults
}

// Lists of words for messages.
const (
	wordsOfFields = commonWords + ", elem=, name=, pad and const="
	wordsOfValues = commonWords + " and elem=" // without a field to name
	commonWords   = "the words are le1 to le8, be1 to be8, varint, uvarint, list, utf8, binary, text, raw, optional, ignorable, secret, len=, max=, fixed=, until=, rest, bytes=, key="
)

// knownWords lists the words suggested for unknown ones, those for fields last.
var knownWords = []string{"list", "utf8", "binary", "text", "raw", "optional", "ignorable", "secret", "len", "max", "fixed", "until", "rest", "bytes", "key", "elem", "varint", "uvarint", "union", "pad", "const", "name"}

// numFieldWords is the number of words for fields in knownWords.
const numFieldWords = 4

// exampleOf returns an example of a word with a value, "" for others.
func exampleOf(word string) string {
	switch word {
	case "len", "bytes", "key", "elem":
		return word + "=le2"
	case "max":
		return "max=100"
	case "fixed":
		return "fixed=16"
	case "until":
		return "until=0"
	case "name":
		return "name=X"
	case "const":
		return "const=0xB562"
	}
	return ""
}

// ParseTag parses the words for one value, separated by spaces.
func ParseTag(text string) (*Tag, error) {
	if len(splitTopLevel(text, ",")) > 1 {
		return nil, fmt.Errorf("%q: words are separated by spaces here", text)
	}
	tag, err := parseWords(text, false)
	if err == nil && tag.Name != "" {
		return nil, errors.New("name= applies to struct fields only")
	}
	if err == nil && tag.Union {
		return nil, errors.New(unionMarks)
	}
	if err == nil && (tag.Pad || tag.Const != "") {
		return nil, errors.New("pad and const= apply to blank fields of structs only")
	}
	return tag, err
}

// ParseFieldTag parses the tag of a struct field, with words separated by
// commas or spaces. It reports whether to skip the field, tagged "-".
func ParseFieldTag(text string) (tag *Tag, skip bool, err error) {
	if text == "-" {
		return nil, true, nil
	}
	tag, err = parseWords(text, true)
	return tag, false, err
}

// parseWords parses words separated by commas or spaces. In errors it suggests
// name= for fields.
func parseWords(text string, field bool) (*Tag, error) {
	list, err := splitWords(text)
	if err != nil {
		return nil, err
	}
	tag := &Tag{}
	var said []string // the keys of words so far; all formats share one
	for _, word := range list {
		format := tag.Format
		key, err := tag.parseWord(word, field)
		if err != nil {
			return nil, err
		}
		if slices.Contains(said, key) {
			if key == "format" {
				return nil, fmt.Errorf("%w, %q and %q; give one", errTwoFormats, format, tag.Format)
			}
			return nil, fmt.Errorf("duplicate word %q", withoutValue(word))
		}
		said = append(said, key)
	}
	if tag.Union && len(said) > 1 {
		return nil, errors.New("union must stand alone; tag the members instead")
	}
	if tag.Ignorable && !tag.Optional {
		return nil, errors.New("ignorable goes with optional: a call drops the value if the server lacks its place")
	}
	if tag.Pad && len(said) > 1 {
		return nil, errors.New("pad must stand alone")
	}
	if err := tag.checkEnds(); err != nil {
		return nil, err
	}
	if tag.Binary && tag.Text {
		return nil, errors.New("binary and text exclude each other; give one")
	}
	return tag, nil
}

// errTwoFormats is wrapped by the error of a second format, often a missing
// comma between two parameters.
var errTwoFormats = errors.New("two formats")

// parseWord parses a word into its field of t and returns its key.
func (t *Tag) parseWord(word string, field bool) (key string, err error) {
	key, text, valued := strings.Cut(word, "=")
	if !valued {
		return t.parseFlag(word, field)
	}
	if example := exampleOf(key); example != "" && text == "" {
		return "", fmt.Errorf("%q needs a value, as in %s", key+"=", example)
	}
	switch key {
	case "max":
		t.Max, err = parseNumber(key, text)
	case "fixed":
		t.Fixed, err = parseNumber(key, text)
	case "len":
		t.Len, err = parseLen(key, text)
	case "bytes":
		t.Bytes, err = parseLen(key, text)
	case "until":
		t.Until, err = parseByte(key, text)
	case "name":
		if t.Name, err = parseIdentifier(key, text); text == "_" {
			err = errors.New("name=_: blank fields have this name in the layout; choose another one")
		}
	case "const":
		var ok bool
		if t.Const, ok = parseInteger(text); !ok {
			err = fmt.Errorf("const=%s: want an integer, decimal or hexadecimal as 0xB562", text)
		}
	case "key":
		t.key, err = parseGroup(text)
	case "elem":
		t.elem, err = parseGroup(text)
	case "list", "utf8", "binary", "text", "raw", "optional", "ignorable", "secret", "union", "rest", "pad":
		err = fmt.Errorf("%q takes no value", key)
	default:
		err = unknownWord(key+"=", field)
	}
	return key, err
}

// parseFlag parses a word without a value.
func (t *Tag) parseFlag(word string, field bool) (key string, err error) {
	switch word {
	case "list":
		t.List = true
	case "utf8":
		t.UTF8 = true
	case "binary":
		t.Binary = true
	case "text":
		t.Text = true
	case "raw":
		t.Raw = true
	case "union":
		t.Union = true
	case "optional":
		t.Optional = true
	case "ignorable":
		t.Ignorable = true
	case "secret":
		t.Secret = true
	case "rest":
		t.Rest = true
	case "pad":
		t.Pad = true
	case "-":
		return "", fmt.Errorf(`"-" must stand alone; it skips the field`)
	default:
		switch {
		case exampleOf(word) != "":
			return "", fmt.Errorf("%q needs a value, as in %s", word, exampleOf(word))
		case looksLikeFormat(word):
			t.Format = word
			return "format", nil
		}
		return "", unknownWord(word, field)
	}
	return word, nil
}

// unknownWord returns an error with a suggestion. A plain name may come from
// the habit of encoding/json.
func unknownWord(word string, field bool) error {
	bare := strings.TrimSuffix(word, "=")
	known, all := knownWords, wordsOfFields
	if !field {
		known, all = known[:len(known)-numFieldWords], wordsOfValues
	}
	near := similar.Nearest(bare, known)
	// LE4 is a format with the wrong case.
	if lower := strings.ToLower(word); looksLikeFormat(lower) {
		near = lower
	}
	advice := all
	switch {
	case strings.ContainsAny(word, ";:|"):
		advice = "words are separated by commas or spaces, and values follow ="
	case slices.Contains(optionWords, bare):
		advice = "it is an option of a func; options follow the formats of a func's tag after a comma"
	case near != "":
		advice = "did you mean " + near + stringIf(exampleOf(near) != "", "=") + "?"
	case field && bare == word && isIdentifier(word) && !slices.Contains(wordsOfOtherTags, word):
		advice = "to name the field, write name=" + word + "; " + all
	}
	return fmt.Errorf("unknown word %q; %s", word, advice)
}

// wordsOfOtherTags lists words of other libraries' tags, not intended as names.
var wordsOfOtherTags = []string{"omitempty", "omitzero", "string", "inline", "squash", "remain", "required",
	"bool", "int", "int8", "int16", "int32", "int64", "uint", "uint8", "uint16", "uint32", "uint64", "float32", "float64"}

// parseGroup parses the value of key= or elem=: a word, or several in
// parentheses.
func parseGroup(text string) (*Tag, error) {
	if strings.HasPrefix(text, "(") && strings.HasSuffix(text, ")") {
		text = text[1 : len(text)-1]
	}
	return ParseTag(text)
}

// parseNumber parses the value of max= or fixed=, at least 1.
func parseNumber(key, text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%s=%s: want a number from 1 to %d", key, text, 1<<31-1)
	}
	return int(n), nil
}

// parseByte parses the value of until=.
func parseByte(key, text string) (string, error) {
	decimal, ok := parseInteger(text)
	if _, err := strconv.ParseUint(decimal, 10, 8); !ok || err != nil {
		return "", fmt.Errorf("%s=%s: want a byte, 0 to 255 or 0x00 to 0xff", key, text)
	}
	return decimal, nil
}

// parseLen validates the value of len= or bytes=.
func parseLen(key, text string) (string, error) {
	if _, ok := parseFormat(text); !ok {
		return "", fmt.Errorf("%s=%s: want %s", key, text, allFormats)
	}
	return text, nil
}

// parseIdentifier validates a name.
func parseIdentifier(key, text string) (string, error) {
	if !isIdentifier(text) {
		return "", fmt.Errorf("%s=%s: want letters, digits and _, not starting with a digit", key, text)
	}
	return text, nil
}

// isIdentifier reports whether s is a Go identifier.
func isIdentifier(s string) bool {
	for i, r := range s {
		if r != '_' && !unicode.IsLetter(r) && (i == 0 || !unicode.IsDigit(r)) {
			return false
		}
	}
	return s != ""
}

// withoutValue returns a word up to its equals sign.
func withoutValue(word string) string {
	key, _, valued := strings.Cut(word, "=")
	return key + stringIf(valued, "=")
}

// String returns a canonical text: equal tags have equal texts. The compiler
// uses it as a key.
func (t *Tag) String() string {
	if t == nil {
		return ""
	}
	list := t.words()
	for i, w := range list {
		switch w {
		case "len=":
			w += t.Len
		case "bytes=":
			w += t.Bytes
		case "max=":
			w += strconv.Itoa(t.Max)
		case "fixed=":
			w += strconv.Itoa(t.Fixed)
		case "until=":
			w += t.Until
		case "name=":
			w += t.Name
		case "const=":
			w += t.Const
		case "key=":
			w += "(" + t.key.String() + ")"
		case "elem=":
			w += "(" + t.elem.String() + ")"
		}
		list[i] = w
	}
	return strings.Join(list, " ")
}

// words returns the words of t, without values: "list", "max=".
func (t *Tag) words() []string {
	var list []string
	add := func(said bool, word string) {
		if said {
			list = append(list, word)
		}
	}
	add(t.Format != "", t.Format)
	add(t.List, "list")
	add(t.UTF8, "utf8")
	add(t.Binary, "binary")
	add(t.Text, "text")
	add(t.Raw, "raw")
	add(t.Len != "", "len=")
	add(t.Max != 0, "max=")
	add(t.Fixed != 0, "fixed=")
	add(t.Until != "", "until=")
	add(t.Rest, "rest")
	add(t.Bytes != "", "bytes=")
	add(t.key != nil, "key=")
	add(t.elem != nil, "elem=")
	add(t.Name != "", "name=")
	add(t.Optional, "optional")
	add(t.Ignorable, "ignorable")
	add(t.Secret, "secret")
	add(t.Union, "union")
	add(t.Pad, "pad")
	add(t.Const != "", "const=")
	return list
}
