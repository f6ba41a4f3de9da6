package bsrpc_test

import (
	"context"
	"errors"
	"iter"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// servedRequest calls ServeRequest on a goroutine of its own, as a transport does. It returns the answers, and a
// channel closed at the end of the goroutine.
func servedRequest(ctx context.Context, srv *bsrpc.Server, method string) (answers chan *bsrpc.Reply, ended chan struct{}) {
	answers, ended = make(chan *bsrpc.Reply, 8), make(chan struct{})
	go func() {
		defer close(ended)
		srv.ServeRequest(ctx, requestTo(srv, method), func(r *bsrpc.Reply) { answers <- r })
	}()
	return answers, ended
}

// requestTo returns a request without arguments, with the hash of the server.
func requestTo(srv *bsrpc.Server, method string) *bsrpc.Request {
	r := &bsrpc.Request{Method: method}
	for _, m := range srv.Methods() {
		if m.Name == method {
			r.Hash = m.Hash
		}
	}
	return r
}

// Each way in which a call can end has one answer.
func TestServeRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := bsrpc.NewServer(quietServer())
		began := make(chan struct{}, 1)
		for name, fn := range map[string]any{
			"T.Seven": func() int { return 7 },
			"T.Panic": func() { panic("secret") },
			"T.Exit":  func() { runtime.Goexit() },
			"T.Wait":  func(ctx context.Context) error { began <- struct{}{}; <-ctx.Done(); return ctx.Err() },
			"T.Count": func() iter.Seq2[int, error] {
				return func(yield func(int, error) bool) { _ = yield(1, nil) && yield(2, nil) }
			},
		} {
			if err := srv.RegisterFunc(name, fn); err != nil {
				t.Fatal(err)
			}
		}
		for _, test := range []struct {
			method string
			code   bsrpc.Code
			items  int
		}{
			{"T.Seven", bsrpc.CodeOK, 0},
			{"T.Panic", bsrpc.CodeInternal, 0},
			{"T.Exit", bsrpc.CodeInternal, 0},
			{"T.Count", bsrpc.CodeOK, 2},
			{"T.None", bsrpc.CodeUnimplemented, 0},
		} {
			answers, ended := servedRequest(t.Context(), srv, test.method)
			reply := <-answers
			items := 0
			if reply.Items != nil {
				for range reply.Items {
					items++
				}
			}
			<-ended
			code := bsrpc.CodeOK
			if reply.Err != nil {
				code = reply.Err.Code
			}
			if code != test.code || items != test.items || len(answers) != 0 {
				t.Errorf("%s: got %v and %d items, want %v and %d; %d answers more", test.method, code, items, test.code, test.items, len(answers))
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		answers, ended := servedRequest(ctx, srv, "T.Wait")
		<-began
		cancel()
		if reply := <-answers; reply.Err == nil || reply.Err.Code != bsrpc.CodeCanceled {
			t.Errorf("after the end of its context: %+v", reply)
		}
		<-ended
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		answers, _ = servedRequest(t.Context(), srv, "T.Seven")
		if reply := <-answers; reply.Err == nil || reply.Err.Code != bsrpc.CodeUnavailable || reply.Err.Outcome != bsrpc.OutcomeNotRun {
			t.Errorf("after Shutdown: %+v", reply)
		}
	})
}

// A server that closes answers for a handler that hangs, and ServeRequest waits for both.
func TestServeRequestClose(t *testing.T) {
	srv := bsrpc.NewServer(quietServer())
	began, release, answered, ended := make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan struct{})
	if err := srv.RegisterFunc("T.Hang", func() { close(began); <-release }); err != nil {
		t.Fatal(err)
	}
	answers := make(chan *bsrpc.Reply, 8)
	go func() {
		defer close(ended)
		srv.ServeRequest(t.Context(), requestTo(srv, "T.Hang"), func(r *bsrpc.Reply) {
			answers <- r
			<-answered
		})
	}()
	<-began
	srv.Close()
	reply := <-answers
	if reply.Err == nil || reply.Err.Code != bsrpc.CodeUnavailable || reply.Err.Outcome != bsrpc.OutcomeUnknown {
		t.Errorf("got %+v", reply)
	}
	close(release)
	for range 1000 {
		select {
		case <-ended:
			t.Fatal("ServeRequest has returned while answer ran")
		default:
			runtime.Gosched()
		}
	}
	close(answered)
	<-ended
	if len(answers) != 0 {
		t.Error("a second answer")
	}
}

// Registration ends with the first call, before its method is looked for.
func TestServeRequestEndsRegistration(t *testing.T) {
	srv := bsrpc.NewServer(quietServer())
	defer srv.Close()
	register := func(name string) error { return srv.RegisterFunc(name, func() int { return 7 }) }
	if err := register("T.Seven"); err != nil {
		t.Fatal(err)
	}
	answers, ended := servedRequest(t.Context(), srv, "T.Seven")
	<-ended
	if reply := <-answers; reply.Err != nil {
		t.Error(reply.Err)
	}
	if register("T.Late") == nil {
		t.Error("registered after a call")
	}
	defer func() {
		if what := recover(); what != "bsrpc: nil or zero Server; use NewServer" {
			t.Errorf("recovered %v", what)
		}
	}()
	new(bsrpc.Server).ServeRequest(t.Context(), new(bsrpc.Request), nil)
}

// The handler runs on the goroutine of ServeRequest. A panic of answer is the caller's, and leaves the
// server without the call.
func TestServeRequestGoroutine(t *testing.T) {
	srv := bsrpc.NewServer(quietServer())
	defer srv.Close()
	inside := false
	handler := func() {
		stack := make([]byte, 1<<16)
		inside = strings.Contains(string(stack[:runtime.Stack(stack, false)]), "TestServeRequestGoroutine(")
	}
	if err := srv.RegisterFunc("T.Stack", handler); err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() {
			if what := recover(); what != "of answer" {
				t.Errorf("recovered %v", what)
			}
		}()
		srv.ServeRequest(t.Context(), requestTo(srv, "T.Stack"), func(*bsrpc.Reply) { panic("of answer") })
	}()
	if !inside {
		t.Error("the handler has run on another goroutine")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

// A promptTripper is a tripper that promises to be prompt.
type promptTripper struct{ tripper }

func (promptTripper) Prompt() {}

// A prompt RoundTripper is called on the goroutine of the caller. Its panic fails its own call, and
// its context ends with the time of the call.
func TestPromptRoundTripper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := depotServer(t, nil)
		defer srv.Close()
		var stack string
		client := overClient(promptTripper{func(ctx context.Context, r *bsrpc.Request) (*bsrpc.Reply, error) {
			if b := make([]byte, 1<<16); r.Method == "Stock.Put" {
				stack = string(b[:runtime.Stack(b, false)])
			}
			if r.Method == "Stock.Note" {
				panic("of a RoundTripper")
			}
			return bsrpctest.Direct(srv).RoundTrip(ctx, r)
		}}, nil)
		defer client.Close()
		p, err := bsrpc.Bind[depotContract](t.Context(), client, "Stock")
		if err != nil {
			t.Fatal(err)
		}
		if n, err := p.Put(t.Context(), "bolt", 4); n != 8 || err != nil || !strings.Contains(stack, "TestPromptRoundTripper.") {
			t.Errorf("got %d, %v, on the goroutine %s", n, err, stack)
		}
		var e *bsrpc.Error
		if err := p.Note("x"); !errors.As(err, &e) || e.Code != bsrpc.CodeInternal || e.Outcome != bsrpc.OutcomeUnknown || strings.Contains(e.Message, "of a") {
			t.Errorf("got %+v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.Put(ctx, "wait", 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if n, err := p.Put(t.Context(), "bolt", 5); n != 10 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
	})
}
