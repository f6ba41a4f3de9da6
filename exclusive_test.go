package bsrpc_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
)

// tableContract has two methods that move the same table, and one that does not.
type tableContract struct {
	Move  func(ctx context.Context, name string, ms uint32) error `bsrpc:"exclusive=table"`
	Home  func(ctx context.Context, name string) error            `bsrpc:"exclusive=table"`
	Again func(ctx context.Context) error                         `bsrpc:"exclusive=table"`
	Other func(ctx context.Context, name string, ms uint32) error
}

type table struct {
	seen  diary
	proxy *tableContract
	again error // what Again's own call returned
}

func (s *table) Move(name string, ms uint32) {
	s.seen.add("%s", name)
	time.Sleep(time.Duration(ms) * time.Millisecond)
	s.seen.add("/%s", name)
}
func (s *table) Home(name string) { s.Move(name, 0) }
func (s *table) Again(ctx context.Context) error {
	s.again = s.proxy.Home(ctx, "again")
	return nil
}
func (s *table) Other(name string, ms uint32) { s.Move(name, ms) }

// withStage serves a table to two clients.
func withStage(t *testing.T, opts bsrpc.ServerOptions, f func(t *testing.T, s *table, a, b *tableContract)) {
	synctest.Test(t, func(t *testing.T) {
		opts.Logger = quiet
		srv := bsrpc.NewServer(&opts)
		s := new(table)
		if err := bsrpc.RegisterAs[tableContract](srv, "Stage", s); err != nil {
			t.Fatal(err)
		}
		var proxies [2]*tableContract
		for i := range proxies {
			client := mustEnter(t, srv)
			defer client.Close()
			var err error
			if proxies[i], err = bsrpc.Bind[tableContract](t.Context(), client, "Stage"); err != nil {
				t.Fatal(err)
			}
		}
		s.proxy = proxies[1]
		f(t, s, proxies[0], proxies[1])
		srv.Close()
	})
}

// The calls of a group run one at a time in order of arrival, over all sessions. Other
// calls do not wait for them.
func TestExclusive(t *testing.T) {
	withStage(t, bsrpc.ServerOptions{}, func(t *testing.T, s *table, a, b *tableContract) {
		var wg sync.WaitGroup
		do := func(f func() error) {
			wg.Go(func() {
				if err := f(); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		do(func() error { return a.Move(t.Context(), "1", 100) })
		do(func() error { return b.Move(t.Context(), "2", 100) })
		do(func() error { return a.Home(t.Context(), "3") })
		do(func() error { return b.Home(t.Context(), "4") })
		time.Sleep(50 * time.Millisecond)
		do(func() error { return a.Other(t.Context(), "x", 1) })
		wg.Wait()
		if want := "1, x, /x, /1, 2, /2, 3, /3, 4, /4"; s.seen.String() != want {
			t.Errorf("got  %s\nwant %s", &s.seen, want)
		}
	})
}

// A waiting call ends at its time limit or after a cancellation, and has not run.
func TestExclusiveWaitEnds(t *testing.T) {
	withStage(t, bsrpc.ServerOptions{}, func(t *testing.T, s *table, a, b *tableContract) {
		first := make(chan error)
		go func() { first <- a.Move(context.Background(), "1", 1000) }()
		synctest.Wait()
		short, cancelShort := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancelShort()
		canceled, cancel := context.WithCancel(t.Context())
		time.AfterFunc(200*time.Millisecond, cancel)
		errs := make(chan error, 3)
		for i, ctx := range []context.Context{short, canceled, t.Context()} {
			go func() { errs <- b.Home(ctx, fmt.Sprint(i+2)) }()
			synctest.Wait()
		}
		if err := <-errs; !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		for _, err := range []error{<-first, <-errs} {
			if err != nil {
				t.Error(err)
			}
		}
		if want := "1, /1, 4, /4"; s.seen.String() != want {
			t.Errorf("got  %s\nwant %s", &s.seen, want)
		}
	})
}

// A call to a group from one of its own handlers would wait for itself.
func TestExclusiveDeadlock(t *testing.T) {
	withStage(t, bsrpc.ServerOptions{}, func(t *testing.T, s *table, a, b *tableContract) {
		if err := a.Again(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := "bsrpc: Stage.Home: called while already holding exclusive=table: deadlock"
		var e *bsrpc.Error
		if !errors.As(s.again, &e) || e.Code != bsrpc.CodeFailedPrecondition || e.Message != want || e.Outcome != bsrpc.OutcomeNotRun {
			t.Errorf("got %v, want %s", s.again, want)
		}
		if err := a.Home(t.Context(), "1"); err != nil {
			t.Error(err)
		}
	})
}

// MaxConcurrentCalls applies to each connection; 1 runs its calls in order.
func TestMaxConcurrentCalls(t *testing.T) {
	withStage(t, bsrpc.ServerOptions{MaxConcurrentCalls: 1}, func(t *testing.T, s *table, a, b *tableContract) {
		var wg sync.WaitGroup
		for i, p := range []*tableContract{a, a, a, b} {
			wg.Go(func() {
				if err := p.Other(t.Context(), fmt.Sprint(i), 100); err != nil {
					t.Error(err)
				}
			})
			time.Sleep(10 * time.Millisecond)
		}
		wg.Wait()
		if want := "0, 3, /0, 1, /3, /1, 2, /2"; s.seen.String() != want {
			t.Errorf("got  %s\nwant %s", &s.seen, want)
		}
	})
}
