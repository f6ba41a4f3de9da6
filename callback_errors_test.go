package bsrpc_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// A nil *Error, whose methods panic, fails its callback as a panic in it does.
func TestNilErrorsOfCallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
		if err := srv.RegisterFunc("S.Run", func(f func() error) error { return f() }); err != nil {
			t.Fatal(err)
		}
		p := bsrpctest.Bind[struct {
			Run func(ctx context.Context, f func() error) error
		}](t, srv, "S")
		err := p.Run(t.Context(), func() error { return (*bsrpc.Error)(nil) })
		wantError(t, err, bsrpc.CodeInternal, bsrpc.OutcomeAnswered, "bsrpc: S.Run, parameter 1: panic in the callback (id ")
		if err := p.Run(t.Context(), func() error { return nil }); err != nil {
			t.Error("the next callback:", err)
		}
	})
}

// The context of a callback has the earlier deadline: that of the call, or that given by the handler.
func TestDeadlineOfACallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
		if err := srv.RegisterFunc("S.Run", func(ctx context.Context, own time.Duration, f func(context.Context) error) error {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), own)
			defer cancel()
			return f(ctx)
		}); err != nil {
			t.Fatal(err)
		}
		p := bsrpctest.Bind[struct {
			Run func(ctx context.Context, own time.Duration, f func(context.Context) error) error
		}](t, srv, "S")
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		for _, own := range []time.Duration{time.Second, time.Minute} {
			if err := p.Run(ctx, own, func(ctx context.Context) error {
				if at, ok := ctx.Deadline(); !ok || time.Until(at) != min(own, 5*time.Second) {
					t.Errorf("%v: %v, %v", own, time.Until(at), ok)
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
		}
	})
}

// A callback has the list of errors of its call: that of ClientOptions if the client makes the
// call, and that of Handlers if the server does.
func TestErrorsOfCallbacks(t *testing.T) {
	called, pushed := errors.New("of calls"), errors.New("of calls to the client")
	both := map[string]error{"called": called, "pushed": pushed}
	found := func(err error) (names []string) {
		for name, listed := range both {
			if errors.Is(err, listed) {
				names = append(names, name)
			}
		}
		return names
	}
	type ends struct {
		Run func(ctx context.Context, f func() error) error
	}
	for _, withHandlers := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var proxy *ends
			var inHandler []string // found at the server, in the handler
			srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, Errors: both, OnConnect: func(ctx context.Context, s *bsrpc.Session) (err error) {
				if withHandlers {
					proxy, err = bsrpc.Bind[ends](ctx, s, "Client")
				}
				return err
			}})
			if err := bsrpc.RegisterAs[ends](srv, "Server", &ends{func(ctx context.Context, f func() error) error {
				inHandler = found(f())
				return errors.Join(called, pushed)
			}}); err != nil {
				t.Fatal(err)
			}
			opts := bsrpc.ClientOptions{Logger: quiet, Errors: map[string]error{"called": called}}
			var atClient []string // found in the method of Handlers
			if withHandlers {
				opts.Handlers = bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, Errors: map[string]error{"pushed": pushed}})
				if err := bsrpc.RegisterAs[ends](opts.Handlers, "Client", &ends{func(ctx context.Context, f func() error) error {
					atClient = found(f())
					return errors.Join(called, pushed)
				}}); err != nil {
					t.Fatal(err)
				}
			}
			client, err := bsrpctest.Dial(t, srv, &opts)
			if err != nil {
				t.Fatal(err)
			}
			p, err := bsrpc.Bind[ends](t.Context(), client, "Server")
			if err != nil {
				t.Fatal(err)
			}
			want := func(what string, got []string, name string) {
				t.Helper()
				if !slices.Equal(got, []string{name}) {
					t.Errorf("with Handlers %v: %s: found %q, want %s", withHandlers, what, got, name)
				}
			}
			fails := func() error { return errors.Join(called, pushed) }
			want("a call", found(p.Run(t.Context(), fails)), "called")
			want("its callback", inHandler, "called")
			if withHandlers {
				want("a call to the client", found(proxy.Run(t.Context(), fails)), "pushed")
				want("its callback", atClient, "pushed")
			}
		})
	}
}
