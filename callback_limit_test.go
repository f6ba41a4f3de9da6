package bsrpc_test

// Calls within callbacks within calls, at the limit of open calls.

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// A nest calls back, depth times.
type nest struct{}

func (nest) Down(ctx context.Context, depth int, back func(context.Context, int) error) error {
	if depth == 0 {
		return nil
	}
	return back(ctx, depth-1)
}
func (nest) Sleep(ms int) { time.Sleep(time.Duration(ms) * time.Millisecond) }

type nestContract struct {
	Down  func(ctx context.Context, depth int, back func(context.Context, int) error) error
	Sleep func(ctx context.Context, ms int) error
}

// newNest returns a func that nests calls, of a client and a server with these MaxInflight.
func newNest(t *testing.T, client, server int, timeout time.Duration) (*nestContract, func(ctx context.Context, depth int) error) {
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, MaxInflight: server, DefaultCallTimeout: timeout})
	if err := bsrpc.RegisterAs[nestContract](srv, "Nest", nest{}); err != nil {
		t.Fatal(err)
	}
	handlers := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, MaxInflight: client})
	c, err := bsrpctest.Dial(t, srv, &bsrpc.ClientOptions{Logger: quiet, Handlers: handlers, DefaultCallTimeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	p, err := bsrpc.Bind[nestContract](t.Context(), c, "Nest")
	if err != nil {
		t.Fatal(err)
	}
	var down func(ctx context.Context, depth int) error
	down = func(ctx context.Context, depth int) error { return p.Down(ctx, depth, down) }
	return p, down
}

// Calls that wait for their own places, in callbacks of the calls that have them, fail soon
// with an error that names the limit. Others wait. A server cannot know that of its callbacks:
// they fail with the same error, shortly before the time of their call is over.
func TestCallbacksAtMaxInflight(t *testing.T) {
	for name, tt := range map[string]struct {
		client, server, callers, depth int
		others                         int // ms that other calls take, which have the other places
		timeout                        time.Duration
		want                           string // in the error of each call; "" for none
		after                          time.Duration
	}{
		"enough":             {4, 5, 1, 4, 0, bsrpc.NoLimit, "", 0},
		"two callers":        {2, 2, 2, 1, 0, bsrpc.NoLimit, "the server's MaxInflight (2)", 2 * time.Second},
		"many callers":       {64, 8, 8, 3, 0, bsrpc.NoLimit, "the server's MaxInflight (8)", 6 * time.Second},
		"one caller":         {1000, 3, 1, 5, 0, bsrpc.NoLimit, "the server's MaxInflight (3)", 2 * time.Second},
		"others end in time": {2, 2, 1, 1, 1500, bsrpc.NoLimit, "", 1500 * time.Millisecond},
		"at the client":      {1, 100, 1, 3, 0, 0, "the client's MaxInflight (1)", 20*time.Second - 20*time.Millisecond},
		"both ends":          {2, 2, 2, 5, 0, 0, "the server's MaxInflight (2)", 6 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, down := newNest(t, tt.client, tt.server, tt.timeout)
				if tt.others > 0 {
					for range tt.server - tt.callers {
						go p.Sleep(t.Context(), tt.others)
					}
					synctest.Wait()
				}
				start := time.Now()
				var all sync.WaitGroup
				var failed atomic.Int64
				for range tt.callers {
					all.Go(func() {
						err := down(t.Context(), tt.depth)
						if err == nil {
							return // perhaps with the place of one that has failed
						}
						if failed.Add(1); tt.want == "" || !strings.Contains(err.Error(), tt.want) {
							t.Errorf("got %v, want %q", err, tt.want)
						}
					})
				}
				all.Wait()
				// Several callers may run one after another, and then none waits.
				if failed.Load() > 0 && tt.want == "" || failed.Load() == 0 && tt.want != "" && tt.callers == 1 {
					t.Error(failed.Load(), "failed")
				}
				if d := time.Since(start); d > tt.after {
					t.Errorf("over after %v, want %v", d, tt.after)
				}
				if err := down(t.Context(), 1); err != nil {
					t.Error("afterwards:", err)
				}
			})
		})
	}
}
