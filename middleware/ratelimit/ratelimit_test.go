package ratelimit

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// Shop is the contract of these tests.
type Shop struct {
	Search func(ctx context.Context, what string) error
	Buy    func(ctx context.Context, what string) error
}

type shop struct{}

func (shop) Search(string) {}
func (shop) Buy(string)    {}

// dial connects a client to a shop.
func dial(t *testing.T, srv *bsrpc.Server, opts *bsrpc.ClientOptions) (*bsrpc.Client, *Shop) {
	t.Helper()
	client, err := bsrpctest.Dial(t, srv, opts)
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := bsrpc.Bind[Shop](t.Context(), client, "Shop")
	if err != nil {
		t.Fatal(err)
	}
	return client, proxy
}

func newShop(t *testing.T, limits ...bsrpc.Interceptor) *bsrpc.Server {
	t.Helper()
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Interceptors: limits})
	if err := bsrpc.RegisterAs[Shop](srv, "Shop", shop{}); err != nil {
		t.Fatal(err)
	}
	return srv
}

// count makes n calls at once, and returns how many were allowed.
func count(t *testing.T, call func(context.Context, string) error, n int) (allowed int) {
	t.Helper()
	for range n {
		err := call(t.Context(), "nuts")
		var e *bsrpc.Error
		switch {
		case err == nil:
			allowed++
		case !errors.As(err, &e) || e.Code != bsrpc.CodeResourceExhausted || e.Outcome != bsrpc.OutcomeNotRun:
			t.Errorf("got %v", err)
		}
	}
	return allowed
}

// Each limit counts the calls of its method, its session, or both, and allows more after
// some time.
func TestLimits(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func() bsrpc.Interceptor
		want [4]int // allowed: Search and Buy of two sessions
	}{
		{"by method", func() bsrpc.Interceptor { return ByMethod(2, 4) }, [4]int{4, 4, 0, 0}},
		{"by method, one only", func() bsrpc.Interceptor { return ByMethod(2, 4, "Shop.Buy") }, [4]int{10, 4, 10, 0}},
		{"by session", func() bsrpc.Interceptor { return BySession(2, 4) }, [4]int{4, 0, 4, 0}},
		{"by session, one method", func() bsrpc.Interceptor { return BySession(2, 4, "Shop.Buy") }, [4]int{10, 4, 10, 4}},
		{"by method and session", func() bsrpc.Interceptor { return ByMethodAndSession(2, 4) }, [4]int{4, 4, 4, 4}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := newShop(t, tt.make())
				_, one := dial(t, srv, nil)
				_, two := dial(t, srv, nil)
				calls := []func(context.Context, string) error{one.Search, one.Buy, two.Search, two.Buy}
				for i, call := range calls {
					if got := count(t, call, 10); got != tt.want[i] {
						t.Errorf("call %d: %d were allowed, want %d", i, got, tt.want[i])
					}
				}
				time.Sleep(time.Second)
				if got, want := count(t, one.Buy, 10), 2; got != want {
					t.Errorf("after a second: %d were allowed, want %d", got, want)
				}
			})
		})
	}
}

// The error names the method and the limit.
func TestErrorText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, proxy := dial(t, newShop(t, BySession(0.5, 1)), nil)
		proxy.Buy(t.Context(), "nuts")
		want := "bsrpc: Shop.Buy: above the limit of 0.5 a second for each session, 1 at once; call again later"
		if err := proxy.Buy(t.Context(), "nuts"); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	})
}

// A client limits its own calls.
func TestLimitOfClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, proxy := dial(t, newShop(t), &bsrpc.ClientOptions{Interceptors: []bsrpc.Interceptor{BySession(1, 3)}})
		if got := count(t, proxy.Buy, 5); got != 3 {
			t.Errorf("%d were allowed, want 3", got)
		}
	})
}

// The limiters of sessions do not outlive them.
func TestLimitersAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l *limit
		srv := newShop(t, func(next bsrpc.CallFunc) bsrpc.CallFunc {
			l = &limit{rate: 1, burst: 1, keyOf: func(call *bsrpc.Call) key { return key{call.Session(), call.Method().Name} }, limiters: map[key]*rate.Limiter{}}
			return l.intercept(next)
		})
		for range 3 {
			client, proxy := dial(t, srv, nil)
			proxy.Buy(t.Context(), "nuts")
			proxy.Search(t.Context(), "nuts")
			client.Close()
		}
		synctest.Wait()
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.limiters) != 0 {
			t.Errorf("%d limiters are left", len(l.limiters))
		}
	})
}
