package bsrpc_test

// What docs/calls.md says about calls without a waiting caller, and about calls to clients.

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

type (
	eagerContract struct {
		Later  func(ctx context.Context) *bsrpc.Future[int]
		Oneway func(ctx context.Context) error `bsrpc:"oneway"`
	}
	eagerServer struct {
		Later  func(ctx context.Context) (int, error)
		Oneway func(ctx context.Context) error `bsrpc:"oneway"`
	}
)

// bindEager connects a client to a server whose handlers return after an hour, or with their
// contexts.
func bindEager(t *testing.T, opts *bsrpc.ClientOptions) (proxy *eagerContract, began chan context.Context, client *bsrpc.Client, srv *bsrpc.Server) {
	t.Helper()
	began = make(chan context.Context, 10)
	work := func(ctx context.Context) (int, error) {
		began <- ctx
		select {
		case <-time.After(time.Hour):
			return 7, nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	srv = bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
	err := bsrpc.RegisterAs[eagerServer](srv, "S", &eagerServer{work, func(ctx context.Context) error { _, err := work(ctx); return err }})
	if err != nil {
		t.Fatal(err)
	}
	if client, err = bsrpctest.Dial(t, srv, opts); err != nil {
		t.Fatal(err)
	}
	if proxy, err = bsrpc.Bind[eagerContract](t.Context(), client, "S"); err != nil {
		t.Fatal(err)
	}
	return proxy, began, client, srv
}

// The time of a call is that of its handler.
func TestEagerDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		proxy, began, client, srv := bindEager(t, &bsrpc.ClientOptions{Logger: quiet})
		f, start := proxy.Later(t.Context()), time.Now()
		if err := proxy.Oneway(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			ctx := <-began
			<-ctx.Done()
			if d := time.Since(start).Round(10 * time.Millisecond); d != 20*time.Second {
				t.Errorf("a handler has ended after %v", d)
			}
		}
		_, err := f.Wait(t.Context())
		if d := time.Since(start).Round(10 * time.Millisecond); d != 20*time.Second || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a future: %v after %v", err, d)
		}
		synctest.Wait()
		if c, s := client.OnewayErrors(), srv.OnewayErrors(); c != 1 || s != 1 {
			t.Errorf("%d errors at the client, %d at the server", c, s)
		}
	})
}

// Shutdown waits for the handlers, and the client gets their answers.
func TestEagerShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		proxy, began, client, srv := bindEager(t, &bsrpc.ClientOptions{Logger: quiet, DefaultCallTimeout: bsrpc.NoLimit})
		f := proxy.Later(t.Context())
		if err := proxy.Oneway(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-began
		<-began
		start := time.Now()
		if err := srv.Shutdown(t.Context()); err != nil || time.Since(start).Round(time.Second) != time.Hour {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if n, err := f.Wait(t.Context()); n != 7 || err != nil || client.OnewayErrors()+srv.OnewayErrors() != 0 {
			t.Errorf("%d, %v", n, err)
		}
	})
}

// The end of the connection ends the handlers' contexts. It is an error of the future, and of
// the oneway call unless the client has ended it.
func TestEagerLost(t *testing.T) {
	for name, test := range map[string]struct {
		end    func(*bsrpc.Client, *bsrpc.Server)
		errors uint64
	}{
		"client": {func(c *bsrpc.Client, _ *bsrpc.Server) { c.Close() }, 0},
		"server": {func(_ *bsrpc.Client, s *bsrpc.Server) { s.Close() }, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			proxy, began, client, srv := bindEager(t, &bsrpc.ClientOptions{Logger: quiet})
			f := proxy.Later(t.Context())
			if err := proxy.Oneway(t.Context()); err != nil {
				t.Fatal(err)
			}
			first, second := <-began, <-began
			test.end(client, srv)
			<-first.Done()
			<-second.Done()
			_, err := f.Wait(t.Context())
			var e *bsrpc.Error
			if !errors.As(err, &e) || e.Outcome != bsrpc.OutcomeUnknown || errors.Is(err, bsrpc.ErrClosed) != (name == "client") {
				t.Errorf("%s: %v", name, err)
			}
			synctest.Wait()
			if n := client.OnewayErrors(); n != test.errors {
				t.Errorf("%s: %d errors", name, n)
			}
		})
	}
}

// Shutdown waits for a handler, and so for its call to the client, but not for other calls to
// clients.
func TestPushShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l, _ := join(t)
		l.gone = make(chan error, 2)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- l.hub.Hang(ctx) }()
		synctest.Wait()
		start := time.Now()
		if err := h.srv.Shutdown(t.Context()); err != nil || time.Since(start).Round(time.Second) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if err := <-done; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the handler: %v", err)
		}
	})
}
