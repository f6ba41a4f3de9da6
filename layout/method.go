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
	b = append(appendList(b, m.Params), ')')
	switch len(m.Results) {
	case 0:
	case 1:
		b = m.Results[0].appendText(append(b, ' '))
	default:
		b = append(appendList(append(b, " ("...), m.Results), ')')
	}
	if m.Oneway {
		b = append(b, " oneway"...)
	}
	return string(b)
}

// ParseMethod parses the canonical text of a method. It accepts no other
// spelling, so that the result's String is text again. Errors contain the
// offset.
func ParseMethod(text string) (*Method, error) {
	p := newParser(text)
	m := &Method{}
	m.Service, m.Name = p.methodName()
	p.expect("(")
	if !p.accept(")") {
		m.Params = p.typeList()
	}
	if p.rest != "" && !p.peek(" oneway") {
		m.Results = p.results()
	}
	m.Oneway = p.accept(" oneway")
	if err := p.end(); err != nil {
		return nil, err
	}
	return m, nil
}

// appendList appends types separated by commas.
func appendList(b []byte, list []*Type) []byte {
	for i, l := range list {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = l.appendText(b)
	}
	return b
}

// typeList parses types up to the closing parenthesis.
func (p *parser) typeList() []*Type {
	list := []*Type{p.whole()}
	for p.accept(", ") {
		list = append(list, p.whole())
	}
	p.expect(")")
	return list
}

// results parses one type, or several in parentheses.
func (p *parser) results() []*Type {
	p.expect(" ")
	before := p.rest
	if !p.accept("(") {
		return []*Type{p.whole()}
	}
	list := p.typeList()
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
