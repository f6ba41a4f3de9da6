package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/spf13/cobra"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/layout"
)

// A replay makes the calls of a recording again. A call is sent when those are over that were over
// in the recording: the order is that of the recording, and its speed that of the server. Each
// connection of the recording is one of the replay.
type replay struct {
	*tap
	cmd     *cobra.Command
	target  *description
	clients map[uint32]*server
	open    map[*recordedCall]*liveCall
	counts  map[verdict]int
	skip    []ignored
}

// A verdict is what has come of a call.
type verdict string

const (
	sameResult verdict = "same"
	different  verdict = "different"
	skipped    verdict = "skipped"
)

// A liveCall is a recorded call that is made again.
type liveCall struct {
	*recordedCall
	method  *method
	cancel  context.CancelFunc
	done    chan struct{}     // closed when what follows is set
	results []json.RawMessage // nil at the place of a stream
	items   []json.RawMessage
	bytes   []byte // of a reader
	err     error  // of the call, or of its result stream
}

// replayFile replays a recording.
func (p *tap) replayFile(cmd *cobra.Command) error {
	f, err := os.Open(p.replay)
	if err != nil {
		return usage("--replay: %v", err)
	}
	defer f.Close()
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	skip, err := parseIgnored(p.ignore)
	if err != nil {
		return err
	}
	r := &replay{tap: p, skip: skip, cmd: cmd, clients: map[uint32]*server{}, open: map[*recordedCall]*liveCall{}, counts: map[verdict]int{}}
	defer func() {
		for _, s := range r.clients {
			s.Close()
		}
	}()
	if err := r.describe(ctx); err != nil {
		return err
	}
	s, err := r.readScript(ctx, f)
	if err = p.cutOff(cmd, p.replay, err); err != nil {
		return err
	}
	if s.calls == 0 && len(r.methods) > 0 {
		return r.methods.unmatched(r.replay, s.called)
	}
	if err := r.checkIgnored(s); err != nil {
		return err
	}
	for _, step := range s.steps {
		if err := r.step(ctx, step); err != nil {
			return err
		}
	}
	for _, step := range s.steps { // those without an answer, in their order
		if c := r.open[step.call]; c != nil {
			if err := r.finish(c); err != nil {
				return err
			}
		}
	}
	return r.summary()
}

// describe asks the target about its methods.
func (r *replay) describe(ctx context.Context) error {
	s, err := r.connect(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	methods, err := s.methods(ctx, "")
	if err != nil {
		return err
	}
	r.target = newDescription()
	for _, m := range methods {
		r.target.add(m)
	}
	return nil
}

// summary prints the numbers of calls, and returns the error of the command.
func (r *replay) summary() error {
	same, other, left := r.counts[sameResult], r.counts[different], r.counts[skipped]
	all := same + other + left
	text := fmt.Sprintf("%s: %d the same, %d different, %d skipped", count(all, "call"), same, other, left)
	err := r.printLine(r.cmd.OutOrStdout(), map[string]int{"calls": all, "same": same, "different": other, "skipped": left}, text)
	switch {
	case err != nil:
		return err
	case other > 0:
		verb := "differ"
		if other == 1 {
			verb = "differs"
		}
		return &failure{Exit: exitApplication, Message: fmt.Sprintf("%d of %s %s from %s", other, count(all, "call"), verb, r.replay)}
	case same == 0:
		text := r.replay + " has no call that can be made again"
		if len(r.methods) > 0 {
			text += " and matches " + r.methods.String()
		}
		return usage("%s", text)
	}
	return nil
}

// step makes the next call, or waits for one.
func (r *replay) step(ctx context.Context, s step) error {
	c := r.open[s.call]
	switch {
	case s.kind == stepCall:
		return r.call(ctx, s.call)
	case c == nil: // skipped
		return nil
	case s.kind == stepCancel:
		if c.method.resultStream() < 0 {
			c.cancel() // a stream is left after the last recorded item
		}
		return nil
	}
	return r.finish(c)
}

// call begins a call, or skips it.
func (r *replay) call(ctx context.Context, rec *recordedCall) error {
	args, why, v := r.arguments(rec)
	if why != "" {
		return r.report(rec, v, why, nil)
	}
	s := r.clients[rec.conn]
	if s == nil {
		var err error
		if s, err = r.connect(ctx); err != nil {
			return err
		}
		r.clients[rec.conn] = s
	}
	c := &liveCall{recordedCall: rec, method: r.target.methods[rec.method], done: make(chan struct{})}
	ctx, c.cancel = r.limit(bsrpc.WithMetadata(ctx, rec.metadata), false)
	if rec.expired() && rec.left > 0 { // its time was over, so it is again
		limited, cancel := context.WithTimeout(ctx, rec.left)
		ctx, c.cancel = limited, joined(cancel, c.cancel)
	}
	r.open[rec] = c
	go c.run(ctx, s, args)
	return nil
}

// expired reports whether the time of the call was over.
func (c *recordedCall) expired() bool {
	return c.failure != nil && c.failure.Expired || c.out.failure != nil && c.out.failure.Expired
}

// joined returns a func that calls both.
func joined(a, b context.CancelFunc) context.CancelFunc { return func() { a(); b() } }

// arguments returns the recorded arguments for the target, or why they cannot be sent: because of
// the recording, which skips the call, or of a target that is different.
func (r *replay) arguments(c *recordedCall) (args []any, why string, v verdict) {
	m := r.target.methods[c.method]
	switch {
	case c.method == "":
		return nil, "its method is unknown: the recording has no BIND of it", skipped
	case m == nil:
		return nil, "the server has no such method", different
	case c.params == nil:
		return nil, "the layout of its arguments is unknown: the recording has no description of the server", skipped
	case c.args == nil:
		return nil, "its arguments are not complete, or above 1 MiB", skipped
	}
	if args, why = c.values(); why != "" {
		return nil, why, skipped
	}
	for len(args) < len(m.layout.Params) && len(args) >= len(m.layout.Params)-m.layout.OptionalParams {
		v, err := zero(m.layout.Params[len(args)])
		if err != nil {
			break
		}
		args = append(args, v)
	}
	if len(args) != len(m.layout.Params) {
		return nil, fmt.Sprintf("it has %d arguments, and %s of the server %d", len(args), m.Name, len(m.layout.Params)), different
	}
	return args, "", ""
}

// values returns the recorded arguments, or why they are none.
func (c *recordedCall) values() (args []any, why string) {
	body, n := c.args, uint16(0)
	for i, l := range c.params.Params {
		var err error
		var text []byte
		switch l.Kind {
		case layout.Func:
			if len(body) == 0 || body[0] != 0 {
				return nil, fmt.Sprintf("parameter %d is a func of the recorded program", i+1)
			}
			args, body = append(args, nil), body[1:]
			continue
		case layout.Stream, layout.Reader:
			n++
			v, ok := c.stream(n).value(l)
			if !ok {
				return nil, fmt.Sprintf("parameter %d has an item that is above 1 MiB, or not valid", i+1)
			}
			args = append(args, v)
			continue
		}
		if text, body, err = (layout.JSON{MaxSize: -1}).Decode(nil, l, body); err != nil {
			return nil, fmt.Sprintf("parameter %d is not valid", i+1)
		}
		args = append(args, json.RawMessage(text))
	}
	return args, ""
}

// value returns a recorded stream as an argument.
func (st *recordedStream) value(l *layout.Type) (any, bool) {
	if l.Kind == layout.Reader {
		return bytes.NewReader(bytes.Join(st.items, nil)), true
	}
	items, ok := st.json(l.Elem)
	return iter.Seq2[json.RawMessage, error](func(yield func(json.RawMessage, error) bool) {
		for _, item := range items {
			if !yield(item, nil) {
				return
			}
		}
	}), ok
}

// json returns the items of a stream as JSON.
func (st *recordedStream) json(l *layout.Type) (items []json.RawMessage, ok bool) {
	for _, data := range st.items {
		text, err := layout.JSON{MaxSize: -1}.Append(nil, l, data)
		if data == nil || err != nil {
			return nil, false
		}
		items = append(items, text)
	}
	return items, true
}

// run makes the call, and reads its result stream.
func (c *liveCall) run(ctx context.Context, s *server, args []any) {
	defer close(c.done)
	results := c.method.results()
	if c.err = s.Call(ctx, c.recordedCall.method, args, results...); c.err != nil {
		return
	}
	for _, r := range results {
		var text json.RawMessage
		switch r := r.(type) {
		case *json.RawMessage:
			text = *r
		case *iter.Seq2[json.RawMessage, error]:
			c.readItems(*r)
		case *io.ReadCloser:
			c.readBytes(*r)
		}
		c.results = append(c.results, text)
	}
}

// leaves reports whether the client has left the result stream, or the recording ends before it.
// The replay leaves it at the same item.
func (c *recordedCall) leaves() bool { return c.canceled || !c.out.ended }

// readItems reads the items that were recorded, and one more: more items are different already.
func (c *liveCall) readItems(list iter.Seq2[json.RawMessage, error]) {
	n := len(c.out.items)
	if !c.leaves() {
		n++
	}
	if n == 0 || list == nil {
		return
	}
	for item, err := range list {
		if c.err = err; err != nil {
			return
		}
		if c.items = append(c.items, bytes.Clone(item)); len(c.items) == n {
			return
		}
	}
}

// readBytes is readItems for a reader.
func (c *liveCall) readBytes(r io.ReadCloser) {
	if r == nil {
		return
	}
	defer r.Close()
	n := len(bytes.Join(c.out.items, nil))
	if !c.leaves() {
		n++
	}
	data, err := io.ReadAll(io.LimitReader(r, int64(n)))
	c.bytes, c.err = data, err
}

// resultStream returns the place of the result stream, -1 without one.
func (m *method) resultStream() int { return streamOf(m.layout.Results) }

// finish waits for the end of a call, and compares it with the recording.
func (r *replay) finish(c *liveCall) error {
	delete(r.open, c.recordedCall)
	defer c.cancel()
	streams := c.method.resultStream() >= 0
	if !c.over && (!streams || !c.answered) {
		c.cancel()
		<-c.done
		return r.report(c.recordedCall, skipped, "the recording has no answer to it", nil)
	}
	<-c.done
	switch {
	case c.err != nil && isLoss(c.err) && !c.canceled:
		f := failureOf(c.err)
		f.Message = fmt.Sprintf("%s %s: %s", connName(c.conn), c.name, f.Message)
		return f
	case c.canceled && !streams:
		return r.report(c.recordedCall, skipped, "the client has canceled it", nil)
	}
	list, why := r.compare(c)
	switch {
	case why != "":
		return r.report(c.recordedCall, skipped, why, nil)
	case len(list) > 0:
		return r.report(c.recordedCall, different, "", list)
	}
	return r.report(c.recordedCall, sameResult, "", nil)
}

// report prints what has come of a call. Those with the same result are lines of JSON only.
func (r *replay) report(c *recordedCall, v verdict, why string, list []change) error {
	r.counts[v]++
	out, name := r.cmd.OutOrStdout(), clean(c.method, maxWord)
	if r.json {
		line := map[string]any{"conn": c.conn, "call": c.name, "method": c.method, "verdict": v}
		if why != "" {
			line["why"] = why
		}
		if len(list) > 0 {
			line["changes"] = list
		}
		return writeJSON(out, line)
	}
	if v == sameResult {
		return nil
	}
	head := fmt.Sprintf("%s %s %s: %s", connName(c.conn), c.name, name, v)
	if why != "" {
		head += ", " + why
	}
	if _, err := fmt.Fprintln(out, head); err != nil {
		return err
	}
	for _, ch := range list {
		if err := (marker{out, coloured(out)}).line("    ", ch.text("")); err != nil {
			return err
		}
	}
	return nil
}
