package trace

import (
	"time"

	"github.com/bsrpc/bsrpc/internal/plural"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A basicQueue are the unanswered frames of a client of the basic wire, oldest first. Each
// frame has one answer.
type basicQueue struct {
	frames []basicFrame
	lost   bool // there were too many: answers cannot be assigned any more
}

// A basicFrame is a frame that waits for its answer.
type basicFrame struct {
	command int     // -1 for other frames than requests
	method  *method // of Options.Commands, nil without
	began   time.Time
}

// command returns the method of a command, nil if it is unknown.
func (d *Decoder) command(id uint16) *method {
	l := d.opts.Commands[id]
	if l == nil {
		return nil
	}
	return &method{name: l.Service + "." + l.Name, args: l, results: l}
}

// push adds a frame. If a client sends more than maxQueue ahead of the answers, these can no
// longer be assigned, and are shown alone from then on.
func (q *basicQueue) push(f basicFrame) {
	if q.lost = q.lost || len(q.frames) == maxQueue; q.lost {
		q.frames = nil
		return
	}
	q.frames = append(q.frames, f)
}

// pop returns the frame that the next one of the server answers.
func (q *basicQueue) pop() (f basicFrame, ok bool) {
	if len(q.frames) == 0 {
		return f, false
	}
	f = q.frames[0]
	q.frames = q.frames[1:]
	return f, true
}

// basicInit describes an INIT of the basic wire. A native client at a basic server goes on
// with that wire.
func (d *Decoder) basicInit(s *side, e *Event, payload []byte) {
	if s.state = basic; s.from == FromClient {
		if len(payload) >= 3 {
			e.add("basic", "%d.%d.%d", payload[0], payload[1], payload[2])
		}
		d.pending.push(basicFrame{command: -1, began: d.now})
		return
	}
	if e.add("", "basic"); payload[0] == 0 {
		e.add("", "waiting")
	} else {
		e.add("", "admitted")
	}
	d.pending.pop()
	d.bothBasic()
}

// bothBasic makes both directions basic. The server has the last word: a native client has begun
// with a frame that a basic server understands, too.
func (d *Decoder) bothBasic() {
	for i := range d.sides {
		if s := &d.sides[i]; s.state == native {
			s.state = basic
		}
	}
}

// basic describes a frame of the basic wire other than INIT. Its requests have the number of a
// command, which is an id= tag of a contract; names are not on this wire, but may be in Options.
func (d *Decoder) basic(s *side, e *Event) {
	payload := s.buf[wire.BasicHeaderSize:]
	whole := e.Size == int64(len(s.buf))
	t := wire.Type(s.buf[4])
	if s.from == FromServer {
		d.basicAnswer(s, e, t, payload, whole)
		return
	}
	f := basicFrame{command: -1, began: d.now}
	if e.Frame = t.String(); t == wire.BasicRequest {
		e.Frame = wire.Request.String()
		if id, args, ok := wire.ReadCommand(payload); ok {
			f.command, f.method = int(id), d.command(id)
			e.add("command", "%d", id)
			d.basicValues(s, e, f.method, args, whole)
		}
	}
	d.pending.push(f)
}

// basicAnswer describes an answer of a basic server. Answers have no ids: each belongs to the
// oldest unanswered frame.
func (d *Decoder) basicAnswer(s *side, e *Event, t wire.Type, payload []byte, whole bool) {
	d.bothBasic()
	f, ok := d.pending.pop()
	e.Frame = t.String()
	switch {
	case t == wire.Exception:
		name, text, err := wire.ReadException(payload)
		if err != nil && whole {
			e.add("", "malformed")
		}
		e.Failure = &Failure{Name: name, Message: text}
	case t == wire.BasicResponse:
		e.Frame = wire.Response.String()
	}
	if f.method != nil {
		e.Method = f.method.name
	}
	if ok && f.command >= 0 {
		e.add("command", "%d", f.command)
	}
	if ok {
		e.add("after", "%v", d.now.Sub(f.began).Round(time.Microsecond))
	}
	if t != wire.Exception {
		d.basicValues(s, e, f.method, payload, whole)
	}
}

// basicValues describes arguments or results of a method, nil if it is unknown. Values too long to
// keep are hex, with ShowValues.
func (d *Decoder) basicValues(s *side, e *Event, m *method, body []byte, whole bool) {
	n := e.Size - int64(len(s.buf)-len(body))
	if e.add("", "%s", plural.Of(n, "byte")); !d.opts.ShowValues {
		e.from, e.to = len(s.buf)-len(body), len(s.buf)
	}
	if m != nil {
		e.Method = m.name
	}
	switch {
	case whole:
		d.values(e, &call{method: m}, body, s.from == FromServer)
	case d.opts.ShowValues && len(body) > 0:
		e.add("", "%s", hexOf(body, d.opts.maxValue()/2))
	}
	e.Complete = true
}
