package codec

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/bsrpc/bsrpc/internal/strictmap"
)

// A Place is what a tag says about one value. The zero Place and nil keep the
// defaults.
type Tag struct {
	tagWords
	key, elem *Tag
}

// words are the words of a place but for its groups.
type tagWords struct {
	Format string // the bare word, as written: what it fits shows at its type
	List   bool
	UTF8   bool
	Binary bool
	Text   bool
	Len    string
	Max    int
	Fixed  int
	Name   string
}

const (
	wordsOfFields = commonWords + ", elem= and name="
	wordsOfValues = commonWords + " and elem=" // where there is no field to name
	commonWords   = "the words are le1, le2, le4, le8, be1, be2, be4, be8, varint, list, utf8, binary, text, len=, max=, fixed=, key="
)

// words of the language, but for the formats of numbers.
var (
	flagWords  = []string{"list", "utf8", "binary", "text"}
	valueWords = []string{"len", "max", "fixed", "key", "elem", "name"}
)

// ParsePlace parses the words of one value, separated by spaces.
func ParseTag(text string) (*Tag, error) {
	if len(splitTopLevel(text, ",")) > 1 {
		return nil, fmt.Errorf("%q: words are separated by spaces here", text)
	}
	tag, err := parseWords(text, false)
	if err == nil && tag.Name != "" {
		return nil, fmt.Errorf("name= is for the fields of a struct")
	}
	return tag, err
}

// ParseField parses the tag of a struct's field, whose words are separated by
// commas or spaces. A field tagged "-" is skipped.
func ParseFieldTag(text string) (tag *Tag, skip bool, err error) {
	if text == "-" {
		return nil, true, nil
	}
	tag, err = parseWords(text, true)
	return tag, false, err
}

// parseWords parses words separated by commas or spaces, of a field or of
// another place.
func parseWords(text string, field bool) (*Tag, error) {
	list, err := splitWords(text)
	if err != nil {
		return nil, err
	}
	tag := &Tag{}
	if len(list) == 0 {
		return tag, nil // as most fields
	}
	said := map[string]any{}
	for _, word := range list {
		key, value, err := tag.parseWord(word, field)
		if err != nil {
			return nil, err
		}
		if old, twice := said[key]; twice {
			if key == "format" {
				return nil, fmt.Errorf("%w, %q and %q; give one", errTwoFormats, old, value)
			}
			return nil, fmt.Errorf("%q stands twice", withoutValue(word))
		}
		said[key] = value
	}
	if said["binary"] != nil && said["text"] != nil {
		return nil, fmt.Errorf("binary and text; give one")
	}
	delete(said, "key")
	delete(said, "elem")
	if err := strictmap.Decode(said, &tag.tagWords); err != nil {
		return nil, err
	}
	return tag, nil
}

var errTwoFormats = errors.New("two formats")

// parseWord takes one word apart. A group goes into p at once.
func (tag *Tag) parseWord(word string, field bool) (key string, value any, err error) {
	key, text, valued := strings.Cut(word, "=")
	if !valued {
		switch {
		case word == "-":
			return "", nil, fmt.Errorf(`"-" stands alone: it skips the field`)
		case slices.Contains(flagWords, word):
			return word, true, nil
		case slices.Contains(valueWords, word):
			return "", nil, fmt.Errorf("%q needs a value: %s", word, wordExamples[word])
		case looksLikeFormat(word):
			return "format", word, nil // what it fits shows at its type
		}
		return "", nil, unknownWord(word, field)
	}
	if example, ok := wordExamples[key]; ok && text == "" {
		return "", nil, fmt.Errorf("%q needs a value: %s", key+"=", example)
	}
	switch key {
	case "max", "fixed":
		value, err = parseNumber(key, text)
	case "len":
		value, err = parseLen(text)
	case "name":
		value, err = parseIdentifier(key, text)
	case "key":
		tag.key, err = parseGroup(text)
	case "elem":
		tag.elem, err = parseGroup(text)
	case "list", "utf8", "binary", "text":
		err = fmt.Errorf("%q takes no value", key)
	default:
		err = unknownWord(key+"=", field)
	}
	return key, value, err
}

// examples show words that need a value.
var wordExamples = map[string]string{"len": "len=le2", "max": "max=100", "fixed": "fixed=16",
	"key": "key=le2", "elem": "elem=le2", "name": "name=X"}

// unknownWord says what a word may have meant that is not of the language: tags
// of encoding/json begin with a name.
func unknownWord(word string, field bool) error {
	bare := strings.TrimSuffix(word, "=")
	known, all := slices.Concat(flagWords, valueWords, []string{"varint"}), wordsOfFields
	if !field {
		known, all = slices.DeleteFunc(known, func(w string) bool { return w == "name" }), wordsOfValues
	}
	near := strictmap.Nearest(bare, known)
	if lower := strings.ToLower(word); looksLikeFormat(lower) {
		near = lower
	}
	switch {
	case strings.ContainsAny(word, ";:|"):
		return fmt.Errorf("unknown word %q; words are separated by commas or spaces, and a value stands behind =", word)
	case slices.Contains(optionWords, bare):
		return fmt.Errorf("unknown word %q; it is an option of a func; options follow the formats of a func's tag after a comma", word)
	case near != "":
		return fmt.Errorf("unknown word %q; did you mean %s?", word, near+stringIf(slices.Contains(valueWords, near), "="))
	case field && bare == word && isIdentifier(word) && !slices.Contains(jsonWords, word):
		return fmt.Errorf("unknown word %q; a name is written name=%s; %s", word, word, all)
	}
	return fmt.Errorf("unknown word %q; %s", word, all)
}

// foreignWords are words of other tags which are not meant as names.
var jsonWords = []string{"omitempty", "omitzero", "string", "inline", "squash", "remain", "required", "optional",
	"bool", "int", "int8", "int16", "int32", "int64", "uint", "uint8", "uint16", "uint32", "uint64", "float32", "float64"}

// parseGroup parses what stands after key= or elem=: one word, or several in
// parentheses.
func parseGroup(text string) (*Tag, error) {
	if strings.HasPrefix(text, "(") && strings.HasSuffix(text, ")") {
		text = text[1 : len(text)-1]
	}
	return ParseTag(text)
}

func parseNumber(key, text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%s=%s: want a number from 1 to %d", key, text, 1<<31-1)
	}
	return int(n), nil
}

func parseLen(text string) (string, error) {
	if _, ok := parseFormat(text); !ok {
		return "", fmt.Errorf("len=%s: want %s", text, allFormats)
	}
	return text, nil
}

func parseIdentifier(key, text string) (string, error) {
	if !isIdentifier(text) {
		return "", fmt.Errorf("%s=%s: want letters, digits and _, and no digit first", key, text)
	}
	return text, nil
}

func isIdentifier(s string) bool {
	for i, r := range s {
		if r != '_' && !unicode.IsLetter(r) && (i == 0 || !unicode.IsDigit(r)) {
			return false
		}
	}
	return s != ""
}

// splitWords splits text at commas and spaces outside of parentheses.
func splitWords(text string) (list []string, err error) {
	parts := splitTopLevel(text, ",")
	for _, part := range parts {
		found := slices.DeleteFunc(splitTopLevel(part, " \t"), func(word string) bool { return word == "" })
		if len(found) == 0 && len(parts) > 1 {
			return nil, fmt.Errorf("%q: a word is missing at a comma", text)
		}
		list = append(list, found...)
	}
	for _, word := range list {
		if err := checkParens(word); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// splitOutside splits text at those of the separators that are outside of
// parentheses.
func splitTopLevel(text, separators string) (parts []string) {
	depth, from := 0, 0
	for i := range len(text) {
		switch {
		case text[i] == '(':
			depth++
		case text[i] == ')':
			depth--
		case depth <= 0 && strings.IndexByte(separators, text[i]) >= 0:
			parts = append(parts, text[from:i])
			from = i + 1
		}
	}
	return append(parts, text[from:])
}

// balanced checks that parentheses stand around the whole value of a word.
func checkParens(word string) error {
	open := strings.IndexByte(word, '(')
	if open < 0 && !strings.Contains(word, ")") {
		return nil
	}
	depth := 0
	for i := range len(word) {
		switch word[i] {
		case '(':
			depth++
		case ')':
			depth--
		}
		if depth < 0 || depth == 0 && i >= open && i < len(word)-1 && open >= 0 {
			return fmt.Errorf("%q: parentheses do not match", word)
		}
	}
	if depth != 0 || open == 0 || word[open-1] != '=' {
		return fmt.Errorf("%q: parentheses do not match", word)
	}
	return nil
}

// cutWord is a word without its value.
func withoutValue(word string) string {
	key, _, valued := strings.Cut(word, "=")
	return key + stringIf(valued, "=")
}

// String writes p so that equal places have equal texts.
func (tag *Tag) String() string {
	if tag == nil {
		return ""
	}
	var b strings.Builder
	for _, w := range tag.words() {
		b.WriteString(w)
		switch w {
		case "len=":
			b.WriteString(tag.Len)
		case "max=":
			b.WriteString(strconv.Itoa(tag.Max))
		case "fixed=":
			b.WriteString(strconv.Itoa(tag.Fixed))
		case "name=":
			b.WriteString(tag.Name)
		case "key=":
			b.WriteString("(" + tag.key.String() + ")")
		case "elem=":
			b.WriteString("(" + tag.elem.String() + ")")
		}
		b.WriteByte(' ')
	}
	return strings.TrimSuffix(b.String(), " ")
}

// used lists the words that p says, those with a value without it.
func (tag *Tag) words() []string {
	var list []string
	add := func(said bool, word string) {
		if said {
			list = append(list, word)
		}
	}
	add(tag.Format != "", tag.Format)
	add(tag.List, "list")
	add(tag.UTF8, "utf8")
	add(tag.Binary, "binary")
	add(tag.Text, "text")
	add(tag.Len != "", "len=")
	add(tag.Max != 0, "max=")
	add(tag.Fixed != 0, "fixed=")
	add(tag.key != nil, "key=")
	add(tag.elem != nil, "elem=")
	add(tag.Name != "", "name=")
	return list
}
