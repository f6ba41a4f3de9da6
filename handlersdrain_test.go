package bsrpc_test

import (
	"context"
	"errors"
	"iter"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// A crew is what a worker has in these tests.
type crew struct {
	Work  func(ctx context.Context) error                  `bsrpc:"timeout=none"`
	Steps func(ctx context.Context) iter.Seq2[int, error]  `bsrpc:"timeout=none"`
	Lift  func(ctx context.Context, d time.Duration) error `bsrpc:"timeout=none,exclusive=crane"`
}

// A buildingSite is what the server of a worker has.
type buildingSite struct {
	Ask   func(ctx context.Context, answer func(ctx context.Context) (int, error)) (int, error)
	Leave func(ctx context.Context) error
}

// newCrew connects a worker. Each of its methods ends with a token from release.
func newCrew(t *testing.T) (worker *crew, site *buildingSite, handlers *bsrpc.Server, release chan bool) {
	t.Helper()
	release = make(chan bool)
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{OnConnect: func(ctx context.Context, s *bsrpc.Session) (err error) {
		worker, err = bsrpc.Bind[crew](ctx, s, "Crew")
		return err
	}})
	err := srv.RegisterFunc("Site.Ask", func(ctx context.Context, answer func(ctx context.Context) (int, error)) (int, error) {
		return answer(ctx)
	})
	leave := srv.RegisterFunc("Site.Leave", func(ctx context.Context) { bsrpc.SessionFrom(ctx).Close("go") })
	handlers = bsrpc.NewServer(nil)
	err = errors.Join(err, leave, bsrpc.RegisterAs[crew](handlers, "Crew", &crew{
		Work: func(context.Context) error { <-release; return nil },
		Steps: func(context.Context) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				yield(1, nil)
				<-release
				yield(2, nil)
			}
		},
		Lift: func(_ context.Context, d time.Duration) error { time.Sleep(d); return nil },
	}))
	if err != nil {
		t.Fatal(err)
	}
	client, err := bsrpctest.Dial(t, srv, &bsrpc.ClientOptions{Handlers: handlers})
	if err != nil {
		t.Fatal(err)
	}
	if site, err = bsrpc.Bind[buildingSite](t.Context(), client, "Site"); err != nil {
		t.Fatal(err)
	}
	return worker, site, handlers, release
}

// wantNoMore checks that a worker refuses a call after Shutdown of its Handlers.
func wantNoMore(t *testing.T, what string, err error) {
	t.Helper()
	var e *bsrpc.Error
	if !errors.As(err, &e) || e.Code != bsrpc.CodeUnavailable || e.Outcome != bsrpc.OutcomeNotRun || !strings.Contains(e.Message, "the client takes no more calls") {
		t.Errorf("%s: %v", what, err)
	}
}

// Shutdown of Handlers refuses calls of the server, not run, and waits for those that run, streams
// included. The connection, the calls of the client and their callbacks go on.
func TestShutdownOfHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		worker, site, handlers, release := newCrew(t)
		ctx := t.Context()
		worked, stepped := make(chan error, 1), make(chan error, 1)
		lifted := make(chan error, 2)
		go func() { worked <- worker.Work(ctx) }()
		go func() {
			steps, err := bsrpctest.Collect(worker.Steps(ctx))
			if len(steps) != 2 {
				t.Errorf("%d steps", len(steps))
			}
			stepped <- err
		}()
		for range 2 { // the second one waits for the first
			go func() { lifted <- worker.Lift(ctx, time.Second) }()
		}
		synctest.Wait()
		down := make(chan error, 1)
		go func() { down <- handlers.Shutdown(ctx) }()
		synctest.Wait()
		wantNoMore(t, "Work", worker.Work(ctx))
		_, err := bsrpctest.Collect(worker.Steps(ctx))
		wantNoMore(t, "Steps", err)
		ran, waited := <-lifted, <-lifted // in any order
		if waited == nil {
			ran, waited = waited, ran
		}
		if ran != nil {
			t.Errorf("a call that ran before: %v", ran)
		}
		wantNoMore(t, "a call that waited for its group", waited)
		if n, err := site.Ask(ctx, func(context.Context) (int, error) { return 7, nil }); n != 7 || err != nil {
			t.Errorf("a callback: %d, %v", n, err)
		}
		for range 2 {
			select {
			case err := <-down:
				t.Fatalf("Shutdown returns while a handler runs: %v", err)
			default:
			}
			release <- true
		}
		for _, err := range []error{<-worked, <-stepped, <-down} {
			if err != nil {
				t.Error(err)
			}
		}
		if _, err := site.Ask(ctx, func(context.Context) (int, error) { return 0, nil }); err != nil {
			t.Errorf("after Shutdown: %v", err)
		}
	})
}

// The context of Shutdown ends the wait.
func TestShutdownOfHandlersInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		worker, _, handlers, release := newCrew(t)
		worked := make(chan error, 1)
		go func() { worked <- worker.Work(t.Context()) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := handlers.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.HasSuffix(err.Error(), "still running: Crew.Work") {
			t.Errorf("Shutdown: %v", err)
		}
		release <- true
		if err := <-worked; err != nil {
			t.Error(err)
		}
		if err := handlers.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown after the last handler: %v", err)
		}
	})
}

// Shutdown does not wait for a callback, which is part of a call of the client. It waits for a handler
// whose connection is lost.
func TestShutdownOfHandlersBesideCallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, site, handlers, release := newCrew(t)
		asked, worked := make(chan error, 1), make(chan error, 1)
		go func() {
			_, err := site.Ask(t.Context(), func(context.Context) (int, error) { <-release; return 0, nil })
			asked <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := handlers.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		release <- true
		if err := <-asked; err != nil {
			t.Error(err)
		}

		worker, site, handlers, release := newCrew(t)
		go func() { worked <- worker.Work(t.Context()) }()
		synctest.Wait()
		site.Leave(t.Context())
		<-worked
		down := make(chan error, 1)
		go func() { down <- handlers.Shutdown(ctx) }()
		time.Sleep(time.Second)
		select {
		case err := <-down:
			t.Errorf("Shutdown returns while a handler runs: %v", err)
		default:
		}
		release <- true
		if err := <-down; err != nil {
			t.Error(err)
		}
	})
}
