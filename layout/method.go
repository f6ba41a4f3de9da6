package layout

import "strings"

// A Method is the layout of a method: everything both ends must agree on. The
// hash in the handshake covers its canonical text, [Method.String].
type Method struct {
	Service string // identifiers separated by dots
	Name    string
	Params  []*Type // without the context.Context
	Results []*Type // without the error
	Oneway  bool

	OptionalParams, OptionalResults int // the last ones that a peer may lack, see [Compare]
}

// maxService is the longest service name in bytes.
const maxService = 255

// String returns the canonical text of m:
//
//	Shop.PlaceOrder({ID int.le8; Price int.le4}) bool
//
// Like [Type.String] it stops soon after MaxText bytes.
func (m *Method) String() string {
	b := append([]byte(m.Service), '.')
	b = append(append(b, m.Name...), '(')
	return string(appendSignature(b, m.signature()))
}

// signature returns the parameters and results of m.
func (m *Method) signature() *Signature {
	return &Signature{m.Params, m.Results, m.Oneway, m.OptionalParams, m.OptionalResults}
}

// appendSignature appends parameters and results after the opening parenthesis.
func appendSignature(b []byte, f *Signature) []byte {
	b = append(appendList(b, f.Params, f.OptionalParams), ')')
	switch len(f.Results) {
	case 0:
	case 1:
		b = appendList(append(b, ' '), f.Results, f.OptionalResults)
	default:
		b = append(appendList(append(b, " ("...), f.Results, f.OptionalResults), ')')
	}
	if f.Oneway {
		b = append(b, " oneway"...)
	}
	return b
}

// ParseMethod parses the canonical text of a method. It accepts no other
// spelling, so that the result's String is text again. Errors contain the
// offset.
func ParseMethod(text string) (*Method, error) {
	p := newParser(text)
	p.method = true
	m := &Method{}
	m.Service, m.Name = p.methodName()
	p.expect("(")
	m.Params = p.params(p.optional(p.param, &m.OptionalParams))
	if p.rest != "" && !p.peek(" oneway") {
		m.Results = p.results(p.optional(p.whole, &m.OptionalResults))
	}
	m.Oneway = p.accept(" oneway")
	if err := p.end(); err != nil {
		return nil, err
	}
	return m, nil
}

// appendList appends types separated by commas. The last ones are optional.
func appendList(b []byte, list []*Type, optional int) []byte {
	for i, l := range list {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = l.appendText(b)
		if i >= len(list)-optional {
			b = append(b, '?')
		}
	}
	return b
}

// optional returns a func that parses what one does, and the mark of an optional
// parameter or result behind it. It counts those with the mark, the last ones.
func (p *parser) optional(one func() *Type, count *int) func() *Type {
	return func() *Type {
		l := one()
		switch marked := p.accept("?"); {
		case marked && l != nil && (l.Kind == Stream || l.Kind == Reader):
			p.errorf("streams and readers are never optional")
		case marked:
			*count++
		case *count > 0:
			p.errorExpected(`"?", as after the one before`)
		}
		return l
	}
}

// whole parses a result, or a parameter: a type, a stream, or a reader.
func (p *parser) whole() *Type {
	switch {
	case p.accept(kindPrefixes[Stream]):
		// An item cannot refer to anything outside of it, so a stream is not
		// among the enclosing composites.
		l := &Type{Kind: Stream, Elem: p.typ()}
		p.expect(")")
		return l
	case p.accept(kindPrefixes[Reader]):
		return &Type{Kind: Reader}
	}
	return p.typ()
}

// param parses a parameter: a func, or what may be a result, too.
func (p *parser) param() *Type {
	if !p.accept(kindPrefixes[Func]) {
		return p.whole()
	}
	f := &Signature{Params: p.params(p.typ)}
	switch {
	case p.accept(" oneway"):
		f.Oneway = true
	case p.peek(" "):
		f.Results = p.results(p.typ)
	}
	return &Type{Kind: Func, Func: f}
}

// params parses the parameters after the opening parenthesis, up to the closing one.
func (p *parser) params(one func() *Type) []*Type {
	if p.accept(")") {
		return nil
	}
	return p.list(one)
}

// list parses elements up to the closing parenthesis.
func (p *parser) list(one func() *Type) []*Type {
	list := []*Type{one()}
	for p.accept(", ") {
		list = append(list, one())
	}
	p.expect(")")
	return list
}

// results parses one element, or several in parentheses.
func (p *parser) results(one func() *Type) []*Type {
	p.expect(" ")
	before := p.rest
	if !p.accept("(") {
		return []*Type{one()}
	}
	list := p.list(one)
	// One encoding per method: a single result has no parentheses.
	if len(list) < 2 {
		p.rest = before
		p.errorExpected("one result without parentheses, or several")
	}
	return list
}

// methodName parses service.method. The service may contain dots, too.
func (p *parser) methodName() (service, name string) {
	from := p.rest
	parts := []string{p.name()}
	for p.accept(".") {
		parts = append(parts, p.name())
	}
	last := len(parts) - 1
	service, name = strings.Join(parts[:last], "."), parts[last]
	switch {
	case service == "":
		p.rest = from
		p.errorExpected("service.method")
	case len(service) > maxService:
		p.errorf("service name of %d bytes exceeds the limit of %d", len(service), maxService)
	}
	return service, name
}
