package bsrpc_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// A bazaar calls the funcs among its arguments.
type bazaar struct {
	kept    func(int)
	keptAsk func(context.Context, string) (bool, error)
	late    chan error
}

func (s *bazaar) Count(ctx context.Context, n int, progress func(int)) (int, error) {
	for i := range n {
		progress(i)
	}
	return n, nil
}

func (s *bazaar) Order(ctx context.Context, item string, confirm func(ctx context.Context, question string) (bool, error)) (string, error) {
	ok, err := confirm(ctx, "buy "+item+"?")
	if err != nil {
		return "", err
	}
	return fmt.Sprint(item, " ", ok), nil
}

func (s *bazaar) Mixed(ctx context.Context, note func(string), ask func(string) (string, error)) (string, error) {
	note("a")
	note("b")
	answer, err := ask("c")
	note("d")
	return answer, err
}

func (s *bazaar) IsNil(note func(string), ask func(string) (string, error)) (bool, bool) {
	return note == nil, ask == nil
}

func (s *bazaar) Keep(note func(int), ask func(context.Context, string) (bool, error)) error {
	s.kept, s.keptAsk = note, ask
	return nil
}

func (s *bazaar) Linger(ctx context.Context, ask func(context.Context, string) (bool, error)) error {
	begun := make(chan struct{})
	go func() {
		close(begun)
		_, err := ask(context.Background(), "still there?")
		s.late <- err
	}()
	<-begun
	time.Sleep(time.Second)
	return nil
}

func (s *bazaar) Ticks(ctx context.Context, n int, each func(int)) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range n {
			each(i)
			if !yield(i, nil) {
				return
			}
		}
		each(-1)
	}
}

func (s *bazaar) Narrow(ctx context.Context, ask func(context.Context, string) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err := ask(ctx, "in time?")
	return err
}

func (s *bazaar) Parts(sizes []int, each func(int, []byte)) {
	for i, size := range sizes {
		each(i, make([]byte, size))
	}
}

type bazaarContract struct {
	Parts  func(ctx context.Context, sizes []int, each func(int, []byte)) error
	Count  func(ctx context.Context, n int, progress func(int)) (int, error)
	Order  func(ctx context.Context, item string, confirm func(ctx context.Context, question string) (bool, error)) (string, error)
	Mixed  func(ctx context.Context, note func(string), ask func(string) (string, error)) (string, error)
	IsNil  func(note func(string), ask func(string) (string, error)) (bool, bool, error)
	Keep   func(note func(int), ask func(context.Context, string) (bool, error)) error
	Linger func(ctx context.Context, ask func(context.Context, string) (bool, error)) error
	Ticks  func(ctx context.Context, n int, each func(int)) iter.Seq2[int, error]
	Narrow func(ctx context.Context, ask func(context.Context, string) (bool, error)) error
}

type bazaarFuture struct {
	Count func(ctx context.Context, n int, progress func(int)) *bsrpc.Future[int]
}

// withShop runs f in a bubble with a client of a bazaar.
func withShop(t *testing.T, so *bsrpc.ServerOptions, co *bsrpc.ClientOptions, f func(t *testing.T, client *bsrpc.Client, c *bazaarContract, s *bazaar)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if so == nil {
			so = &bsrpc.ServerOptions{}
		}
		so.Logger = quiet
		if co == nil {
			co = &bsrpc.ClientOptions{}
		}
		co.Logger = quiet
		srv := bsrpc.NewServer(so)
		s := &bazaar{late: make(chan error, 1)}
		if err := srv.RegisterName("Shop", s); err != nil {
			t.Fatal(err)
		}
		client, err := bsrpctest.Dial(t, srv, co)
		if err != nil {
			t.Fatal(err)
		}
		c, err := bsrpc.Bind[bazaarContract](t.Context(), client, "Shop")
		if err != nil {
			t.Fatal(err)
		}
		f(t, client, c, s)
	})
}

func TestOnewayCallbacksRunBeforeTheFuncReturns(t *testing.T) {
	withShop(t, nil, nil, func(t *testing.T, _ *bsrpc.Client, c *bazaarContract, _ *bazaar) {
		var got []int // without a lock: the race detector watches
		n, err := c.Count(t.Context(), 500, func(i int) { got = append(got, i) })
		if err != nil || n != 500 {
			t.Fatal(n, err)
		}
		if len(got) != 500 || !slices.IsSorted(got) {
			t.Errorf("%d callbacks before the func returned, in order: %v", len(got), slices.IsSorted(got))
		}
	})
}

// Callbacks in chunks keep the order too, and come before the answer.
func TestLongOnewayCallbacks(t *testing.T) {
	withShop(t, nil, nil, func(t *testing.T, _ *bsrpc.Client, c *bazaarContract, _ *bazaar) {
		sizes := []int{1, 1 << 20, 2, 70_000, 10 << 20, 3, 4, 1 << 20}
		var order, got []int
		err := c.Parts(t.Context(), sizes, func(i int, part []byte) {
			order, got = append(order, i), append(got, len(part))
		})
		if err != nil || !slices.Equal(got, sizes) || !slices.IsSorted(order) {
			t.Errorf("%v, in the order %v, %v; want %v", got, order, err, sizes)
		}
	})
}

type ctxKey struct{}

func TestCallbackHasTheContextOfTheCaller(t *testing.T) {
	withShop(t, nil, nil, func(t *testing.T, _ *bsrpc.Client, c *bazaarContract, _ *bazaar) {
		ctx := context.WithValue(t.Context(), ctxKey{}, "mine")
		got, err := c.Order(ctx, "tea", func(ctx context.Context, q string) (bool, error) {
			if ctx.Value(ctxKey{}) != "mine" {
				t.Error("the context lacks the caller's value")
			}
			return q == "buy tea?", nil
		})
		if got != "tea true" || err != nil {
			t.Error(got, err)
		}
	})
}

func TestCallbacksStartInOrder(t *testing.T) {
	withShop(t, nil, nil, func(t *testing.T, _ *bsrpc.Client, c *bazaarContract, _ *bazaar) {
		var mu sync.Mutex
		var got []string
		note := func(s string) {
			time.Sleep(time.Second)
			mu.Lock()
			defer mu.Unlock()
			got = append(got, s)
		}
		answer, err := c.Mixed(t.Context(), note, func(s string) (string, error) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, s)
			return "answer", nil
		})
		// c starts when b has started, and d ends before the func returns.
		if want := []string{"a", "c", "b", "d"}; err != nil || answer != "answer" || !slices.Equal(got, want) {
			t.Errorf("%q, %v; ran %q, want %q", answer, err, got, want)
		}
	})
}

func TestNilCallbackIsNil(t *testing.T) {
	withShop(t, nil, nil, func(t *testing.T, _ *bsrpc.Client, c *bazaarContract, _ *bazaar) {
		if note, ask, err := c.IsNil(nil, nil); !note || !ask || err != nil {
			t.Error(note, ask, err)
		}
		if note, ask, err := c.IsNil(func(string) {}, nil); note || !ask || err != nil {
			t.Error(note, ask, err)
		}
	})
}

func TestCallbackMayCallTheServer(t *testing.T) {
	withShop(t, nil, nil, func(t *testing.T, _ *bsrpc.Client, c *bazaarContract, _ *bazaar) {
		var order func(depth int) (bool, error)
		order = func(depth int) (bool, error) {
			if depth == 0 {
				return true, nil
			}
			_, err := c.Order(t.Context(), "x", func(context.Context, string) (bool, error) { return order(depth - 1) })
			return true, err
		}
		if _, err := order(20); err != nil {
			t.Error(err)
		}
	})
}

func TestErrorOfACallbackReachesTheHandlerAndBack(t *testing.T) {
	withShop(t, nil, nil, func(t *testing.T, _ *bsrpc.Client, c *bazaarContract, _ *bazaar) {
		_, err := c.Order(t.Context(), "tea", func(context.Context, string) (bool, error) {
			return false, fmt.Errorf("no such tea: %w", fs.ErrNotExist)
		})
		if !errors.Is(err, fs.ErrNotExist) || outcomeIn(err) != bsrpc.OutcomeAnswered {
			t.Errorf("%v, outcome %v", err, outcomeIn(err))
		}
	})
}

func TestPanicInACallback(t *testing.T) {
	for name, fail := range map[string]func(){"panic": func() { panic("on purpose") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			withShop(t, nil, nil, func(t *testing.T, client *bsrpc.Client, c *bazaarContract, _ *bazaar) {
				_, err := c.Order(t.Context(), "tea", func(context.Context, string) (bool, error) { fail(); return true, nil })
				// As the handler passes it on. Its own end has another log.
				want := regexp.MustCompile(`^bsrpc: Shop\.Order, parameter 2: panic in the callback \(id \w+ in the client's log\)$`)
				if codeIn(err) != bsrpc.CodeInternal || !want.MatchString(err.Error()) {
					t.Error(err)
				}
				got := 0
				n, err := c.Count(t.Context(), 5, func(i int) {
					if got++; i == 2 {
						fail()
					}
				})
				if n != 5 || err != nil || got != 5 {
					t.Errorf("%d callbacks of %d, %v", got, n, err)
				}
			})
		})
	}
}

func TestCallbackAfterTheCall(t *testing.T) {
	withShop(t, nil, nil, func(t *testing.T, _ *bsrpc.Client, c *bazaarContract, s *bazaar) {
		called := false
		if err := c.Keep(func(int) { called = true }, func(context.Context, string) (bool, error) { called = true; return true, nil }); err != nil {
			t.Fatal(err)
		}
		s.kept(1)
		if _, err := s.keptAsk(t.Context(), "?"); !errors.Is(err, bsrpc.ErrCallOver) || outcomeIn(err) != bsrpc.OutcomeNotRun {
			t.Errorf("%v, want ErrCallOver, not run", err)
		}
		if synctest.Wait(); called {
			t.Error("a callback ran after its call")
		}
	})
}

func TestCallbackRunningAtTheEndOfTheCall(t *testing.T) {
	withShop(t, nil, nil, func(t *testing.T, _ *bsrpc.Client, c *bazaarContract, s *bazaar) {
		var why error
		done := make(chan struct{})
		err := c.Linger(t.Context(), func(ctx context.Context, _ string) (bool, error) {
			defer close(done)
			<-ctx.Done()
			why = ctx.Err()
			time.Sleep(time.Second) // its answer is late
			return true, nil
		})
		if err != nil {
			t.Error(err)
		}
		if err := <-s.late; !errors.Is(err, bsrpc.ErrCallOver) {
			t.Errorf("at the handler: %v, want ErrCallOver", err)
		}
		if <-done; why != context.Canceled {
			t.Errorf("at the caller: %v", why)
		}
	})
}

func TestCallbackEndsWithTheTimeOfItsCaller(t *testing.T) {
	withShop(t, nil, nil, func(t *testing.T, _ *bsrpc.Client, c *bazaarContract, _ *bazaar) {
		var left time.Duration
		err := c.Narrow(t.Context(), func(ctx context.Context, _ string) (bool, error) {
			end, _ := ctx.Deadline()
			left = time.Until(end)
			<-ctx.Done()
			return false, ctx.Err()
		})
		if left != time.Second || codeIn(err) != bsrpc.CodeDeadlineExceeded {
			t.Errorf("%v left, %v", left, err)
		}
	})
}

func TestCancelOfTheCallEndsCallbacks(t *testing.T) {
	withShop(t, nil, nil, func(t *testing.T, _ *bsrpc.Client, c *bazaarContract, _ *bazaar) {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := c.Order(ctx, "tea", func(ctx context.Context, _ string) (bool, error) {
			cancel()
			<-ctx.Done()
			return false, ctx.Err()
		})
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestHangingOnewayCallbackEndsWithTheTimeOfTheCall(t *testing.T) {
	withShop(t, nil, nil, func(t *testing.T, _ *bsrpc.Client, c *bazaarContract, _ *bazaar) {
		release := make(chan struct{})
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		n, err := c.Count(ctx, 3, func(int) { <-release })
		if took := time.Since(began); took != time.Minute || n != 3 || err != nil {
			t.Errorf("%d, %v after %v; want the result after a minute", n, err, took)
		}
		close(release)
	})
}

func TestCallbacksOfAStream(t *testing.T) {
	withShop(t, nil, nil, func(t *testing.T, _ *bsrpc.Client, c *bazaarContract, _ *bazaar) {
		var got []int
		items, err := bsrpctest.Collect(c.Ticks(t.Context(), 4, func(i int) { got = append(got, i) }))
		if err != nil || len(items) != 4 {
			t.Fatal(items, err)
		}
		if want := []int{0, 1, 2, 3, -1}; !slices.Equal(got, want) {
			t.Errorf("callbacks %v, want %v", got, want)
		}
	})
}

func TestCallbacksOfAFuture(t *testing.T) {
	withShop(t, nil, nil, func(t *testing.T, client *bsrpc.Client, _ *bazaarContract, _ *bazaar) {
		c, err := bsrpc.Bind[bazaarFuture](t.Context(), client, "Shop")
		if err != nil {
			t.Fatal(err)
		}
		var got []int
		n, err := c.Count(t.Context(), 3, func(i int) { time.Sleep(time.Second); got = append(got, i) }).Wait(t.Context())
		if n != 3 || err != nil || len(got) != 3 {
			t.Error(n, err, got)
		}
	})
}

func TestCallbackOfALostConnection(t *testing.T) {
	withShop(t, nil, nil, func(t *testing.T, client *bsrpc.Client, c *bazaarContract, _ *bazaar) {
		ended := make(chan error, 1)
		_, err := c.Order(t.Context(), "tea", func(ctx context.Context, _ string) (bool, error) {
			go client.Close()
			<-ctx.Done()
			ended <- ctx.Err()
			return true, nil
		})
		if !errors.Is(err, bsrpc.ErrClosed) {
			t.Error(err)
		}
		if err := <-ended; err != context.Canceled {
			t.Error(err)
		}
	})
}

func TestInterceptorsSeeCallbacks(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	note := func(where string) bsrpc.Interceptor {
		return func(next bsrpc.CallFunc) bsrpc.CallFunc {
			return func(ctx context.Context, call *bsrpc.Call) error {
				mu.Lock()
				seen = append(seen, fmt.Sprint(where, ": ", call.Method().Name, ", ", call.Kind()))
				mu.Unlock()
				return next(ctx, call)
			}
		}
	}
	handlers := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, Interceptors: []bsrpc.Interceptor{note("runs")}})
	co := &bsrpc.ClientOptions{Handlers: handlers, Interceptors: []bsrpc.Interceptor{note("client")}}
	so := &bsrpc.ServerOptions{Interceptors: []bsrpc.Interceptor{note("server")}, OutgoingInterceptors: []bsrpc.Interceptor{note("calls")}}
	withShop(t, so, co, func(t *testing.T, _ *bsrpc.Client, c *bazaarContract, _ *bazaar) {
		_, err := c.Order(t.Context(), "tea", func(context.Context, string) (bool, error) { return true, nil })
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"client: Shop.Order, unary", "server: Shop.Order, unary",
			"calls: Shop.Order, parameter 2, callback", "runs: Shop.Order, parameter 2, callback"}
		if !slices.Equal(seen, want) {
			t.Errorf("%q, want %q", seen, want)
		}
	})
}

func TestServerPassesCallbacksToItsClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type events struct {
			Count func(ctx context.Context, n int, progress func(int)) (int, error)
			Order func(ctx context.Context, item string, confirm func(ctx context.Context, question string) (bool, error)) (string, error)
		}
		done := make(chan struct{})
		srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, OnConnect: func(ctx context.Context, s *bsrpc.Session) error {
			c, err := bsrpc.Bind[events](ctx, s, "Shop")
			if err != nil {
				return err
			}
			go func() {
				defer close(done)
				time.Sleep(time.Second)
				var got []int
				if n, err := c.Count(s.Context(), 3, func(i int) { got = append(got, i) }); n != 3 || err != nil || len(got) != 3 {
					t.Error(n, err, got)
				}
				if got, err := c.Order(s.Context(), "tea", func(context.Context, string) (bool, error) { return true, nil }); got != "tea true" || err != nil {
					t.Error(got, err)
				}
			}()
			return nil
		}})
		if err := srv.RegisterName("Shop", new(bazaar)); err != nil {
			t.Fatal(err)
		}
		handlers := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
		if err := handlers.RegisterName("Shop", new(bazaar)); err != nil {
			t.Fatal(err)
		}
		if _, err := bsrpctest.Dial(t, srv, &bsrpc.ClientOptions{Handlers: handlers, Logger: quiet}); err != nil {
			t.Fatal(err)
		}
		<-done
	})
}

// outcomeIn returns the outcome in an error of a call, codeIn the code.
func outcomeIn(err error) bsrpc.Outcome { return errorIn(err).Outcome }
func codeIn(err error) bsrpc.Code       { return errorIn(err).Code }

func errorIn(err error) *bsrpc.Error {
	var e *bsrpc.Error
	if !errors.As(err, &e) {
		return &bsrpc.Error{Code: 9999, Outcome: 255}
	}
	return e
}

// Callbacks in a race with the end of their call are run, or end in ErrCallOver; those without an
// answer are counted where they are dropped.
func TestCallbacksAtTheEndOfTheCall(t *testing.T) {
	type contract struct {
		Keep func(ctx context.Context, note func(), ask func() error) error
	}
	synctest.Test(t, func(t *testing.T) {
		var all sync.WaitGroup
		var over atomic.Int32
		srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
		if err := bsrpc.RegisterAs[contract](srv, "Shop", &contract{func(_ context.Context, note func(), ask func() error) error {
			for range 4 {
				all.Go(func() {
					for range 10 {
						if err := ask(); errors.Is(err, bsrpc.ErrCallOver) {
							over.Add(1)
						} else if err != nil {
							t.Error(err)
						}
					}
				})
			}
			all.Go(func() {
				time.Sleep(time.Second)
				note()
				note()
			})
			return nil
		}}); err != nil {
			t.Fatal(err)
		}
		c := bsrpctest.Bind[contract](t, srv, "Shop")
		for range 20 {
			var asked atomic.Int32
			over.Store(0)
			if err := c.Keep(t.Context(), func() { t.Error("a callback ran after its call") }, func() error { asked.Add(1); return nil }); err != nil {
				t.Error(err)
			}
			all.Wait()
			if n := asked.Load() + over.Load(); n < 40 {
				t.Errorf("%d callbacks of 40", n)
			}
		}
		if n := srv.OnewayErrors(); n != 40 {
			t.Errorf("%d callbacks are counted as dropped, want 40", n)
		}
	})
}

// The context of a callback has the groups that its caller holds: a call that waits for them would
// wait for itself.
func TestCallbackHasTheGroupsOfItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type contract struct {
			Relay func(ctx context.Context, back func(ctx context.Context) error) error
			Hold  func(ctx context.Context) error `bsrpc:"exclusive=bench"`
			Use   func(ctx context.Context) error `bsrpc:"exclusive=bench"`
		}
		var near, far *contract
		bind := func(hold func(ctx context.Context) error) *contract {
			srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
			if err := bsrpc.RegisterAs[contract](srv, "Shop", &contract{
				Relay: func(ctx context.Context, back func(ctx context.Context) error) error { return back(ctx) },
				Hold:  hold,
				Use:   func(context.Context) error { return nil },
			}); err != nil {
				t.Fatal(err)
			}
			return bsrpctest.Bind[contract](t, srv, "Shop")
		}
		far = bind(func(context.Context) error { return nil })
		near = bind(func(ctx context.Context) error {
			return far.Relay(ctx, func(ctx context.Context) error { return near.Use(ctx) })
		})
		began := time.Now()
		if err := near.Hold(t.Context()); err == nil || !strings.Contains(err.Error(), "already holding exclusive=bench: deadlock") || time.Since(began) != 0 {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}
