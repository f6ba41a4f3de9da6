package bsrpc_test

// Calls from a server to its clients over a Session: futures, oneway funcs, limits, and the
// end of the session.

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
)

// A pushPair is a server and a client whose methods the server calls.
type pushPair struct {
	srv      *bsrpc.Server
	session  *bsrpc.Session
	client   *bsrpc.Client
	handlers *bsrpc.Server   // of the client
	conn     *pausedConn     // of the client; it reads nothing once stop is closed
	logs     [2]lockedBuffer // of server and client
}

type pushOptions struct {
	server   bsrpc.ServerOptions
	client   bsrpc.ClientOptions
	handlers bsrpc.ServerOptions
}

// newPush returns a proxy C, bound in OnConnect, for the methods S of impl at the client.
func newPush[S, C any](t *testing.T, o pushOptions, impl any) (p *pushPair, proxy *C) {
	t.Helper()
	p = new(pushPair)
	o.server.Logger = slog.New(slog.NewTextHandler(&p.logs[0], nil))
	o.client.Logger = slog.New(slog.NewTextHandler(&p.logs[1], nil))
	o.handlers.Logger = o.client.Logger
	o.server.OnConnect = func(ctx context.Context, s *bsrpc.Session) (err error) {
		p.session = s
		proxy, err = bsrpc.Bind[C](ctx, s, "Queue")
		return err
	}
	p.srv, p.handlers = bsrpc.NewServer(&o.server), bsrpc.NewServer(&o.handlers)
	if err := bsrpc.RegisterAs[S](p.handlers, "Queue", impl); err != nil {
		t.Fatal(err)
	}
	o.client.Handlers = p.handlers
	near, far := net.Pipe()
	p.conn = &pausedConn{Conn: near, stop: make(chan struct{}), closed: make(chan struct{})}
	go p.srv.ServeConn(far)
	var err error
	if p.client, err = bsrpc.NewClient(t.Context(), p.conn, &o.client); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.conn.Close()
		p.client.Close()
		p.srv.Close()
	})
	return p, proxy
}

// A pushedQueue is a client with a queue, and the server's proxy of it.
type pushedQueue struct {
	*pushPair
	*queue
	proxy *queueContract
}

func newPushedQueue(t *testing.T, o pushOptions) *pushedQueue {
	t.Helper()
	p := &pushedQueue{queue: newQueue()}
	p.pushPair, p.proxy = newPush[queueContract, queueContract](t, o, p.queue)
	return p
}

// A future of a server has its deadline, its cancellation, and the end of its session.
func TestPushFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPushedQueue(t, pushOptions{server: bsrpc.ServerOptions{DefaultCallTimeout: time.Minute}})
		f, failed := p.proxy.Double(t.Context(), 21), p.proxy.Double(t.Context(), -1)
		if n, err := f.Wait(t.Context()); n != 42 || err != nil {
			t.Error(n, err)
		}
		_, err := failed.Wait(t.Context())
		checkError(t, "failed", err, bsrpc.CodeInvalidArgument, bsrpc.OutcomeAnswered, nil)

		f, began := p.proxy.Hold(t.Context(), 1), time.Now()
		at := <-p.began
		if _, ok := at.Deadline(); !ok {
			t.Error("the client's handler has no deadline")
		}
		_, err = f.Wait(t.Context())
		if d := time.Since(began); d != time.Minute || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "DefaultCallTimeout") {
			t.Errorf("%v after %v", err, d)
		}
		<-at.Done()

		ctx, cancel := context.WithCancel(t.Context())
		f = p.proxy.Hold(ctx, 2)
		at = <-p.began
		cancel()
		_, err = f.Wait(t.Context())
		checkError(t, "canceled", err, bsrpc.CodeCanceled, bsrpc.OutcomeUnknown, context.Canceled)
		if <-at.Done(); at.Err() != context.Canceled {
			t.Errorf("the client's handler: %v", at.Err())
		}
	})
}

// A client that waits for nothing serves its server at once, and so does one with calls of its
// own.
func TestPushAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPushedQueue(t, pushOptions{})
		time.Sleep(time.Second)
		began := time.Now()
		for i := range 100 {
			if n, err := p.proxy.Double(t.Context(), i).Wait(t.Context()); n != 2*i || err != nil {
				t.Fatal(n, err)
			}
			if i%10 == 0 { // the client waits for an answer, and takes the read lease
				if err := p.client.Call(t.Context(), "Absent.Method", nil); err == nil {
					t.Error("no error")
				}
			}
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("100 calls took %v", d)
		}
	})
}

// A push beside a client's own calls is handled at once as well: the first one, and one after hundreds of calls.
func TestPushAfterCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPushedQueue(t, pushOptions{})
		began := time.Now()
		for _, calls := range []int{1, 500} {
			for range calls {
				if err := p.client.Call(t.Context(), "Absent.Method", nil); err == nil {
					t.Error("no error")
				}
			}
			if n, err := p.proxy.Double(t.Context(), 1).Wait(t.Context()); n != 2 || err != nil {
				t.Fatal(n, err)
			}
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("took %v", d)
		}
	})
}

// The call of a dropped future holds its place until its end, and gives it back.
func TestPushFutureDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPushedQueue(t, pushOptions{handlers: bsrpc.ServerOptions{MaxInflight: 1}})
		p.proxy.Hold(t.Context(), 1)
		at := <-p.began
		late := make(chan *bsrpc.Future[int])
		go func() { late <- p.proxy.Double(t.Context(), 2) }()
		synctest.Wait()
		select {
		case <-late:
			t.Error("the func has not waited for the client's MaxInflight")
		default:
		}
		if at.Err() != nil {
			t.Errorf("the dropped call: %v", at.Err())
		}
		p.release <- struct{}{}
		if n, err := (<-late).Wait(t.Context()); n != 4 || err != nil {
			t.Error(n, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		p.proxy.Hold(t.Context(), 1)
		_, err := p.proxy.Double(ctx, 2).Wait(t.Context())
		checkError(t, "no place", err, bsrpc.CodeDeadlineExceeded, bsrpc.OutcomeNotRun, context.DeadlineExceeded)
		if !strings.Contains(err.Error(), "waited for the client's MaxInflight (1)") {
			t.Error(err)
		}
	})
}

// The end of the session ends the calls to its client, in each way of ending it. Later calls
// are not run.
func TestPushEnds(t *testing.T) {
	for _, test := range []struct {
		name  string
		end   func(p *pushedQueue)
		code  bsrpc.Code
		cause string // of the context of the client's handler
	}{
		{"the client closes", func(p *pushedQueue) { p.client.Close() }, bsrpc.CodeUnavailable, "bsrpc: client closed"},
		{"the connection is lost", func(p *pushedQueue) { p.conn.Close() }, bsrpc.CodeUnavailable, "bsrpc: connection lost: "},
		{"Session.Close", func(p *pushedQueue) { p.session.Close("enough") }, bsrpc.CodeAborted, "enough"},
		{"Shutdown", func(p *pushedQueue) { go p.srv.Shutdown(context.Background()) }, bsrpc.CodeUnavailable, "bsrpc: the server is shutting down"},
		{"Server.Close", func(p *pushedQueue) { p.srv.Close() }, bsrpc.CodeUnavailable, "bsrpc: connection lost: "},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newPushedQueue(t, pushOptions{})
			f := p.proxy.Hold(t.Context(), 1)
			at := <-p.began
			began := time.Now()
			test.end(p)
			_, err := f.Wait(t.Context())
			checkError(t, test.name, err, test.code, bsrpc.OutcomeUnknown, nil)
			<-at.Done()
			if cause := context.Cause(at); at.Err() != context.Canceled || !strings.HasPrefix(cause.Error(), test.cause) {
				t.Errorf("%s: the client's handler: %v, caused by %v", test.name, at.Err(), cause)
			}
			<-p.session.Context().Done()
			synctest.Wait()
			if d := time.Since(began); d > 500*time.Millisecond {
				t.Errorf("%s: after %v", test.name, d)
			}
			_, err = p.proxy.Double(t.Context(), 1).Wait(t.Context())
			checkError(t, test.name+", later", err, test.code, bsrpc.OutcomeNotRun, nil)
			checkError(t, test.name+", oneway", p.proxy.Put(t.Context(), 1), test.code, bsrpc.OutcomeNotRun, nil)
		})
	}
}

// Session.Close and Shutdown write the requests of oneway calls, also long ones, before the
// connection ends. All of them run at the client.
func TestPushOnewayClose(t *testing.T) {
	const n = 200
	type blob struct {
		Put func(n int, b []byte) error `bsrpc:"oneway"`
	}
	for name, end := range map[string]func(p *pushPair){
		"Session.Close": func(p *pushPair) { p.session.Close("enough") },
		"Shutdown":      func(p *pushPair) { go p.srv.Shutdown(context.Background()) },
	} {
		synctest.Test(t, func(t *testing.T) {
			var got atomic.Int32
			p, proxy := newPush[blob, blob](t, pushOptions{}, &blob{func(i int, b []byte) error {
				if len(b) != i%2<<17 {
					t.Errorf("%s: %d bytes", name, len(b))
				}
				got.Add(1)
				return nil
			}})
			for i := range n {
				if err := proxy.Put(i, make([]byte, i%2<<17)); err != nil {
					t.Fatal(err)
				}
			}
			end(p)
			<-p.client.Done()
			synctest.Wait()
			if got.Load() != n {
				t.Errorf("%s: %d of %d calls have run", name, got.Load(), n)
			}
		})
	}
}

// A client that reads nothing delays the end of its session for 500 ms.
func TestPushOnewayCloseUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPushedQueue(t, pushOptions{})
		close(p.conn.stop)
		for range 3 {
			if err := p.proxy.Put(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		p.session.Close("enough")
		if time.Since(began) != 0 {
			t.Error("Session.Close has waited")
		}
		<-p.session.Context().Done()
		if d := time.Since(began); d > 500*time.Millisecond {
			t.Errorf("the session has ended after %v", d)
		}
		for len(p.srv.Sessions()) > 0 {
			time.Sleep(time.Millisecond)
		}
		if d := time.Since(began); d > time.Second {
			t.Errorf("the session has left after %v", d)
		}
		if n := p.srv.OnewayErrors(); n != 3 {
			t.Errorf("%d calls have failed", n)
		}
	})
}

// Errors of oneway calls are counted and logged at both ends.
func TestPushOnewayErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPushedQueue(t, pushOptions{})
		for range 2 {
			for range 100 {
				if err := p.proxy.Put(t.Context(), -1); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(1500 * time.Millisecond)
		}
		if s, h := p.srv.OnewayErrors(), p.handlers.OnewayErrors(); s != 200 || h != 200 {
			t.Errorf("%d errors at the server, %d at the client's handlers", s, h)
		}
		for i := range p.logs {
			if text := p.logs[i].String(); strings.Count(text, `msg="bsrpc: oneway call failed" method=Queue.Put err=`) != 2 {
				t.Errorf("log:\n%s", text)
			}
		}
	})
}

type (
	orderedQueue struct {
		Put func(n int) error `bsrpc:"oneway,exclusive=events"`
	}
	onewayQueue struct {
		Put func(ctx context.Context, n int) error `bsrpc:"oneway"`
	}
)

// The calls of an exclusive group of a client run in the order in which the server made them.
func TestPushOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got, want []int
		ordered := orderedQueue{func(n int) error {
			time.Sleep(time.Duration(n%3) * time.Millisecond)
			got = append(got, n)
			return nil
		}}
		_, proxy := newPush[orderedQueue, onewayQueue](t, pushOptions{}, &ordered)
		for i := range 200 {
			want = append(want, i)
			if err := proxy.Put(t.Context(), i); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if !slices.Equal(got, want) {
			t.Errorf("%v", got)
		}
	})
}

// Errors name the end of a limit, a handler and a method: the client has them here.
func TestPushNamesEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, proxy := newPush[kindContract, kindContract](t, pushOptions{
			server:   bsrpc.ServerOptions{MaxMessage: 1000},
			client:   bsrpc.ClientOptions{MaxMessage: 2000},
			handlers: bsrpc.ServerOptions{MaxStreams: 1},
		}, &kindService{make(chan error, 100), make(chan error, 100), make(chan struct{})})
		got, err := collect(proxy.Long(t.Context(), 1000))
		if len(got) != 1 {
			t.Errorf("%d items", len(got))
		}
		checkEnd(t, "a long item", err, "Queue.Long, item 2: result 1, []uint8: too long (the server's MaxMessage is 1000)")
		_, err = proxy.LoadBytes(t.Context(), slices.Values([][]byte{make([]byte, 2000)}))
		checkEnd(t, "a long argument", err, "item 1: parameter 1, []uint8: too long (the client's MaxMessage is 2000)")
		next, stop := iter.Pull2(proxy.Watch(t.Context(), 3))
		next()
		_, err = proxy.Open(t.Context())
		checkEnd(t, "streams", err, "too many open streams on this connection (the client's MaxStreams is 1)")
		stop()

		_, err = bsrpc.Bind[struct {
			Unary  func() (int, error)
			Opend  func(context.Context, int) (iter.Seq2[int, error], error)
			Absent func() error `bsrpc:"optional"`
		}](t.Context(), p.session, "Queue")
		checkEnd(t, "mismatch", err, `bsrpc: client and server disagree on 2 of 3 methods of Queue
    Queue.Unary, result 1: only on the server; tag it optional at the server
    Queue.Opend: only on the server; the client has Queue.Open, Queue.Opened`)
		_, err = bsrpc.Bind[queueContract](t.Context(), p.session, "Queu")
		checkEnd(t, "service", err, "bsrpc: the client has no service Queu; it has Queue")
	})
	synctest.Test(t, func(t *testing.T) {
		p := newPushedQueue(t, pushOptions{
			server:   bsrpc.ServerOptions{MaxMessage: 1000},
			handlers: bsrpc.ServerOptions{Limits: bsrpc.Limits{MaxHandlers: 1, DecodeBudget: 1 << 10}},
		})
		_, err := p.proxy.Names(1000).Wait(t.Context())
		checkEnd(t, "a long result", err, "(the server's MaxMessage is 1000)")
		p.proxy.Hold(t.Context(), 1)
		<-p.began
		_, err = p.proxy.Double(t.Context(), 1).Wait(t.Context())
		checkEnd(t, "handlers", err, "the client is busy: it runs Limits.MaxHandlers (1) handlers")
		p.release <- struct{}{}
		synctest.Wait()
		_, err = p.proxy.Long(t.Context(), strings.Repeat("a", 1<<11)).Wait(t.Context())
		checkEnd(t, "a large argument", err, "(the client's limit)")
	})
}

// checkEnd checks the end of the text of an error.
func checkEnd(t *testing.T, what string, err error, text string) {
	t.Helper()
	if err == nil || !strings.HasSuffix(err.Error(), text) {
		t.Errorf("%s: %v\nwant %s", what, err, text)
	}
}

// After a panic at a client, the error names its log.
func TestPushPanic(t *testing.T) {
	type handlers struct {
		Fail func(ctx context.Context) error
		Each func(ctx context.Context) iter.Seq2[int, error]
	}
	synctest.Test(t, func(t *testing.T) {
		p, proxy := newPush[handlers, handlers](t, pushOptions{}, &handlers{
			Fail: func(context.Context) error { panic("on purpose") },
			Each: func(context.Context) iter.Seq2[int, error] {
				return func(func(int, error) bool) { panic("on purpose") }
			},
		})
		_, inStream := collect(proxy.Each(t.Context()))
		for _, err := range []error{proxy.Fail(t.Context()), inStream} {
			var e *bsrpc.Error
			if !errors.As(err, &e) || !e.Remote || e.ID == "" || !strings.HasSuffix(e.Error(), "(id "+e.ID+" in the client's log)") {
				t.Error(err)
			} else if log := p.logs[1].String(); !strings.Contains(log, e.ID) {
				t.Errorf("%q is not in the log of the client: %s", e.ID, log)
			}
		}
	})
}

// A method of a client may take funcs. Its handlers may bind and call the server.
func TestPushBothWays(t *testing.T) {
	type handlers struct {
		Each func(ctx context.Context, n int, f func(ctx context.Context, i int) error) (string, error)
	}
	synctest.Test(t, func(t *testing.T) {
		_, proxy := newPush[handlers, handlers](t, pushOptions{}, &handlers{func(ctx context.Context, n int, f func(context.Context, int) error) (string, error) {
			s := bsrpc.SessionFrom(ctx)
			_, err := bsrpc.Bind[labContract](ctx, s, "Absent")
			for i := range n {
				if err := f(ctx, i); err != nil {
					return "", err
				}
			}
			return fmt.Sprint(s.ID(), " ", err), nil
		}})
		sum := 0
		got, err := proxy.Each(t.Context(), 5, func(_ context.Context, i int) error { sum += i; return nil })
		if sum != 10 || got != "0 bsrpc: the server has no service Absent" || err != nil {
			t.Errorf("%d, %q, %v", sum, got, err)
		}
	})
}

// In the handlers of a client the Session is that of the server.
func TestPeerOfHandlers(t *testing.T) {
	who := make(chan func(context.Context) (string, error), 1)
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, OnConnect: func(ctx context.Context, s *bsrpc.Session) error {
		member, err := bsrpc.Bind[struct {
			Who func(context.Context) (string, error)
		}](ctx, s, "Member")
		if err == nil {
			who <- member.Who
		}
		return err
	}})
	defer srv.Close()
	handlers := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
	if err := handlers.RegisterFunc("Member.Who", func(ctx context.Context) string { return bsrpc.SessionFrom(ctx).Peer().Addr.String() }); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l)
	client, err := bsrpc.Dial(t.Context(), "tcp", l.Addr().String(), &bsrpc.ClientOptions{Logger: quiet, Handlers: handlers})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if address, err := (<-who)(t.Context()); address != l.Addr().String() {
		t.Errorf("the peer is %s, %v, want %v", address, err, l.Addr())
	}
}
