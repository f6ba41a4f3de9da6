package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/layout"
)

const watchHelp = `watch prints the items of a stream as they come. A method without a stream is
called every --every, and what has changed since is printed, field by field:

  ~  another value    +  a new one    -  one that is gone

If the server goes, watch says so, and connects again; a stream then begins again.
Arguments are those of bsrpc call. The method should change nothing: it is called many times.`

// The gaps between attempts to connect again, and the longest one.
const (
	firstGap = 200 * time.Millisecond
	lastGap  = 5 * time.Second
)

// A watch is one run of the command watch.
type watch struct {
	*target
	cmd        *cobra.Command
	name       string
	words      []string // arguments
	md         bsrpc.Metadata
	every      time.Duration
	count      int // of items or calls that remain; negative for no limit
	showValues bool

	method *method // of the last connection
	last   []json.RawMessage
	failed string    // the error of the last call; "" for none
	asked  time.Time // when the first call without an answer was made; zero if the last one had one
}

func newWatch(t *target) *cobra.Command {
	w := &watch{target: t}
	var metadata []string
	var count int
	cmd := &cobra.Command{
		Use:               "watch [ADDRESS] SERVICE.METHOD [ARGUMENT...]",
		Short:             "the items of a stream, or what changes in the results of a method",
		Long:              watchHelp,
		ValidArgsFunction: t.complete(false, true),
		RunE: func(cmd *cobra.Command, args []string) error {
			args, err := t.split(args)
			switch {
			case err != nil:
				return err
			case len(args) == 0:
				return usage("a method is missing; want: %s", cmd.UseLine())
			case w.every <= 0:
				return usage("--every: want a time above 0, such as 1s")
			case count < 0 || count == 0 && cmd.Flags().Changed("count"):
				return usage("--count: want 1 or more")
			}
			if w.md, err = parseMetadata(metadata); err != nil {
				return err
			}
			w.cmd, w.name, w.words, w.count = cmd, args[0], args[1:], count
			if count == 0 {
				w.count = -1
			}
			return w.run(cmd.Context())
		},
	}
	cmd.Flags().DurationVar(&w.every, "every", time.Second, "`time` between calls of a method without a stream")
	cmd.Flags().IntVar(&count, "count", 0, "end after this `number` of items, or of calls")
	cmd.Flags().StringArrayVar(&metadata, "metadata", nil, "send an entry of metadata, `key=value`; repeat for more")
	cmd.Flags().BoolVar(&w.showValues, "show-values", false, "print what the server tags secret")
	return cmd
}

// run watches until the end, over any number of connections. The first one must succeed: its
// address may be misspelt.
func (w *watch) run(ctx context.Context) error {
	gap := firstGap
	for {
		worked, err := w.connection(ctx)
		switch {
		case ctx.Err() != nil || w.count == 0:
			return w.end(nil) // an interrupt is how a watch ends
		case err == nil:
			return w.end(nil)
		case w.method == nil || !isLoss(err):
			return w.end(err)
		}
		if worked {
			gap = firstGap
			if err := w.say("lost", "the server is gone: "+clean(failureOf(err).Message, maxErrorText)+"; connecting again"); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(gap):
		}
		gap = min(2*gap, lastGap)
	}
}

// end returns the error of the command. A last call that has failed is one, as a call is.
func (w *watch) end(err error) error {
	if err == nil && w.count == 0 && w.failed != "" {
		err = &failure{Exit: exitApplication, Message: "the last call has failed: " + w.failed}
	}
	return err
}

// isLoss reports whether an error is one of the connection, not of the method.
func isLoss(err error) bool {
	return failureOf(err).Exit == exitNetwork && !errors.Is(err, context.DeadlineExceeded)
}

// connection watches over one connection. worked reports whether it has begun.
func (w *watch) connection(ctx context.Context) (worked bool, err error) {
	s, err := w.connect(ctx)
	if err != nil {
		return false, err
	}
	defer s.Close()
	m, err := s.method(ctx, w.name)
	if err != nil {
		return false, err
	}
	if w.method != nil {
		text := "connected again"
		if m.Hash != w.method.Hash {
			text += "; the method has changed: " + clean(m.signature(false), maxLine)
			w.last = nil
		}
		if err := w.say("connected", text); err != nil {
			return true, err
		}
	} else if err := w.readable(m); err != nil {
		return false, err
	}
	w.method = m
	if m.streams() {
		return true, w.stream(ctx, s)
	}
	return true, w.poll(ctx, s)
}

// readable returns an error for a method that cannot be watched with these arguments.
func (w *watch) readable(m *method) error {
	for i, l := range m.layout.Params {
		if l.Kind == layout.Stream || l.Kind == layout.Reader {
			return usage("%s reads a stream; use bsrpc call", m.Name)
		}
		if i < len(w.words) && w.words[i] == "@-" && !wordy(l) {
			return usage("watch calls again, and standard input can be read once; give a file in place of @-")
		}
	}
	if m.returnsReader() {
		return usage("the result of %s is bytes; use bsrpc call", m.Name)
	}
	if m.layout.Oneway || len(m.layout.Results) == 0 {
		return usage("%s has no results to watch", m.Name)
	}
	return nil
}

// call calls the method once, into results of its own.
func (w *watch) call(ctx context.Context, s *server) (*call, []any, error) {
	out := w.cmd.OutOrStdout()
	c := &call{server: s, method: w.method, out: out, values: out, showValues: w.showValues, numbered: s.json}
	values, err := c.args(w.words)
	if err != nil {
		return nil, nil, err
	}
	results := w.method.results()
	return c, results, s.Call(bsrpc.WithMetadata(ctx, w.md), w.name, values, results...)
}

// stream prints the results of one call, item by item.
func (w *watch) stream(ctx context.Context, s *server) error {
	ctx, cancel := s.limit(ctx, true)
	defer cancel()
	c, results, err := w.call(ctx, s)
	if err != nil {
		return err
	}
	for i, r := range results {
		switch r := r.(type) {
		case *json.RawMessage:
			if err := c.value(i, "value", *r); err != nil {
				return err
			}
		case *iter.Seq2[json.RawMessage, error]:
			for item, err := range *r {
				if err == nil {
					err = c.value(i, "item", item)
				}
				if err != nil {
					return err
				}
				if w.count--; w.count == 0 {
					return nil
				}
			}
		}
	}
	return nil
}

// poll calls the method again and again.
func (w *watch) poll(ctx context.Context, s *server) error {
	tick := time.NewTicker(w.every)
	defer tick.Stop()
	for {
		if err := w.once(ctx, s); err != nil {
			return err
		}
		if w.count--; w.count == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-s.Done():
			return s.lost()
		}
	}
}

// lost returns why the connection has ended.
func (s *server) lost() error {
	err := s.Err()
	if err == nil {
		err = errors.New("the connection has ended")
	}
	return &failure{Exit: exitNetwork, Message: failureOf(err).Message}
}

// once calls the method once, and prints what has changed. An error of the application is a state
// too; others end the connection, or the command.
func (w *watch) once(ctx context.Context, s *server) error {
	ctx, cancel := s.limit(ctx, false)
	defer cancel()
	var c *call
	var results []any
	var err error
	if w.asked.IsZero() {
		w.asked = time.Now()
	}
	meanwhile(func() { c, results, err = w.call(ctx, s) }, silence(time.Since(w.asked)), func() time.Duration {
		waited := time.Since(w.asked)
		w.say("waiting", fmt.Sprintf("%s: no answer for %v; a call may take %v (--timeout)", w.name, waited.Round(time.Second), s.callTimeout()))
		return silence(waited)
	})
	hangs := errors.Is(err, context.DeadlineExceeded) && s.Err() == nil
	if !hangs {
		w.asked = time.Time{}
	}
	switch {
	case err == nil:
		return w.changed(c, results)
	case failureOf(err).Exit == exitApplication:
	case hangs:
	default:
		return err
	}
	text := strings.ReplaceAll(failureOf(err).text(), "\n    ", "; ")
	if text == w.failed {
		return nil
	}
	w.failed = text
	if w.json {
		return writeJSON(c.out, map[string]any{"time": time.Now(), "error": failureOf(err)})
	}
	return w.mark(c).line(time.Now().Format(lineTime)+" ", "! "+text)
}

// firstSilence is how long a method may take before watch says that it waits.
const firstSilence = 2 * time.Second

// silence returns the time until the next line about a wait of some time: lines come at 2 s, 4 s, 8 s and so on.
func silence(waited time.Duration) time.Duration {
	next := firstSilence
	for next <= waited {
		next *= 2
	}
	return next - waited
}

// changed prints the first results in full, and of later ones what has changed.
func (w *watch) changed(c *call, results []any) error {
	first := w.last == nil
	recovered := w.failed != ""
	w.failed = ""
	at := time.Now()
	for i, r := range results {
		text := *r.(*json.RawMessage)
		if first {
			w.last = append(w.last, nil)
		}
		old := w.last[i]
		w.last[i] = append(json.RawMessage(nil), text...)
		secret := c.secrets(i, false)
		if w.showValues {
			secret = nil
		}
		list, more := []change(nil), 0
		if !first {
			if list, more = changes(c.layout.Results[i], old, text, secret); len(list) == 0 && !recovered {
				continue
			}
		}
		if err := w.print(c, at, i, masked(c.layout.Results[i], text, secret), list, more); err != nil {
			return err
		}
	}
	return nil
}

// print prints a result, or its changes. JSON has both.
func (w *watch) print(c *call, at time.Time, i int, text json.RawMessage, list []change, more int) error {
	if w.json {
		line := map[string]any{"time": at, "result": i + 1, "value": text}
		if len(list) > 0 {
			line["changes"] = list
		}
		return writeJSON(c.out, line)
	}
	prefix := ""
	if len(c.layout.Results) > 1 {
		prefix = fmt.Sprintf("result %d ", i+1)
	}
	head := at.Format(lineTime) + " "
	if len(list) == 0 {
		_, err := c.out.Write(append(appendPrintable([]byte(head+"  "+prefix), text), '\n'))
		return err
	}
	for _, ch := range list {
		if err := w.mark(c).line(head, ch.text(prefix)); err != nil {
			return err
		}
	}
	if more > 0 {
		return w.mark(c).line(head, fmt.Sprintf("~ and %d more", more))
	}
	return nil
}

// mark returns the printer of changes.
func (w *watch) mark(c *call) marker {
	return marker{c.out, coloured(c.out)}
}

// say prints a line about the connection on standard error.
func (w *watch) say(event, text string) error {
	return w.target.say(w.cmd.ErrOrStderr(), event, text)
}

// lineTime is the form of the time of a line.
const lineTime = "15:04:05.000"
