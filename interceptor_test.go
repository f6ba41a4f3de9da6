package bsrpc_test

// Interceptors at both ends, over connections in memory.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
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

// A branch is the service of these tests.
type branch struct{ began chan struct{} }

type branchKey struct{}

// Greet returns the greeting of its context.
func (*branch) Greet(ctx context.Context, name string) (string, error) {
	if name == "" {
		return "lost", &bsrpc.Error{Code: bsrpc.CodeNotFound, Message: "no name"}
	}
	greeting, _ := ctx.Value(branchKey{}).(string)
	return greeting + name, nil
}

func (*branch) Add(a, b int) int     { return a + b }
func (*branch) Make(n int) []byte    { return make([]byte, n) }
func (*branch) Echo(b []byte) []byte { return b }

// Fall does not return.
func (*branch) Fall(how string) {
	if how == "Goexit" {
		runtime.Goexit()
	}
	panic(how)
}

// Wait waits for the end of its context, for at most a time.
func (o *branch) Wait(ctx context.Context, most time.Duration) error {
	o.began <- struct{}{}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(most):
		return nil
	}
}

func (o *branch) Alone(ctx context.Context, most time.Duration) error { return o.Wait(ctx, most) }

type branchContract struct {
	Greet func(ctx context.Context, name string) (string, error)
	Add   func(ctx context.Context, a, b int) (int, error)
	Make  func(ctx context.Context, n int) ([]byte, error)
	Echo  func(ctx context.Context, b []byte) ([]byte, error)
	Fall  func(ctx context.Context, how string) error
	Wait  func(ctx context.Context, most time.Duration) error
	Alone func(ctx context.Context, most time.Duration) error `bsrpc:"exclusive=branch,timeout=5s"`
}

// A branchPair is a server with a branch and a client, with interceptors at both ends.
type branchPair struct {
	srv    *bsrpc.Server
	branch *branch
	client *bsrpc.Client
	proxy  *branchContract
	log    lockedBuffer // of both ends
}

// A lockedBuffer is a bytes.Buffer for several goroutines.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func newBranch(t *testing.T, server *bsrpc.ServerOptions, client *bsrpc.ClientOptions) *branchPair {
	t.Helper()
	p := &branchPair{branch: &branch{began: make(chan struct{}, 100)}}
	log := slog.New(slog.NewTextHandler(&p.log, nil))
	server.Logger, client.Logger = log, log
	p.srv = bsrpc.NewServer(server)
	if err := bsrpc.RegisterAs[branchContract](p.srv, "Branch", p.branch); err != nil {
		t.Fatal(err)
	}
	var err error
	if p.client, err = bsrpctest.Dial(t, p.srv, client); err != nil {
		t.Fatal(err)
	}
	if p.proxy, err = bsrpc.Bind[branchContract](t.Context(), p.client, "Branch"); err != nil {
		t.Fatal(err)
	}
	return p
}

// atServer and atClient return the options with interceptors.
func atServer(list ...bsrpc.Interceptor) *bsrpc.ServerOptions {
	return &bsrpc.ServerOptions{Interceptors: list}
}

func atClient(list ...bsrpc.Interceptor) *bsrpc.ClientOptions {
	return &bsrpc.ClientOptions{Interceptors: list}
}

// around makes an interceptor of a func with next as a parameter.
func around(f func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error) bsrpc.Interceptor {
	return func(next bsrpc.CallFunc) bsrpc.CallFunc {
		return func(ctx context.Context, call *bsrpc.Call) error { return f(ctx, call, next) }
	}
}

// The first interceptor is the outermost, at both ends. Values of its context reach the
// interceptors within and the handler.
func TestInterceptorsAreNested(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var steps []string
		var composed int
		step := func(name string) bsrpc.Interceptor {
			return func(next bsrpc.CallFunc) bsrpc.CallFunc {
				composed++
				return func(ctx context.Context, call *bsrpc.Call) error {
					steps = append(steps, name)
					greeting, _ := ctx.Value(branchKey{}).(string)
					err := next(context.WithValue(ctx, branchKey{}, greeting+name+", "), call)
					steps = append(steps, "-"+name)
					return err
				}
			}
		}
		p := newBranch(t, atServer(step("server 1"), step("server 2")), atClient(step("client 1"), step("client 2")))
		want := []string{"client 1", "client 2", "server 1", "server 2", "-server 2", "-server 1", "-client 2", "-client 1"}
		for range 2 {
			if got, err := p.proxy.Greet(t.Context(), "Bob"); got != "server 1, server 2, Bob" || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
			if !slices.Equal(steps, want) {
				t.Errorf("got %v, want %v", steps, want)
			}
			steps = nil
		}
		var got string
		if err := p.client.Call(t.Context(), "Branch.Greet", []any{"Bob"}, &got); got != "server 1, server 2, Bob" || err != nil {
			t.Errorf("by name: got %q, %v", got, err)
		}
		if !slices.Equal(steps, want) {
			t.Errorf("by name: got %v, want %v", steps, want)
		}
		if composed != 4 {
			t.Errorf("the interceptors were called %d times, want once each", composed)
		}
	})
}

// Interceptors see and change arguments and results by pointers.
func TestInterceptorsChangeValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		change := func(arg, result int) bsrpc.Interceptor {
			return around(func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error {
				if n := *call.Results()[0].(*int); n != 0 {
					t.Errorf("before next: result %d", n)
				}
				*call.Args()[1].(*int) += arg
				err := next(ctx, call)
				*call.Results()[0].(*int) += result
				return err
			})
		}
		p := newBranch(t, atServer(change(100, 10_000)), atClient(change(10, 1000)))
		if got, err := p.proxy.Add(t.Context(), 1, 2); got != 11_113 || err != nil {
			t.Errorf("got %d, %v", got, err)
		}
		var got int
		if err := p.client.Call(t.Context(), "Branch.Add", []any{1, 2}, &got); got != 11_113 || err != nil {
			t.Errorf("by name: got %d, %v", got, err)
		}
	})
}

// An interceptor may answer in place of the handler, and replace its error.
func TestInterceptorsAnswer(t *testing.T) {
	notRun := &bsrpc.Error{Code: bsrpc.CodeResourceExhausted, Message: "slow down", Outcome: bsrpc.OutcomeNotRun}
	own := errors.New("my own")
	answer := func(_ context.Context, call *bsrpc.Call, _ bsrpc.CallFunc) error {
		*call.Results()[0].(*string) = "from the cache"
		return nil
	}
	refuse := func(context.Context, *bsrpc.Call, bsrpc.CallFunc) error { return fmt.Errorf("limit: %w", notRun) }
	mend := func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error {
		if err := next(ctx, call); err == nil {
			t.Error("no error to replace")
		}
		*call.Results()[0].(*string) = "mended"
		return nil
	}
	replace := func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error {
		next(ctx, call)
		return own
	}
	lie := func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error {
		next(ctx, call)
		return notRun
	}
	for _, tt := range []struct {
		name   string
		do     func(context.Context, *bsrpc.Call, bsrpc.CallFunc) error
		arg    string
		result string
		check  func(t *testing.T, err error, client bool)
	}{
		{"without next", answer, "Bob", "from the cache", nil},
		{"without next, an error", refuse, "Bob", "", func(t *testing.T, err error, client bool) {
			wantError(t, err, bsrpc.CodeResourceExhausted, bsrpc.OutcomeNotRun, "slow down")
		}},
		{"no error", mend, "", "mended", nil},
		{"another error", replace, "Bob", "", func(t *testing.T, err error, client bool) {
			if client && err != own {
				t.Errorf("got %v, want the same", err)
			} else if !client {
				wantError(t, err, bsrpc.CodeUnknown, bsrpc.OutcomeAnswered, "my own")
			}
		}},
		{"not run, after the handler", lie, "Bob", "", func(t *testing.T, err error, client bool) {
			if !client {
				wantError(t, err, bsrpc.CodeResourceExhausted, bsrpc.OutcomeAnswered, "slow down")
			}
		}},
	} {
		for _, client := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, client %t", tt.name, client), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					near, far := atClient(), atServer(around(tt.do))
					if client {
						near, far = atClient(around(tt.do)), atServer()
					}
					got, err := newBranch(t, far, near).proxy.Greet(t.Context(), tt.arg)
					if got != tt.result {
						t.Errorf("got %q, want %q", got, tt.result)
					}
					if tt.check != nil {
						tt.check(t, err, client)
					} else if err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}

// A client returns even an error whose methods panic as it is: only its caller looks into it.
func TestInterceptorsReturnNilErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newBranch(t, atServer(), atClient(around(func(context.Context, *bsrpc.Call, bsrpc.CallFunc) error { return (*bsrpc.Error)(nil) })))
		_, err := p.proxy.Add(t.Context(), 1, 2)
		named := p.client.Call(t.Context(), "Branch.Add", []any{1, 2}, new(int))
		if want := error((*bsrpc.Error)(nil)); err != want || named == nil {
			t.Errorf("got %T and, by name, %T", err, named)
		}
	})
}

// Calls that a server makes over a session pass its OutgoingInterceptors, and those of Handlers at the
// client. The others of both ends see nothing of them.
func TestOutgoingInterceptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []string
		note := func(where string) []bsrpc.Interceptor {
			return []bsrpc.Interceptor{around(func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error {
				seen = append(seen, fmt.Sprint(where, " ", call.Method().Name, " ", *call.Args()[0].(*int), " ", call.Session() != nil))
				*call.Args()[0].(*int) += 10
				err := next(ctx, call)
				*call.Results()[0].(*int) += 100
				return err
			})}
		}
		sessions := make(chan *bsrpc.Session, 1)
		srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, Interceptors: note("server"), OutgoingInterceptors: note("outgoing"),
			OnConnect: func(_ context.Context, s *bsrpc.Session) error { sessions <- s; return nil }})
		handlers := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, Interceptors: note("handlers"), OutgoingInterceptors: note("none")})
		if err := bsrpc.RegisterAs[branchContract](handlers, "Branch", new(branch)); err != nil {
			t.Fatal(err)
		}
		if _, err := bsrpctest.Dial(t, srv, &bsrpc.ClientOptions{Logger: quiet, Handlers: handlers, Interceptors: note("client")}); err != nil {
			t.Fatal(err)
		}
		proxy, err := bsrpc.Bind[branchContract](t.Context(), <-sessions, "Branch")
		if err != nil {
			t.Fatal(err)
		}
		if n, err := proxy.Add(t.Context(), 1, 2); n != 1+2+20+200 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
		if want := []string{"outgoing Branch.Add 1 false", "handlers Branch.Add 11 true"}; !slices.Equal(seen, want) {
			t.Errorf("got %q, want %q", seen, want)
		}
	})
}

// What an interceptor can learn of a call.
func TestCallDescribesItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		inspect := func(server bool) bsrpc.Interceptor {
			return around(func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error {
				calls.Add(1)
				m := call.Method()
				if m.Name != "Branch.Echo" || m.Layout != "Branch.Echo(bytes.le4) bytes.le4" || m.Hash == [32]byte{} || call.Kind() != bsrpc.KindUnary {
					t.Errorf("server %t: %v %q, %v", server, m.Name, m.Layout, call.Kind())
				}
				if s := call.Session(); (s != nil) != server || s != bsrpc.SessionFrom(ctx) {
					t.Errorf("server %t: session %v, %v", server, s, bsrpc.SessionFrom(ctx))
				}
				if b := *call.Args()[0].(*[]byte); len(b) != 100 {
					t.Errorf("server %t: an argument of %d bytes", server, len(b))
				}
				if n := call.ArgsSize(); server && n != 104 {
					t.Errorf("before next: arguments of %d bytes", n)
				}
				call.OnItem(func(bool, any) error { t.Error("an item of a unary call"); return nil })
				call.OnEnd(func(error) {
					if call.ArgsSize() != 104 || call.ResultsSize() != 104 || call.Args() != nil || call.Results() != nil || call.Method() != m {
						t.Errorf("server %t, at the end: %d and %d bytes", server, call.ArgsSize(), call.ResultsSize())
					}
				})
				err := next(ctx, call)
				if n := call.ResultsSize(); !server && n != 104 {
					t.Errorf("after next: results of %d bytes", n)
				}
				if call.Waited() != 0 {
					t.Errorf("waited for %v", call.Waited())
				}
				return err
			})
		}
		p := newBranch(t, atServer(inspect(true)), atClient(inspect(false)))
		if _, err := p.proxy.Echo(t.Context(), make([]byte, 100)); err != nil {
			t.Error(err)
		}
		var b []byte
		if err := p.client.Call(t.Context(), "Branch.Echo", []any{make([]byte, 100)}, &b); err != nil {
			t.Error(err)
		}
		if calls.Load() != 4 {
			t.Errorf("%d calls", calls.Load())
		}
	})
	for k, want := range map[bsrpc.Kind]string{bsrpc.KindServerStream: "server stream", bsrpc.KindBidiStream: "bidirectional stream", 9: "kind 9"} {
		if k.String() != want {
			t.Errorf("got %v, want %s", k, want)
		}
	}
}

// Metadata of a call passes interceptors, and they see and change it at both ends.
func TestInterceptorsAndMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := around(func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error {
			if md := call.Metadata(); md["user"] != "Ann" || len(md) != 1 || len(bsrpc.MetadataFrom(ctx)) != 0 {
				t.Errorf("at the client: %q", map[string]string(md))
			}
			call.Metadata()["user"] = "Eve"
			ctx, reply := bsrpc.WithReplyMetadata(bsrpc.WithMetadata(ctx, bsrpc.Metadata{"trace": "7"}))
			err := next(ctx, call)
			if md := reply.Get(); md["server"] != "b" {
				t.Errorf("the reply: %q", map[string]string(md))
			}
			return err
		})
		server := around(func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error {
			if md := call.Metadata(); md["user"] != "Ann" || md["trace"] != "7" || !maps.Equal(md, bsrpc.MetadataFrom(ctx)) {
				t.Errorf("at the server: %q", map[string]string(md))
			}
			err := next(context.WithValue(ctx, branchKey{}, bsrpc.MetadataFrom(ctx)["trace"]), call)
			if err := bsrpc.SetReplyMetadata(ctx, "server", "b"); err != nil {
				t.Error(err)
			}
			return err
		})
		p := newBranch(t, atServer(server), atClient(client))
		ctx, reply := bsrpc.WithReplyMetadata(bsrpc.WithMetadata(context.Background(), bsrpc.Metadata{"user": "Ann"}))
		if got, err := p.proxy.Greet(ctx, "Bob"); got != "7Bob" || err != nil || reply.Get()["server"] != "b" {
			t.Errorf("got %q, %v, %q", got, err, reply.Get()["server"])
		}
		if _, err := p.proxy.Greet(ctx, ""); err == nil || reply.Get()["server"] != "b" {
			t.Errorf("an error: %v, %q", err, reply.Get()["server"])
		}
	})
}

// Interceptors know the other end: by its connection, and by the address given to Dial.
func TestCallKnowsTheOtherEnd(t *testing.T) {
	var mu sync.Mutex
	var ends []string
	note := around(func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error {
		network, address := call.Dialed()
		mu.Lock()
		ends = append(ends, fmt.Sprintf("%v, dialed %q %q, carries %t", call.RemoteAddr(), network, address, call.CarriesMetadata(ctx)))
		mu.Unlock()
		return next(ctx, call)
	})
	srv := bsrpc.NewServer(atServer(note))
	defer srv.Close()
	if err := bsrpc.RegisterAs[branchContract](srv, "Branch", &branch{}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l)
	client, err := bsrpc.Dial(t.Context(), "tcp4", l.Addr().String(), atClient(note))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	piped, err := bsrpctest.Dial(t, srv, atClient(note))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*bsrpc.Client{client, piped} {
		if err := c.Call(t.Context(), "Branch.Add", []any{1, 2}, new(int)); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{fmt.Sprintf("%v, dialed \"tcp4\" %q, carries true", l.Addr(), l.Addr()), "", `pipe, dialed "" "", carries true`, `pipe, dialed "" "", carries false`}
	if len(ends) == 4 && strings.HasPrefix(ends[1], "127.0.0.1:") && strings.HasSuffix(ends[1], `, dialed "" "", carries false`) {
		ends[1] = "" // any port
	}
	if !slices.Equal(ends, want) {
		t.Errorf("got %q, want %q", ends, want)
	}
	var zero bsrpc.Call
	if network, address := zero.Dialed(); zero.RemoteAddr() != nil || network != "" || address != "" || zero.CarriesMetadata(t.Context()) {
		t.Error("a zero Call knows an end")
	}
}

// An interceptor can ask whether its metadata would make the call fail.
func TestCarriesMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var added bsrpc.Metadata
		var carried bool
		p := newBranch(t, atServer(), atClient(around(func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error {
			with := bsrpc.WithMetadata(ctx, added)
			carried = call.CarriesMetadata(with)
			return next(with, call)
		})))
		sent := bsrpc.WithMetadata(t.Context(), bsrpc.Metadata{"user": "Ann"})
		for _, added = range []bsrpc.Metadata{nil, {"trace": "7"}, {"Trace": "7"}, manyEntries(55, 1), manyEntries(56, 1), {"k": strings.Repeat("x", 7<<10)}} {
			_, err := p.proxy.Add(sent, 1, 2)
			if carried != (err == nil) {
				t.Errorf("%v: carried %t, but %v", added, carried, err)
			}
		}
	})
}

// A next that must not run is CodeInternal, and has no effect on the call.
func TestNextOutOfPlace(t *testing.T) {
	var ran atomic.Int32
	var leaked bsrpc.CallFunc
	var stale *bsrpc.Call
	out := func(err error, text string) {
		t.Helper()
		wantError(t, err, bsrpc.CodeInternal, bsrpc.OutcomeUnknown, text)
	}
	check := func(server bool) bsrpc.Interceptor {
		return around(func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error {
			out(next(nil, call), "Branch.Wait: next called with a nil context")
			out(next(ctx, nil), "next called with a *Call that is not its interceptor's")
			out(next(ctx, new(bsrpc.Call)), "next called with a *Call that is not its interceptor's")
			first := make(chan error)
			go func() { first <- next(ctx, call) }()
			synctest.Wait()
			out(next(ctx, call), "Branch.Wait: next called while another one runs")
			err := <-first
			if server {
				out(next(ctx, call), "Branch.Wait: next called again; at a server it runs the handler once")
			}
			leaked, stale = next, call
			return err
		})
	}
	for _, server := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			near, far := atClient(), atServer(check(true))
			if !server {
				near, far = atClient(check(false)), atServer()
			}
			p := newBranch(t, far, near)
			if err := p.proxy.Wait(t.Context(), time.Second); err != nil {
				t.Error(err)
			}
			ran.Add(int32(len(p.branch.began)))
			out(leaked(t.Context(), stale), "Branch.Wait: next called after its interceptor has returned")
			stale.OnEnd(func(error) { t.Error("OnEnd after the end") })
		})
	}
	if ran.Load() != 2 {
		t.Errorf("the handlers ran %d times, want 2", ran.Load())
	}
	zero := new(bsrpc.Call)
	if zero.Method() != (bsrpc.Method{}) || zero.Session() != nil || zero.Args() != nil || zero.ArgsSize() != 0 {
		t.Error("a zero Call describes something")
	}
}

// At a client an interceptor can call next again. Each next sends the arguments as they
// are then, and the results are those of the last one.
func TestNextAgainAtClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ends []error
		retry := around(func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error {
			call.OnEnd(func(err error) { ends = append(ends, err) })
			var texts []string
			for _, name := range []string{"Ann", "", "Bob"} {
				*call.Args()[0].(*string) = name
				err := next(ctx, call)
				texts = append(texts, *call.Results()[0].(*string))
				if err != nil {
					wantError(t, err, bsrpc.CodeNotFound, bsrpc.OutcomeAnswered, "no name")
				}
			}
			if !slices.Equal(texts, []string{"Ann", "", "Bob"}) {
				t.Errorf("results %q", texts)
			}
			return nil
		})
		p := newBranch(t, atServer(), atClient(retry))
		if got, err := p.proxy.Greet(t.Context(), "Eve"); got != "Bob" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		if len(ends) != 1 || ends[0] != nil {
			t.Errorf("the call ended with %v", ends)
		}
	})
}

// An interceptor returning earlier than next ends the context of the handler, and the call
// waits for it. So the values of the call are never used twice.
func TestInterceptorReturnsBeforeNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		impatient := around(func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error {
			go next(ctx, call)
			time.Sleep(100 * time.Millisecond)
			return &bsrpc.Error{Code: bsrpc.CodeAborted, Message: "enough"}
		})
		p := newBranch(t, atServer(impatient), atClient())
		began := time.Now()
		wantError(t, p.proxy.Wait(t.Context(), time.Second), bsrpc.CodeAborted, bsrpc.OutcomeAnswered, "enough")
		if took := time.Since(began); took != 100*time.Millisecond {
			t.Errorf("took %v", took)
		}
		p = newBranch(t, atServer(), atClient(impatient))
		began = time.Now()
		if err := p.proxy.Wait(t.Context(), time.Second); err == nil || err.Error() != "enough" {
			t.Error(err)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// The context has the deadline of the call, and the time of the interceptors counts. An
// expired call names the source of its limit, as without interceptors.
func TestInterceptorsHaveTheDeadline(t *testing.T) {
	type key struct{}
	for _, tt := range []struct {
		name   string
		derive func(context.Context) (context.Context, context.CancelFunc)
	}{
		{"the same context", func(ctx context.Context) (context.Context, context.CancelFunc) { return ctx, func() {} }},
		{"with a value", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithValue(ctx, key{}, 1), func() {}
		}},
		{"with cancel", context.WithCancel},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var left [2]atomic.Int64
				atEnds := func() [2]time.Duration {
					return [2]time.Duration{time.Duration(left[0].Load()), time.Duration(left[1].Load())}
				}
				at := func(end int, pause time.Duration) bsrpc.Interceptor {
					return around(func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error {
						deadline, _ := ctx.Deadline()
						left[end].Store(int64(time.Until(deadline)))
						time.Sleep(pause)
						ctx, cancel := tt.derive(ctx)
						defer cancel()
						return next(ctx, call)
					})
				}
				p := newBranch(t, atServer(at(1, time.Second)), atClient(at(0, 2*time.Second)))
				for _, c := range []struct {
					call  func(context.Context, time.Duration) error
					limit time.Duration
					text  string
				}{
					{p.proxy.Wait, 20 * time.Second, "bsrpc: Branch.Wait: no answer in 20s (DefaultCallTimeout); give the context a deadline, or the method timeout="},
					{p.proxy.Alone, 5 * time.Second, "bsrpc: Branch.Alone: no answer in 5s (timeout= of the method); change it, or give the context a deadline"},
				} {
					began := time.Now()
					err := c.call(context.Background(), time.Hour)
					if took := time.Since(began); took != c.limit || atEnds() != [2]time.Duration{c.limit, c.limit - 2*time.Second} {
						t.Errorf("took %v; %v were left at the ends", took, atEnds())
					}
					if !errors.Is(err, context.DeadlineExceeded) || err.Error() != c.text {
						t.Errorf("got %v", err)
					}
				}
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				defer cancel()
				err := p.proxy.Wait(ctx, time.Hour)
				if atEnds() != [2]time.Duration{10 * time.Second, 8 * time.Second} || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v were left, %v", atEnds(), err)
				}
				ctx, cancel = context.WithCancel(context.Background())
				time.AfterFunc(4*time.Second, cancel)
				began := time.Now()
				err = p.proxy.Wait(ctx, time.Hour)
				if took := time.Since(began); took != 4*time.Second || !errors.Is(err, context.Canceled) {
					t.Errorf("canceled: %v after %v", err, took)
				}
			})
		})
	}
}

// Time spent before next is over the limit: nothing is sent.
func TestInterceptorUsesUpTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pause := around(func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error {
			time.Sleep(5 * time.Second)
			return next(ctx, call)
		})
		p := newBranch(t, atServer(), atClient(pause))
		err := p.proxy.Alone(t.Context(), 0)
		wantError(t, err, bsrpc.CodeDeadlineExceeded, bsrpc.OutcomeNotRun, "bsrpc: Branch.Alone: no answer in 5s (timeout= of the method)")
		if len(p.branch.began) != 0 {
			t.Error("the handler ran")
		}
	})
}

// A call from a handler passes on its exclusive groups, through interceptors too.
func TestInterceptorsKeepDeadlockDetection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pass := around(func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error { return next(ctx, call) })
		p := newBranch(t, atServer(pass), atClient(pass))
		forward := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, Interceptors: []bsrpc.Interceptor{pass}})
		var own *branchContract
		if err := bsrpc.RegisterAs[branchContract](forward, "Branch", &branchContract{
			Greet: p.proxy.Greet, Add: p.proxy.Add, Make: p.proxy.Make, Echo: p.proxy.Echo, Fall: p.proxy.Fall, Wait: p.proxy.Wait,
			Alone: func(ctx context.Context, most time.Duration) error { return own.Alone(ctx, most) },
		}); err != nil {
			t.Fatal(err)
		}
		client, err := bsrpctest.Dial(t, forward, &bsrpc.ClientOptions{Interceptors: []bsrpc.Interceptor{pass}})
		if err != nil {
			t.Fatal(err)
		}
		if own, err = bsrpc.Bind[branchContract](t.Context(), client, "Branch"); err != nil {
			t.Fatal(err)
		}
		wantError(t, own.Alone(t.Context(), 0), bsrpc.CodeFailedPrecondition, bsrpc.OutcomeAnswered, "already holding exclusive=branch: deadlock")
	})
}

// The interceptors of a server run after the waits, and know how long they were. The time
// of a group is in the interceptors alone.
func TestInterceptorsRunAfterTheWait(t *testing.T) {
	for name, opts := range map[string]*bsrpc.ServerOptions{"group": {}, "MaxConcurrentCalls": {MaxConcurrentCalls: 1}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				waited := make(chan time.Duration, 2)
				opts.Interceptors = []bsrpc.Interceptor{around(func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error {
					waited <- call.Waited()
					return next(ctx, call)
				})}
				p := newBranch(t, opts, atClient())
				call := p.proxy.Alone
				if opts.MaxConcurrentCalls == 1 {
					call = p.proxy.Wait
				}
				var wg sync.WaitGroup
				for range 2 {
					wg.Go(func() {
						if err := call(t.Context(), time.Second); err != nil {
							t.Error(err)
						}
					})
				}
				synctest.Wait()
				if len(waited) != 1 {
					t.Errorf("%d calls in the interceptors, want 1", len(waited))
				}
				wg.Wait()
				if first, second := <-waited, <-waited; first != 0 || second != time.Second {
					t.Errorf("waited %v and %v", first, second)
				}
			})
		})
	}
}

// OnEnd is called once, last func first, with the error of the answer.
func TestOnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var got []string
		observe := func(end string) bsrpc.Interceptor {
			return around(func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error {
				for _, n := range []string{"1", "2"} {
					call.OnEnd(func(err error) {
						mu.Lock()
						defer mu.Unlock()
						got = append(got, fmt.Sprint(end, n, ": ", err, ", ", call.ResultsSize()))
					})
				}
				return next(ctx, call)
			})
		}
		server := atServer(observe("server"))
		client := atClient(observe("client"))
		client.MaxMessage = 100
		p := newBranch(t, server, client)
		for _, tt := range []struct {
			call func() error
			want string
		}{
			{func() error { _, err := p.proxy.Add(t.Context(), 1, 2); return err },
				"server2: <nil>, 8; server1: <nil>, 8; client2: <nil>, 8; client1: <nil>, 8"},
			{func() error { _, err := p.proxy.Greet(t.Context(), ""); return err },
				"server2: no name, 0; server1: no name, 0; client2: no name, 0; client1: no name, 0"},
			{func() error { _, err := p.proxy.Make(t.Context(), 200); return err }, strings.ReplaceAll("server2: TEXT, 0; server1: TEXT, 0; client2: TEXT, 0; client1: TEXT, 0",
				"TEXT", "bsrpc: Branch.Make, result 1, []uint8: too long (the client's MaxMessage is 100)")},
		} {
			got = nil
			tt.call()
			synctest.Wait()
			mu.Lock()
			slices.SortStableFunc(got, func(a, b string) int { return strings.Compare(b[:6], a[:6]) }) // the ends race
			if s := strings.Join(got, "; "); s != tt.want {
				t.Errorf("got  %s\nwant %s", s, tt.want)
			}
			mu.Unlock()
		}
	})
}

// A panic or Goexit in the interceptors of a server, or within, fails one call.
func TestInterceptorsCollapseAtServer(t *testing.T) {
	const secret = "hunter2"
	falls := map[string]func(){"panic": func() { panic(secret) }, "Goexit": runtime.Goexit}
	for name, fall := range falls {
		for _, place := range []string{"before next", "after next", "in the handler", "in the handler, on another goroutine", "OnEnd"} {
			for _, size := range []int{1, 10_000} { // on the leader; on a goroutine of its own
				t.Run(fmt.Sprint(name, " ", place, " ", size), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						var ends []error
						var seen error
						outer := around(func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error {
							call.OnEnd(func(err error) { ends = append(ends, err) })
							if place == "OnEnd" {
								call.OnEnd(func(err error) { fall() })
							}
							seen = next(ctx, call)
							return seen
						})
						inner := around(func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error {
							if place == "before next" {
								fall()
							}
							if strings.HasSuffix(place, "goroutine") {
								result := make(chan error)
								go func() {
									defer close(result)
									result <- next(ctx, call)
								}()
								err, ok := <-result
								if !ok {
									return errors.New("no result")
								}
								return err
							}
							err := next(ctx, call)
							if place == "after next" {
								fall()
							}
							return err
						})
						p := newBranch(t, atServer(outer, inner), atClient())
						call := func() error {
							if strings.HasPrefix(place, "in the handler") {
								return p.proxy.Fall(t.Context(), name)
							}
							_, err := p.proxy.Echo(t.Context(), make([]byte, size))
							return err
						}
						err := call()
						synctest.Wait()
						text := "bsrpc: Branch.Echo: panic in the interceptor (id "
						switch {
						case place == "OnEnd":
							if err != nil {
								t.Error(err)
							}
						case name == "Goexit" && strings.HasSuffix(place, "goroutine"):
							wantError(t, err, bsrpc.CodeUnknown, bsrpc.OutcomeAnswered, "no result")
						case strings.HasPrefix(place, "in the handler"):
							text = "bsrpc: Branch.Fall: panic in the handler (id "
							fallthrough
						default:
							wantError(t, err, bsrpc.CodeInternal, bsrpc.OutcomeAnswered, text)
						}
						if len(ends) != 1 || (ends[0] == nil) != (err == nil) {
							t.Errorf("OnEnd: %v", ends)
						}
						if name == "panic" && strings.HasPrefix(place, "in the handler") {
							wantError(t, seen, bsrpc.CodeInternal, bsrpc.OutcomeAnswered, "bsrpc: Branch.Fall: panic in the handler (id ")
							var e *bsrpc.Error
							if errors.As(err, &e); !strings.Contains(p.log.String(), e.ID) {
								t.Errorf("the log does not have id %s:\n%s", e.ID, p.log.String())
							}
						}
						if n := p.srv.Panics(); n != 1 || strings.Contains(fmt.Sprint(err), secret) {
							t.Errorf("%d panics, %v", n, err)
						}
						if got, err := p.proxy.Add(t.Context(), 1, 2); got != 3 && place != "before next" && place != "after next" {
							t.Errorf("the next call: %d, %v", got, err)
						}
						p.srv.Close()
					})
				})
			}
		}
	}
}

// A panic in the interceptors of a client fails one call. Goexit ends the goroutine of the
// caller as well.
func TestInterceptorsCollapseAtClient(t *testing.T) {
	for _, after := range []bool{false, true} {
		for name, fall := range map[string]func(){"panic": func() { panic("hunter2") }, "Goexit": runtime.Goexit} {
			t.Run(fmt.Sprintf("%s, after next %t", name, after), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var ends []error
					p := newBranch(t, atServer(), atClient(around(func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error {
						if call.Method().Name == "Branch.Add" {
							return next(ctx, call)
						}
						call.OnEnd(func(err error) { ends = append(ends, err) })
						if after {
							next(ctx, call)
						}
						fall()
						return nil
					})))
					var got string
					var err error
					ended := make(chan struct{})
					go func() {
						defer close(ended)
						got, err = p.proxy.Greet(t.Context(), "Bob")
					}()
					<-ended
					outcome := bsrpc.OutcomeNotRun
					if after {
						outcome = bsrpc.OutcomeUnknown
					}
					if name == "panic" {
						wantError(t, err, bsrpc.CodeInternal, outcome, "bsrpc: Branch.Greet: panic in the interceptor (id ")
					} else if err != nil {
						t.Errorf("the caller goes on with %v", err)
					}
					if len(ends) != 1 {
						t.Fatalf("OnEnd: %v", ends)
					}
					wantError(t, ends[0], bsrpc.CodeInternal, outcome, "panic in the interceptor (id ")
					if got != "" || !strings.Contains(p.log.String(), "bsrpc: interceptor panicked") {
						t.Errorf("result %q, log:\n%s", got, p.log.String())
					}
					if got, err := p.proxy.Add(t.Context(), 1, 2); got != 3 || err != nil {
						t.Errorf("the next call: %d, %v", got, err)
					}
				})
			})
		}
	}
}

// A slow interceptor delays the other calls of its connection no longer than a slow handler.
func TestSlowInterceptor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newBranch(t, atServer(around(func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error {
			if call.Method().Name == "Branch.Greet" {
				time.Sleep(time.Minute)
			}
			return next(ctx, call)
		})), atClient())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			_, err := p.proxy.Greet(ctx, "Bob")
			done <- err
		}()
		synctest.Wait()
		began := time.Now()
		if got, err := p.proxy.Add(t.Context(), 1, 2); got != 3 || err != nil {
			t.Errorf("got %d, %v", got, err)
		}
		if took := time.Since(began); took > 10*time.Millisecond {
			t.Errorf("took %v", took)
		}
		cancel()
		<-done
		time.Sleep(time.Minute)
	})
}

// Unusable interceptors are errors of the options.
func TestUnusableInterceptors(t *testing.T) {
	pass := func(next bsrpc.CallFunc) bsrpc.CallFunc { return next }
	none := func(bsrpc.CallFunc) bsrpc.CallFunc { return nil }
	for want, list := range map[string][]bsrpc.Interceptor{
		"Options: Interceptors: element 1 is nil":                                             {pass, nil},
		"Options: Interceptors: element 0 returned nil; want a CallFunc that calls next":      {none, pass},
		"Options: 2 problems\n    MaxMessage: want 1 B to 1 GiB, or 0 for 16 MiB\n    Interc": {nil},
	} {
		size := 0
		if strings.Contains(want, "MaxMessage") {
			size = -5
		}
		near, far := net.Pipe()
		srv := bsrpc.NewServer(&bsrpc.ServerOptions{Interceptors: list, MaxMessage: size})
		if err := srv.ServeConn(far); err == nil || !strings.HasPrefix(err.Error(), "bsrpc: Server"+want) {
			t.Errorf("server: %v, want %s", err, want)
		}
		if _, err := bsrpc.NewClient(t.Context(), near, &bsrpc.ClientOptions{Interceptors: list, MaxMessage: size}); err == nil || !strings.HasPrefix(err.Error(), "bsrpc: Client"+want) {
			t.Errorf("client: %v, want %s", err, want)
		}
	}
	_, err := bsrpc.DecodeServerOptions(map[string]any{"interceptors": []any{}})
	if err == nil || !strings.Contains(err.Error(), "interceptors: cannot be set from a map") {
		t.Error(err)
	}
}

// Calls through interceptors run concurrently, and none sees the values of another.
func TestInterceptorsConcurrently(t *testing.T) {
	check := around(func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error {
		args := call.Args()
		sum := *args[0].(*int) + *args[1].(*int)
		var ended atomic.Bool
		call.OnEnd(func(error) {
			if ended.Swap(true) {
				t.Error("ended twice")
			}
		})
		err := next(ctx, call)
		if got := *call.Results()[0].(*int); err == nil && got != sum {
			t.Errorf("got %d, want %d", got, sum)
		}
		return err
	})
	p := newBranch(t, atServer(check, check), atClient(check, check))
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for k := range 200 {
				ctx, cancel := context.WithCancel(t.Context())
				if k%10 == 9 {
					cancel()
				}
				if got, err := p.proxy.Add(ctx, i, k); err == nil && got != i+k {
					t.Errorf("got %d, %v; want %d", got, err, i+k)
				}
				cancel()
			}
		})
	}
	wg.Wait()
}
