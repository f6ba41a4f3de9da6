package callctx

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/limits"
)

type contextKey struct{}

// The ways in which a handler can observe the end of its context.
var notices = map[string]func(ctx context.Context){
	"Done": func(ctx context.Context) { <-ctx.Done() },
	"Err": func(ctx context.Context) {
		for ctx.Err() == nil {
			time.Sleep(time.Millisecond)
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

// checkEnded checks a context that has ended.
func checkEnded(t *testing.T, ctx context.Context, err error, cause string) {
	t.Helper()
	<-ctx.Done()
	if got := context.Cause(ctx); ctx.Err() != err || got == nil || got.Error() != cause {
		t.Errorf("got %v, caused by %v; want %v, caused by %s", ctx.Err(), got, err, cause)
	}
}

// The context ends exactly at its deadline, and leaves nothing waiting.
func TestExpires(t *testing.T) {
	for how, notice := range notices {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				parent, cancel := context.WithCancel(context.Background())
				defer cancel()
				start := time.Now()
				x := &Context{Context: parent, Until: limits.MonotonicAt(start.Add(time.Minute))}
				notice(x)
				if took := time.Since(start); took != time.Minute {
					t.Errorf("noticed after %v", took)
				}
				checkEnded(t, x, context.DeadlineExceeded, "context deadline exceeded")
				x.Cancel() // the handler returns
				checkEnded(t, x, context.DeadlineExceeded, "context deadline exceeded")
			})
		})
	}
}

// Stop reports whether it prevented the func from running.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent, cancel := context.WithCancel(context.Background())
		defer cancel()
		var ran [3]atomic.Int32
		var stops [3]func() bool
		x := &Context{Context: parent}
		for i := range ran {
			stops[i] = x.AfterFunc(func() { ran[i].Add(1) })
		}
		if !stops[1]() || stops[1]() {
			t.Error("the first stop of a func has an effect, and no other")
		}
		x.finish(late)
		x.Cancel()
		synctest.Wait()
		if stops[0]() || stops[1]() {
			t.Error("stopped after the end")
		}
		if a, b, c := ran[0].Load(), ran[1].Load(), ran[2].Load(); a != 1 || b != 0 || c != 1 {
			t.Errorf("ran %d, %d and %d times", a, b, c)
		}
		checkEnded(t, x, context.DeadlineExceeded, "context deadline exceeded")
	})
}

// All methods of a context are called concurrently while it ends in every way. Each
// func runs or is stopped, once.
func TestConcurrency(t *testing.T) {
	for range 200 {
		parent, cancel := context.WithCancel(t.Context())
		x := &Context{Context: parent, Until: limits.Monotonic() + time.Hour}
		var ran, stopped atomic.Int32
		var wg sync.WaitGroup
		ended := make(chan struct{}, 8)
		for i := range 8 {
			wg.Go(func() {
				stop := context.AfterFunc(x, func() { ran.Add(1); ended <- struct{}{} })
				x.Deadline()
				x.Err()
				if i%2 == 0 && stop() {
					stopped.Add(1)
					ended <- struct{}{}
				}
				child, release := context.WithCancel(x)
				<-child.Done()
				release()
				if x.Err() == nil || child.Err() == nil {
					t.Error("ended without an error")
				}
			})
		}
		wg.Go(cancel)
		wg.Go(func() { x.Cancel() })
		wg.Wait()
		for range 8 {
			<-ended
		}
		if n := ran.Load() + stopped.Load(); n != 8 {
			t.Errorf("%d funcs ran, %d were stopped; want 8", ran.Load(), stopped.Load())
		}
	}
}

// The cause is that of the first end: a connection lost later does not replace it.
func TestCause(t *testing.T) {
	lost := errors.New("connection lost")
	for how, notice := range notices {
		for _, test := range []struct {
			name      string
			end       func(x *Context)
			err       error
			lostFirst bool
			cause     string
		}{
			{"deadline", func(*Context) { time.Sleep(time.Minute) }, context.DeadlineExceeded, false, "context deadline exceeded"},
			{"caller", func(x *Context) { x.Cancel() }, context.Canceled, false, "context canceled"},
			{"connection", func(*Context) { time.Sleep(time.Minute) }, context.Canceled, true, "connection lost"},
		} {
			if how == "Err" && test.lostFirst {
				continue // it asks too late to know
			}
			synctest.Test(t, func(t *testing.T) {
				parent, lose := context.WithCancelCause(context.Background())
				x := &Context{Context: parent, Until: limits.Monotonic() + time.Minute}
				var child context.Context
				if how != "Err" {
					var cancel context.CancelFunc
					child, cancel = context.WithCancel(x)
					defer cancel()
				}
				if test.lostFirst {
					lose(lost)
					synctest.Wait()
				}
				test.end(x)
				synctest.Wait()
				lose(lost)
				notice(x)
				synctest.Wait()
				checkEnded(t, x, test.err, test.cause)
				if child != nil {
					checkEnded(t, child, test.err, test.cause)
				}
			})
		}
	}
}

// The context of a session without a connection ends with its parent, or by End: then with its
// cause, and the first counts. Contexts made of it end too.
func TestInward(t *testing.T) {
	type key struct{}
	own := errors.New("the session is closed")
	for name, test := range map[string]struct {
		end   func(c *Inward, cancelParent context.CancelCauseFunc)
		cause error
	}{
		"by its parent":       {func(_ *Inward, cancel context.CancelCauseFunc) { cancel(own) }, own},
		"with a cause":        {func(c *Inward, _ context.CancelCauseFunc) { c.End(own); c.End(errors.New("later")) }, own},
		"without a cause":     {func(c *Inward, cancel context.CancelCauseFunc) { c.End(nil); c.End(errors.New("later")); cancel(own) }, context.Canceled},
		"by its parent first": {func(c *Inward, cancel context.CancelCauseFunc) { cancel(own); c.End(errors.New("later")) }, own},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				parent, cancel := context.WithCancelCause(context.WithValue(t.Context(), key{}, "parent"))
				defer cancel(nil)
				c := &Inward{Context: Context{Context: parent}, Key: "own", Own: 7}
				child, stop := context.WithCancel(c)
				defer stop()
				if c.Err() != nil || child.Err() != nil || context.Cause(c) != nil {
					t.Fatal("ended before its end")
				}
				if c.Value("own") != 7 || c.Value(key{}) != "parent" || Of(c) != nil {
					t.Error("values")
				}
				test.end(c, cancel)
				synctest.Wait()
				<-c.Done()
				<-child.Done()
				if c.Err() != context.Canceled || context.Cause(c) != test.cause || context.Cause(child) != test.cause {
					t.Errorf("ended with %v, cause %v, of a child %v; want %v", c.Err(), context.Cause(c), context.Cause(child), test.cause)
				}
			})
		})
	}
}
