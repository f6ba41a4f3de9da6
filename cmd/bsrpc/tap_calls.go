package main

import (
	"bytes"
	"context"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/bsrpc/bsrpc/introspect"
	"github.com/bsrpc/bsrpc/layout"
	"github.com/bsrpc/bsrpc/trace"
)

// maxReplay limits the bytes of the arguments and results of a recording that is replayed, and
// maxReplayCalls its calls.
const (
	maxReplay      = 256 << 20
	maxReplayCalls = 1 << 20
)

// A recordedStream is a stream of a call, as far as it was recorded.
type recordedStream struct {
	items   [][]byte // of a reader its bytes in pieces
	ended   bool
	failure *trace.Failure
	missing bool // an item was too long to keep
}

// A recordedCall is a call of a client in a recording.
type recordedCall struct {
	conn   uint32
	name   string // in lines: "c2.0"
	method string
	about  *method // as the recorded server has described it; nil without

	params   *layout.Method // the layout of the arguments, nil if unknown
	args     []byte         // nil if they were too long to keep, or are not complete
	streams  map[uint16]*recordedStream
	metadata map[string]string
	left     time.Duration // that the client has given; 0 for no limit

	results  *layout.Method // the layout of the results, nil if unknown
	answer   []byte         // as args
	answered bool
	failure  *trace.Failure
	out      recordedStream // the result stream
	canceled bool
	over     bool
}

// A step is what the client or the server did, in the order of the recording.
type step struct {
	call *recordedCall
	kind stepKind
}

type stepKind int

const (
	stepCall   stepKind = iota // the client calls
	stepCancel                 // it cancels the call
	stepAnswer                 // the call is over
)

// A script is the calls of a recording.
type script struct {
	steps []step
	calls int
	size  int
	err   error

	methods methodFilter // others are left out
	called  methodSet    // also those that are left out, without those of bsrpc.v1
}

// readScript reads the calls of the clients in a recording. Layouts are those that the recorded
// server has described, or else those of the target. Calls of the service bsrpc.v1 are left out:
// they are about the server that was recorded.
func (r *replay) readScript(ctx context.Context, f io.Reader) (*script, error) {
	s := &script{methods: r.methods, called: methodSet{}}
	err := readRecording(ctx, f, r.replay, func(conn uint32, d *description) func(*trace.Piece) {
		opts := &trace.Options{Layouts: r.target.layouts}
		if d != nil {
			opts.Layouts = slices.Concat(r.target.layouts, d.layouts)
		}
		calls := map[uint64]*recordedCall{}
		return trace.NewDecoder(opts, func(e *trace.Event) { s.event(conn, d, calls, e) }).Feed
	}, func() error { return s.err })
	return s, err
}

// event adds what an event says about a call. The calls of a server, and the funcs of a client,
// are parts of others.
func (s *script) event(conn uint32, d *description, calls map[uint64]*recordedCall, e *trace.Event) {
	if e.Call == 0 || e.Caller != trace.FromClient || strings.HasPrefix(e.Method, introspect.Service+".") {
		return
	}
	if s.called.add(e); !s.methods.matches(e.Method) {
		return
	}
	s.size += len(e.Body)
	for _, item := range e.Items {
		s.size += len(item)
	}
	if s.size > maxReplay || s.calls > maxReplayCalls {
		s.err = usage("the recording has more than %d bytes of arguments and results, or %d calls: too much for a replay", maxReplay, maxReplayCalls)
		return
	}
	if e.Frame == "REQUEST" {
		c := &recordedCall{conn: conn, name: e.CallName(), method: e.Method, metadata: maps.Clone(e.Metadata), streams: map[uint16]*recordedStream{}}
		if d != nil {
			c.about = d.methods[e.Method]
		}
		for _, f := range e.Fields {
			if f.Name == "left" {
				c.left, _ = time.ParseDuration(f.Value) // 0 if it is not the library's
			}
		}
		calls[e.Call] = c
		s.calls++
		s.steps = append(s.steps, step{c, stepCall})
	}
	c := calls[e.Call]
	if c == nil {
		return // BIND, or a call that began before the recording
	}
	if e.From == trace.FromClient {
		c.asks(e)
	} else {
		c.answers(e)
	}
	switch {
	case e.Frame == "CANCEL" && !c.canceled:
		c.canceled = true
		s.steps = append(s.steps, step{c, stepCancel})
	case c.over:
		delete(calls, e.Call)
		s.steps = append(s.steps, step{c, stepAnswer})
	}
}

// asks adds a frame of the client.
func (c *recordedCall) asks(e *trace.Event) {
	switch e.Frame {
	case "REQUEST", "REQUEST_CHUNK":
		if e.Complete {
			c.params, c.args = e.Layout, bytes.Clone(e.Body)
		}
	case "ITEMS":
		c.stream(e.Stream).add(e)
	}
}

// stream returns a stream parameter.
func (c *recordedCall) stream(n uint16) *recordedStream {
	st := c.streams[n]
	if st == nil {
		st = new(recordedStream)
		c.streams[n] = st
	}
	return st
}

// add adds the items of a frame.
func (st *recordedStream) add(e *trace.Event) {
	for _, item := range e.Items {
		st.missing = st.missing || item == nil
		st.items = append(st.items, bytes.Clone(item))
	}
}

// answers adds a frame of the server.
func (c *recordedCall) answers(e *trace.Event) {
	switch e.Frame {
	case "RESPONSE", "RESPONSE_CHUNK":
		if e.Complete && !c.answered {
			c.answered, c.results, c.answer = true, e.Layout, bytes.Clone(e.Body)
			c.over = e.Layout != nil && streamOf(e.Layout.Results) < 0
		}
	case "ERROR":
		c.answered, c.over, c.failure = true, true, e.Failure
	case "ITEMS":
		if e.Stream == 0 {
			c.out.add(e)
		}
	case "END":
		if e.Stream == 0 {
			c.out.ended, c.out.failure, c.over = true, e.Failure, true
		}
	}
}

// streamOf returns the place of the result stream among results, -1 without one.
func streamOf(results []*layout.Type) int {
	for i, l := range results {
		if l.Kind == layout.Stream || l.Kind == layout.Reader {
			return i
		}
	}
	return -1
}
