// Package ratelimit limits the calls of a server or a client a second, with
// golang.org/x/time/rate. Its interceptors never wait: a call above the limit fails with
// CodeResourceExhausted and OutcomeNotRun, so its caller may safely call again later.
package ratelimit

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/time/rate"

	"github.com/bsrpc/bsrpc"
)

// ByMethod limits each method: all sessions together make at most r calls of it a second,
// and at most burst at once. With names, such as "Shop.Search", it limits these methods
// only. r and burst are those of rate.NewLimiter.
func ByMethod(r rate.Limit, burst int, names ...string) bsrpc.Interceptor {
	return newLimit(r, burst, names, "", func(call *bsrpc.Call) key { return key{method: call.Method().Name} })
}

// BySession limits each session: it makes at most r calls a second, of all methods together,
// and at most burst at once. With names, it counts and limits calls of these methods only.
// At a client it limits the client.
func BySession(r rate.Limit, burst int, names ...string) bsrpc.Interceptor {
	return newLimit(r, burst, names, " for each session", func(call *bsrpc.Call) key { return key{session: call.Session()} })
}

// ByMethodAndSession limits each method for each session, otherwise like ByMethod.
func ByMethodAndSession(r rate.Limit, burst int, names ...string) bsrpc.Interceptor {
	return newLimit(r, burst, names, " for each session", func(call *bsrpc.Call) key { return key{call.Session(), call.Method().Name} })
}

// A key is what a limiter is for.
type key struct {
	session *bsrpc.Session // nil for all sessions
	method  string         // "" for all methods
}

// A limit has a limiter for each key: at most one for each method of the server, or for
// each of its present sessions, or for both.
type limit struct {
	rate  rate.Limit
	burst int
	names []string // nil for all methods
	scope string   // for errors
	keyOf func(*bsrpc.Call) key

	mu       sync.Mutex // guards limiters
	limiters map[key]*rate.Limiter
}

func newLimit(r rate.Limit, burst int, names []string, scope string, keyOf func(*bsrpc.Call) key) bsrpc.Interceptor {
	l := &limit{rate: r, burst: burst, names: slices.Clone(names), scope: scope, keyOf: keyOf, limiters: make(map[key]*rate.Limiter)}
	return l.intercept
}

// intercept is a bsrpc.Interceptor.
func (l *limit) intercept(next bsrpc.CallFunc) bsrpc.CallFunc {
	return func(ctx context.Context, call *bsrpc.Call) error {
		name := call.Method().Name
		if len(l.names) > 0 && !slices.Contains(l.names, name) {
			return next(ctx, call)
		}
		if !l.limiter(l.keyOf(call)).Allow() {
			return &bsrpc.Error{
				Code:    bsrpc.CodeResourceExhausted,
				Message: fmt.Sprintf("bsrpc: %s: above the limit of %v a second%s, %d at once; call again later", name, l.rate, l.scope, l.burst),
				Outcome: bsrpc.OutcomeNotRun,
			}
		}
		return next(ctx, call)
	}
}

// limiter returns the limiter for a key. That of a session is forgotten when it ends.
func (l *limit) limiter(k key) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r, ok := l.limiters[k]; ok {
		return r
	}
	r := rate.NewLimiter(l.rate, l.burst)
	if k.session != nil && k.session.Context().Err() != nil {
		return r // of a call that outlives its session
	}
	l.limiters[k] = r
	if k.session != nil {
		context.AfterFunc(k.session.Context(), func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			delete(l.limiters, k)
		})
	}
	return r
}
