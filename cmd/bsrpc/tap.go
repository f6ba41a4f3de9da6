package main

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/bsrpc/bsrpc/trace"
)

const tapHelp = `tap is a proxy in front of a server: it prints a line for every frame that clients
and the server send, and passes the bytes on as they are.

  bsrpc tap --listen 127.0.0.1:7400 SERVER             then clients connect to 127.0.0.1:7400
  bsrpc tap --listen 127.0.0.1:7400 --record FILE SERVER
  bsrpc tap --read FILE                                the lines of a recording
  bsrpc tap --replay FILE SERVER                       its calls again, and what differs

--method shows the lines of some calls alone, with their streams and answers:

  bsrpc tap --method Supply.Set --method 'Scope.*' SERVER

Arguments and results are shown in the layouts that the server describes, without what
it tags secret. Where it does not describe them they are hidden; --show-values shows
everything except tokens. A recording has all bytes, tokens too.

A replay makes the calls of a recording again: whatever they change is changed again. The
exit code is 1 if a result differs. What differs each time, such as ids and times, is not
compared with --ignore, at a place as bsrpc describe writes secret ones:

  bsrpc tap --replay FILE --ignore 'result 1.ID' --ignore 'Jobs.* result 1[].At' SERVER`

// A tap is one run of the command tap.
type tap struct {
	*target
	listen, tlsCert, tlsKey string
	record, read, replay    string
	hex, showValues         bool
	methods                 methodFilter
	ignore                  []string
}

func newTap(t *target) *cobra.Command {
	p := &tap{target: t}
	cmd := &cobra.Command{
		Use:   "tap [ADDRESS]",
		Short: "a proxy that prints every frame; recordings, and their calls again",
		Long:  tapHelp,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := p.check(cmd, &args); err != nil {
				return err
			}
			switch {
			case p.read != "":
				return p.readFile(cmd)
			case p.replay != "":
				return p.replayFile(cmd)
			}
			return p.proxy(cmd)
		},
	}
	f := cmd.Flags()
	f.StringVar(&p.listen, "listen", "127.0.0.1:0", "`address` for clients, host:port or unix:path; port 0 is any free one")
	f.StringVar(&p.tlsCert, "tls-cert", "", "PEM `file` with a certificate: clients connect with TLS; needs --tls-key")
	f.StringVar(&p.tlsKey, "tls-key", "", "PEM `file` with the key of --tls-cert")
	f.StringVar(&p.record, "record", "", "write all bytes to a new `file`, see docs/recordings.md")
	f.StringVar(&p.read, "read", "", "print the lines of a recording in a `file`")
	f.StringVar(&p.replay, "replay", "", "make the calls of a recording in a `file` again, and print what differs")
	f.StringArrayVar((*[]string)(&p.methods), "method", nil, "only calls of methods that match a `pattern`, such as Shop.Pay, Shop.* or Shop; repeat for more")
	cmd.RegisterFlagCompletionFunc("method", t.complete(true, true))
	f.StringArrayVar(&p.ignore, "ignore", nil, "a `place` in results that a replay does not compare, such as 'result 1.ID' or 'Shop.* result 1[].ID'; repeat for more")
	f.BoolVar(&p.hex, "hex", false, "print the bytes of each frame as well, without those of values")
	f.BoolVar(&p.showValues, "show-values", false, "show all values, also those that the server tags secret")
	return cmd
}

// check returns a mistake in the flags. It takes the address from args.
func (p *tap) check(cmd *cobra.Command, args *[]string) (err error) {
	own := func(names ...string) bool {
		for _, name := range names {
			if cmd.Flags().Changed(name) {
				return true
			}
		}
		return false
	}
	switch {
	case p.read != "" && p.replay != "":
		return usage("--read prints a recording, --replay makes its calls again: give one of them")
	case p.read+p.replay != "" && own("listen", "record", "tls-cert", "tls-key"):
		return usage("--listen, --record, --tls-cert and --tls-key are for a proxy, not for a recording that exists")
	case p.replay == "" && len(p.ignore) > 0:
		return usage("--ignore is for --replay, which compares results")
	case p.replay != "" && p.hex:
		return usage("--hex is for lines; a replay prints values")
	case p.methods.check() != nil:
		return p.methods.check()
	case (p.tlsCert == "") != (p.tlsKey == ""):
		return usage("--tls-cert and --tls-key need each other")
	case p.read != "":
		if len(*args) > 0 {
			return usage("--read needs no address")
		}
		return nil
	}
	if *args, err = p.split(*args); err == nil && len(*args) > 0 {
		err = tooMany(cmd, *args)
	}
	return err
}

// options returns the options of a trace.
func (p *tap) traceOptions(name string, d *description) *trace.Options {
	opts := &trace.Options{Name: name, Hex: p.hex, ShowValues: p.showValues}
	if d != nil {
		opts.Layouts, opts.Secret, opts.Commands = d.layouts, d.secrets, d.commands
	}
	return opts
}

// readFile prints the lines of a recording.
func (p *tap) readFile(cmd *cobra.Command) error {
	f, err := os.Open(p.read)
	if err != nil {
		return usage("--read: %v", err)
	}
	defer f.Close()
	called := methodSet{}
	shown, err := p.printRecording(cmd.Context(), f, cmd.OutOrStdout(), called)
	if err = p.cutOff(cmd, p.read, err); err != nil || shown || len(p.methods) == 0 {
		return err
	}
	return p.methods.unmatched(p.read, called)
}

// printRecording prints the lines of a recording to w, and adds its methods to called. It reports whether
// there are lines.
func (p *tap) printRecording(ctx context.Context, r io.Reader, w io.Writer, called methodSet) (shown bool, err error) {
	var failed error // of the output: what follows is not printed
	err = readRecording(ctx, r, p.read, func(conn uint32, d *description) func(*trace.Piece) {
		lines := &connLines{tap: p, w: w, conn: conn}
		return trace.NewDecoder(p.traceOptions(connName(conn), d), func(e *trace.Event) {
			if failed == nil {
				failed = lines.event(e)
			}
			called.add(e)
			shown = shown || lines.begun
		}).Feed
	}, func() error { return failed })
	return shown, err
}

// maxDecoders limits the conversations of a recording that are open at the same time.
const maxDecoders = 1024

// errCutOff is the error of a recording that ends within a piece, as after a crash, or while it is
// written. What comes before is complete.
var errCutOff = errors.New("ends within a piece")

// cutOff prints that a recording is cut off, and returns the other errors of reading it.
func (p *tap) cutOff(cmd *cobra.Command, name string, err error) error {
	if !errors.Is(err, errCutOff) {
		return err
	}
	text := name + " ends within a piece, as after a crash; what comes before is complete"
	return p.printLine(cmd.ErrOrStderr(), map[string]string{"event": "cut-off", "text": text}, "tap: "+text)
}

// readRecording reads the pieces of a recording. open begins a conversation, with what the server
// has said about itself so far, and returns the func for its pieces. failed tells whether to
// go on.
func readRecording(ctx context.Context, r io.Reader, name string, open func(conn uint32, d *description) func(*trace.Piece), failed func() error) error {
	var about describer
	type conversation struct {
		feed  func(*trace.Piece)
		ended [2]bool
	}
	conversations := map[uint32]*conversation{}
	reader := trace.NewReader(r)
	for ctx.Err() == nil && failed() == nil {
		piece, err := reader.Next()
		switch {
		case err == io.EOF:
			return nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return errCutOff
		case err != nil:
			return usage("%s: %v", name, err)
		}
		if piece.Conn == ownConn {
			about.feed(piece)
			continue
		}
		c := conversations[piece.Conn]
		if c == nil {
			if len(conversations) == maxDecoders {
				return usage("%s has more than %d connections at the same time", name, maxDecoders)
			}
			c = &conversation{feed: open(piece.Conn, about.found)}
			conversations[piece.Conn] = c
		}
		c.feed(piece)
		if piece.End != "" {
			if c.ended[piece.From] = true; c.ended[piece.From^1] {
				delete(conversations, piece.Conn)
			}
		}
	}
	if err := failed(); err != nil {
		return err
	}
	return ctx.Err()
}

// lineWait is how long the last lines may take at the end.
const lineWait = time.Second
