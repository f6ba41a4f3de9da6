package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/layout"
)

const callHelp = `call calls a method and prints its results as JSON, one a line.

An argument is JSON, or a word where the parameter is a string, a time, a duration or
bytes in base64. Others:

  @file   JSON from a file; for bytes and readers its bytes, for a stream its lines
  @-      the same from standard input

An item of a stream is one line, as an argument is; results that are streams are
printed item by item. Optional last parameters may be left out. What the server tags
secret is printed as "***" without --show-values. Flags may stand anywhere; write -- before an argument that begins with -.`

// A call is one run of the command call.
type call struct {
	*server
	*method
	in         io.Reader // standard input, nil once it is used
	out        io.Writer
	values     io.Writer // for lines: out, or what is beside it if that gets the bytes of a reader
	showValues bool
	numbered   bool // lines name their result

	misfit atomic.Pointer[error] // of a line of a stream
}

func newCall(t *target) *cobra.Command {
	var metadata []string
	var showValues, verbose bool
	cmd := &cobra.Command{
		Use:   "call [ADDRESS] SERVICE.METHOD [ARGUMENT...]",
		Short: "call a method",
		Long:  callHelp,
		Example: `  bsrpc call 127.0.0.1:7342 Supply.Set 1200
  bsrpc call 127.0.0.1:7342 Scope.Configure '{"Label": "lab 3", "Rate": 20000}'
  bsrpc call 127.0.0.1:7342 Scope.Configure @settings.json`,
		ValidArgsFunction: t.complete(false, true),
		RunE: t.connected(1, -1, func(cmd *cobra.Command, s *server, args []string) error {
			md, err := parseMetadata(metadata)
			if err != nil {
				return err
			}
			m, err := s.method(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			c := &call{server: s, method: m, in: cmd.InOrStdin(), out: cmd.OutOrStdout(), showValues: showValues, numbered: s.json}
			if c.values = c.out; m.returnsReader() && !s.json {
				c.values = cmd.ErrOrStderr()
			}
			ctx, cancel := s.limit(cmd.Context(), m.streams())
			defer cancel()
			values, err := c.args(args[1:])
			if err != nil {
				return err
			}
			if m.returnsReader() && !s.json && isTerminal(c.out) {
				return usage("the result of %s is bytes, which a terminal cannot show: redirect the output, or use --json", m.Name)
			}
			results := m.results()
			ctx, reply := bsrpc.WithReplyMetadata(bsrpc.WithMetadata(ctx, md))
			c.awaitAnswer(cmd.ErrOrStderr(), func() { err = s.Call(ctx, m.Name, values, results...) })
			if verbose {
				s.printMetadata(cmd.ErrOrStderr(), reply.Get())
			}
			if err == nil {
				err = c.print(results)
			}
			if misfit := c.misfit.Load(); misfit != nil {
				return *misfit
			}
			return err
		}),
	}
	cmd.Flags().StringArrayVar(&metadata, "metadata", nil, "send an entry of metadata, `key=value`; repeat for more")
	cmd.Flags().BoolVar(&showValues, "show-values", false, "print what the server tags secret")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "print the metadata of the reply, on standard error")
	return cmd
}

// awaitAnswer runs f, which waits for the answer. A call with streams has no limit.
func (c *call) awaitAnswer(w io.Writer, f func()) {
	if c.json || c.streams() || !isTerminal(w) {
		f()
		return
	}
	showSilence(w, c.Name, c.callTimeout(), f)
}

// parseMetadata returns metadata from words. Values may be secrets, so errors contain none.
func parseMetadata(words []string) (bsrpc.Metadata, error) {
	md := bsrpc.Metadata{}
	for _, w := range words {
		key, value, ok := strings.Cut(w, "=")
		if !ok || key == "" {
			return nil, usage("--metadata: want key=value")
		}
		md[key] = value
	}
	return md, nil
}

// printMetadata prints the metadata of a reply, an entry a line.
func (t *target) printMetadata(w io.Writer, md bsrpc.Metadata) error {
	if t.json {
		return writeJSON(w, map[string]map[string]string{"metadata": md})
	}
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(md)) {
		b.WriteString("metadata " + clean(key, maxWord) + "=" + clean(md[key], maxErrorText) + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// print prints the results.
func (c *call) print(results []any) error {
	for i, r := range results {
		var err error
		switch r := r.(type) {
		case *json.RawMessage:
			err = c.value(i, "value", *r)
		case *iter.Seq2[json.RawMessage, error]:
			for item, failed := range *r {
				if failed != nil {
					return failed
				}
				if err = c.value(i, "item", item); err != nil {
					break
				}
			}
		case *io.ReadCloser:
			err = c.bytes(i, *r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// value prints a result, or an item of one.
func (c *call) value(i int, word string, text json.RawMessage) error {
	l := c.layout.Results[i]
	if l.Kind == layout.Stream {
		l = l.Elem
	}
	if !c.showValues {
		text = masked(l, text, c.secrets(i, word == "item"))
	}
	return c.line(i, word, text)
}

// line prints one line, which is JSON already.
func (c *call) line(i int, word string, text json.RawMessage) error {
	if c.numbered {
		return writeJSON(c.out, map[string]any{"result": i + 1, word: text})
	}
	_, err := c.values.Write(append(appendPrintable(nil, text), '\n'))
	return err
}

// bytes prints what a reader has, in base64 where lines are wanted.
func (c *call) bytes(i int, r io.ReadCloser) error {
	if r == nil {
		return nil
	}
	defer r.Close()
	buf := make([]byte, 48<<10)
	for {
		n, err := r.Read(buf)
		var failed error
		switch {
		case n == 0:
		case c.numbered:
			failed = c.line(i, "bytes", json.RawMessage(`"`+base64.StdEncoding.EncodeToString(buf[:n])+`"`))
		default:
			_, failed = c.out.Write(buf[:n])
		}
		switch {
		case failed != nil:
			return failed
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// stars stands for a secret.
const stars = `"***"`

// masked returns text with its secret places masked. Where that is not possible, all of it is.
func masked(l *layout.Type, text json.RawMessage, secret []string) json.RawMessage {
	if len(secret) == 0 {
		return text
	}
	data, err := layout.ParseJSON(nil, l, text)
	if err != nil {
		return json.RawMessage(stars)
	}
	text, err = layout.JSON{Secret: secret, MaxSize: -1}.Append(nil, l, data)
	if err != nil { // the place "", the whole value, is among these
		return json.RawMessage(stars)
	}
	return text
}
