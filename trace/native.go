package trace

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/bsrpc/bsrpc/internal/plural"
	"github.com/bsrpc/bsrpc/internal/wire"
	"github.com/bsrpc/bsrpc/layout"
)

// frameHead is the length of the part that all native frames share.
const frameHead = 16

// native describes a frame of the native wire other than INIT.
//
// It checks nothing beyond the header: the ends of the connection decide what is a violation,
// and the trace shows what was sent, and the CLOSE of the other end.
func (d *Decoder) native(s *side, e *Event) {
	var f wire.Frame
	b := s.buf
	if wire.Type(b[4]) == wire.Auth { // valid only behind INIT, so not a frame as others
		e.Frame = wire.Auth.String()
		e.auth(b, d.opts.maxValue())
		return
	}
	n, err := wire.ReadHeader(b, &f)
	if err != nil {
		// The size is valid, so the next frame can still be found.
		e.Frame = strings.ReplaceAll(wire.Type(b[4]).String(), " ", "-")
		e.Call, e.Caller = binary.LittleEndian.Uint64(b[8:]), s.from
		e.from, e.to = frameHead, len(b)
		e.add("", "malformed: %s", quote(err.Error(), maxMessage))
		return
	}
	e.Frame = f.Type.String()
	body := b[n:]
	switch f.Type {
	case wire.Request, wire.RequestChunk, wire.Cancel:
		d.asked(s, e, &f, body)
	case wire.Bind:
		e.Call, e.Caller = f.ID, s.from
		d.bindRequest(s, e, &f, body)
	case wire.Response, wire.ResponseChunk, wire.Error, wire.Position:
		d.answered(s, e, &f, body)
	case wire.Items, wire.End, wire.Credit, wire.Stop:
		d.streamFrame(s, e, &f, body)
	default:
		e.control(&f, body)
	}
	if f.Meta != nil {
		d.metadata(e, &f, n)
	}
}

// control describes a frame of the connection. Those without details, such as ADMITTED, have
// nothing behind the columns.
func (e *Event) control(f *wire.Frame, body []byte) {
	switch f.Type {
	case wire.Close:
		e.failure(f, body)
	case wire.Ping, wire.Pong:
		if f.ID != 0 {
			e.add("id", "%d", f.ID)
		}
	case wire.Waiting:
		e.add("position", "%d", f.ID)
	}
}

// failure describes the body of an ERROR or CLOSE. The code is in the header, and so is known
// where the body is malformed.
func (e *Event) failure(f *wire.Frame, body []byte) {
	r, err := wire.ReadFailure(body)
	e.Failure = &Failure{f.Arg, r.Name, r.Message, r.LogID, f.Flags&wire.NotRun != 0, f.Flags&wire.Expired != 0}
	if err != nil {
		e.add("", "malformed")
	}
}

// asked describes a frame of the caller of a call: REQUEST, a chunk of it, or CANCEL. Their ids
// are those of the calls of the sender.
func (d *Decoder) asked(s *side, e *Event, f *wire.Frame, body []byte) {
	e.Call, e.Caller = f.ID, s.from
	c := s.calls[f.ID]
	if f.Type == wire.Request {
		c = d.open(s, f.ID)
		d.callee(s, e, c, f)
		if f.Timeout != 0 {
			e.add("left", "%s", left(f.Timeout))
		}
	}
	if c != nil && c.method != nil {
		e.Method = c.method.name
	}
	if f.Type == wire.Cancel {
		if c != nil {
			d.release(&c.request)
			d.addAfter(e, c)
		}
		return
	}
	var m *message
	if c != nil {
		m = &c.request
	}
	e.mask(d, body)
	if whole, ok := d.chunk(e, m, f, body); ok {
		d.values(e, c, whole, false)
	}
}

// callee finds the method of a REQUEST, or the func among the arguments of a call. A number that
// was not bound within the conversation is shown as it is.
func (d *Decoder) callee(s *side, e *Event, c *call, f *wire.Frame) {
	if f.Flags&wire.Callback == 0 {
		if c.method = s.methods[f.Arg]; c.method == nil {
			e.add("number", "%d", f.Arg)
		}
		return
	}
	// The receiver has made the call with the func.
	outer := d.sides[s.from.other()].calls[f.Call]
	e.add("func", "%d of %s", f.Arg, callName(s.from.other(), f.Call))
	if outer == nil || outer.method == nil {
		return
	}
	c.method = outer.method.funcOf(int(f.Arg))
}

// funcOf returns the n-th func among the parameters of m, counted from 1. Without the layout of m
// it has a name alone.
func (m *method) funcOf(n int) *method {
	f := &method{name: fmt.Sprintf("%s(func %d)", m.name, n)}
	if m.args == nil {
		return f
	}
	for i, t := range m.args.Params {
		if t.Kind != layout.Func {
			continue
		}
		if n--; n == 0 {
			f.outer, f.place = m, fmt.Sprintf("parameter %d", i+1)
			f.args = &layout.Method{Params: t.Func.Params, Results: t.Func.Results}
			f.results = f.args
			break
		}
	}
	return f
}

// answered describes a frame of the end that runs a call. Only a complete answer ends the call:
// an ERROR, or the last chunk of a RESPONSE.
func (d *Decoder) answered(s *side, e *Event, f *wire.Frame, body []byte) {
	o := &d.sides[s.from.other()]
	e.Call, e.Caller = f.ID, o.from
	c := o.calls[f.ID]
	if c != nil && c.method != nil {
		e.Method = c.method.name
	}
	switch f.Type {
	case wire.Position:
		if group, at, err := wire.ReadPosition(body); err == nil {
			e.add("group", "%s", word(group, d.opts.maxValue()))
			e.add("position", "%d", at)
		} else {
			e.add("", "malformed")
		}
		return
	case wire.Error:
		e.failure(f, body)
		d.addAfter(e, c)
		if c != nil {
			d.answer(o, c, false)
		}
		return
	}
	var m *message
	if c != nil {
		m = &c.response
	}
	whole, ok := d.chunk(e, m, f, body)
	e.mask(d, body)
	switch {
	case !ok:
	case c == nil:
		d.values(e, nil, whole, true)
	case c.isBind:
		e.from, e.to = 0, 0
		e.Complete = true
		d.addAfter(e, c)
		d.bound(o, e, c, whole)
		d.answer(o, c, false)
	default:
		d.addAfter(e, c)
		d.values(e, c, whole, true)
		d.answer(o, c, c.method.mayStream())
	}
}

// addAfter adds the time since the request, as it has passed at the place of the trace.
func (d *Decoder) addAfter(e *Event, c *call) {
	if c != nil {
		e.add("after", "%v", d.now.Sub(c.began).Round(time.Microsecond))
	}
}

// chunk describes which part of a message a frame is, and adds it to m. At the end of the
// message it returns all bytes, or nil if they were too many to keep, and true. m is nil if the
// beginning of the message is unknown.
func (d *Decoder) chunk(e *Event, m *message, f *wire.Frame, body []byte) (whole []byte, ok bool) {
	isChunk := f.Type == wire.RequestChunk || f.Type == wire.ResponseChunk
	switch {
	case !isChunk && f.Flags&wire.Chunked == 0:
		e.add("", "%s", plural.Of(len(body), "byte"))
		return body, true
	case m == nil || isChunk && m.total == 0:
		e.add("", "%s of a message that is over, or whose beginning was not seen", plural.Of(len(body), "byte"))
		return nil, false
	case !isChunk:
		d.release(m)
		*m = message{total: f.Total}
	}
	d.grow(m, body)
	e.add("chunk", "%d/%d", m.got, m.total)
	if m.got < m.total {
		return nil, false
	}
	if m.got > m.total {
		e.add("", "beyond its total")
	}
	// The bytes are the caller's from here, and no longer count. A chunk behind the last one is
	// shown as one without a beginning.
	whole = m.body
	d.release(m)
	m.total = 0
	return whole, true
}

// mask hides the bytes of values in the hex dump, unless all are shown. They are at the end of
// the frame.
func (e *Event) mask(d *Decoder, body []byte) {
	if !d.opts.ShowValues {
		e.from, e.to = int(e.Size)-len(body), int(e.Size)
	}
}

// metadata describes the metadata of a frame whose header has n bytes. Its keys are shown, and
// its values only with ShowValues: Options.Secret lists places in arguments and results, and
// metadata may have tokens of other systems.
func (d *Decoder) metadata(e *Event, f *wire.Frame, n int) {
	if !d.opts.ShowValues {
		e.from = n - len(f.Meta)
		e.to = max(e.to, n)
	}
	var entries, identities []byte
	if f.Type == wire.Request {
		m, err := wire.ReadRequestMetadata(f.Meta)
		if err != nil {
			e.add("metadata", "malformed: %s", quote(err.Error(), maxMessage))
			return
		}
		if m.Positions {
			e.add("", "wants-positions")
		}
		if len(m.HeldGroups) > 0 {
			e.add("", "holds %s", plural.Of(len(m.HeldGroups), "group"))
		}
		entries = m.Entries
	} else {
		m, err := wire.ReadReplyMetadata(f.Type, f.Meta)
		if err != nil {
			e.add("metadata", "malformed: %s", quote(err.Error(), maxMessage))
			return
		}
		entries, identities = m.Entries, m.Identities
	}
	for key, value := range wire.Entries(string(entries)) {
		if e.Metadata == nil {
			e.Metadata = map[string]string{}
		}
		e.Metadata[key] = value
		if d.opts.ShowValues {
			e.add("metadata."+key, "%s", quote(value, d.opts.maxValue()))
		} else {
			e.add("metadata."+key, "%s", plural.Of(len(value), "byte"))
		}
	}
	e.identities(identities)
}

// identities adds the names of the identities in b, which is valid. Their fields are not shown:
// the layouts of errors are not in a BIND.
func (e *Event) identities(b []byte) {
	ids, _ := wire.ReadIdentities(b)
	var names []string
	for _, id := range ids {
		names = append(names, word(id.Name, maxName))
	}
	if len(names) > 0 {
		e.add("identities", "%s", strings.Join(names, ","))
	}
}
