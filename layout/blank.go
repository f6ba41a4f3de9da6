package layout

// Blank fields of structs, all called _: padding and constants. They have bytes, but no
// value, so the ends need not agree on a name. A struct may have several. Two structs are
// compared by the order of theirs.

import "strconv"

// blankName is the name of all blank fields.
const blankName = "_"

// blank parses the type of a blank field: padding, or an integer with its only value. It
// is the inverse of appendText for both.
func (p *parser) blank() *Type {
	if p.accept(kindPrefixes[Pad]) {
		p.checkStandalone("padding")
		l := &Type{Kind: Pad, Len: p.number()}
		if l.Len == 0 {
			p.errorf("padding without bytes before this")
		}
		return l
	}
	l := p.typ()
	if l != nil && l.Kind != Int && l.Kind != Uint {
		p.errorf("want padding or a constant for a blank field before this")
	}
	if p.expect("="); p.err == nil {
		l.Const = p.constant(l)
	}
	return l
}

// constant parses the value of l, a decimal in its range.
func (p *parser) constant(l *Type) string {
	// The text must be the canonical one of a number in the range of the format.
	n := 0
	for n < len(p.rest) && (p.rest[n] >= '0' && p.rest[n] <= '9' || n == 0 && p.rest[n] == '-') {
		n++
	}
	text, bits := p.rest[:n], 8*l.Format.width()
	canonical := ""
	if l.Kind == Int {
		if i, err := strconv.ParseInt(text, 10, bits); err == nil {
			canonical = strconv.FormatInt(i, 10)
		}
	} else if u, err := strconv.ParseUint(text, 10, bits); err == nil {
		canonical = strconv.FormatUint(u, 10)
	}
	// Two spellings of one number would be two layouts of the same bytes.
	if text == "" || text != canonical {
		p.errorExpected("a decimal number in the range of " + kindPrefixes[l.Kind] + l.Format.String())
	}
	p.rest = p.rest[min(n, len(p.rest)):]
	return text
}

// The forms below are refused by ParseMethod, and so in what a peer sends.

// checkStandalone records an error in the text of a method: what is for values that
// stand alone, and not for parts of calls.
func (p *parser) checkStandalone(what string) {
	if p.method {
		p.errorf("%s is for values of Marshal only, not for methods", what)
	}
}

// fieldKeys returns what identifies each field: its name, and for a blank one its number
// among the blank ones.
func fieldKeys(fields []Field) []string {
	keys, blanks := make([]string, len(fields)), 0
	for i, f := range fields {
		if keys[i] = f.Name; f.Name == blankName {
			keys[i] += " " + strconv.Itoa(blanks)
			blanks++
		}
	}
	return keys
}
