package trace

import (
	"fmt"
	"strings"

	"github.com/bsrpc/bsrpc/internal/wire"
	"github.com/bsrpc/bsrpc/layout"
)

// maxName limits the bytes kept of a method's full name. Valid ones are shorter.
const maxName = 512

// perText is added to the bytes of each text, for the memory around it.
const perText = 128

// fullName returns the name of a method as it is shown. A BIND can have tens of thousands of
// names for one long service, so long ones are cut before they are joined.
func fullName(service, name string) string {
	if len(service)+len(name) > maxName {
		service, _ = cut(service, maxName)
		name, _ = cut(name, maxName)
	}
	return word(service+"."+name, maxName)
}

// bindRequest describes a BIND of s. What it binds is known only with the answer, which has the
// numbers in the order of the names.
func (d *Decoder) bindRequest(s *side, e *Event, f *wire.Frame, body []byte) {
	c := d.open(s, f.ID)
	r, err := wire.ReadBindRequest(body, f.Flags)
	if err != nil {
		e.add("", "malformed: %s", quote(err.Error(), maxMessage))
		return
	}
	// Its bytes are kept until the answer; names take more memory once they are read.
	c.isBind, c.bindFlags = true, f.Flags
	d.grow(&c.request, body)
	how := "by hash"
	switch {
	case f.Flags&wire.Describe != 0:
		how = "describe"
	case f.Flags&wire.Texts != 0:
		how = "by text"
	}
	e.add("", "%s: %s %s", word(r.Service, maxName), d.list(r.Names), how)
}

// list returns names separated by commas. The rest of a long list is counted: an end may bind
// thousands of methods at once.
func (d *Decoder) list(names []string) string {
	var b strings.Builder
	for i, name := range names {
		if i > 0 {
			b.WriteString(", ")
		}
		if b.Len() > d.opts.maxValue() {
			fmt.Fprintf(&b, "...(%d methods)", len(names))
			break
		}
		b.WriteString(word(name, maxName))
	}
	return b.String()
}

// verdicts name the statuses of a method in the answer to a BIND.
var verdicts = [...]string{
	wire.BindDiffers: "differs", wire.BindUnknown: "unknown method", wire.BindNoService: "unknown service",
}

// bound describes the answer to a BIND of s, and learns the numbers and layouts. A method that
// differs comes with the server's text; a BIND by text may follow, and its results are in
// that layout.
func (d *Decoder) bound(s *side, e *Event, c *call, body []byte) {
	if c.request.dropped {
		e.add("", "methods unknown: the BIND was too long to keep")
		return
	}
	r, err := wire.ReadBindRequest(c.request.body, c.bindFlags)
	var results []wire.BindResult
	if err == nil {
		results, err = wire.ReadBindResponse(body, len(r.Names))
	}
	if err != nil {
		e.add("", "malformed: %s", quote(err.Error(), maxMessage))
		return
	}
	var said []string
	length := 0
	for i, res := range results {
		name := fullName(r.Service, r.Names[i])
		text := name
		switch {
		case res.Status == wire.BindOK:
			d.bindNumber(s, r, i, name, &res)
			text += fmt.Sprintf(" is %d", res.Number)
		case res.Text == "":
			text += ": " + verdicts[res.Status]
		case res.Status == wire.BindDiffers:
			d.keepText(s.differs, name, res.Text)
			text += ": differs, here it is " + word(res.Text, d.opts.maxValue())
		default:
			text += ": " + verdicts[res.Status] + ", similar " + quote(res.Text, d.opts.maxValue())
		}
		if length += len(text); length <= 5*d.opts.maxValue() || len(said) == 0 {
			said = append(said, text)
		}
	}
	if more := len(results) - len(said); more > 0 {
		said = append(said, fmt.Sprintf("...(%d methods)", len(results)))
	}
	e.add("", "%s", strings.Join(said, ", "))
}

// bindNumber stores the i-th method of a BIND under its number, in place of an earlier one: only
// a faulty server assigns a number twice.
func (d *Decoder) bindNumber(s *side, r *wire.BindRequest, i int, name string, res *wire.BindResult) {
	m := &method{name: name}
	switch {
	case r.Hashes != nil:
		// Equal hashes: both ends have this layout.
		m.args = d.known[r.Hashes[i]]
		m.results = m.args
	case r.Texts != nil:
		m.args = d.layout(r.Texts[i])
		m.results = d.layout(s.differs[name])
	default:
		m.args = d.layout(res.Text)
		m.results = m.args
	}
	old := s.methods[res.Number]
	if old != nil {
		d.texts -= len(old.name)
		delete(s.methods, res.Number)
	}
	if d.texts+len(name) > maxTexts {
		return
	}
	d.texts += len(name)
	s.methods[res.Number] = m
}

// keepText stores a text in texts within the limit.
func (d *Decoder) keepText(texts map[string]string, name, text string) {
	if texts[name] == text || d.texts+len(name)+len(text)+perText > maxTexts {
		return
	}
	d.texts += len(name) + len(text) + perText
	texts[name] = text
}

// layout returns the layout with a text, nil if that is invalid or too much to keep. Layouts
// are kept by their hashes: a later BIND may have only these.
func (d *Decoder) layout(text string) *layout.Method {
	if text == "" {
		return nil
	}
	hash := hashOf(text)
	m := d.known[hash]
	if m != nil || d.texts+len(text)+perText > maxTexts {
		return m
	}
	m, err := layout.ParseMethod(text)
	if err != nil {
		return nil
	}
	d.texts += len(text) + perText
	d.known[hash] = m
	return m
}
