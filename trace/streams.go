package trace

import (
	"fmt"
	"strings"

	"github.com/bsrpc/bsrpc/internal/plural"
	"github.com/bsrpc/bsrpc/internal/wire"
	"github.com/bsrpc/bsrpc/layout"
)

// A stream is a stream with a known layout: where its bytes are in the sequence of items. Frames
// divide this sequence anywhere except in the length of an item, so the state lasts from
// frame to frame.
type stream struct {
	typ    *layout.Type // Stream or Reader
	layout *layout.Method
	place  string // "result 1", for Options.Secret
	over   bool   // further frames are ignored by their receiver
	inItem bool
	item   message // the current one
}

// streamFrame describes a frame of a stream. The flag FromCaller tells whose call it is, and STOP
// is always sent by the end that runs the call.
func (d *Decoder) streamFrame(s *side, e *Event, f *wire.Frame, body []byte) {
	caller := &d.sides[s.from.other()]
	if f.Flags&wire.FromCaller != 0 {
		caller = s
	}
	e.Call, e.Caller = f.ID, caller.from
	c := caller.calls[f.ID]
	if c != nil && c.method != nil {
		e.Method = c.method.name
	}
	e.Stream = f.Arg
	e.add("stream", "%d", f.Arg)
	switch f.Type {
	case wire.Items:
		e.mask(d, body)
		d.items(e, c, f.Arg, body)
		if c != nil && f.Arg == 0 {
			c.hasStream = true
		}
	case wire.Credit:
		if n, err := wire.ReadCredit(body); err == nil {
			e.add("", "+%s", plural.Of(uint64(n), "byte"))
		} else {
			e.add("", "malformed: 0 bytes")
		}
	case wire.End:
		d.endOf(e, c, f, body)
		if c != nil && f.Arg == 0 && caller != s {
			d.answer(caller, c, false)
		}
	}
	if c != nil && f.Type != wire.Items && f.Type != wire.Credit {
		if st := d.streamOf(c, f.Arg); st != nil {
			d.release(&st.item)
			st.over = true
		}
	}
}

// endOf describes the END of a stream. The time is that since the request: for a result it is
// the time of the whole call.
func (d *Decoder) endOf(e *Event, c *call, f *wire.Frame, body []byte) {
	end, err := wire.ReadStreamEnd(body)
	switch r := end.Failure; {
	case err != nil:
		e.add("", "malformed: %s", quote(err.Error(), maxMessage))
	case end.Code == 0:
		e.add("", "complete")
	default:
		e.Failure = &Failure{end.Code, r.Name, r.Message, r.LogID, false, f.Flags&wire.Expired != 0}
	}
	d.addAfter(e, c)
}

// streamOf returns the state of a stream, nil if its layout is unknown. It makes the state at the
// first frame: nearly all methods have no streams, and a layout may list thousands.
func (d *Decoder) streamOf(c *call, number uint16) *stream {
	if c == nil || c.method == nil {
		return nil
	}
	if st := c.streams[number]; st != nil {
		return st
	}
	l := resultsOf(c)
	if number > 0 {
		l = argsOf(c)
	}
	t, place := streamType(l, number)
	if t == nil || d.streams == maxStates {
		return nil
	}
	if c.streams == nil {
		c.streams = map[uint16]*stream{}
	}
	st := &stream{typ: t, layout: l, place: place}
	c.streams[number] = st
	d.streams++
	return st
}

// streamType returns the type of a stream of a method, and its place, nil if unknown. 0 is the
// result.
func streamType(l *layout.Method, number uint16) (t *layout.Type, place string) {
	if l == nil {
		return nil, ""
	}
	list, what, n := l.Results, "result", 1
	if number > 0 {
		list, what, n = l.Params, "parameter", int(number)
	}
	for i, t := range list {
		if t.Kind == layout.Stream || t.Kind == layout.Reader {
			if n--; n == 0 {
				return t, fmt.Sprintf("%s %d", what, i+1)
			}
		}
	}
	return nil, ""
}

// items describes the bytes of a stream. A frame may have thousands of short items: they are all
// counted, and the first ones shown.
func (d *Decoder) items(e *Event, c *call, number uint16, b []byte) {
	st := d.streamOf(c, number)
	total := len(b)
	switch {
	case st == nil:
		e.add("", "%s", plural.Of(total, "byte"))
		return
	case st.over || c.over:
		e.add("", "%s after its end, ignored", plural.Of(total, "byte"))
		return
	case st.typ.Kind == layout.Reader:
		e.Layout, e.Items = st.layout, [][]byte{b}
		e.add("", "%s", plural.Of(total, "byte"))
		if secret, ok := d.shows(c.method, st.layout); ok && len(secretsAt(secret, st.place)) == 0 {
			e.add("", "%s", quote(string(b), d.opts.maxValue()))
		}
		return
	}
	var shown strings.Builder
	n := 0
	for len(b) > 0 {
		item, rest, ok := d.item(st, b)
		if b = rest; !ok {
			continue
		}
		n++
		e.Layout, e.Items = st.layout, append(e.Items, item)
		if text := d.itemText(c, st, item); text != "" && shown.Len() < d.opts.maxValue() {
			shown.WriteString(" " + text)
		} else if text != "" && !strings.HasSuffix(shown.String(), "...") {
			shown.WriteString(" ...")
		}
	}
	text := plural.Of(n, "item")
	if st.inItem {
		text += fmt.Sprintf(" and %d/%d of another", st.item.got, st.item.total)
	}
	e.add("", "%s, %s%s", text, plural.Of(total, "byte"), shown.String())
}

// item takes the bytes of one item, or a part of it, from the front of b. ok is false for a
// part. An item that was too long to keep is nil.
func (d *Decoder) item(st *stream, b []byte) (item, rest []byte, ok bool) {
	if !st.inItem {
		size, ok := wire.ReadItemHeader(b)
		if !ok {
			return nil, nil, false // a violation; the bytes are of no use
		}
		b = b[wire.ItemHeader:]
		st.inItem, st.item = true, message{total: size}
		if size <= uint64(len(b)) { // the usual case, without a copy
			st.inItem = false
			return b[:size:size], b[size:], true
		}
	}
	// A part of an item: it is collected like a message in chunks, within the same limits.
	n := min(st.item.total-st.item.got, uint64(len(b)))
	d.grow(&st.item, b[:n])
	if st.item.got < st.item.total {
		return nil, b[n:], false
	}
	item = st.item.body
	d.release(&st.item)
	st.inItem = false
	return item, b[n:], true
}
