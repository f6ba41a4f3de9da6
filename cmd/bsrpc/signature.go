package main

import (
	"fmt"
	"strings"

	"github.com/bsrpc/bsrpc/layout"
)

// maxSignature limits the bytes of a signature.
const maxSignature = 64 << 10

// A printer writes layouts as Go does types. A format that Go's type would not have by default
// is between backquotes, like the tag of a field.
type printer struct {
	strings.Builder
	lines bool // a field of a struct a line
	depth int
}

// signature returns m like a method of Go.
func (m *method) signature(lines bool) string {
	p := &printer{lines: lines}
	p.WriteString(m.Name + "(")
	for i, l := range m.layout.Params {
		if i > 0 {
			p.WriteString(", ")
		}
		if name := m.param(i); name != "" {
			p.WriteString(clean(name, 64) + " ")
		}
		p.whole(l, false)
		if i >= len(m.layout.Params)-m.layout.OptionalParams {
			p.WriteString(" `optional`")
		}
	}
	p.results(m.layout.Results, m.layout.Oneway)
	return p.cut()
}

// cut returns what has been printed, at most maxSignature bytes.
func (p *printer) cut() string {
	if p.Len() > maxSignature {
		return p.String()[:maxSignature] + "..."
	}
	return p.String()
}

// results prints results behind the parameters.
func (p *printer) results(list []*layout.Type, oneway bool) {
	p.WriteString(")")
	if oneway {
		p.WriteString(" oneway")
		return
	}
	switch {
	case len(list) == 0:
		p.WriteString(" error")
		return
	case len(list) == 1 && list[0].Kind == layout.Stream: // which has the error
		p.WriteString(" ")
		p.whole(list[0], true)
		return
	}
	p.WriteString(" (")
	for _, l := range list {
		p.whole(l, true)
		p.WriteString(", ")
	}
	p.WriteString("error)")
}

// whole prints a parameter or a result.
func (p *printer) whole(l *layout.Type, result bool) {
	switch {
	case l.Kind == layout.Stream:
		p.WriteString("iter.Seq2[")
		p.typ(l.Elem)
		p.WriteString(", error]")
	case l.Kind == layout.Reader && result:
		p.WriteString("io.ReadCloser")
	case l.Kind == layout.Reader:
		p.WriteString("io.Reader")
	case l.Kind == layout.Func:
		p.WriteString("func(")
		for i, param := range l.Func.Params {
			if i > 0 {
				p.WriteString(", ")
			}
			p.typ(param)
		}
		p.results(l.Func.Results, l.Func.Oneway)
	default:
		p.typ(l)
	}
}

// bits are the widths of Go's numbers by format.
var bits = map[layout.Format]int{layout.LE1: 8, layout.LE2: 16, layout.LE4: 32, layout.LE8: 64}

// number prints a number of a kind. Formats that are not Go's have one that holds them.
func (p *printer) number(word string, f layout.Format, factor int) {
	if n, ok := bits[f]; ok {
		fmt.Fprintf(p, "%s%d", word, n*factor)
		return
	}
	name, n := strings.ToLower(f.String()), 64
	switch {
	case strings.HasSuffix(name, "2"):
		n = 16
	case strings.HasSuffix(name, "3"), strings.HasSuffix(name, "4"):
		n = 32
	}
	fmt.Fprintf(p, "%s%d `%s`", word, n*factor, name)
}

// typ prints a type. The tree of a layout has at most layout.MaxDepth levels, and its text
// layout.MaxText bytes.
func (p *printer) typ(l *layout.Type) {
	if p.Len() > maxSignature {
		return
	}
	switch l.Kind {
	case layout.Bool:
		p.WriteString("bool")
	case layout.Int:
		p.number("int", l.Format, 1)
	case layout.Uint:
		p.number("uint", l.Format, 1)
	case layout.Float:
		p.number("float", l.Format, 1)
	case layout.Complex:
		p.number("complex", l.Format, 2)
	case layout.String:
		p.WriteString("string")
		p.length(l)
	case layout.Bytes:
		p.WriteString("[]byte")
		p.length(l)
	case layout.Time:
		p.WriteString("time.Time")
	case layout.Duration:
		p.WriteString("time.Duration")
	case layout.Binary, layout.Text:
		p.WriteString(l.Opaque)
	case layout.Array:
		fmt.Fprintf(p, "[%d]", l.Len)
		p.typ(l.Elem)
	case layout.Slice:
		p.WriteString("[]")
		p.typ(l.Elem)
	case layout.Map:
		p.WriteString("map[")
		p.typ(l.Key)
		p.WriteString("]")
		p.typ(l.Elem)
	case layout.Pointer:
		p.WriteString("*")
		p.typ(l.Elem)
	case layout.Struct:
		p.fields("struct", l.Fields)
	case layout.Union:
		p.fields("union", l.Fields)
	default: // a reference to an enclosing type
		p.WriteString(l.String())
	}
}

// length prints the format of a length, or a fixed one.
func (p *printer) length(l *layout.Type) {
	switch l.Format {
	case layout.LE4:
	case layout.NoFormat:
		fmt.Fprintf(p, " `fixed=%d`", l.Len)
	default:
		fmt.Fprintf(p, " `%s`", strings.ToLower(l.Format.String()))
	}
}

// fields prints a struct, or a union.
func (p *printer) fields(word string, list []layout.Field) {
	p.WriteString(word + "{")
	separator, end := "; ", "}"
	if p.lines && len(list) > 0 {
		p.depth++
		separator = "\n" + strings.Repeat("\t", p.depth)
		end = separator[:len(separator)-1] + "}"
		p.WriteString(separator)
	}
	for i, f := range list {
		if i > 0 {
			p.WriteString(separator)
		}
		p.WriteString(f.Name + " ")
		p.typ(f.Type)
		if f.Type.Const != "" {
			p.WriteString(" `const=" + f.Type.Const + "`")
		}
		if f.Optional {
			p.WriteString(" `optional`")
		}
	}
	if p.lines && len(list) > 0 {
		p.depth--
	}
	p.WriteString(end)
}
