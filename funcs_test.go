package bsrpc_test

// A contract's own funcs as the implementation: a literal, a proxy to another
// server, a wrapped one.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

type (
	Levels struct {
		Level func(ctx context.Context, channel int) (int, error) `bsrpc:"(le1) be2,name=GetLevel"`
	}
	// Scope has what a forwarded call may be: with and without a context, spread,
	// by a shape and by reflection, with tags, and in an embedded contract.
	Scope struct {
		Levels
		Sum    func(n ...int64) (int64, error) `bsrpc:"(list)"`
		Pair   func(ctx context.Context, p [2]int32) (int32, string, error)
		Wait   func(ctx context.Context) error `bsrpc:"timeout=none"`
		Fail   func(ctx context.Context, code uint8) error
		Single func(ctx context.Context) error `bsrpc:"exclusive=psu,id=7"`
	}
	// onlyScope has the same types without tags.
	onlyScope struct {
		Level func(ctx context.Context, channel int) (int, error)
	}
)

// scope implements a Scope.
type scope struct {
	deadline chan time.Duration // the time left at each call of Wait
	ended    chan error         // how Wait's context ended
}

func (s *scope) Level(channel int) (int, error) { return 100 * channel, nil }
func (s *scope) Sum(n ...int64) (sum int64) {
	for _, i := range n {
		sum += i
	}
	return sum
}
func (s *scope) Pair(p [2]int32) (int32, string) { return p[0] - p[1], fmt.Sprint(p) }
func (s *scope) Single() error                   { return nil }
func (s *scope) Fail(code uint8) error {
	return &bsrpc.Error{Code: bsrpc.Code(code), Message: "the probe is off"}
}
func (s *scope) Wait(ctx context.Context) error {
	left := time.Duration(-1)
	if d, ok := ctx.Deadline(); ok {
		left = time.Until(d)
	}
	s.deadline <- left
	<-ctx.Done()
	s.ended <- ctx.Err()
	return ctx.Err()
}

func newScope() *scope { return &scope{make(chan time.Duration, 9), make(chan error, 9)} }

// scopeServer returns a server that has a Scope by impl.
func scopeServer(t *testing.T, impl any) *bsrpc.Server {
	t.Helper()
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err := bsrpc.RegisterAs[Scope](srv, "Scope", impl); err != nil {
		t.Fatal(err)
	}
	return srv
}

// A server can serve the methods of another through its proxy: with the same layouts,
// and passing arguments, results and errors.
func TestProxyAsImplementation(t *testing.T) {
	back := scopeServer(t, newScope())
	front := scopeServer(t, bsrpctest.Bind[Scope](t, back, "Scope"))
	if got, want := fmt.Sprint(layouts(front)), fmt.Sprint(layouts(back)); got != want {
		t.Errorf("offers %s, want %s", got, want)
	}
	checkScope(t, bsrpctest.Bind[Scope](t, front, "Scope"))
}

func checkScope(t *testing.T, s *Scope) {
	t.Helper()
	ctx := t.Context()
	if n, err := s.Level(ctx, 5); n != 500 || err != nil {
		t.Errorf("Level: %d, %v", n, err)
	}
	if n, err := s.Sum(1, 2, 3); n != 6 || err != nil {
		t.Errorf("Sum: %d, %v", n, err)
	}
	if n, text, err := s.Pair(ctx, [2]int32{7, 4}); n != 3 || text != "[7 4]" || err != nil {
		t.Errorf("Pair: %d, %s, %v", n, text, err)
	}
	if err := s.Single(ctx); err != nil {
		t.Errorf("Single: %v", err)
	}
	if _, err := s.Level(ctx, 200); !errors.As(err, new(*bsrpc.Error)) {
		t.Errorf("Level of what le1 does not hold: %v", err)
	}
	for _, code := range []bsrpc.Code{bsrpc.CodeNotFound, bsrpc.CodeAborted} {
		wantError(t, s.Fail(ctx, uint8(code)), code, bsrpc.OutcomeAnswered, "the probe is off")
	}
}

// Deadlines and cancellations reach the handler through two servers.
func TestProxyPassesContexts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := newScope()
		near := bsrpctest.Bind[Scope](t, scopeServer(t, bsrpctest.Bind[Scope](t, scopeServer(t, far), "Scope")), "Scope")
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begun := time.Now()
		if err := near.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != 3*time.Second {
			t.Errorf("Wait: %v after %v", err, time.Since(begun))
		}
		if left, err := <-far.deadline, <-far.ended; left <= 2*time.Second || left > 3*time.Second || err == nil {
			t.Errorf("the handler had %v, and %v", left, err)
		}
		ctx, stop := context.WithCancel(t.Context())
		go func() {
			<-far.deadline
			stop()
		}()
		if err := near.Wait(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Wait: %v", err)
		}
		if err := <-far.ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the handler's context ended with %v", err)
		}
	})
}

// Funcs are read at registration; a wrapped one has the tags of its contract.
func TestFuncsAsImplementation(t *testing.T) {
	impl := bsrpctest.Bind[Scope](t, scopeServer(t, newScope()), "Scope")
	level, calls := impl.Level, 0
	impl.Level = func(ctx context.Context, channel int) (int, error) {
		calls++
		return level(ctx, channel)
	}
	srv := scopeServer(t, impl)
	impl.Level, impl.Sum = nil, func(...int64) (int64, error) { return 0, errors.New("set too late") }
	checkScope(t, bsrpctest.Bind[Scope](t, srv, "Scope"))
	if calls != 1 {
		t.Errorf("the wrapped func has run %d times, want once", calls)
	}
}

// Each line is an implementation by funcs that is refused.
var funcImplProblems = []struct {
	as       registration
	problems []string
}{
	{as[onlyScope]((*onlyScope)(nil)), []string{"Shop: nil implementation"}},
	{as[onlyScope](onlyScope{}), []string{"Shop: a bsrpc_test.onlyScope by value; pass a *bsrpc_test.onlyScope"}},
	{as[onlyScope](&onlyScope{}), []string{"Shop.Level: nil func; set Level of the *bsrpc_test.onlyScope before it is registered, or tag it optional"}},
	{as[Scope](&Scope{Wait: func(context.Context) error { return nil }}), []string{
		"Shop.Level: nil func; set Levels.Level of the *bsrpc_test.Scope before it is registered, or tag it optional",
		"Shop.Sum: nil func; set Sum of the *bsrpc_test.Scope before it is registered, or tag it optional",
		"Shop.Pair: nil func; set Pair of the *bsrpc_test.Scope before it is registered, or tag it optional",
		"Shop.Fail: nil func; set Fail of the *bsrpc_test.Scope before it is registered, or tag it optional",
		"Shop.Single: nil func; set Single of the *bsrpc_test.Scope before it is registered, or tag it optional",
	}},
	{as[onlyScope](bsrpc.PerSession(func(context.Context, *bsrpc.Session) (*onlyScope, error) { return nil, nil })), []string{
		"Shop: PerSession[*bsrpc_test.onlyScope]: a struct of funcs serves all sessions; make a type with methods, or pass a *bsrpc_test.onlyScope"}},
	{as[Levels](&onlyScope{}), []string{"Shop.Level: *bsrpc_test.onlyScope has no such method; for its funcs use RegisterAs[bsrpc_test.onlyScope] with a *bsrpc_test.onlyScope"}},
	{as[interface{ Level() }](&onlyScope{}), []string{"Shop.Level: *bsrpc_test.onlyScope has no such method; for its funcs use RegisterAs[bsrpc_test.onlyScope] with a *bsrpc_test.onlyScope"}},
	{named("Shop", &onlyScope{}), []string{"Shop: *bsrpc_test.onlyScope has no exported methods; for its funcs use RegisterAs[bsrpc_test.onlyScope] with a *bsrpc_test.onlyScope"}},
	{as[struct{ F func() }](&struct{ F func() }{func() {}}), []string{"Shop.F: must end in error: a call can fail on the way"}},
}

func TestFuncImplementationProblems(t *testing.T) {
	for _, test := range funcImplProblems {
		srv := bsrpc.NewServer(nil)
		checkText(t, test.problems[0], test.as(srv), refused("register Shop", test.problems...))
		if list := layouts(srv); list != nil {
			t.Errorf("registered all the same: %q", list)
		}
	}
}
