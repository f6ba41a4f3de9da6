package layout

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A parser is a recursive descent parser for the texts of types and methods.
//
// After the first error rest is empty. The remaining productions then find
// nothing and return, so that they need not check err.
type parser struct {
	text      string
	rest      string         // unread suffix of text
	enclosing []Kind         // composites around the current position, outermost first
	empty     map[*Type]bool // the types so far whose values take no bytes
	unions    bool           // there are unions in the text so far
	method    bool           // the text is that of a method
	err       error          // the first error
}

// newParser returns a parser for text. Text beyond MaxText is an error before
// any parsing.
func newParser(text string) *parser {
	p := &parser{text: text, rest: text}
	if len(text) > MaxText {
		p.err = fmt.Errorf("text of %d bytes exceeds the limit of %d", len(text), MaxText)
		p.rest = ""
	}
	return p
}

// errorf records an error at the current offset, unless there was one before.
func (p *parser) errorf(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("offset %d: %s", len(p.text)-len(p.rest), fmt.Sprintf(format, args...))
	}
	p.rest = ""
}

// errorExpected records the error of a missing what at the current offset.
func (p *parser) errorExpected(what string) {
	have := "the end"
	if p.rest != "" {
		have = strconv.Quote(p.rest[:min(len(p.rest), 16)])
	}
	p.errorf("want %s, have %s", what, have)
}

// end returns the first error. Unread text is an error, too.
func (p *parser) end() error {
	if p.rest != "" {
		p.errorExpected("the end")
	}
	return p.err
}

// peek reports whether the unread text starts with s.
func (p *parser) peek(s string) bool { return strings.HasPrefix(p.rest, s) }

// peekDigit reports whether the unread text starts with a digit.
func (p *parser) peekDigit() bool { return p.rest != "" && p.rest[0] >= '0' && p.rest[0] <= '9' }

// peekByte reports whether the unread text starts with c. It is cheaper than peek.
func (p *parser) peekByte(c byte) bool { return p.rest != "" && p.rest[0] == c }

// accept consumes s if it comes next.
func (p *parser) accept(s string) bool {
	rest, ok := strings.CutPrefix(p.rest, s)
	p.rest = rest
	return ok
}

// expect consumes s. Anything else is an error.
func (p *parser) expect(s string) {
	if !p.accept(s) {
		p.errorExpected(strconv.Quote(s))
	}
}

// push begins the children of a composite.
func (p *parser) push(k Kind) {
	p.enclosing = append(p.enclosing, k)
	if len(p.enclosing) > MaxDepth {
		p.errorf("types nested deeper than %d", MaxDepth)
	}
}

// pop ends the children of a composite.
func (p *parser) pop() { p.enclosing = p.enclosing[:len(p.enclosing)-1] }

// checkBytes records whether values of l take no bytes. It refuses lists of them: a few
// bytes could announce billions. A back reference is never one of them, for its target
// contains the slice, map or pointer through which it passes.
func (p *parser) checkBytes(l *Type) {
	empty := false
	switch l.Kind {
	case String, Bytes:
		empty = l.Format == NoFormat && l.Len == 0
	case Raw: // perhaps
		empty = true
	case Array:
		empty = l.Len == 0 || p.empty[l.Elem]
	case Struct:
		empty = true
		for _, f := range l.Fields {
			empty = empty && p.empty[f.Type]
		}
	case Slice, Map:
		if p.empty[l.Elem] && (l.Kind == Slice || p.empty[l.Key]) {
			p.errorf("elements before this take no bytes")
		}
	}
	if empty {
		if p.empty == nil {
			p.empty = make(map[*Type]bool)
		}
		p.empty[l] = true
	}
}

// acceptFormat consumes a format if one comes next, except Uvarint.
func (p *parser) acceptFormat() (Format, bool) {
	for f, name := range formatNames[:Uvarint] {
		if name != "" && p.peekByte(name[0]) && p.accept(name) {
			return Format(f), true
		}
	}
	return NoFormat, false
}

// format parses a format.
func (p *parser) format() Format {
	f, ok := p.acceptFormat()
	if !ok {
		p.errorExpected("a format: le1 to le8, be2 to be8 or varint")
	}
	return f
}

// intFormat parses one of the formats allowed for signed numbers.
func (p *parser) intFormat() Format {
	if p.accept(Uvarint.String()) {
		return Uvarint
	}
	f, ok := p.acceptFormat()
	if !ok {
		p.errorExpected("a format: le1 to le8, be2 to be8, varint or uvarint")
	}
	return f
}

// floatFormat parses one of the formats allowed for floats.
func (p *parser) floatFormat() Format {
	// Reset rest on errors, to report the offset of the format.
	before := p.rest
	switch f := p.format(); f {
	case LE4, LE8, BE4, BE8:
		return f
	}
	p.rest = before
	p.errorExpected("the format of a float: le4, le8, be4 or be8")
	return NoFormat
}

// maxNumber bounds numbers, to the same value on every platform.
const maxNumber = math.MaxInt32

// number parses a decimal of at most maxNumber without leading zeros.
func (p *parser) number() int {
	n := 0
	for n < len(p.rest) && p.rest[n] >= '0' && p.rest[n] <= '9' {
		n++
	}
	v, err := strconv.ParseInt(p.rest[:n], 10, 64)
	if err != nil || v > maxNumber || n > 1 && p.rest[0] == '0' {
		p.errorExpected(fmt.Sprintf("a number up to %d without leading zeros", maxNumber))
		return 0
	}
	p.rest = p.rest[n:]
	return int(v)
}

// name parses an identifier.
func (p *parser) name() string {
	n := identifierLen(p.rest)
	if n == 0 {
		p.errorExpected("a name")
	}
	name := p.rest[:n]
	p.rest = p.rest[n:]
	return name
}

// identifierLen returns the length of the Go identifier at the start of s.
func identifierLen(s string) int {
	for i, r := range s {
		if r != '_' && !unicode.IsLetter(r) && (i == 0 || !unicode.IsDigit(r)) {
			return i
		}
	}
	return len(s)
}

// goType parses the name of a Go type up to its closing parenthesis. The type
// arguments of a generic type may contain parentheses (func types) and string
// literals (struct tags).
func (p *parser) goType() string {
	n := goTypeLen(p.rest)
	name := p.rest[:n]
	if name == "" || !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		p.errorExpected(`a Go type and ")"`)
		return ""
	}
	p.rest = p.rest[n:]
	return name
}

// goTypeLen returns the offset of the first unbalanced closing parenthesis in
// s, outside of string literals; 0 if there is none.
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

// maxQuoted is the longest text in a message.
const maxQuoted = 120

// truncate shortens s for a message.
//
//go:noinline
func truncate(s string) string {
	if len(s) <= maxQuoted {
		return s
	}
	n := maxQuoted
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "..."
}
