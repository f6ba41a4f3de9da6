package main

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"strconv"
	"strings"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/introspect"
	"github.com/bsrpc/bsrpc/layout"
	"github.com/bsrpc/bsrpc/trace"
)

// A description is what a server says about its methods, as far as a trace needs it.
type description struct {
	methods  map[string]*method
	layouts  []*layout.Method
	secrets  map[string][]string       // by method
	commands map[uint16]*layout.Method // by the id= of the basic wire
}

func newDescription() *description {
	return &description{methods: map[string]*method{}, secrets: map[string][]string{}, commands: map[uint16]*layout.Method{}}
}

// describeMethod is the method that lists all others.
const describeMethod = introspect.Service + ".Methods"

// add adds a method. A server has one layout of each.
func (d *description) add(m *method) {
	d.methods[m.Name], d.secrets[m.Name] = m, m.Secrets
	d.layouts = append(d.layouts, m.layout)
	for _, word := range m.Options {
		if id, ok := strings.CutPrefix(word, "id="); ok {
			if n, err := strconv.ParseUint(id, 10, 16); err == nil {
				d.commands[uint16(n)] = m.layout
			}
		}
	}
}

// describeOver asks a server about its methods. It asks by name, so that its conversation has the
// layout of the answer, and is complete in a recording.
func (t *target) describeOver(ctx context.Context, client *bsrpc.Client) (*description, error) {
	s := &server{client, t, &contract{
		Methods: func(ctx context.Context, service string) iter.Seq2[introspect.Method, error] {
			var list iter.Seq2[introspect.Method, error]
			if err := client.Call(ctx, describeMethod, []any{service}, &list); err != nil {
				return func(yield func(introspect.Method, error) bool) { yield(introspect.Method{}, err) }
			}
			return list
		},
	}}
	methods, err := s.methods(ctx, "")
	if err != nil {
		return nil, err
	}
	d := newDescription()
	for _, m := range methods {
		d.add(m)
	}
	return d, nil
}

// hasNone reports whether an error says that the server never describes its methods.
func hasNone(err error) bool {
	var e *bsrpc.Error
	return failureOf(err).Exit == exitMismatch || errors.As(err, &e) && e.Code == bsrpc.CodeUnimplemented
}

// ownConn is the number of the conversations of the tap itself in a recording: those in which it
// has asked the server about its methods.
const ownConn = 0

// A describer reads the description of a server from the conversations of a recording.
type describer struct {
	decoder *trace.Decoder
	ended   [2]bool
	size    int
	next    *description // of an answer that is not complete
	found   *description // the newest complete one; nil without one
}

// feed reads a piece of the conversations of the tap itself.
func (r *describer) feed(p *trace.Piece) {
	if r.decoder == nil || r.ended[0] && r.ended[1] {
		r.decoder = trace.NewDecoder(nil, r.event)
		r.ended, r.next, r.size = [2]bool{}, newDescription(), 0
	}
	r.decoder.Feed(p)
	if p.End != "" {
		r.ended[p.From] = true
	}
}

// event reads the methods in the items of an answer. What is not valid is left out: its values are
// hidden then.
func (r *describer) event(e *trace.Event) {
	switch {
	case e.Method != describeMethod || e.From != trace.FromServer || e.Stream != 0:
	case e.Frame == "END" && e.Failure == nil:
		r.found = r.next
	case len(e.Items) > 0 && e.Layout.Results[0].Kind == layout.Stream:
		for _, item := range e.Items {
			r.add(item, e.Layout.Results[0].Elem)
		}
	}
}

// add adds the method in an item.
func (r *describer) add(item []byte, l *layout.Type) {
	if r.size += len(item); r.size > maxDescription || len(r.next.layouts) == maxMethods {
		return
	}
	text, err := layout.AppendJSON(nil, l, item)
	var about introspect.Method
	if err == nil {
		err = json.Unmarshal(text, &about)
	}
	if err != nil {
		return
	}
	if m, err := checked(about); err == nil {
		r.next.add(m)
	}
}
