// Package jsontext reads and writes JSON text (RFC 8259) token by token, strictly, and
// without loss: a string of Go may hold any bytes, and gets through.
//
// The package is the tokens alone. What a value means, and what is wrong with it, is for its
// users: package layout converts text in one pass, without a tree in between, and Value makes the
// tree of values that encoding/json would make.
//
// encoding/json is not used, for three reasons. It reads text that is not UTF-8, and unpaired
// surrogates, as U+FFFD, so values would change silently. It accepts a name twice. And it brings
// 300 KB of code and its init functions to every program that imports package layout.
//
// JSON text is UTF-8. A byte b of a string that is not UTF-8 is written as the lone surrogate
// \udcXX, with b as its last two digits, and read back as that byte. Text that is UTF-8 never
// contains a surrogate, so the two cannot be confused. Python calls this surrogateescape.
package jsontext

import (
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// A Kind is the kind of a value, by its first byte.
type Kind uint8

// The kinds of values.
const (
	Invalid Kind = iota // the end of the text, or what begins no value
	Null
	Bool
	Number
	String
	List   // an array, in the words of RFC 8259
	Object // names and values, in any order
)

// String returns the kind as in a message: "a number".
func (k Kind) String() string {
	return [...]string{"nothing", "null", "a bool", "a number", "a string", "a list", "an object"}[k]
}

// A SyntaxError is the error of text that is not JSON. It contains nothing of the text, which
// may be a secret.
type SyntaxError struct {
	Offset int
	Text   string
}

// Error returns the text with the offset.
func (e *SyntaxError) Error() string { return fmt.Sprintf("%s, offset %d", e.Text, e.Offset) }

// A Scanner reads the tokens of one value. The caller knows which one it wants, and asks Kind
// if not. It keeps no stack: brackets match because the caller reads a value by recursion, and
// ends each list and object by More. After an error a Scanner is of no use.
type Scanner struct {
	text string
	off  int
	buf  []byte // the last string with escapes
}

// NewScanner returns a Scanner of text.
func NewScanner(text string) *Scanner { return &Scanner{text: text} }

// Offset returns the offset of the next token.
func (s *Scanner) Offset() int {
	s.space()
	return s.off
}

// errorf returns an error at the current offset. Errors within a string are at the character,
// others at the beginning of the token.
func (s *Scanner) errorf(format string, args ...any) error {
	return &SyntaxError{s.off, fmt.Sprintf(format, args...)}
}

// space skips white space. It is called before a token, never after one, so that Offset and errors
// are those of what comes next.
func (s *Scanner) space() {
	for s.off < len(s.text) && (s.text[s.off] == ' ' || s.text[s.off] == '\n' || s.text[s.off] == '\r' || s.text[s.off] == '\t') {
		s.off++
	}
}

// Kind returns the kind of the next value, without reading it. The first byte decides: whether
// the rest is such a value turns out when it is read.
func (s *Scanner) Kind() Kind {
	s.space()
	if s.off == len(s.text) {
		return Invalid
	}
	switch c := s.text[s.off]; {
	case c == 'n':
		return Null
	case c == 't', c == 'f':
		return Bool
	case c == '-', digit(c):
		return Number
	case c == '"':
		return String
	case c == '[':
		return List
	case c == '{':
		return Object
	}
	return Invalid
}

// digit reports whether c is a decimal digit.
func digit(c byte) bool { return c >= '0' && c <= '9' }

// Fail returns the error of text that begins no value, for callers that got Invalid from Kind.
func (s *Scanner) Fail() error {
	if s.space(); s.off == len(s.text) {
		return s.errorf("unexpected end of the text, want a value")
	}
	return s.errorf("want a JSON value")
}

// word reads a literal. What follows it, as in truely, is an error of the next token.
func (s *Scanner) word(w string) error {
	if len(s.text)-s.off < len(w) || s.text[s.off:s.off+len(w)] != w {
		return s.errorf("want a JSON value")
	}
	s.off += len(w)
	return nil
}

// Null reads null.
func (s *Scanner) Null() error {
	s.space()
	return s.word("null")
}

// Bool reads true or false.
func (s *Scanner) Bool() (bool, error) {
	if s.space(); s.off < len(s.text) && s.text[s.off] == 't' {
		return true, s.word("true")
	}
	return false, s.word("false")
}

// Number reads a number and returns its text. Its value is for the caller, who knows how many bits
// it may have.
func (s *Scanner) Number() (string, error) {
	s.space()
	n := NumberLen(s.text[s.off:])
	if n == 0 {
		return "", s.errorf("want a JSON number")
	}
	from := s.off
	s.off += n
	return s.text[from:s.off], nil
}

// NumberLen returns the length of the JSON number at the start of text, 0 if there is none. The
// grammar is narrower than those of strconv: there are no plus signs, no zeros in front, no
// hexadecimal digits, no underscores, and digits on both sides of a point.
func NumberLen(text string) int {
	i := 0
	digits := func() bool {
		from := i
		for i < len(text) && digit(text[i]) {
			i++
		}
		return i > from
	}
	next := func(c byte) bool { return i < len(text) && text[i] == c }
	if next('-') {
		i++
	}
	if next('0') { // no other digits may follow
		i++
	} else if !digits() {
		return 0
	}
	if next('.') {
		if i++; !digits() {
			return 0
		}
	}
	if next('e') || next('E') {
		if i++; next('+') || next('-') {
			i++
		}
		if !digits() {
			return 0
		}
	}
	// 01 and 1x are one wrong token, not two right ones.
	if i < len(text) && (digit(text[i]) || text[i] >= 'A' && text[i] <= 'Z' || text[i] >= 'a' && text[i] <= 'z') {
		return 0
	}
	return i
}

// Text reads a string. The result is valid until the next call of Text or Key, and belongs to
// the Scanner: one buffer serves all strings of a text.
func (s *Scanner) Text() ([]byte, error) {
	if s.space(); s.off == len(s.text) || s.text[s.off] != '"' {
		return nil, s.errorf("want a JSON string")
	}
	s.off++
	s.buf = s.buf[:0]
	for s.off < len(s.text) {
		switch c := s.text[s.off]; {
		case c == '"':
			s.off++
			return s.buf, nil
		case c == '\\':
			if err := s.escape(); err != nil {
				return nil, err
			}
		case c < ' ':
			return nil, s.errorf("control character in a string; write it as an escape")
		case c < utf8.RuneSelf:
			s.buf = append(s.buf, c)
			s.off++
		default:
			r, size := utf8.DecodeRuneInString(s.text[s.off:])
			if r == utf8.RuneError && size == 1 {
				return nil, s.errorf("a string is not UTF-8")
			}
			s.buf = append(s.buf, s.text[s.off:s.off+size]...)
			s.off += size
		}
	}
	return nil, s.errorf("unexpected end of the text in a string")
}

// escapes are the characters after a backslash, and what they stand for.
var escapes = map[byte]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escape reads an escape of a string. A pair of surrogates is one character. Of the halves that
// stand alone, 128 are bytes, and all others an error: they stand for nothing. A byte that was
// written as an escape is always alone, since a character beyond U+FFFF is never written as two.
func (s *Scanner) escape() error {
	if s.off+1 < len(s.text) {
		if c, ok := escapes[s.text[s.off+1]]; ok {
			s.buf = append(s.buf, c)
			s.off += 2
			return nil
		}
	}
	r, ok := s.hex(s.off)
	if !ok {
		return s.errorf("unknown escape in a string")
	}
	if low, ok := s.hex(s.off + 6); ok && utf16.IsSurrogate(r) {
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			s.buf = utf8.AppendRune(s.buf, pair)
			s.off += 12
			return nil
		}
	}
	switch {
	case r >= 0xdc80 && r <= 0xdcff: // a byte that is not UTF-8
		s.buf = append(s.buf, byte(r))
	case utf16.IsSurrogate(r):
		return s.errorf("half of a surrogate pair in a string")
	default:
		s.buf = utf8.AppendRune(s.buf, r)
	}
	s.off += 6
	return nil
}

// hex returns the number of the escape \uXXXX at an offset, which may be beyond the text. ok is
// false if there is no such escape.
func (s *Scanner) hex(at int) (r rune, ok bool) {
	if len(s.text)-at < 6 || s.text[at] != '\\' || s.text[at+1] != 'u' {
		return 0, false
	}
	for _, c := range []byte(s.text[at+2 : at+6]) {
		switch {
		case digit(c):
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// Open reads the bracket that begins a list or an object. More reads the one that ends it.
func (s *Scanner) Open() { // the caller knows the Kind
	s.space()
	s.off++
}

// More reports whether an element follows, the first one or a further one, and reads what is
// before it: a comma, or else the closing bracket. The Scanner does not know where it is, so
// first comes from the caller.
func (s *Scanner) More(closing byte, first bool) (bool, error) {
	if s.space(); s.off == len(s.text) {
		return false, s.errorf("unexpected end of the text in %s", inside(closing))
	}
	switch c := s.text[s.off]; {
	case c == closing:
		s.off++
		return false, nil
	case first:
		return true, nil
	case c == ',':
		s.off++
		if s.space(); s.off < len(s.text) && s.text[s.off] == closing {
			return false, s.errorf("comma without an element after it")
		}
		return true, nil
	}
	return false, s.errorf("want a comma or the end of %s", inside(closing))
}

// inside names what ends with a closing bracket.
func inside(closing byte) string {
	if closing == ']' {
		return List.String()
	}
	return Object.String()
}

// Key reads the name of a member of an object, and the colon. The result is that of Text: it must
// be used before the value is read. Names that occur twice are not noticed here, as only the
// caller has those before.
func (s *Scanner) Key() ([]byte, error) {
	key, err := s.Text()
	if err != nil {
		return nil, err
	}
	if s.space(); s.off == len(s.text) || s.text[s.off] != ':' {
		return nil, s.errorf("want a colon after a name")
	}
	s.off++
	return key, nil
}

// End returns an error if anything but white space is left. Without it "1 2" would be read as 1.
func (s *Scanner) End() error {
	if s.space(); s.off < len(s.text) {
		return s.errorf("text after the value")
	}
	return nil
}

// skip reads a value of any kind, to know that it is one. Its depth is that of users' text, so it
// has a limit: the stack of a goroutine would grow to a gigabyte first.
func (s *Scanner) skip(depth int) error {
	if depth > maxDepth {
		return s.errorf("nested deeper than %d", maxDepth)
	}
	var err error
	switch kind := s.Kind(); kind {
	case Null:
		return s.Null()
	case Bool:
		_, err = s.Bool()
	case Number:
		_, err = s.Number()
	case String:
		_, err = s.Text()
	case List, Object:
		closing := byte(']')
		if kind == Object {
			closing = '}'
		}
		s.Open()
		for first := true; ; first = false {
			if more, err := s.More(closing, first); err != nil || !more {
				return err
			}
			if kind == Object {
				if _, err := s.Key(); err != nil {
					return err
				}
			}
			if err := s.skip(depth + 1); err != nil {
				return err
			}
		}
	default:
		return s.Fail()
	}
	return err
}
