package bsrpctest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

func TestDirect(t *testing.T) {
	bsrpctest.TestRoundTripper(t, func(_ testing.TB, srv *bsrpc.Server, opts *bsrpc.ClientOptions) *bsrpc.Client {
		return bsrpc.NewClientOver(bsrpctest.Direct(srv), opts)
	})
}

// A trip is a RoundTripper that is a func.
type trip func(ctx context.Context, r *bsrpc.Request) (*bsrpc.Reply, error)

func (f trip) RoundTrip(ctx context.Context, r *bsrpc.Request) (*bsrpc.Reply, error) {
	return f(ctx, r)
}

// requests makes a RoundTripper that is wrong in what it sends.
func requests(change func(r *bsrpc.Request)) func(trip) trip {
	return func(next trip) trip {
		return func(ctx context.Context, r *bsrpc.Request) (*bsrpc.Reply, error) {
			own := *r
			change(&own)
			return next(ctx, &own)
		}
	}
}

// replies makes one that is wrong in what it returns.
func replies(change func(r *bsrpc.Reply)) func(trip) trip {
	return func(next trip) trip {
		return func(ctx context.Context, r *bsrpc.Request) (*bsrpc.Reply, error) {
			reply, err := next(ctx, r)
			change(reply)
			return reply, err
		}
	}
}

// failures makes one that is wrong in the errors that it returns.
func failures(change func(e *bsrpc.Error) *bsrpc.Error) func(trip) trip {
	return replies(func(r *bsrpc.Reply) {
		if r.Err != nil {
			r.Err = change(r.Err)
		}
	})
}

type seq = iter.Seq2[[]byte, error]

// streams makes one that is wrong in its streams.
func streams(change func(seq) seq) func(trip) trip {
	return replies(func(r *bsrpc.Reply) {
		if r.Items != nil {
			r.Items = change(r.Items)
		}
	})
}

// isMemory reports whether a body is one of the check of memory: its calls follow one another, so
// its wrong transports do not race.
func isMemory(n int) bool { return n == 1004 }

// ahead returns items that are taken before they are wanted, up to n of them.
func ahead(items seq, n int, keep func([]byte) []byte) seq {
	return func(yield func([]byte, error) bool) {
		type step struct {
			item []byte
			err  error
		}
		taken, done := make(chan step, n), make(chan struct{})
		defer close(done)
		go func() {
			defer close(taken)
			for item, err := range items {
				select {
				case taken <- step{keep(item), err}:
				case <-done:
					return
				}
			}
		}()
		for s := range taken {
			if !yield(s.item, s.err) {
				return
			}
		}
	}
}

// A wrongTransport is wrong in one way. fails lists the checks that must find it, in their order; with "..."
// others may find it too, by the speed of the goroutines.
type wrongTransport struct {
	name, fails string
	wrap        func(trip) trip
}

// wrongTransports are those of TestWrongTransports.
var wrongTransports = []wrongTransport{
	{"drops metadata", "request_metadata", requests(func(r *bsrpc.Request) { r.Metadata = nil })},
	{"drops the metadata of replies", "reply_metadata stream_metadata", replies(func(r *bsrpc.Reply) { r.Metadata = nil })},
	{"drops the metadata of failed calls", "reply_metadata", replies(func(r *bsrpc.Reply) {
		if r.Err != nil {
			r.Metadata = nil
		}
	})},
	{"drops credentials", "credentials", requests(func(r *bsrpc.Request) { r.Credentials = bsrpc.Credentials{} })},
	{"drops hashes", "old_client new_client", requests(func(r *bsrpc.Request) { r.Knows = nil })},
	{"drops layouts", "new_client", replies(func(r *bsrpc.Reply) { r.Layout = "" })},
	{"returns the hash of the request", "old_client new_client", func(next trip) trip {
		return func(ctx context.Context, r *bsrpc.Request) (*bsrpc.Reply, error) {
			reply, err := next(ctx, r)
			reply.Hash = r.Hash
			return reply, err
		}
	}},
	{"clears requests", "memory", func(next trip) trip {
		return func(ctx context.Context, r *bsrpc.Request) (*bsrpc.Reply, error) {
			defer clear(r.Body)
			return next(ctx, r)
		}
	}},
	{"forgets the time", "timeout", func(next trip) trip {
		return requests(func(r *bsrpc.Request) { r.Timeout = 0 })(func(ctx context.Context, r *bsrpc.Request) (*bsrpc.Reply, error) {
			timeless, cancel := context.WithCancel(context.WithoutCancel(ctx))
			context.AfterFunc(ctx, cancel)
			return next(timeless, r)
		})
	}},
	{"never cancels", "cancel close stream_cancel", func(next trip) trip {
		return func(ctx context.Context, r *bsrpc.Request) (*bsrpc.Reply, error) {
			return next(context.WithoutCancel(ctx), r)
		}
	}},
	{"ends the context with RoundTrip", "stream_items stream_memory stream_flow ...", func(next trip) trip {
		return func(ctx context.Context, r *bsrpc.Request) (*bsrpc.Reply, error) {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			return next(ctx, r)
		}
	}},
	{"sends requests twice", "once memory oneway shutdown stream_live", func(next trip) trip {
		return func(ctx context.Context, r *bsrpc.Request) (*bsrpc.Reply, error) {
			next(ctx, r)
			return next(ctx, r)
		}
	}},
	{"one call at a time", "parallel shutdown", func(next trip) trip {
		one := make(chan struct{}, 1)
		return func(ctx context.Context, r *bsrpc.Request) (*bsrpc.Reply, error) {
			one <- struct{}{}
			defer func() { <-one }()
			return next(ctx, r)
		}
	}},
	{"one stream at a time", "parallel shutdown stream_unread", func(next trip) trip {
		one := make(chan struct{}, 1)
		return func(ctx context.Context, r *bsrpc.Request) (*bsrpc.Reply, error) {
			one <- struct{}{}
			reply, err := next(ctx, r)
			if reply.Items == nil {
				<-one
				return reply, err
			}
			items := reply.Items
			reply.Items = func(yield func([]byte, error) bool) {
				defer func() { <-one }()
				items(yield)
			}
			return reply, err
		}
	}},
	{"limits bodies", "sizes", func(next trip) trip {
		return func(ctx context.Context, r *bsrpc.Request) (*bsrpc.Reply, error) {
			if len(r.Body) > 1<<20 {
				return nil, errors.New("maximum payload exceeded")
			}
			return next(ctx, r)
		}
	}},
	{"uses the memory of requests again", "memory", func(next trip) trip {
		var memory []byte
		return func(ctx context.Context, r *bsrpc.Request) (*bsrpc.Reply, error) {
			if !isMemory(len(r.Body)) {
				return next(ctx, r)
			}
			own := *r
			memory = append(memory[:0], r.Body...)
			own.Body = memory
			return next(ctx, &own)
		}
	}},
	{"uses the memory of replies again", "memory", func(next trip) trip {
		var memory []byte
		return func(ctx context.Context, r *bsrpc.Request) (*bsrpc.Reply, error) {
			reply, err := next(ctx, r)
			if isMemory(len(reply.Body)) {
				memory = append(memory[:0], reply.Body...)
				reply.Body = memory
			}
			return reply, err
		}
	}},
	{"loses outcomes", "credentials errors panics refusals sessions shutdown", failures(func(e *bsrpc.Error) *bsrpc.Error { e.Outcome = bsrpc.OutcomeUnknown; return e })},
	{"says that refusals have run", "credentials refusals sessions shutdown", failures(func(e *bsrpc.Error) *bsrpc.Error { e.Outcome = bsrpc.OutcomeAnswered; return e })},
	{"loses identities", "errors stream_refused", failures(func(e *bsrpc.Error) *bsrpc.Error {
		return &bsrpc.Error{Code: e.Code, Name: e.Name, Message: e.Message, ID: e.ID, Outcome: e.Outcome}
	})},
	{"loses names", "errors", failures(func(e *bsrpc.Error) *bsrpc.Error { e.Name = ""; return e })},
	{"loses ids", "panics", failures(func(e *bsrpc.Error) *bsrpc.Error { e.ID = ""; return e })},
	{"keeps a line of each error", "errors", failures(func(e *bsrpc.Error) *bsrpc.Error {
		e.Message, _, _ = strings.Cut(e.Message, "\r\n")
		return e
	})},
	{"knows some codes", "errors", failures(func(e *bsrpc.Error) *bsrpc.Error { e.Code = min(e.Code, 17); return e })},
	{"says that failed calls have not arrived", "reply_metadata errors panics stream_refused ...", func(next trip) trip {
		return func(ctx context.Context, r *bsrpc.Request) (*bsrpc.Reply, error) {
			reply, err := next(ctx, r)
			if err == nil && reply.Err != nil {
				return nil, reply.Err
			}
			return reply, err
		}
	}},
	{"sends items twice", "stream_items stream_live stream_metadata stream_error", streams(func(items seq) seq {
		return func(yield func([]byte, error) bool) {
			for item, err := range items {
				if !yield(item, err) || err == nil && !yield(item, err) {
					return
				}
			}
		}
	})},
	{"drops empty items", "stream_items", streams(func(items seq) seq {
		return func(yield func([]byte, error) bool) {
			for item, err := range items {
				if (err != nil || len(item) > 0) && !yield(item, err) {
					return
				}
			}
		}
	})},
	{"cuts long streams", "stream_items stream_error", streams(func(items seq) seq {
		return func(yield func([]byte, error) bool) {
			n := 0
			for item, err := range items {
				if n++; n > 500 || !yield(item, err) {
					return
				}
			}
		}
	})},
	{"holds no handler", "stream_flow", streams(func(items seq) seq { return ahead(items, 1000, bytes.Clone) })},
	{"waits for the next item", "stream_live stream_cancel", streams(func(items seq) seq {
		return func(yield func([]byte, error) bool) {
			var last []byte
			for item, err := range items {
				if last != nil && !yield(last, nil) || err != nil && !yield(nil, err) {
					return
				}
				last = append([]byte{}, item...)
			}
			if last != nil {
				yield(last, nil)
			}
		}
	})},
	{"swallows the errors of streams", "stream_error ...", streams(func(items seq) seq {
		return func(yield func([]byte, error) bool) {
			for item, err := range items {
				if err != nil || !yield(item, nil) {
					return
				}
			}
		}
	})},
	{"keeps the texts of errors of streams", "stream_error ...", streams(func(items seq) seq {
		return func(yield func([]byte, error) bool) {
			for item, err := range items {
				if err != nil {
					err = errors.New(err.Error())
				}
				if !yield(item, err) {
					return
				}
			}
		}
	})},
	{"reads on after the caller", "stream_reader stream_break stream_cancel", func(next trip) trip {
		return func(ctx context.Context, r *bsrpc.Request) (*bsrpc.Reply, error) {
			own, cancel := context.WithCancel(context.WithoutCancel(ctx))
			defer context.AfterFunc(ctx, cancel)()
			reply, err := next(own, r)
			if items := reply.Items; items != nil {
				reply.Items = func(yield func([]byte, error) bool) {
					for item, err := range items {
						if !yield(item, err) {
							if err == nil {
								time.Sleep(time.Hour) // or for ever
							}
							return
						}
					}
				}
			}
			return reply, err
		}
	}},
	{"refuses streams", "", func(next trip) trip {
		return func(ctx context.Context, r *bsrpc.Request) (*bsrpc.Reply, error) {
			reply, err := next(ctx, r)
			if reply.Items != nil {
				return nil, &bsrpc.Error{Code: bsrpc.CodeUnimplemented, Outcome: bsrpc.OutcomeNotRun, Message: "this transport has no streams"}
			}
			return reply, err
		}
	}},
}

// A verdict is the testing.TB of a check that may fail.
type verdict struct {
	testing.TB
	failed   []string
	cleanups []func()
}

func (r *verdict) Errorf(format string, args ...any) {
	r.failed = append(r.failed, fmt.Sprintf(format, args...))
}
func (r *verdict) FailNow() { r.failed = append(r.failed, ""); runtime.Goexit() }
func (r *verdict) Fatal(args ...any) {
	r.failed = append(r.failed, fmt.Sprint(args...))
	runtime.Goexit()
}
func (r *verdict) Skip(...any)      { runtime.Goexit() }
func (r *verdict) Failed() bool     { return len(r.failed) > 0 }
func (r *verdict) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }

// run runs a check, and returns its errors.
func (r *verdict) run(c bsrpctest.Check, wrap func(trip) trip) []string {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.Test(r, func(_ testing.TB, srv *bsrpc.Server, opts *bsrpc.ClientOptions) *bsrpc.Client {
			return bsrpc.NewClientOver(wrap(func(ctx context.Context, r *bsrpc.Request) (*bsrpc.Reply, error) {
				own := *r
				return srv.Handle(ctx, &own), nil
			}), opts)
		})
	}()
	<-ended
	for _, f := range slices.Backward(r.cleanups) {
		f()
	}
	return r.failed
}

// heavy are the checks that move many bytes. They are left out for transports that are wrong in
// something else.
var heavy = map[string]bool{"sizes": true, "stream_items": true, "stream_memory": true, "stream_reader": true, "stream_flow": true}

// The rules that the checks quote are in the documents.
func TestRules(t *testing.T) {
	page, err := os.ReadFile("../docs/roundtrip.md")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(string(page)), " ")
	for _, c := range bsrpctest.Checks() {
		if !strings.Contains(text, c.Rule) {
			t.Errorf("%s: docs/roundtrip.md has not the rule %q", c.Name, c.Rule)
		}
	}
}

// Each wrong transport fails the checks of its mistake, and no other ones.
func TestWrongTransports(t *testing.T) {
	for _, w := range wrongTransports {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, w.test)
		})
	}
}

func (w *wrongTransport) test(t *testing.T) {
	var failed, texts []string
	for _, c := range bsrpctest.Checks() {
		if heavy[c.Name] && !slices.Contains(strings.Fields(w.fails), c.Name) {
			continue
		}
		errs := (&verdict{TB: t}).run(c, w.wrap)
		if len(errs) > 0 {
			failed, texts = append(failed, c.Name), append(texts, errs...)
			if !strings.Contains(errs[0], c.Rule) {
				t.Errorf("%s: the error does not quote the rule: %s", c.Name, errs[0])
			}
		}
	}
	time.Sleep(24 * time.Hour) // ends what still runs
	want, others := strings.CutSuffix(w.fails, " ...")
	if got := strings.Join(failed, " "); got != want && !others {
		t.Errorf("the checks %q have failed, want %q:\n%s", got, want, strings.Join(texts, "\n"))
	}
	for name := range strings.FieldsSeq(want) {
		if !slices.Contains(failed, name) {
			t.Errorf("the check %q has passed", name)
		}
	}
}
