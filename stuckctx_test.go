package bsrpc_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// A stuckContext is a user's own implementation of a context. The funcs that its AfterFunc returns hang, or
// panic.
type stuckContext struct {
	context.Context
	done   chan struct{}
	stuck  chan struct{}
	panics bool
}

func (c *stuckContext) Done() <-chan struct{} { return c.done }

func (c *stuckContext) AfterFunc(func()) (stop func() bool) {
	return func() bool {
		if c.panics {
			panic("on purpose")
		}
		<-c.stuck
		return true
	}
}

// Close does not wait for what the contexts of callers do at the end of calls, on a connection or without
// one, and neither do the calls of others.
func TestCloseBesideStuckContexts(t *testing.T) {
	for _, test := range []struct {
		name string
		dial func(t *testing.T, srv *bsrpc.Server) *bsrpc.Client
	}{
		{"a connection", func(t *testing.T, srv *bsrpc.Server) *bsrpc.Client {
			client, err := bsrpctest.Dial(t, srv, nil)
			if err != nil {
				t.Fatal(err)
			}
			return client
		}},
		{"a RoundTripper", func(t *testing.T, srv *bsrpc.Server) *bsrpc.Client {
			return overClient(bsrpctest.Direct(srv), nil)
		}},
	} {
		for _, panics := range []bool{false, true} {
			t.Run(test.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					client := test.dial(t, depotServer(t, nil))
					p, err := bsrpc.Bind[depotFutures](t.Context(), client, "Stock")
					if err != nil {
						t.Fatal(err)
					}
					ctx := &stuckContext{Context: context.Background(), done: make(chan struct{}), stuck: make(chan struct{}), panics: panics}
					futures := []*bsrpc.Future[int]{p.Put(ctx, "wait", 1), p.Put(ctx, "wait", 1), p.Put(t.Context(), "wait", 1)}
					synctest.Wait()
					if n, err := p.Put(ctx, "bolt", 3).Wait(t.Context()); n != 6 || err != nil {
						t.Errorf("%d, %v", n, err)
					}
					if n, err := p.Put(t.Context(), "bolt", 3).Wait(t.Context()); n != 6 || err != nil {
						t.Errorf("%d, %v", n, err)
					}
					began := time.Now()
					client.Close()
					if took := time.Since(began); took > time.Second {
						t.Errorf("Close took %v", took)
					}
					for _, f := range futures {
						if _, err := f.Wait(t.Context()); err == nil {
							t.Error("a call outlived its client")
						}
					}
					close(ctx.stuck)
				})
			})
		}
	}
}
