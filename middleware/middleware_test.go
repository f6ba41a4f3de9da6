package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
	"github.com/bsrpc/bsrpc/middleware"
)

// Clock is the contract of these tests.
type Clock struct {
	Sleep func(ctx context.Context, d time.Duration) (string, error)
	Alone func(ctx context.Context) error `bsrpc:"exclusive=clock"`
}

type clock struct{}

func (clock) Sleep(ctx context.Context, d time.Duration) (string, error) {
	if d > 0 {
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	switch d {
	case 3 * time.Second:
		return "", errors.New("overslept")
	case 4 * time.Second:
		return "", &bsrpc.Error{Code: bsrpc.CodeNotFound, Message: "no time"}
	}
	return "awake", nil
}

func (clock) Alone() { time.Sleep(time.Second) }

// A text collects lines. It is safe for concurrent use.
type text struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (x *text) Write(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.buf.Write(p)
}

// take returns the lines since the last call, without their end.
func (x *text) take() string {
	synctest.Wait()
	x.mu.Lock()
	defer x.mu.Unlock()
	defer x.buf.Reset()
	return strings.TrimSpace(x.buf.String())
}

func (x *text) logger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(x, &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// serve returns a proxy of a clock whose ends have interceptors.
func serve(t *testing.T, server, client []bsrpc.Interceptor) *Clock {
	t.Helper()
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Interceptors: server})
	if err := bsrpc.RegisterAs[Clock](srv, "Clock", clock{}); err != nil {
		t.Fatal(err)
	}
	c, err := bsrpctest.Dial(t, srv, &bsrpc.ClientOptions{Interceptors: client})
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := bsrpc.Bind[Clock](t.Context(), c, "Clock")
	if err != nil {
		t.Fatal(err)
	}
	return proxy
}

func TestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var near, far text
		proxy := serve(t, []bsrpc.Interceptor{middleware.Log(far.logger(slog.LevelInfo))}, []bsrpc.Interceptor{middleware.Log(near.logger(slog.LevelInfo))})
		for _, tt := range []struct {
			limit, sleep time.Duration
			near, far    string
		}{
			{time.Minute, time.Second,
				"level=INFO msg=call method=Clock.Sleep code=ok duration=1s args=8 results=9",
				"level=INFO msg=call method=Clock.Sleep code=ok duration=1s args=8 results=9 session=1 remote=pipe"},
			{time.Minute, 3 * time.Second,
				"level=WARN msg=call method=Clock.Sleep code=unknown duration=3s args=8 results=0 err=overslept",
				"level=WARN msg=call method=Clock.Sleep code=unknown duration=3s args=8 results=0 session=1 remote=pipe err=overslept"},
			{time.Minute, 4 * time.Second,
				`level=WARN msg=call method=Clock.Sleep code="not found" duration=4s args=8 results=0 err="no time"`,
				`level=WARN msg=call method=Clock.Sleep code="not found" duration=4s args=8 results=0 session=1 remote=pipe err="no time"`},
			{5 * time.Second, time.Hour,
				`level=WARN msg=call method=Clock.Sleep code="deadline exceeded" duration=5s args=8 results=0 err="bsrpc: Clock.Sleep: context deadline exceeded"`,
				`level=WARN msg=call method=Clock.Sleep code="deadline exceeded" duration=5s args=8 results=0 session=1 remote=pipe err="context deadline exceeded"`},
		} {
			ctx, cancel := context.WithTimeout(context.Background(), tt.limit)
			proxy.Sleep(ctx, tt.sleep)
			cancel()
			if got := near.take(); got != tt.near {
				t.Errorf("at the client:\n%s, want\n%s", got, tt.near)
			}
			if got := far.take(); got != tt.far {
				t.Errorf("at the server:\n%s, want\n%s", got, tt.far)
			}
		}
	})
}

// A wait for an exclusive group is logged beside the duration, and does not make a call
// slow.
func TestWaitsAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log, slow text
		proxy := serve(t, []bsrpc.Interceptor{middleware.Log(log.logger(slog.LevelInfo)), middleware.Slow(slow.logger(slog.LevelInfo), 1500*time.Millisecond)}, nil)
		var calls sync.WaitGroup
		for range 3 {
			calls.Go(func() {
				if err := proxy.Alone(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		calls.Wait()
		got := log.take()
		for _, want := range []string{"duration=1s args=0 results=0 session=1 remote=pipe\n", "remote=pipe waited=1s\n", "remote=pipe waited=2s"} {
			if !strings.Contains(got, want) {
				t.Errorf("the log lacks %q:\n%s", want, got)
			}
		}
		if got := slow.take(); got != "" {
			t.Errorf("slow: %s", got)
		}
	})
}

func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log text
		proxy := serve(t, []bsrpc.Interceptor{middleware.Slow(log.logger(slog.LevelInfo), 2*time.Second)}, nil)
		for sleep, want := range map[time.Duration]string{
			time.Second:     "",
			2 * time.Second: `level=WARN msg="slow call" method=Clock.Sleep code=ok duration=2s args=8 results=9 session=1 remote=pipe`,
			3 * time.Second: `level=WARN msg="slow call" method=Clock.Sleep code=unknown duration=3s args=8 results=0 session=1 remote=pipe err=overslept`,
		} {
			proxy.Sleep(t.Context(), sleep)
			if got := log.take(); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		}
	})
}

// A disabled level writes nothing, and a nil logger is the default one.
func TestLoggers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var quiet, standard text
		old := slog.Default()
		defer slog.SetDefault(old)
		slog.SetDefault(standard.logger(slog.LevelInfo))
		proxy := serve(t, []bsrpc.Interceptor{middleware.Log(quiet.logger(slog.LevelError))}, []bsrpc.Interceptor{middleware.Log(nil)})
		if _, err := proxy.Sleep(t.Context(), 0); err != nil {
			t.Error(err)
		}
		if got := quiet.take(); got != "" {
			t.Errorf("got %s", got)
		}
		if got := standard.take(); !strings.Contains(got, "msg=call method=Clock.Sleep code=ok") {
			t.Errorf("got %s", got)
		}
	})
}
