package bsrpc_test

// Calls without waiting: futures and oneway funcs, over connections in memory.

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
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

// A queue is the service of these tests.
type queue struct {
	mu      sync.Mutex
	put     []int
	began   chan context.Context // of Hold
	release chan struct{}        // ends a Hold
	running atomic.Int32         // calls of Hold
}

func newQueue() *queue {
	return &queue{began: make(chan context.Context, 1<<14), release: make(chan struct{}, 1<<14)}
}

func (q *queue) Put(n int) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.put = append(q.put, n)
	if n == math.MinInt {
		return (*bsrpc.Error)(nil) // its methods panic
	}
	if n < 0 {
		return &bsrpc.Error{Code: bsrpc.CodeInvalidArgument, Message: "negative"}
	}
	return nil
}

func (q *queue) all() []int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.put)
}

func (q *queue) Double(n int) (int, error)  { return 2 * n, q.Put(n) }
func (q *queue) Names(n int) []string       { return make([]string, n) }
func (q *queue) Long(s string) (int, error) { return len(s), nil }

// Hold waits for release, or for the end of its context.
func (q *queue) Hold(ctx context.Context, n int) (int, error) {
	q.running.Add(1)
	defer q.running.Add(-1)
	q.began <- ctx
	select {
	case <-q.release:
		return n, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (q *queue) Moody(m fickle) (fickle, error) { return m, nil }
func (q *queue) Panic()                         { panic("secret") }

// queueContract is the contract of both ends.
type queueContract struct {
	Put    func(ctx context.Context, n int) error `bsrpc:"oneway"`
	Long   func(ctx context.Context, s string) *bsrpc.Future[int]
	Double func(ctx context.Context, n int) *bsrpc.Future[int]
	Names  func(n int) *bsrpc.Future[[]string]
	Hold   func(ctx context.Context, n int) *bsrpc.Future[int]
	Moody  func(m fickle) *bsrpc.Future[fickle]
	Panic  func() error `bsrpc:"oneway"`
}

// A queuePair is a server with a queue, a client and its proxy.
type queuePair struct {
	*queue
	srv    *bsrpc.Server
	client *bsrpc.Client
	proxy  *queueContract
	logs   [2]lockedBuffer // of server and client
}

func newQueuePair(t *testing.T, server bsrpc.ServerOptions, client bsrpc.ClientOptions) *queuePair {
	t.Helper()
	p := &queuePair{queue: newQueue()}
	server.Logger = slog.New(slog.NewTextHandler(&p.logs[0], nil))
	client.Logger = slog.New(slog.NewTextHandler(&p.logs[1], nil))
	p.srv = bsrpc.NewServer(&server)
	err := bsrpc.RegisterAs[queueContract](p.srv, "Queue", p.queue)
	if err != nil {
		t.Fatal(err)
	}
	if p.client, err = bsrpctest.Dial(t, p.srv, &client); err != nil {
		t.Fatal(err)
	}
	if p.proxy, err = bsrpc.Bind[queueContract](t.Context(), p.client, "Queue"); err != nil {
		t.Fatal(err)
	}
	return p
}

func isDone(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// checkError checks the code, the outcome and the cause of an error.
func checkError(t *testing.T, what string, err error, code bsrpc.Code, outcome bsrpc.Outcome, cause error) {
	t.Helper()
	var e *bsrpc.Error
	if !errors.As(err, &e) || e.Code != code || e.Outcome != outcome || cause != nil && !errors.Is(err, cause) {
		t.Errorf("%s: %v (%+v), want %v, %v, wrapping %v", what, err, e, code, outcome, cause)
	}
}

func TestFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newQueuePair(t, bsrpc.ServerOptions{}, bsrpc.ClientOptions{})
		f, failed := p.proxy.Double(t.Context(), 21), p.proxy.Double(t.Context(), -1)
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if n, err := f.Wait(t.Context()); n != 42 || err != nil {
					t.Errorf("%d, %v", n, err)
				}
				n, err := failed.Wait(t.Context())
				checkError(t, "failed", err, bsrpc.CodeInvalidArgument, bsrpc.OutcomeAnswered, nil)
				if _, again := failed.Wait(t.Context()); n != 0 || again != err {
					t.Errorf("%d, %v, and %v again", n, err, again)
				}
			})
		}
		all.Wait()
		if !isDone(f.Done()) {
			t.Error("Done is open after Wait")
		}
		// The result is preferred to the end of the context, and decoded once.
		over, cancel := context.WithCancel(t.Context())
		cancel()
		names := p.proxy.Names(3)
		<-names.Done()
		first, err := names.Wait(over)
		second, _ := names.Wait(over)
		if err != nil || len(first) != 3 || &first[0] != &second[0] {
			t.Errorf("%q, %q, %v", first, second, err)
		}
		if n, err := p.proxy.Long(t.Context(), strings.Repeat("a", 1<<20)).Wait(t.Context()); n != 1<<20 || err != nil {
			t.Errorf("a long request: %d, %v", n, err)
		}
	})
}

// The context of Wait ends the waiting, and the context of the func the call.
func TestFutureContexts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newQueuePair(t, bsrpc.ServerOptions{}, bsrpc.ClientOptions{DefaultCallTimeout: time.Hour})
		var noContext context.Context
		f := p.proxy.Hold(t.Context(), 7)
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := f.Wait(short)
		checkError(t, "Wait", err, bsrpc.CodeDeadlineExceeded, bsrpc.OutcomeUnknown, context.DeadlineExceeded)
		if isDone(f.Done()) {
			t.Error("the call is over after a Wait")
		}
		if _, err = f.Wait(noContext); err == nil || err.Error() != "bsrpc: Future.Wait: nil context; use context.Background()" {
			t.Error(err)
		}
		p.release <- struct{}{}
		if n, err := f.Wait(t.Context()); n != 7 || err != nil {
			t.Error(n, err)
		}

		<-p.began
		ctx, cancel := context.WithCancel(t.Context())
		f = p.proxy.Hold(ctx, 7)
		at := <-p.began
		cancel()
		_, err = f.Wait(t.Context())
		checkError(t, "canceled", err, bsrpc.CodeCanceled, bsrpc.OutcomeUnknown, context.Canceled)
		<-at.Done()

		began := time.Now()
		_, err = p.proxy.Hold(t.Context(), 7).Wait(t.Context())
		if time.Since(began) != time.Hour || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "DefaultCallTimeout") {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		_, err = p.proxy.Hold(ctx, 7).Wait(t.Context())
		checkError(t, "canceled before", err, bsrpc.CodeCanceled, bsrpc.OutcomeNotRun, context.Canceled)
		_, err = p.proxy.Hold(noContext, 7).Wait(t.Context())
		checkError(t, "nil context", err, bsrpc.CodeInvalidArgument, bsrpc.OutcomeNotRun, nil)
	})
}

// Ten thousand open calls have no goroutine at the client, and more wait for a place. A
// dropped future gives its place back.
func TestFutureMany(t *testing.T) {
	n := bsrpc.Rounds(2000, 10_000)
	synctest.Test(t, func(t *testing.T) {
		p := newQueuePair(t, bsrpc.ServerOptions{MaxInflight: n, MaxConcurrentCalls: 1}, bsrpc.ClientOptions{DefaultCallTimeout: -1})
		synctest.Wait()
		before := runtime.NumGoroutine()
		list := make([]*bsrpc.Future[int], n)
		for i := range list {
			list[i] = p.proxy.Hold(t.Context(), i)
		}
		synctest.Wait()
		if more := runtime.NumGoroutine() - before; more > 10 {
			t.Errorf("%d more goroutines", more)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := p.proxy.Hold(ctx, n).Wait(t.Context())
		checkError(t, "no place", err, bsrpc.CodeDeadlineExceeded, bsrpc.OutcomeNotRun, context.DeadlineExceeded)
		if !strings.Contains(err.Error(), fmt.Sprintf("waited for the server's MaxInflight (%d)", n)) {
			t.Error(err)
		}
		late := make(chan *bsrpc.Future[int])
		go func() { late <- p.proxy.Hold(t.Context(), n) }()
		synctest.Wait()
		select {
		case <-late:
			t.Error("the func has not waited for a place")
		default:
		}
		for range n + 1 {
			p.release <- struct{}{}
		}
		if got, err := (<-late).Wait(t.Context()); got != n || err != nil {
			t.Error(got, err)
		}
		for i, f := range list[n/2:] { // the others are dropped
			if got, err := f.Wait(t.Context()); got != n/2+i || err != nil {
				t.Fatal(i, got, err)
			}
		}
	})
}

// A lost connection ends futures, those waiting for a place too.
func TestFutureLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newQueuePair(t, bsrpc.ServerOptions{MaxInflight: 1}, bsrpc.ClientOptions{})
		f := p.proxy.Hold(t.Context(), 1)
		<-p.began
		late := make(chan *bsrpc.Future[int])
		go func() { late <- p.proxy.Hold(t.Context(), 2) }()
		synctest.Wait()
		p.srv.Close()
		_, err := f.Wait(t.Context())
		checkError(t, "open", err, bsrpc.CodeUnavailable, bsrpc.OutcomeUnknown, nil)
		_, err = (<-late).Wait(t.Context())
		checkError(t, "waiting", err, bsrpc.CodeUnavailable, bsrpc.OutcomeNotRun, nil)
		_, err = p.proxy.Hold(t.Context(), 3).Wait(t.Context())
		checkError(t, "after", err, bsrpc.CodeUnavailable, bsrpc.OutcomeNotRun, nil)
	})
}

// User code that panics fails its future. A decoder that does not return leaves an error to
// others.
func TestFutureCodecs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newQueuePair(t, bsrpc.ServerOptions{}, bsrpc.ClientOptions{})
		_, err := p.proxy.Moody(fickle{"enc panic"}).Wait(t.Context())
		checkError(t, "encoder", err, bsrpc.CodeInternal, bsrpc.OutcomeNotRun, nil)
		if m, err := p.proxy.Moody(fickle{"calm"}).Wait(t.Context()); m.how != "calm" || err != nil {
			t.Error(m, err)
		}
		for _, how := range []string{"dec panic", "dec Goexit"} {
			f := p.proxy.Moody(fickle{how})
			done := make(chan struct{})
			go func() {
				defer close(done)
				f.Wait(t.Context())
			}()
			<-done
			_, err = f.Wait(t.Context())
			checkError(t, how, err, bsrpc.CodeInternal, bsrpc.OutcomeAnswered, nil)
		}
	})
}

// A fickle value panics in its encoder or decoder. Servers decode it without.
type fickle struct{ how string }

func (m fickle) MarshalText() ([]byte, error) {
	if m.how == "enc panic" {
		panic(m.how)
	}
	return []byte(m.how), nil
}

func (m *fickle) UnmarshalText(b []byte) error {
	if m.how = string(b); servesFickle() {
		return nil
	}
	switch m.how {
	case "dec panic":
		panic(m.how)
	case "dec Goexit":
		runtime.Goexit()
	}
	return nil
}

// servesFickle reports whether its caller runs for a server, which decodes arguments.
func servesFickle() bool {
	buf := make([]byte, 4<<10)
	return strings.Contains(string(buf[:runtime.Stack(buf, false)]), "ReadArgs")
}

// Wait of a nil or zero Future, and of one made by NewFuture.
func TestFutureWithoutCall(t *testing.T) {
	var none *bsrpc.Future[int]
	for _, f := range []*bsrpc.Future[int]{none, new(bsrpc.Future[int])} {
		if n, err := f.Wait(t.Context()); n != 0 || err == nil || err.Error() != "bsrpc: nil or zero Future; use the funcs of a proxy, or NewFuture" {
			t.Error(n, err)
		}
		if !isDone(f.Done()) {
			t.Error("not done")
		}
	}
	fake := queueContract{Double: func(_ context.Context, n int) *bsrpc.Future[int] {
		if n < 0 {
			return bsrpc.NewFuture(n, errors.ErrUnsupported)
		}
		return bsrpc.NewFuture(2*n, nil)
	}}
	if n, err := fake.Double(t.Context(), 4).Wait(t.Context()); n != 8 || err != nil {
		t.Error(n, err)
	}
	if n, err := fake.Double(t.Context(), -4).Wait(t.Context()); n != 0 || err != errors.ErrUnsupported {
		t.Error(n, err)
	}
}

// Requests of one caller are served in order where the server runs one call at a time.
func TestOnewayOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newQueuePair(t, bsrpc.ServerOptions{MaxConcurrentCalls: 1, MaxInflight: 8}, bsrpc.ClientOptions{})
		var want []int
		var last *bsrpc.Future[int]
		for i := range 1000 {
			want = append(want, i)
			if i%2 == 0 {
				last = p.proxy.Double(t.Context(), i)
			} else if err := p.proxy.Put(t.Context(), i); err != nil {
				t.Fatal(err)
			}
		}
		last.Wait(t.Context())
		synctest.Wait()
		if got := p.all(); !slices.Equal(got, want) {
			t.Errorf("%v", got)
		}
	})
}

// Errors of oneway calls are counted, and logged at both ends, one line a second.
func TestOnewayErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newQueuePair(t, bsrpc.ServerOptions{}, bsrpc.ClientOptions{})
		for range 3 {
			for range 100 {
				if err := p.proxy.Put(t.Context(), -1); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(1500 * time.Millisecond)
		}
		if err := p.proxy.Panic(); err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{1, math.MinInt} {
			if err := p.proxy.Put(t.Context(), n); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if s, c := p.srv.OnewayErrors(), p.client.OnewayErrors(); s != 302 || c != 302 {
			t.Errorf("%d errors at the server, %d at the client", s, c)
		}
		for i := range p.logs {
			text := p.logs[i].String()
			lines := strings.Count(text, `msg="bsrpc: oneway call failed" method=Queue.Put err=`)
			if lines != 3 || strings.Count(text, "suppressed=99") != 3 || !strings.Contains(text, "negative") {
				t.Errorf("log:\n%s", text)
			}
			if i == 1 && strings.Contains(text, "secret") {
				t.Errorf("log:\n%s", text)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		checkError(t, "not handed over", p.proxy.Put(ctx, 1), bsrpc.CodeCanceled, bsrpc.OutcomeNotRun, context.Canceled)
		if n := p.client.OnewayErrors(); n != 302 {
			t.Error(n)
		}
	})
}

// The end of the caller's context after the func has returned does not cancel the call.
func TestOnewayContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := make(chan error, 1)
		srv := bsrpc.NewServer(nil)
		type contract struct {
			Hold func(ctx context.Context) error `bsrpc:"oneway"`
		}
		if err := bsrpc.RegisterAs[contract](srv, "S", &contract{Hold: func(ctx context.Context) error {
			time.Sleep(time.Second)
			held <- ctx.Err()
			return ctx.Err()
		}}); err != nil {
			t.Fatal(err)
		}
		proxy := bsrpctest.Bind[contract](t, srv, "S")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if err := proxy.Hold(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := <-held; err != nil {
			t.Error(err)
		}
	})
}

// A oneway call holds its place until it is answered.
func TestOnewayPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := bsrpc.NewServer(&bsrpc.ServerOptions{MaxInflight: 2})
		type contract struct {
			Sleep func() error `bsrpc:"oneway"`
		}
		if err := bsrpc.RegisterAs[contract](srv, "S", &contract{Sleep: func() error {
			time.Sleep(time.Second)
			return nil
		}}); err != nil {
			t.Fatal(err)
		}
		proxy := bsrpctest.Bind[contract](t, srv, "S")
		began := time.Now()
		for range 6 {
			if err := proxy.Sleep(); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(began).Round(10 * time.Millisecond); d != 2*time.Second {
			t.Errorf("six calls handed over in %v", d)
		}
		time.Sleep(2 * time.Second) // until the handlers have returned
	})
}

// Close writes what was handed over, and gives up after 500 ms.
func TestOnewayClose(t *testing.T) {
	p := newQueuePair(t, bsrpc.ServerOptions{}, bsrpc.ClientOptions{})
	l, err := net.Listen("tcp", "127.0.0.1:0") // sockets lose unread bytes in other ways
	if err != nil {
		t.Skip(err)
	}
	defer p.srv.Close()
	go p.srv.Serve(l)
	const n = 500
	for round := range 5 {
		client, err := bsrpc.Dial(t.Context(), "tcp", l.Addr().String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		proxy, err := bsrpc.Bind[queueContract](t.Context(), client, "Queue")
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if err := proxy.Put(t.Context(), i); err != nil {
				t.Fatal(err)
			}
		}
		client.Close()
		if err := proxy.Put(t.Context(), 1); !errors.Is(err, bsrpc.ErrClosed) {
			t.Error(err)
		}
		p.srv.Sessions() // the handlers run on
		for limit := time.Now().Add(10 * time.Second); len(p.all()) < n*(round+1); runtime.Gosched() {
			if time.Now().After(limit) {
				t.Fatalf("%d of %d calls have arrived", len(p.all()), n*(round+1))
			}
		}
	}
}

// A peer that reads nothing delays Close for 500 ms.
func TestOnewayCloseUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		stop := make(chan struct{})
		p := newQueuePair(t, bsrpc.ServerOptions{}, bsrpc.ClientOptions{})
		paused := &pausedConn{Conn: far, stop: stop, closed: make(chan struct{})}
		go p.srv.ServeConn(paused)
		client, err := bsrpc.NewClient(t.Context(), near, nil)
		if err != nil {
			t.Fatal(err)
		}
		proxy, err := bsrpc.Bind[queueContract](t.Context(), client, "Queue")
		if err != nil {
			t.Fatal(err)
		}
		close(stop)
		for range 3 {
			if err := proxy.Put(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		client.Close()
		if d := time.Since(began); d != 500*time.Millisecond {
			t.Errorf("Close took %v", d)
		}
		paused.Close()
	})
}

// A pausedConn reads nothing once stop is closed, until it is closed itself.
type pausedConn struct {
	net.Conn
	stop, closed chan struct{}
	once         sync.Once
}

func (c *pausedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if isDone(c.stop) {
		<-c.closed
	}
	return n, err
}

func (c *pausedConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// At a client, next returns with the func, and OnEnd has the result.
func TestEagerInterceptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var events []string
		var mu sync.Mutex
		event := func(format string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			events = append(events, fmt.Sprintf(format, args...))
		}
		short := false
		observe := func(next bsrpc.CallFunc) bsrpc.CallFunc {
			return func(ctx context.Context, call *bsrpc.Call) error {
				name := call.Method().Name
				call.OnEnd(func(err error) { event("%s ended, %v, %d bytes", name, err != nil, call.ResultsSize()) })
				if short {
					*call.Results()[0].(*int) = 5
					return nil
				}
				err := next(context.WithValue(ctx, branchKey{}, 1), call)
				event("%s next %v, %v", name, err, call.Kind())
				return err
			}
		}
		var served []string
		note := func(next bsrpc.CallFunc) bsrpc.CallFunc {
			return func(ctx context.Context, call *bsrpc.Call) error {
				mu.Lock()
				served = append(served, fmt.Sprint(call.Method().Name, " ", call.Kind()))
				mu.Unlock()
				return next(ctx, call)
			}
		}
		p := newQueuePair(t, bsrpc.ServerOptions{Interceptors: []bsrpc.Interceptor{note}}, bsrpc.ClientOptions{Interceptors: []bsrpc.Interceptor{observe}})
		f := p.proxy.Hold(t.Context(), 3)
		if err := p.proxy.Put(t.Context(), -1); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		time.Sleep(time.Second)
		p.release <- struct{}{}
		if n, err := f.Wait(t.Context()); n != 3 || err != nil {
			t.Error(n, err)
		}
		synctest.Wait()
		want := []string{"Queue.Hold next <nil>, unary", "Queue.Put next <nil>, oneway", "Queue.Put ended, true, 0 bytes", "Queue.Hold ended, false, 8 bytes"}
		if !slices.Equal(events, want) {
			t.Errorf("%q", events)
		}
		if slices.Sort(served); !slices.Equal(served, []string{"Queue.Hold unary", "Queue.Put oneway"}) {
			t.Errorf("at the server: %q", served)
		}
		short = true
		if n, err := p.proxy.Double(t.Context(), 1).Wait(t.Context()); n != 5 || err != nil {
			t.Error(n, err)
		}
	})
}

// The metadata of an answer is there once the future is done.
func TestFutureMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := bsrpc.NewServer(nil)
		if err := srv.RegisterName("S", metadataEcho{}); err != nil {
			t.Fatal(err)
		}
		proxy := bsrpctest.Bind[struct {
			Get func(ctx context.Context) *bsrpc.Future[string]
		}](t, srv, "S")
		ctx, reply := bsrpc.WithReplyMetadata(bsrpc.WithMetadata(t.Context(), bsrpc.Metadata{"a": "1"}))
		s, err := proxy.Get(ctx).Wait(t.Context())
		if s != "1" || err != nil || reply.Get()["b"] != "2" {
			t.Error(s, err, reply.Get())
		}
	})
}

type metadataEcho struct{}

func (metadataEcho) Get(ctx context.Context) (string, error) {
	return bsrpc.MetadataFrom(ctx)["a"], bsrpc.SetReplyMetadata(ctx, "b", "2")
}
