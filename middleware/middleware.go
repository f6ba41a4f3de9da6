// Package middleware contains interceptors for package bsrpc. They work at servers and
// clients, on both wires, and use exported names only.
//
// The limit of calls needs golang.org/x/time/rate and is a module of its own,
// github.com/bsrpc/bsrpc/middleware/ratelimit.
package middleware

import (
	"context"
	"log/slog"
	"time"

	"github.com/bsrpc/bsrpc"
)

// Log returns an interceptor that writes a line for each call that is over: at Info, and at
// Warn for a call that has failed. Nil means slog.Default().
//
// The attributes are method, code, duration, args and results, the sizes of both messages in
// bytes; session and remote at a server; kind for a call with streams; waited for one that
// has waited for its exclusive group or for MaxConcurrentCalls; err for one that has failed.
// Arguments, results and metadata are never logged. The text of a handler's error is.
func Log(l *slog.Logger) bsrpc.Interceptor {
	return atEnd(func(ctx context.Context, call *bsrpc.Call, took time.Duration, err error) {
		level := slog.LevelInfo
		if err != nil {
			level = slog.LevelWarn
		}
		write(ctx, l, level, "call", call, took, err)
	})
}

// Slow returns an interceptor that writes a line at Warn for each call that has taken
// threshold or longer, when it is over. The time of a call at a server does not include the
// wait for its exclusive group and for MaxConcurrentCalls. The attributes are those of Log.
// Nil means slog.Default().
func Slow(l *slog.Logger, threshold time.Duration) bsrpc.Interceptor {
	return atEnd(func(ctx context.Context, call *bsrpc.Call, took time.Duration, err error) {
		if took >= threshold {
			write(ctx, l, slog.LevelWarn, "slow call", call, took, err)
		}
	})
}

// atEnd returns an interceptor that calls f when a call is over.
func atEnd(f func(ctx context.Context, call *bsrpc.Call, took time.Duration, err error)) bsrpc.Interceptor {
	return func(next bsrpc.CallFunc) bsrpc.CallFunc {
		return func(ctx context.Context, call *bsrpc.Call) error {
			began := time.Now()
			call.OnEnd(func(err error) { f(ctx, call, time.Since(began), err) })
			return next(ctx, call)
		}
	}
}

// write writes one line about a call.
func write(ctx context.Context, l *slog.Logger, level slog.Level, text string, call *bsrpc.Call, took time.Duration, err error) {
	if l == nil {
		l = slog.Default()
	}
	if !l.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", call.Method().Name),
		slog.String("code", bsrpc.CodeOf(err).String()),
		slog.Duration("duration", took),
		slog.Int("args", call.ArgsSize()),
		slog.Int("results", call.ResultsSize()),
	}
	if s := call.Session(); s != nil {
		attrs = append(attrs, slog.Uint64("session", s.ID()), slog.String("remote", s.RemoteAddr().String()))
	}
	if kind := call.Kind(); kind != bsrpc.KindUnary {
		attrs = append(attrs, slog.String("kind", kind.String()))
	}
	if waited := call.Waited(); waited > 0 {
		attrs = append(attrs, slog.Duration("waited", waited))
	}
	if err != nil {
		attrs = append(attrs, slog.String("err", err.Error()))
	}
	l.LogAttrs(ctx, level, text, attrs...)
}
