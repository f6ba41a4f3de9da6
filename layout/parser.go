package layout

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A parser reads the texts of layouts and methods, by recursive descent.
// After the first problem nothing is left to read, so the functions that read
// need not look: they find nothing, and end.
type parser struct {
	text   string
	rest   string // of text, not read yet
	around []Kind // the composites around this place, outermost first
	err    error  // the first problem
}

// newParser refuses a text that is too long before any of it is read.
func newParser(text string) *parser {
	p := &parser{text: text, rest: text}
	if len(text) > MaxText {
		p.err = fmt.Errorf("the text has %d bytes; the most is %d", len(text), MaxText)
		p.rest = ""
	}
	return p
}

// fail notes a problem at this place, if it is the first.
func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("offset %d: %s", len(p.text)-len(p.rest), fmt.Sprintf(format, args...))
	}
	p.rest = ""
}

// expected fails for want of something at this place.
func (p *parser) expected(what string) {
	have := "the end"
	if p.rest != "" {
		have = strconv.Quote(p.rest[:min(len(p.rest), 16)])
	}
	p.fail("want %s, have %s", what, have)
}

// end returns the first problem, text that is left over among them.
func (p *parser) end() error {
	if p.rest != "" {
		p.expected("the end")
	}
	return p.err
}

func (p *parser) at(s string) bool { return strings.HasPrefix(p.rest, s) }

func (p *parser) atDigit() bool { return p.rest != "" && p.rest[0] >= '0' && p.rest[0] <= '9' }

// take reads s if it stands here.
func (p *parser) take(s string) bool {
	rest, ok := strings.CutPrefix(p.rest, s)
	p.rest = rest
	return ok
}

// want reads s.
func (p *parser) want(s string) {
	if !p.take(s) {
		p.expected(strconv.Quote(s))
	}
}

// enter begins the inside of a composite.
func (p *parser) enter(k Kind) {
	p.around = append(p.around, k)
	if len(p.around) > MaxDepth {
		p.fail("types deeper than %d", MaxDepth)
	}
}

func (p *parser) leave() { p.around = p.around[:len(p.around)-1] }

// takeFormat reads a format if one stands here.
func (p *parser) takeFormat() (Format, bool) {
	for f, name := range formatNames {
		if name != "" && p.take(name) {
			return Format(f), true
		}
	}
	return NoFormat, false
}

func (p *parser) format() Format {
	f, ok := p.takeFormat()
	if !ok {
		p.expected("a format: le1 to le8, be2 to be8 or varint")
	}
	return f
}

// maxNumber is the same on every machine.
const maxNumber = math.MaxInt32

// number reads a decimal without leading zeros, and at most maxNumber.
func (p *parser) number() int {
	n := 0
	for n < len(p.rest) && p.rest[n] >= '0' && p.rest[n] <= '9' {
		n++
	}
	v, err := strconv.ParseInt(p.rest[:n], 10, 64)
	if err != nil || v > maxNumber || n > 1 && p.rest[0] == '0' {
		p.expected(fmt.Sprintf("a number up to %d without leading zeros", maxNumber))
		return 0
	}
	p.rest = p.rest[n:]
	return int(v)
}

// name reads an identifier.
func (p *parser) name() string {
	n := identifier(p.rest)
	if n == 0 {
		p.expected("a name")
	}
	name := p.rest[:n]
	p.rest = p.rest[n:]
	return name
}

// identifier returns how many bytes of s are an identifier as Go has them.
func identifier(s string) int {
	for i, r := range s {
		if r != '_' && !unicode.IsLetter(r) && (i == 0 || !unicode.IsDigit(r)) {
			return i
		}
	}
	return len(s)
}

// goType reads the name of a Go type up to the parenthesis that closes it.
// The name of a generic type may hold parentheses, and strings with anything:
// the tags of a struct among its arguments.
func (p *parser) goType() string {
	n := goTypeLen(p.rest)
	name := p.rest[:n]
	if name == "" || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		p.expected(`a Go type and ")"`)
		return ""
	}
	p.rest = p.rest[n:]
	return name
}

// goTypeLen returns how many bytes of s stand before the parenthesis that
// closes what was opened before s, 0 if there is none.
func goTypeLen(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			quoted, err := strconv.QuotedPrefix(s[i:])
			if err != nil {
				return 0
			}
			i += len(quoted) - 1
		case c == '(':
			depth++
		case c == ')' && depth == 0:
			return i
		case c == ')':
			depth--
		}
	}
	return 0
}

// longest is where a text is cut for a message.
const longest = 120

// shorten cuts a text for a message.
func shorten(s string) string {
	if len(s) <= longest {
		return s
	}
	n := longest
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "..."
}
