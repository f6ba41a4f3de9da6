package layout

// Slices, arrays and maps. The elements of slices and maps follow a length in bytes and a
// count; the default formats of both are not written.

// lengthFormats returns the formats of the byte length and the count before the
// elements, or "" for the default, le4 and le4.
func (l *Type) lengthFormats() string {
	switch {
	case l.Format == NoFormat:
		return bytesPrefix + l.Bytes.String()
	case l.Bytes == NoFormat:
		return l.Format.String()
	case l.Bytes == LE4 && l.Format == LE4:
		return ""
	}
	return l.Bytes.String() + " " + l.Format.String()
}

// setLengthFormats sets the formats of l from the text; NoFormat stands for an
// omitted one. It is the inverse of lengthFormats.
func (p *parser) setLengthFormats(l *Type, first, second Format) {
	switch {
	case first == NoFormat:
		l.Bytes, l.Format = LE4, LE4
	case second == NoFormat:
		l.Format = first
	case first == LE4 && second == LE4:
		p.errorf(`"le4 le4" is the default and must be omitted`)
	default:
		l.Bytes, l.Format = first, second
	}
}

// arrayOrSlice parses the rest of an array or slice: a length, or formats.
func (p *parser) arrayOrSlice(l *Type) {
	if p.peekDigit() {
		l.Len = p.number()
	} else {
		l.Kind = Slice
		p.sliceFormats(l)
	}
	p.expect("]")
	l.Elem = p.elem(l.Kind)
}

// sliceFormats parses the formats of a slice.
func (p *parser) sliceFormats(l *Type) {
	var first, second Format
	switch {
	case p.accept(bytesPrefix):
		l.Bytes = p.format()
		return
	case p.accept(Rest.String()):
		p.checkStandalone("rest")
		l.Format = Rest
		return
	case !p.peek("]"):
		first = p.format()
		if p.accept(" ") {
			second = p.format()
		}
	}
	p.setLengthFormats(l, first, second)
}

// A length in bytes without a count comes alone, as [bytes=le1]T. It differs from [le1]T, a
// count without a length.

// bytesPrefix precedes the format of a length in bytes without a count.
const bytesPrefix = "bytes="

// appendMap appends the text of a map after its prefix.
func (l *Type) appendMap(b []byte) []byte {
	if prefixes := l.lengthFormats(); prefixes != "" {
		b = append(append(b, prefixes...), ' ')
	}
	b = append(l.Key.appendText(b), ']')
	return l.Elem.appendText(b)
}

// mapOf parses the rest of a map. It is the inverse of appendMap.
func (p *parser) mapOf(l *Type) {
	if p.accept(bytesPrefix) {
		l.Bytes = p.format()
		p.expect(" ")
		p.pairOf(l)
		return
	}
	// Up to two formats precede the key. A key may not start like one: no
	// prefix of a kind is a format.
	var formats [2]Format
	for i := range formats {
		f, ok := p.acceptFormat()
		if !ok {
			break
		}
		formats[i] = f
		p.expect(" ")
	}
	p.setLengthFormats(l, formats[0], formats[1])
	p.pairOf(l)
}

// pairOf parses the key and the element of a map.
func (p *parser) pairOf(l *Type) {
	p.push(Map)
	l.Key = p.typ()
	p.expect("]")
	l.Elem = p.typ()
	p.pop()
}
