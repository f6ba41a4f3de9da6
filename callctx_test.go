package bsrpc

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/transport"
)

// contextual is a service with the handler of a test.
type contextual struct {
	handler func(ctx context.Context) error
}

func (s *contextual) Run(ctx context.Context) error { return s.handler(ctx) }

type contextualContract struct {
	Run func(ctx context.Context) error
}

// A contextScene is a service with one client, in a bubble.
type contextScene struct {
	*contextual
	server *Server
	client *Client
	call   func(context.Context) error
}

// withContextual runs f in a bubble. It sets the handler before it calls.
func withContextual(t *testing.T, opts *ClientOptions, f func(t *testing.T, s *contextScene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &contextScene{contextual: new(contextual), server: NewServer(&ServerOptions{Logger: quiet})}
		if err := RegisterAs[contextualContract](s.server, "Ctx", s.contextual); err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe()
		go s.server.ServeConn(far)
		client, err := NewClient(t.Context(), near, opts)
		if err != nil {
			t.Fatal(err)
		}
		proxy, err := Bind[contextualContract](t.Context(), client, "Ctx")
		if err != nil {
			t.Fatal(err)
		}
		s.client, s.call = client, proxy.Run
		f(t, s)
		client.Close()
		s.server.Close()
		checkBooked(t, s.server)
	})
}

// The deadline of a handler is the time at which its caller stops waiting.
func TestHandlerDeadline(t *testing.T) {
	for _, test := range []struct {
		name    string
		opts    ClientOptions
		timeout time.Duration // of the caller's context
		want    time.Duration // 0: none
	}{
		{"of the caller", ClientOptions{Logger: quiet}, 90 * time.Second, 90 * time.Second},
		{"of the caller, a microsecond", ClientOptions{Logger: quiet}, time.Microsecond, time.Microsecond},
		{"of the caller, beyond the default", ClientOptions{Logger: quiet, DefaultCallTimeout: time.Second}, time.Hour, time.Hour},
		{"default", ClientOptions{Logger: quiet}, 0, 20 * time.Second},
		{"option", ClientOptions{Logger: quiet, DefaultCallTimeout: 3 * time.Second}, 0, 3 * time.Second},
		{"none", ClientOptions{Logger: quiet, DefaultCallTimeout: NoLimit}, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			withContextual(t, &test.opts, func(t *testing.T, s *contextScene) {
				var got time.Duration
				s.handler = func(ctx context.Context) error {
					if at, ok := ctx.Deadline(); ok {
						got = time.Until(at)
					}
					return ctx.Err()
				}
				ctx, cancel := context.Background(), context.CancelFunc(func() {})
				if test.timeout > 0 {
					ctx, cancel = context.WithTimeout(ctx, test.timeout)
				}
				defer cancel()
				if err := s.call(ctx); err != nil {
					t.Error(err)
				}
				if got != test.want {
					t.Errorf("the handler has %v, want %v", got, test.want)
				}
			})
		})
	}
}

// The ways in which a handler can observe the end of its context.
var notices = map[string]func(ctx context.Context){
	"Done": func(ctx context.Context) { <-ctx.Done() },
	"Err": func(ctx context.Context) {
		for ctx.Err() == nil {
			time.Sleep(transport.WatchdogPeriod)
		}
	},
	"AfterFunc": func(ctx context.Context) {
		ended := make(chan struct{})
		context.AfterFunc(ctx, func() { close(ended) })
		<-ended
	},
	"a child": func(ctx context.Context) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		<-ctx.Done()
	},
	"a child's child, with a value": func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(context.WithValue(ctx, contextKey{}, 1), time.Hour)
		defer cancel()
		<-ctx.Done()
	},
}

type contextKey struct{}

// The reasons for the end of a handler's context, and the causes.
var contextEnds = []struct {
	name  string
	end   func(cancel context.CancelFunc, s *contextScene)
	cause string
}{
	{"the caller goes", func(cancel context.CancelFunc, _ *contextScene) { cancel() }, "context canceled"},
	{"the client closes", func(_ context.CancelFunc, s *contextScene) { s.client.Close() }, "bsrpc: connection lost: closed by the peer"},
	{"the connection is lost", func(_ context.CancelFunc, s *contextScene) {
		s.client.native.Conn.Fail(fault.Lost("reading", fault.ErrPeerClosed))
	}, "bsrpc: connection lost: closed by the peer"},
	{"the server closes", func(_ context.CancelFunc, s *contextScene) { s.server.Close() }, "bsrpc: server closed"},
}

func TestHandlerContextEnds(t *testing.T) {
	for _, test := range contextEnds {
		for how, notice := range notices {
			t.Run(test.name+", noticed by "+how, func(t *testing.T) {
				withContextual(t, nil, func(t *testing.T, s *contextScene) {
					began, ended := make(chan struct{}), make(chan context.Context, 1)
					s.handler = func(ctx context.Context) error {
						close(began)
						notice(ctx)
						checkEnded(t, ctx, context.Canceled, test.cause)
						ended <- ctx
						return ctx.Err()
					}
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					called := make(chan error, 1)
					go func() { called <- s.call(ctx) }()
					<-began
					test.end(cancel, s)
					<-ended
					if err := <-called; err == nil {
						t.Error("the call has no error")
					}
				})
			})
		}
	}
}

// checkEnded checks a context that has ended.
func checkEnded(t *testing.T, ctx context.Context, err error, cause string) {
	t.Helper()
	<-ctx.Done()
	if got := context.Cause(ctx); ctx.Err() != err || got == nil || got.Error() != cause {
		t.Errorf("got %v, caused by %v; want %v, caused by %s", ctx.Err(), got, err, cause)
	}
}

// A context used after its handler has returned is done.
func TestHandlerContextAfterwards(t *testing.T) {
	for _, test := range []struct {
		name   string
		during func(ctx context.Context, f func())
		runs   int32
	}{
		{"nothing", func(context.Context, func()) {}, 0},
		{"Done", func(ctx context.Context, _ func()) { ctx.Done() }, 0},
		{"Err", func(ctx context.Context, _ func()) { ctx.Err() }, 0},
		{"AfterFunc", func(ctx context.Context, f func()) { context.AfterFunc(ctx, f) }, 1},
		{"AfterFunc, stopped", func(ctx context.Context, f func()) { context.AfterFunc(ctx, f)() }, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			withContextual(t, nil, func(t *testing.T, s *contextScene) {
				var kept context.Context
				var ran atomic.Int32
				s.handler = func(ctx context.Context) error {
					kept = ctx
					test.during(ctx, func() { ran.Add(1) })
					return ctx.Err()
				}
				if err := s.call(t.Context()); err != nil {
					t.Error(err)
				}
				checkEnded(t, kept, context.Canceled, "context canceled")
				later := make(chan struct{})
				if stop := context.AfterFunc(kept, func() { close(later) }); stop() {
					t.Error("stopped what has begun")
				}
				<-later
				synctest.Wait()
				if n := ran.Load(); n != test.runs {
					t.Errorf("the func ran %d times, want %d", n, test.runs)
				}
			})
		})
	}
}

// Values of a context stay at their end.
func TestHandlerContextValues(t *testing.T) {
	withContextual(t, nil, func(t *testing.T, s *contextScene) {
		s.handler = func(ctx context.Context) error {
			if v := ctx.Value(contextKey{}); v != nil {
				t.Error("the caller's value came along")
			}
			ctx = context.WithValue(ctx, contextKey{}, "own")
			detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Hour)
			defer cancel()
			if at, _ := detached.Deadline(); detached.Value(contextKey{}) != "own" || time.Until(at) != time.Hour {
				t.Error("a detached context keeps the deadline, or has lost its value")
			}
			return nil
		}
		if err := s.call(context.WithValue(t.Context(), contextKey{}, "caller's")); err != nil {
			t.Error(err)
		}
	})
}

// Two calls of a connection have separate contexts.
func TestHandlerContextsAreIndependent(t *testing.T) {
	withContextual(t, nil, func(t *testing.T, s *contextScene) {
		began := make(chan context.Context)
		s.handler = func(ctx context.Context) error {
			began <- ctx
			<-ctx.Done()
			return ctx.Err()
		}
		answers := make(chan error)
		begin := func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(t.Context())
			go func() { answers <- s.call(ctx) }()
			return <-began, cancel
		}
		first, cancelFirst := begin()
		second, cancelSecond := begin()
		cancelFirst()
		wantCall(t, <-answers, CodeCanceled, OutcomeUnknown, "canceled")
		checkEnded(t, first, context.Canceled, "context canceled")
		if err := second.Err(); err != nil {
			t.Errorf("the second has ended too: %v", err)
		}
		cancelSecond()
		wantCall(t, <-answers, CodeCanceled, OutcomeUnknown, "canceled")
		checkEnded(t, second, context.Canceled, "context canceled")
	})
}
