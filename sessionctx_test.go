package bsrpc_test

import (
	"context"
	"errors"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// A workBench is what a client has in these tests. Its methods wait for the end of their call.
type workBench struct {
	Wait   func(ctx context.Context) error
	Later  func(ctx context.Context) *bsrpc.Future[int]
	Report func(ctx context.Context) iter.Seq2[int, error]
	Many   func(ctx context.Context) iter.Seq2[int, error]
	Watch  func(ctx context.Context) (iter.Seq2[int, error], error)
}

// A call to a client often has the context of its session. When the session ends, the call has
// the reason, and not only the end of its context.
func TestCallsWithContextOfSession(t *testing.T) {
	calls := map[string]func(ctx context.Context, b *workBench) error{
		"unary": func(ctx context.Context, b *workBench) error { return b.Wait(ctx) },
		"future": func(ctx context.Context, b *workBench) error {
			_, err := b.Later(ctx).Wait(context.Background())
			return err
		},
		"wait for a future": func(ctx context.Context, b *workBench) error {
			_, err := b.Later(ctx).Wait(ctx)
			return err
		},
		"eager stream": func(ctx context.Context, b *workBench) error {
			items, err := bsrpctest.Collect(b.Report(ctx))
			if len(items) != 1 {
				t.Errorf("%d items before the end, want 1", len(items))
			}
			return err
		},
		"stream": func(ctx context.Context, b *workBench) error {
			seq, err := b.Watch(ctx)
			if err != nil {
				return err
			}
			_, err = bsrpctest.Collect(seq)
			return err
		},
	}
	ends := map[string]struct {
		end  func(*bsrpc.Server, *bsrpc.Session, *bsrpc.Client)
		code bsrpc.Code
	}{
		"client closes":         {func(_ *bsrpc.Server, _ *bsrpc.Session, c *bsrpc.Client) { c.Close() }, bsrpc.CodeUnavailable},
		"Session.Close":         {func(_ *bsrpc.Server, s *bsrpc.Session, _ *bsrpc.Client) { s.Close("go away") }, bsrpc.CodeAborted},
		"Server.Close":          {func(srv *bsrpc.Server, _ *bsrpc.Session, _ *bsrpc.Client) { srv.Close() }, bsrpc.CodeUnavailable},
		"the context of a call": {nil, bsrpc.CodeCanceled},
	}
	for name, call := range calls {
		for how, end := range ends {
			t.Run(name+", "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					srv, s, c, b := newBench(t)
					ctx, cancel := context.WithCancel(s.Context())
					result := make(chan error)
					go func() { result <- call(ctx, b) }()
					synctest.Wait()
					if end.end == nil {
						cancel()
					} else {
						end.end(srv, s, c)
					}
					err := <-result
					if want := end.code == bsrpc.CodeCanceled; errors.Is(err, context.Canceled) != want {
						t.Errorf("errors.Is(err, context.Canceled) is %v: %v", !want, err)
					}
					outcome := bsrpc.OutcomeUnknown
					if e := new(bsrpc.Error); end.end == nil && errors.As(err, &e) && e.Outcome == bsrpc.OutcomeAnswered {
						outcome = e.Outcome // the handler has ended first, because of the cancel
					}
					checkReason(t, err, end.code, outcome)
					if end.end != nil {
						checkReason(t, s.Acquire(t.Context(), "crane"), end.code, bsrpc.OutcomeNotRun)
					}
					if end.end != nil && name != "eager stream" {
						checkReason(t, call(ctx, b), end.code, bsrpc.OutcomeNotRun)
					}
					cancel()
					c.Close()
					srv.Close()
				})
			})
		}
	}
}

func checkReason(t *testing.T, err error, code bsrpc.Code, outcome bsrpc.Outcome) {
	t.Helper()
	var e *bsrpc.Error
	if !errors.As(err, &e) || e.Code != code || e.Outcome != outcome {
		t.Errorf("got %+v, want code %v, %v", e, code, outcome)
	}
}

// newBench connects a client with a workBench.
func newBench(t *testing.T) (srv *bsrpc.Server, s *bsrpc.Session, c *bsrpc.Client, b *workBench) {
	t.Helper()
	srv = bsrpc.NewServer(&bsrpc.ServerOptions{OnConnect: func(ctx context.Context, session *bsrpc.Session) (err error) {
		s = session
		b, err = bsrpc.Bind[workBench](ctx, s, "Bench")
		return err
	}})
	wait := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	many := func(ctx context.Context, n int) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for i := range n {
				if !yield(i, nil) {
					return
				}
			}
			<-ctx.Done()
		}
	}
	one := func(ctx context.Context) iter.Seq2[int, error] { return many(ctx, 1) }
	handlers := bsrpc.NewServer(nil)
	for name, fn := range map[string]any{
		"Bench.Wait":   wait,
		"Bench.Later":  func(ctx context.Context) (int, error) { return 0, wait(ctx) },
		"Bench.Report": one,
		"Bench.Many":   func(ctx context.Context) iter.Seq2[int, error] { return many(ctx, 100) },
		"Bench.Watch":  func(ctx context.Context) (iter.Seq2[int, error], error) { return one(ctx), nil },
	} {
		if err := handlers.RegisterFunc(name, fn); err != nil {
			t.Fatal(err)
		}
	}
	c, err := bsrpctest.Dial(t, srv, &bsrpc.ClientOptions{Handlers: handlers})
	if err != nil {
		t.Fatal(err)
	}
	return srv, s, c, b
}

// The items that have come before the end of a session stay, also for a call with its context.
func TestItemsBeforeTheEndOfASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, s, c, b := newBench(t)
		defer srv.Close()
		items := 0
		for _, err := range b.Many(s.Context()) {
			if err != nil {
				checkReason(t, err, bsrpc.CodeUnavailable, bsrpc.OutcomeUnknown)
				break
			}
			if items++; items == 1 {
				synctest.Wait() // until all that can come has
				c.Close()
				synctest.Wait()
			}
		}
		if items != 100 {
			t.Errorf("%d items, want 100", items)
		}
	})
}

// A callback ends with its call, also if its own context does not. If the session has ended the call,
// it has the reason.
func TestCallbackAfterTheEndOfASession(t *testing.T) {
	type asker struct {
		Ask func(ctx context.Context, answer func(ctx context.Context) (int, error)) (int, error)
	}
	synctest.Test(t, func(t *testing.T) {
		srv, result := bsrpc.NewServer(nil), make(chan error, 1)
		err := srv.RegisterFunc("Site.Ask", func(ctx context.Context, answer func(ctx context.Context) (int, error)) (int, error) {
			time.AfterFunc(time.Second, func() { bsrpc.SessionFrom(ctx).Close("go away") })
			_, err := answer(context.Background())
			result <- err
			return 0, err
		})
		if err != nil {
			t.Fatal(err)
		}
		client, err := bsrpctest.Dial(t, srv, nil)
		if err != nil {
			t.Fatal(err)
		}
		site, err := bsrpc.Bind[asker](t.Context(), client, "Site")
		if err != nil {
			t.Fatal(err)
		}
		site.Ask(t.Context(), func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() })
		checkReason(t, <-result, bsrpc.CodeAborted, bsrpc.OutcomeUnknown)
	})
}
