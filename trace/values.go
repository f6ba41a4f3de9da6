package trace

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/bsrpc/bsrpc/internal/plural"
	"github.com/bsrpc/bsrpc/layout"
)

// Values in lines: JSON where their layout is known, hex elsewhere. With Options.Secret only
// JSON is shown, since the places are found by the layout.

// maxText limits the JSON of one value before it is cut: a layout may have names of 60 KiB, and
// a list of thousands of structs repeats them.
const maxText = 4 << 20

// argsOf returns the method with the layouts of arguments, or nil if they are unknown: the trace
// began after BIND, or the ends have agreed by a hash alone.
func argsOf(c *call) *layout.Method {
	if c == nil || c.method == nil {
		return nil
	}
	return c.method.args
}

// resultsOf returns the method with the layouts of results, or nil if they are unknown. They may
// be of another version than the arguments: in a method bound by text, each end writes its own.
func resultsOf(c *call) *layout.Method {
	if c == nil || c.method == nil {
		return nil
	}
	return c.method.results
}

// values describes complete arguments or results of the call c, nil if it is unknown. body is
// nil if they were too long to keep. The length is in the line already.
func (d *Decoder) values(e *Event, c *call, body []byte, ofResults bool) {
	l := argsOf(c)
	if ofResults {
		l = resultsOf(c)
	}
	var m *method
	if c != nil {
		m = c.method
	}
	e.Complete, e.Body, e.Layout = true, body, l
	secret, ok := d.shows(m, l)
	switch {
	case !ok || len(body) == 0:
	case l == nil:
		e.add("", "%s", hexOf(body, d.opts.maxValue()/2))
	case ofResults:
		e.add("", "%s", d.json(l.Results, "result", secret, body))
	default:
		e.add("", "%s", d.json(l.Params, "parameter", secret, body))
	}
}

// json returns the values of all parameters or results in one body: ("Bob", 7). If one of them
// does not fit, none is shown: what follows it would be read at the wrong place, where a secret
// has no place of its own. The error names a place, and has no value.
func (d *Decoder) json(types []*layout.Type, what string, secret []string, body []byte) string {
	text := []byte{'('}
	for i, t := range types {
		if t.Kind == layout.Stream || t.Kind == layout.Reader {
			continue // not in the body
		}
		if len(text) > 1 {
			text = append(text, ", "...)
		}
		var err error
		place := fmt.Sprintf("%s %d", what, i+1)
		if text, body, err = d.value(text, t, secretsAt(secret, place), body); err != nil {
			return "malformed: " + place + ", " + quote(err.Error(), maxMessage)
		}
	}
	if len(body) > 0 {
		return "malformed: " + plural.Of(len(body), "trailing byte")
	}
	return d.shown(append(text, ')'))
}

// value appends the value at the start of body, and returns the bytes after it. A value that is
// secret as a whole is decoded all the same: where the next one begins depends on it.
func (d *Decoder) value(text []byte, t *layout.Type, secret []string, body []byte) (_, rest []byte, err error) {
	if t.Kind == layout.Func {
		if len(body) == 0 {
			return text, body, fmt.Errorf("a func without its byte")
		}
		return append(text, [...]string{"nil", "func"}[min(body[0], 1)]...), body[1:], nil
	}
	whole := slices.Contains(secret, "")
	conv := layout.JSON{Secret: secret, MaxSize: maxText}
	if whole {
		conv.Secret = nil
	}
	longer, rest, err := conv.Decode(text, t, body)
	if whole && err == nil {
		return append(text, `"***"`...), rest, nil
	}
	return longer, rest, err
}

// secretsAt returns the secret places within a parameter or result: "" for all of it.
func secretsAt(secret []string, place string) (within []string) {
	for _, s := range secret {
		rest, ok := strings.CutPrefix(s, place)
		if ok && (rest == "" || rest[0] == '.' || rest[0] == '[') { // and not that of parameter 10
			within = append(within, strings.TrimPrefix(rest, "."))
		}
	}
	return within
}

// shown returns JSON as it is printed: cut, and with the characters escaped that change the
// direction of writing or cannot be printed. They are within strings.
func (d *Decoder) shown(text []byte) string {
	head, more := cut(string(text), d.opts.maxValue())
	var b strings.Builder
	for _, r := range head {
		switch {
		case strconv.IsPrint(r) && r != utf8.RuneError:
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String() + more
}

// itemText returns an item as it is shown, "" if it is not. Places in items may begin with [], as
// the stream is a list of them.
func (d *Decoder) itemText(c *call, st *stream, item []byte) string {
	secret, ok := d.shows(c.method, st.layout)
	switch {
	case !ok:
		return ""
	case item == nil:
		return "(too long)"
	}
	within := secretsAt(secret, st.place)
	for i, s := range within {
		within[i] = strings.TrimPrefix(strings.TrimPrefix(s, "[]"), ".")
	}
	text, rest, err := d.value(nil, st.typ.Elem, within, item)
	switch {
	case err != nil:
		return "malformed: " + quote(err.Error(), maxMessage)
	case len(rest) > 0:
		return "malformed: " + plural.Of(len(rest), "trailing byte")
	}
	return d.shown(text)
}
