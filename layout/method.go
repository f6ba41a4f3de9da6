package layout

import "strings"

// A Method is what both ends of a method must agree on. Its canonical
// text, [Method.String], is what is hashed.
type Method struct {
	Service string // identifiers with dots between them
	Name    string
	Params  []*Type // without the context
	Results []*Type // without the error
	Oneway  bool
}

// maxService bounds the name of a service, in bytes.
const maxService = 255

// String returns the canonical text of m:
//
//	Shop.PlaceOrder({ID int.le8; Price int.le4}) bool
//
// A text above MaxText is broken off somewhere above it.
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

// ParseMethod reads the canonical text of a method, and nothing else:
// what it accepts prints as the same text. Errors say at which byte.
func ParseMethod(text string) (*Method, error) {
	p := newParser(text)
	m := &Method{}
	m.Service, m.Name = p.methodName()
	p.want("(")
	if !p.take(")") {
		m.Params = p.list()
	}
	if p.rest != "" && !p.at(" oneway") {
		m.Results = p.results()
	}
	m.Oneway = p.take(" oneway")
	if err := p.end(); err != nil {
		return nil, err
	}
	return m, nil
}

func appendList(b []byte, list []*Type) []byte {
	for i, l := range list {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = l.appendText(b)
	}
	return b
}

// list reads types up to the parenthesis that closes them.
func (p *parser) list() []*Type {
	list := []*Type{p.layout()}
	for p.take(", ") {
		list = append(list, p.layout())
	}
	p.want(")")
	return list
}

// results reads one type, or several in parentheses.
func (p *parser) results() []*Type {
	p.want(" ")
	before := p.rest
	if !p.take("(") {
		return []*Type{p.layout()}
	}
	list := p.list()
	if len(list) < 2 {
		p.rest = before
		p.expected("one result without parentheses, or several")
	}
	return list
}

// methodName reads a service and a method; the last dot parts them.
func (p *parser) methodName() (service, name string) {
	from := p.rest
	parts := []string{p.name()}
	for p.take(".") {
		parts = append(parts, p.name())
	}
	last := len(parts) - 1
	service, name = strings.Join(parts[:last], "."), parts[last]
	switch {
	case service == "":
		p.rest = from
		p.expected("service.method")
	case len(service) > maxService:
		p.fail("the service's name has %d bytes; the most is %d", len(service), maxService)
	}
	return service, name
}
