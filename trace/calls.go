package trace

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bsrpc/bsrpc/internal/wire"
	"github.com/bsrpc/bsrpc/layout"
)

// A method is a number bound by one end, or a func among the arguments of a call. args is the
// layout of its arguments as the caller writes them, and results that of its results as the
// other end does; nil if unknown.
type method struct {
	name          string
	args, results *layout.Method

	outer *method // of a func: the method of the call that has it, and its place there
	place string
}

// A call is an open call, or one that has been answered and may have a result stream.
type call struct {
	id       uint64
	method   *method // nil if unknown
	began    time.Time
	request  message
	response message
	answered bool
	over     bool // neither is a stream open

	isBind    bool
	bindFlags wire.Flags

	hasStream bool               // frames of its result stream have been seen
	streams   map[uint16]*stream // of a known layout
}

// A message is a chunked message on its way. Its total is the sender's word, so memory follows
// the bytes that have come.
type message struct {
	total, got uint64
	body       []byte // of the bytes so far; nil if they are too many to keep
	dropped    bool
}

// hashOf returns the hash of a method's layout, as specified in docs/protocol.md.
func hashOf(text string) [wire.HashSize]byte {
	return sha256.Sum256([]byte("bsrpc method 1\n" + text))
}

// open adds a call made by s. Without room it forgets another one, whose frames then have no
// method.
func (d *Decoder) open(s *side, id uint64) *call {
	if old := s.calls[id]; old != nil {
		d.forget(s, old)
	}
	// Maps begin a range anywhere, so a flood forgets its own calls sooner than others.
	if len(s.calls) >= maxOpen+maxRecent {
		for _, old := range s.calls {
			d.forget(s, old)
			break
		}
	}
	c := &call{id: id, began: d.now}
	s.calls[id] = c
	return c
}

// drop frees the messages of a call. Chunks that follow are counted only.
func (d *Decoder) drop(c *call) {
	for _, m := range [...]*message{&c.request, &c.response} {
		d.release(m)
		m.dropped = true
	}
}

// forget removes a call and what is kept for it.
func (d *Decoder) forget(s *side, c *call) {
	d.drop(c)
	for _, st := range c.streams {
		d.release(&st.item)
		d.streams--
	}
	c.streams = nil
	if s.calls[c.id] == c {
		delete(s.calls, c.id)
	}
}

// answer ends a call after its last frame, or after a RESPONSE that may begin a stream. It is
// kept for a while, as frames may be late, and without its layout nothing tells whether a
// stream follows.
func (d *Decoder) answer(s *side, c *call, mayStream bool) {
	c.answered, c.over = true, c.over || !mayStream
	d.drop(c)
	// A call in the ring that has turned out to have a stream stays until its END.
	if old := s.calls[s.recent[s.next]]; old != nil && old.answered && (old.over || !old.hasStream) {
		d.forget(s, old)
	}
	s.recent[s.next] = c.id
	s.next = (s.next + 1) % len(s.recent)
}

// mayStream reports whether the method may have a result stream. Calls of an unknown layout
// may.
func (m *method) mayStream() bool {
	if m == nil || m.results == nil {
		return true
	}
	for _, t := range m.results.Results {
		if t.Kind == layout.Stream || t.Kind == layout.Reader {
			return true
		}
	}
	return false
}

// addOpen adds the calls made by s that have no answer to the event of an end. Whether they ran
// is unknown to their callers, and often the question that a trace shall answer.
func (d *Decoder) addOpen(e *Event, s *side) {
	var names []string
	n := 0
	for _, c := range s.calls {
		if c.answered {
			continue
		}
		if n++; len(names) < 4 {
			names = append(names, strings.TrimSpace(callName(s.from, c.id)+" "+c.name()))
		}
	}
	if n == 0 {
		return
	}
	slices.Sort(names) // few are sorted; of many any few are shown
	more := ""
	if n > len(names) {
		more = fmt.Sprintf(" and %d more", n-len(names))
	}
	e.add("", "without an answer: %s%s", strings.Join(names, ", "), more)
}

// name returns the name of the method, or what else c is.
func (c *call) name() string {
	switch {
	case c.isBind:
		return wire.Bind.String()
	case c.method != nil:
		return c.method.name
	}
	return ""
}

// grow adds the bytes of a chunk to m, within the limits.
func (d *Decoder) grow(m *message, b []byte) {
	m.got += uint64(len(b))
	switch {
	case m.dropped:
	case len(m.body)+len(b) > maxBody || d.kept+len(b) > maxKept:
		d.release(m)
		m.dropped = true
	default:
		m.body = append(m.body, b...)
		d.kept += len(b)
	}
}

// release frees what is kept of m.
func (d *Decoder) release(m *message) {
	d.kept -= len(m.body)
	m.body = nil
}
