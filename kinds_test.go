package bsrpc_test

// What docs/calls.md and the guide say about the kinds of calls: deadlines, limits, and what
// happens at the end of a connection.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// A kindService has a method of each kind. Its streams have an item a minute.
type kindService struct {
	ended chan error    // of the context of each stream, at its end
	late  chan error    // of a parameter used after its call
	block chan struct{} // handlers wait until it is closed
}

type kindContract struct {
	Unary     func(context.Context) error
	Watch     func(context.Context, int) iter.Seq2[int, error]
	Opened    func(context.Context, int) (iter.Seq2[int, error], error)
	Bounded   func(context.Context, int) (iter.Seq2[int, error], error) `bsrpc:"timeout=90s"`
	Alone     func(context.Context, int) iter.Seq2[int, error]          `bsrpc:"exclusive=one"`
	AloneToo  func(context.Context) error                               `bsrpc:"exclusive=one"`
	Blocked   func(context.Context) iter.Seq2[int, error]
	Refusing  func(context.Context) (iter.Seq2[int, error], error)
	Load      func(context.Context, iter.Seq[int]) (int, error)
	LoadLong  func(context.Context, iter.Seq[int]) (int, error) `bsrpc:"timeout=none"`
	Keep      func(context.Context, iter.Seq2[int, error]) error
	Drain     func(context.Context, iter.Seq2[int, error]) error
	Read      func(context.Context, io.Reader) (int64, error)
	Open      func(context.Context) (io.ReadCloser, error)
	Nil       func(context.Context) (iter.Seq2[int, error], error)
	NilReader func(context.Context) (io.ReadCloser, error)
	Echo      func(context.Context, iter.Seq2[int, error]) iter.Seq2[int, error]
	Long      func(context.Context, int) iter.Seq2[[]byte, error]
	LoadBytes func(context.Context, iter.Seq[[]byte]) (int, error)
}

func (s *kindService) Unary(context.Context) error { return nil }

func (s *kindService) Watch(ctx context.Context, n int) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		defer func() { s.ended <- ctx.Err() }()
		for i := range n {
			if !yield(i, nil) {
				return
			}
			select {
			case <-time.After(time.Minute):
			case <-ctx.Done():
				return
			}
		}
	}
}

func (s *kindService) Opened(ctx context.Context, n int) (iter.Seq2[int, error], error) {
	return s.Watch(ctx, n), nil
}

func (s *kindService) Bounded(ctx context.Context, n int) (iter.Seq2[int, error], error) {
	return s.Watch(ctx, n), nil
}

func (s *kindService) Alone(ctx context.Context, n int) iter.Seq2[int, error] { return s.Watch(ctx, n) }
func (s *kindService) AloneToo(context.Context) error                         { return nil }

func (s *kindService) Blocked(context.Context) iter.Seq2[int, error] {
	<-s.block
	return nil
}

func (s *kindService) Refusing(ctx context.Context) (iter.Seq2[int, error], error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (s *kindService) Load(items iter.Seq2[int, error]) (n int, err error) {
	for _, err := range items {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func (s *kindService) LoadLong(items iter.Seq2[int, error]) (int, error) { return s.Load(items) }

// Drain has no context.
func (s *kindService) Drain(items iter.Seq2[int, error]) error {
	_, err := s.Load(items)
	s.ended <- err
	return err
}

func (s *kindService) Keep(items iter.Seq2[int, error]) error {
	go func() {
		<-s.block
		for _, err := range items {
			s.late <- err
		}
	}()
	return nil
}

func (s *kindService) Read(r io.Reader) (int64, error)                        { return io.Copy(io.Discard, r) }
func (s *kindService) Open() (io.ReadCloser, error)                           { return io.NopCloser(endlessReader{}), nil }
func (s *kindService) Nil() (iter.Seq2[int, error], error)                    { return nil, nil }
func (s *kindService) NilReader() (io.ReadCloser, error)                      { return nil, nil }
func (s *kindService) Echo(items iter.Seq2[int, error]) iter.Seq2[int, error] { return items }

func (s *kindService) Long(size int) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		_ = yield(make([]byte, 10), nil) && yield(make([]byte, size), nil)
	}
}

func (s *kindService) LoadBytes(items iter.Seq2[[]byte, error]) (n int, err error) {
	for item, err := range items {
		if err != nil {
			return n, err
		}
		n += len(item)
	}
	for _, err := range items {
		return n, err // a second range
	}
	return n, nil
}

// bindKinds connects a client to a server with a kindService.
func bindKinds(t *testing.T, opts *bsrpc.ServerOptions, clientOpts *bsrpc.ClientOptions) (*kindContract, *kindService, *bsrpc.Client, *bsrpc.Server) {
	t.Helper()
	s := &kindService{make(chan error, 100), make(chan error, 100), make(chan struct{})}
	srv := bsrpc.NewServer(opts)
	if err := bsrpc.RegisterAs[kindContract](srv, "S", s); err != nil {
		t.Fatal(err)
	}
	client, err := bsrpctest.Dial(t, srv, clientOpts)
	if err != nil {
		t.Fatal(err)
	}
	p, err := bsrpc.Bind[kindContract](t.Context(), client, "S")
	if err != nil {
		t.Fatal(err)
	}
	return p, s, client, srv
}

// minutely yields an item every minute.
func minutely(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			if time.Sleep(time.Minute); !yield(i) {
				return
			}
		}
	}
}

// checkTime checks that err is the end of a time limit after d, with a text that names it.
func checkTime(t *testing.T, name string, err error, start time.Time, d time.Duration, text string) {
	t.Helper()
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != d || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: %v, after %v", name, err, time.Since(start))
	}
}

// DefaultCallTimeout limits the time until the func of a stream returns, and timeout= and
// the context the whole call.
func TestKindDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, _, _ := bindKinds(t, nil, nil)
		opened, err := p.Opened(t.Context(), 5)
		if err != nil {
			t.Fatal(err)
		}
		for _, seq := range []iter.Seq2[int, error]{opened, p.Watch(t.Context(), 5)} {
			if got, err := collect(seq); len(got) != 5 || err != nil || <-s.ended != nil {
				t.Errorf("a stream of five minutes: %v, %v", got, err)
			}
		}
		if n, err := p.LoadLong(t.Context(), minutely(2)); n != 2 || err != nil {
			t.Errorf("timeout=none: %d, %v", n, err)
		}
		start := time.Now()
		_, err = p.Refusing(t.Context())
		checkTime(t, "a handler that does not return", err, start, 20*time.Second, "DefaultCallTimeout")
		start = time.Now()
		_, err = p.Load(t.Context(), minutely(2))
		checkTime(t, "a slow upload", err, start, 20*time.Second, "DefaultCallTimeout")
		start = time.Now()
		bounded, err := p.Bounded(t.Context(), 5)
		if err != nil {
			t.Fatal(err)
		}
		got, err := collect(bounded)
		checkTime(t, "timeout=90s", err, start, 90*time.Second, "timeout=")
		if handler := <-s.ended; len(got) != 2 || handler != context.DeadlineExceeded {
			t.Errorf("timeout=90s: %v; at the handler %v", got, handler)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		start = time.Now()
		got, err = collect(p.Watch(ctx, 5))
		checkTime(t, "a context", err, start, 90*time.Second, "")
		if handler := <-s.ended; len(got) != 2 || handler != context.DeadlineExceeded {
			t.Errorf("a context: %v; at the handler %v", got, handler)
		}
		start = time.Now()
		time.AfterFunc(time.Hour, func() { close(s.block) })
		if got, err := collect(p.Blocked(t.Context())); got != nil || err != nil || time.Since(start) != time.Hour {
			t.Errorf("a func that does not wait for its handler: %v, %v", got, err)
		}
	})
}

// The items that have come are given before the error of a lost connection. Both ends learn
// about the end at once.
func TestKindLost(t *testing.T) {
	for name, lose := range map[string]func(*bsrpc.Client, *bsrpc.Server){
		"client": func(c *bsrpc.Client, _ *bsrpc.Server) { c.Close() },
		"server": func(_ *bsrpc.Client, s *bsrpc.Server) { s.Close() },
	} {
		synctest.Test(t, func(t *testing.T) {
			p, s, client, srv := bindKinds(t, nil, nil)
			next, stop := iter.Pull2(p.Watch(t.Context(), 5))
			defer stop()
			r, err := p.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			echoed, stopEcho := iter.Pull2(p.Echo(t.Context(), func(yield func(int, error) bool) {
				for yield(1, nil) {
				}
				s.late <- nil
			}))
			defer stopEcho()
			if n, err, ok := echoed(); n != 1 || err != nil || !ok {
				t.Errorf("%s: echoed %d, %v, %v", name, n, err, ok)
			}
			time.Sleep(90 * time.Second)
			lose(client, srv)
			for i := range 2 {
				if n, err, ok := next(); n != i || err != nil || !ok {
					t.Errorf("%s: item %d, %v, %v", name, n, err, ok)
				}
			}
			_, err, _ = next()
			n, readErr := io.Copy(io.Discard, r)
			if n != 64<<10 {
				t.Errorf("%s: %d bytes read", name, n)
			}
			for _, err := range []error{err, readErr} {
				var e *bsrpc.Error
				if !errors.As(err, &e) || e.Outcome != bsrpc.OutcomeUnknown || errors.Is(err, bsrpc.ErrClosed) != (name == "client") {
					t.Errorf("%s: %v", name, err)
				}
			}
			if handler := <-s.ended; handler == nil {
				t.Errorf("%s: the handler's context lives on", name)
			}
			<-s.late // the producer has ended
		})
	}
}

// A result stream does not count in MaxInflight, and one above MaxStreams is refused at
// once. Shutdown waits for both open streams.
func TestKindLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, _, srv := bindKinds(t, &bsrpc.ServerOptions{MaxStreams: 2, MaxInflight: 1}, nil)
		var open [2]iter.Seq2[int, error]
		for i := range open {
			var err error
			if open[i], err = p.Opened(t.Context(), 3); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Unary(t.Context()); err != nil {
			t.Errorf("a call beside streams: %v", err)
		}
		_, err := p.Opened(t.Context(), 3)
		_, ranged := collect(p.Watch(t.Context(), 3))
		for _, err := range []error{err, ranged} {
			var e *bsrpc.Error
			if !errors.As(err, &e) || e.Outcome != bsrpc.OutcomeNotRun || e.Code != bsrpc.CodeResourceExhausted || !strings.Contains(e.Message, "MaxStreams is 2") {
				t.Errorf("a third stream: %v", err)
			}
		}
		shut := make(chan error, 1)
		go func() { shut <- srv.Shutdown(context.Background()) }()
		synctest.Wait()
		for _, seq := range open {
			if got, err := collect(seq); len(got) != 3 || err != nil {
				t.Errorf("during Shutdown: %v, %v", got, err)
			}
		}
		if err := <-shut; err != nil || <-s.ended != nil || <-s.ended != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
}

// A result stream keeps its exclusive group, and its place in MaxConcurrentCalls, until its
// end.
func TestKindTurns(t *testing.T) {
	for text, c := range map[string]struct {
		opts *bsrpc.ServerOptions
		call func(context.Context, *kindContract) error
	}{
		"exclusive=one":           {nil, func(ctx context.Context, p *kindContract) error { return p.AloneToo(ctx) }},
		"MaxConcurrentCalls is 1": {&bsrpc.ServerOptions{MaxConcurrentCalls: 1}, func(ctx context.Context, p *kindContract) error { return p.Unary(ctx) }},
	} {
		synctest.Test(t, func(t *testing.T) {
			p, s, _, _ := bindKinds(t, c.opts, nil)
			for _, err := range p.Alone(t.Context(), 1) {
				if err != nil {
					t.Fatal(err)
				}
				var e *bsrpc.Error
				if err := c.call(t.Context(), p); !errors.As(err, &e) || e.Outcome != bsrpc.OutcomeNotRun || !strings.Contains(e.Message, text) {
					t.Errorf("beside a stream: %v", err)
				}
			}
			if err := c.call(t.Context(), p); err != nil || <-s.ended != nil {
				t.Errorf("after the stream: %v", err)
			}
		})
	}
}

// nil arrives as an empty stream. A parameter ends with its call. Calls by name have no
// streams.
func TestKindOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, client, _ := bindKinds(t, nil, nil)
		seq, err := p.Nil(t.Context())
		if err != nil || seq == nil {
			t.Fatal(err)
		}
		if got, err := collect(seq); got != nil || err != nil {
			t.Errorf("a nil stream: %v, %v", got, err)
		}
		r, err := p.NilReader(t.Context())
		if err != nil || r == nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); len(got) != 0 || err != nil {
			t.Errorf("a nil reader: %q, %v", got, err)
		}
		if n, err := p.Load(t.Context(), nil); n != 0 || err != nil {
			t.Errorf("a nil parameter: %d, %v", n, err)
		}
		if err := p.Keep(t.Context(), func(yield func(int, error) bool) {
			for yield(1, nil) {
			}
		}); err != nil {
			t.Fatal(err)
		}
		close(s.block)
		if err := <-s.late; err == nil || !strings.HasSuffix(err.Error(), "the call is over") {
			t.Errorf("a parameter after its call: %v", err)
		}
		var watched iter.Seq2[any, error]
		if err := client.Call(t.Context(), "S.Watch", []any{1}, &watched); err != nil {
			t.Fatalf("by name: %v", err)
		}
		for _, err := range watched {
			if err != nil {
				t.Errorf("by name: %v", err)
			}
			break
		}
	})
}

// The length of a stream has no limit, that of an item is MaxMessage of its receiver.
func TestKindItems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _, _, _ := bindKinds(t, &bsrpc.ServerOptions{MaxMessage: 1000}, nil)
		small, _, _, _ := bindKinds(t, nil, &bsrpc.ClientOptions{MaxMessage: 1000})
		check := func(name string, err error, text string) {
			t.Helper()
			var e *bsrpc.Error
			if !errors.As(err, &e) || e.Code != bsrpc.CodeResourceExhausted || !strings.HasSuffix(e.Message, text) {
				t.Errorf("%s: %v", name, err)
			}
		}
		got, err := collect(small.Long(t.Context(), 1000))
		if len(got) != 1 {
			t.Errorf("%d items", len(got))
		}
		check("to the client", err, "S.Long, item 2: result 1, []uint8: too long (the client's MaxMessage is 1000)")
		long := func(yield func([]byte) bool) { _ = yield(nil) && yield(make([]byte, 1000)) }
		_, err = p.LoadBytes(t.Context(), long)
		check("to the server", err, "S.LoadBytes, item 2: parameter 1, []uint8: too long (the server's MaxMessage is 1000)")
		if got, err := collect(p.Long(t.Context(), 100_000)); len(got) != 2 || len(got[1]) != 100_000 || err != nil {
			t.Errorf("%d items, %v", len(got), err)
		}
		_, err = small.LoadBytes(t.Context(), slices.Values([][]byte{make([]byte, 500), make([]byte, 900)}))
		if err == nil || err.Error() != bsrpc.ErrStreamUsed.Error() {
			t.Errorf("a second range at the server: %v", err)
		}
	})
}

// A closeCounter is a reader that counts its Closes.
type closeCounter struct {
	io.Reader
	closed atomic.Int32
}

func (c *closeCounter) Close() error {
	c.closed.Add(1)
	return nil
}

// A reader that is an io.Closer is closed once, also if its call does not begin.
func TestKindReadersClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _, client, _ := bindKinds(t, nil, nil)
		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		tagged := bsrpc.WithMetadata(t.Context(), bsrpc.Metadata{"NOT A KEY": ""})
		for _, c := range []struct {
			name string
			ctx  context.Context
		}{{"runs", t.Context()}, {"canceled", canceled}, {"metadata", tagged}, {"nil", nil}, {"closed", t.Context()}} {
			if c.name == "closed" {
				client.Close()
			}
			r := &closeCounter{Reader: strings.NewReader("abc")}
			_, err := p.Read(c.ctx, r)
			if synctest.Wait(); (err == nil) != (c.name == "runs") || r.closed.Load() != 1 {
				t.Errorf("%s: closed %d times, %v", c.name, r.closed.Load(), err)
			}
			if c.name != "runs" { // the caller does not see a panic in Close
				p.Read(c.ctx, &closeFunc{strings.NewReader("abc"), func() { panic("on purpose") }})
			}
		}
	})
}

// A handler that reads a parameter, and does not watch its context, is woken by the end of the
// caller.
func TestKindCanceledParameters(t *testing.T) {
	for want, end := range map[error]func(context.Context) (context.Context, context.CancelFunc){
		context.Canceled: func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			return ctx, cancel
		},
		context.DeadlineExceeded: func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			p, s, client, _ := bindKinds(t, nil, nil)
			ctx, cancel := end(t.Context())
			defer cancel()
			slow := func(yield func(int, error) bool) {
				yield(1, nil)
				time.Sleep(time.Minute)
			}
			if err := p.Drain(ctx, slow); !errors.Is(err, want) {
				t.Errorf("the caller: %v", err)
			}
			select {
			case err := <-s.ended:
				if bsrpc.CodeOf(err) != bsrpc.CodeCanceled { // without a context, it has no deadline
					t.Errorf("the handler: %v", err)
				}
			case <-time.After(time.Hour):
				t.Errorf("%v: the handler waits for its parameter", want)
			}
			time.Sleep(time.Minute) // the end of slow
			client.Close()
		})
	}
}

// A connection may be lost while the caller of a stream reads the answer. The race detector
// finds writes to it.
func TestKindLostAtTheAnswer(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			p, _, _, srv := bindKinds(t, &bsrpc.ServerOptions{Logger: quiet}, nil)
			opened := make(chan error, 1)
			go func() {
				seq, err := p.Opened(t.Context(), 3)
				if err == nil {
					_, err = collect(seq)
				}
				opened <- err
			}()
			go srv.Close()
			if err := <-opened; err == nil {
				t.Error("a whole stream")
			}
			time.Sleep(time.Hour)
		})
	}
}

// A waiter has a method of each kind that waits for the end of its context.
type waiter struct{}

func (waiter) Unary(ctx context.Context) (int, error)   { <-ctx.Done(); return 0, ctx.Err() }
func (w waiter) Later(ctx context.Context) (int, error) { return w.Unary(ctx) }
func (w waiter) Tell(ctx context.Context) error         { _, err := w.Unary(ctx); return err }
func (w waiter) Eager(ctx context.Context) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) { yield(w.Unary(ctx)) }
}
func (w waiter) Items(ctx context.Context) (iter.Seq2[int, error], error) { return w.Eager(ctx), nil }
func (w waiter) Open(ctx context.Context) (io.ReadCloser, error) {
	r, out := io.Pipe()
	context.AfterFunc(ctx, func() { out.CloseWithError(ctx.Err()) })
	return r, nil
}
func (w waiter) Load(ctx context.Context, _ iter.Seq2[int, error]) (int, error) { return w.Unary(ctx) }
func (w waiter) Read(ctx context.Context, _ io.Reader) (int, error)             { return w.Unary(ctx) }
func (w waiter) Ask(_ context.Context, f func(context.Context) error) error {
	return f(context.Background())
}

// waiterApart are the kinds for which a connection is not needed, waiterHere the others.
type waiterApart struct {
	Unary func(context.Context) (int, error)
	Later func(context.Context) *bsrpc.Future[int]
	Tell  func(context.Context) error `bsrpc:"oneway"`
	Eager func(context.Context) iter.Seq2[int, error]
	Items func(context.Context) (iter.Seq2[int, error], error)
	Open  func(context.Context) (io.ReadCloser, error)
}

type waiterHere struct {
	Load func(context.Context, iter.Seq2[int, error]) (int, error)
	Read func(context.Context, io.Reader) (int, error)
	Ask  func(context.Context, func(context.Context) error) error
}

// A closedReader counts calls of Close.
type closedReader struct {
	endlessReader
	closed *atomic.Int32
}

func (r closedReader) Close() error { r.closed.Add(1); return nil }

// Calls of each kind that are open at Close end with ErrClosed. Later ones, and those canceled before they
// begin, are not run.
func TestKindClosed(t *testing.T) {
	for name, over := range map[string]bool{"a connection": false, "Direct": true} {
		synctest.Test(t, func(t *testing.T) {
			srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
			defer srv.Close()
			if err := errors.Join(bsrpc.RegisterAs[waiterApart](srv, "W", waiter{}), bsrpc.RegisterAs[waiterHere](srv, "H", waiter{})); err != nil {
				t.Fatal(err)
			}
			client := bsrpc.NewClientOver(bsrpctest.Direct(srv), nil)
			if !over {
				var err error
				if client, err = bsrpctest.Dial(t, srv, nil); err != nil {
					t.Fatal(err)
				}
			}
			p, err := bsrpc.Bind[waiterApart](t.Context(), client, "W")
			if err != nil {
				t.Fatal(err)
			}
			ctx := t.Context()
			var closed atomic.Int32
			calls := map[string]func() error{
				"unary":   func() error { _, err := p.Unary(ctx); return err },
				"future":  func() error { _, err := p.Later(ctx).Wait(ctx); return err },
				"oneway":  func() error { return p.Tell(ctx) },
				"eager":   func() error { _, err := collect(p.Eager(ctx)); return err },
				"by name": func() error { return client.Call(ctx, "W.Unary", nil, new(any)) },
				"encoded": func() error { _, err := client.CallEncoded(ctx, "W.Unary", nil, nil); return err },
				"items": func() error {
					items, err := p.Items(ctx)
					if err == nil {
						_, err = collect(items)
					}
					return err
				},
				"reader": func() error {
					r, err := p.Open(ctx)
					if err == nil {
						_, err = io.ReadAll(r)
					}
					return err
				},
			}
			if !over {
				h, err := bsrpc.Bind[waiterHere](ctx, client, "H")
				if err != nil {
					t.Fatal(err)
				}
				calls["a parameter"] = func() error { _, err := h.Load(ctx, generated(3, func(i int) int { return i })); return err }
				calls["a reader among the parameters"] = func() error { _, err := h.Read(ctx, closedReader{closed: &closed}); return err }
				calls["a callback"] = func() error { return h.Ask(ctx, func(ctx context.Context) error { <-ctx.Done(); return nil }) }
			}
			canceled, cancel := context.WithCancel(ctx)
			cancel()
			ctx = canceled
			for kind, call := range calls {
				if err := call(); !errors.Is(err, context.Canceled) || outcomeIn(err) != bsrpc.OutcomeNotRun {
					t.Errorf("%s, %s canceled before: %v, %v", name, kind, err, outcomeIn(err))
				}
			}
			ctx = t.Context()
			type end struct {
				name string
				err  error
			}
			ended := make(chan end, len(calls))
			for name, call := range calls {
				go func() { ended <- end{name, call()} }()
			}
			time.Sleep(time.Second) // until all handlers run
			client.Close()
			for range calls {
				e := <-ended
				unknown := outcomeIn(e.err) == bsrpc.OutcomeUnknown || over && outcomeIn(e.err) == bsrpc.OutcomeAnswered // the handler may return earlier
				if e.name != "oneway" && (!errors.Is(e.err, bsrpc.ErrClosed) || !unknown) {
					t.Errorf("%s, %s: %v, %v", name, e.name, e.err, outcomeIn(e.err))
				}
			}
			for kind, call := range calls {
				if err := call(); !errors.Is(err, bsrpc.ErrClosed) || outcomeIn(err) != bsrpc.OutcomeNotRun {
					t.Errorf("%s, %s after Close: %v", name, kind, err)
				}
			}
			if _, err := bsrpc.Bind[waiterApart](ctx, client, "W"); !errors.Is(err, bsrpc.ErrClosed) {
				t.Errorf("%s, Bind after Close: %v", name, err)
			}
			if synctest.Wait(); !over && closed.Load() != 3 { // once for each call
				t.Errorf("%d readers closed", closed.Load())
			}
		})
	}
}

// A handler gets the items that had come before its connection was lost, and then the loss.
func TestKindLostParameter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost, seen := make(chan struct{}), make(chan string, 1)
		srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
		if err := srv.RegisterFunc("S.Load", func(items iter.Seq2[int, error]) (n int, err error) {
			<-lost
			for _, err = range items {
				if n++; err != nil {
					break
				}
			}
			seen <- fmt.Sprint(n-1, " items, ", err)
			return n, err
		}); err != nil {
			t.Fatal(err)
		}
		client, err := bsrpctest.Dial(t, srv, nil)
		if err != nil {
			t.Fatal(err)
		}
		p, err := bsrpc.Bind[struct {
			Load func(context.Context, iter.Seq[int]) (int, error)
		}](t.Context(), client, "S")
		if err != nil {
			t.Fatal(err)
		}
		go p.Load(context.Background(), func(yield func(int) bool) {
			for i := 0; i < 100 && yield(i); i++ {
			}
			<-lost
		})
		synctest.Wait()
		client.Close()
		synctest.Wait()
		close(lost)
		if got, want := <-seen, "100 items, bsrpc: S.Load: connection lost: closed by the peer"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}
