package layout

// Structs and unions, and the recursion of types.

// appendFields appends the text of a struct or union after its prefix.
func (l *Type) appendFields(b []byte) []byte {
	for i, f := range l.Fields {
		if len(b) > MaxText {
			return b
		}
		if i > 0 {
			b = append(b, "; "...)
		}
		b = append(b, f.Name...)
		if f.Optional {
			b = append(b, '?')
		}
		b = f.Type.appendText(append(b, ' '))
	}
	return append(b, l.closing()...)
}

// closing returns the end of the text of a struct or union.
func (l *Type) closing() string {
	if l.Kind == Union {
		return ">"
	}
	return "}"
}

// fieldsOf parses the rest of a struct or union. It is the inverse of appendFields.
func (p *parser) fieldsOf(l *Type) {
	if l.Kind == Struct && p.accept(l.closing()) {
		return
	}
	p.unions = p.unions || l.Kind == Union
	p.push(l.Kind)
	// Duplicate names would make differences between fields ambiguous.
	seen := make(map[string]bool)
	for more := true; more; more = p.accept("; ") {
		if l.Kind == Union && len(l.Fields) == MaxMembers {
			p.errorf("more than %d members of a union", MaxMembers)
		}
		name := p.name()
		if name == blankName && l.Kind == Struct {
			p.expect(" ")
			l.Fields = append(l.Fields, Field{Name: name, Type: p.blank()})
			continue
		}
		if name == blankName {
			p.errorf("blank member of a union before this")
		}
		if seen[name] {
			p.errorf("duplicate field %q before this", truncate(name))
		}
		seen[name] = true
		f := Field{Name: name, Optional: p.accept("?")}
		p.expect(" ")
		f.Type = p.typ()
		l.Fields = append(l.Fields, f)
	}
	p.expect(l.closing())
	p.pop()
}

// backRef parses the levels of a back reference. The reference must lead to an
// enclosing composite, through a slice, map or pointer: these can be empty and end the
// recursion. A union ends it if it has another member, see checkFinite. Without such a type
// every value would be infinite.
func (p *parser) backRef() int {
	n := p.number()
	if n < 1 || n > len(p.enclosing) {
		p.errorf("^%d refers outside the type: it has %d enclosing types", n, len(p.enclosing))
		return n
	}
	for _, k := range p.enclosing[len(p.enclosing)-n:] {
		if k == Slice || k == Map || k == Pointer || k == Union {
			return n
		}
	}
	p.errorf("^%d makes a value of infinite size", n)
	return n
}

// checkFinite checks a whole type with unions, just parsed: each type in it needs a value of
// finite size.
func (p *parser) checkFinite(l *Type) {
	if p.unions && len(p.enclosing) == 0 && p.err == nil {
		p.needs(l, 0)
	}
}

// needs returns the depth of the innermost enclosing type that every value of l contains, -1
// if there is a value without any. l has the given depth, and is an error if all its values
// contain l again. Types around l, checked by themselves, are taken to be finite.
func (p *parser) needs(l *Type, depth int) int {
	needs := -1
	switch l.Kind {
	case BackRef:
		return depth - l.Len
	case Struct: // all fields
		for _, f := range l.Fields {
			needs = max(needs, p.needs(f.Type, depth+1))
		}
	case Union: // the best member
		needs = MaxDepth
		for _, f := range l.Fields {
			needs = min(needs, p.needs(f.Type, depth+1))
		}
	case Array:
		if elem := p.needs(l.Elem, depth+1); l.Len > 0 {
			needs = elem
		}
	case Map: // may be empty, as slices and pointers
		p.needs(l.Key, depth+1)
		p.needs(l.Elem, depth+1)
	case Slice, Pointer:
		p.needs(l.Elem, depth+1)
	}
	if needs >= depth {
		p.errorf("the union before this has no member without itself: a value of infinite size")
	}
	return needs
}
