package bsrpc

// OnRefused, and interceptors on the basic wire.

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// refusals are the calls of OnRefused, as text.
type refusals struct {
	mu   sync.Mutex
	list []string
}

func (r *refusals) add(ctx context.Context, s *Session, m Method, err *Error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s == nil || SessionFrom(ctx) != s || err.Outcome != OutcomeNotRun {
		r.list = append(r.list, fmt.Sprintf("session %v, %v; %v", s, SessionFrom(ctx), err.Outcome))
	}
	r.list = append(r.list, fmt.Sprintf("%s: %v: %s", m.Name, err.Code, err.Message))
}

// want checks and drops the calls so far.
func (r *refusals) want(t testing.TB, want ...string) {
	t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	ok := len(r.list) == len(want)
	for i := range min(len(r.list), len(want)) {
		ok = ok && strings.HasPrefix(r.list[i], want[i])
	}
	if !ok {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(r.list, "\n"), strings.Join(want, "\n"))
	}
	r.list = nil
}

// OnRefused is called once for each call that does not reach the interceptors, whatever
// refuses it.
func TestOnRefused(t *testing.T) {
	var r refusals
	var reached int
	count := func(next CallFunc) CallFunc {
		return func(ctx context.Context, call *Call) error {
			reached++
			return next(ctx, call)
		}
	}
	opts := &ServerOptions{
		OnRefused: r.add, Interceptors: []Interceptor{count}, MaxMessage: 100_000, MaxInflight: 3,
		Limits: Limits{FrameTimeout: time.Minute, MaxHandlers: 4},
	}
	withRaw(t, opts, func(p *rawPeer, srv *Server, service *testee) {
		request := func(id uint64, method uint16) wire.Frame {
			return wire.Frame{Type: wire.Request, Arg: method, ID: id}
		}
		p.wantAlive(2)
		r.want(t)
		p.send(request(3, rawUnbound), []byte("xy"))
		p.wantError(3, CodeUnimplemented, wire.NotRun, "no method is bound")
		r.want(t, "unknown: unimplemented: bsrpc: no method is bound to the number 6 on this connection")
		p.send(request(4, rawAdd), []byte("xy"))
		p.wantError(4, CodeInvalidArgument, wire.NotRun, "")
		r.want(t, "Probe.Add: invalid argument: bsrpc: Probe.Add, parameter 1")
		p.write(bigRequest(5, rawEcho, 200_000, 10))
		p.wantError(5, CodeResourceExhausted, wire.NotRun, "the server's MaxMessage is 100000")
		r.want(t, "Probe.Echo: resource exhausted: bsrpc: message of 200000 bytes")
		p.write(bigRequest(6, rawEcho, 70_000, 10))
		p.send(wire.Frame{Type: wire.Cancel, ID: 6}, nil)
		p.wantError(6, CodeCanceled, wire.NotRun, "")
		r.want(t, "Probe.Echo: canceled: bsrpc: context canceled")
		p.write(bigRequest(7, rawEcho, 70_000, 10))
		p.wantError(7, CodeDeadlineExceeded, wire.NotRun, "FrameTimeout")
		r.want(t, "Probe.Echo: deadline exceeded: bsrpc: its message made no progress")
		before := reached
		for id := range uint64(3) {
			p.send(request(10+id, rawHold), nil)
			<-service.began
		}
		if reached != before+3 {
			t.Errorf("%d calls have reached the interceptor, want 3", reached-before)
		}
		p.send(request(13, rawAdd), []byte("12345678"))
		p.wantError(13, CodeResourceExhausted, wire.NotRun, "MaxInflight is 3")
		r.want(t, "Probe.Add: resource exhausted: bsrpc: too many open calls")
		other := rawClient(t, srv)
		other.send(request(2, rawHold), nil)
		<-service.began
		other.send(request(3, rawAdd), []byte("12345678"))
		other.wantError(3, CodeResourceExhausted, wire.NotRun, "MaxHandlers (4)")
		r.want(t, "Probe.Add: resource exhausted: bsrpc: the server is busy")
		other.nc.Close()
		<-other.served
		close(service.release)
		p.readFull(3 * 16)
		r.want(t)
	})
}

// The calls refused by a server that is shutting down, or given up while they wait.
func TestOnRefusedAtAClient(t *testing.T) {
	var r refusals
	handlers := NewServer(&ServerOptions{Logger: quiet, OnRefused: r.add})
	withFair(t, &ClientOptions{Handlers: handlers, MaxMessage: 100_000}, func(t *testing.T, c *fairCall) {
		go drain(c.p)
		c.p.send(wire.Frame{Type: wire.Request, Arg: 7, ID: 1}, nil)
		r.want(t, "unknown: unimplemented: bsrpc: no method is bound to the number 7 on this connection")
		c.next = 1
		long := wire.Frame{Type: wire.Request, Flags: wire.Callback | wire.Chunked, Arg: fairAsk, ID: 2, Call: c.id, Total: 200_000}
		c.p.send(long, []byte("xy"))
		r.want(t, "Fair.Run, parameter 2: resource exhausted: bsrpc: message of 200000 bytes, the client's MaxMessage is 100000")
		c.p.send(wire.Frame{Type: wire.Cancel, ID: 2}, nil)
		long.ID, long.Total = 3, 70_000
		c.p.send(long, []byte("xy"))
		c.p.send(wire.Frame{Type: wire.Cancel, ID: 3}, nil)
		r.want(t, "Fair.Run, parameter 2: canceled: bsrpc: context canceled")
		c.p.write([]byte(callbackOf(4, c.id, fairAsk, "bad")))
		r.want(t, "Fair.Run, parameter 2: invalid argument: bsrpc: Fair.Run, parameter 2, func's parameter 1")
		odd := wire.Frame{Type: wire.Request, Flags: wire.Callback | wire.Metadata, Arg: 9, ID: 5, Call: c.id, Meta: []byte("x")}
		c.p.send(odd, nil)
		r.want(t, "unknown: unimplemented: bsrpc: metadata")
		c.answer()
		c.p.write([]byte(callbackOf(6, c.id, fairAsk, text("late"))))
		r.want(t, "unknown: canceled: bsrpc: the call is over")
	})
}

func TestOnRefusedOfWaitingCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r refusals
		service := newTestee()
		srv := testeeServer(t, service, &ServerOptions{OnRefused: r.add, MaxConcurrentCalls: 1})
		client, proxy := testeeClient(t, srv, nil)
		go proxy.Hold(t.Context())
		<-service.began
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		proxy.Hold(ctx)
		r.want(t, "Probe.Hold: deadline exceeded: bsrpc: waited 980ms for its turn (")
		stopped := make(chan error)
		go func() { stopped <- srv.Shutdown(context.Background()) }()
		synctest.Wait()
		_, err := proxy.Add(t.Context(), 1, 2)
		wantCall(t, err, CodeUnavailable, OutcomeNotRun, "shutting down")
		r.want(t, "Probe.Add: unavailable: bsrpc: the server is shutting down")
		close(service.release)
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		client.Close()
	})
}

// A hook that panics or hangs delays nothing. While it hangs, a limited number of refusals
// waits for it, and the log has the number of the others.
func TestOnRefusedFails(t *testing.T) {
	t.Parallel()
	for name, fall := range map[string]func(chan struct{}){
		"panics": func(chan struct{}) { panic("on purpose") },
		"exits":  func(chan struct{}) { runtime.Goexit() },
		"hangs":  func(thaw chan struct{}) { <-thaw },
	} {
		t.Run(name, func(t *testing.T) {
			var log syncBuffer
			thaw := make(chan struct{})
			var mu sync.Mutex
			calls := 0
			opts := &ServerOptions{Logger: slog.New(slog.NewTextHandler(&log, nil)), OnRefused: func(context.Context, *Session, Method, *Error) {
				mu.Lock()
				calls++
				first := calls == 1
				mu.Unlock()
				if first {
					fall(thaw)
				}
			}}
			const refused = 1030
			withRaw(t, opts, func(p *rawPeer, srv *Server, service *testee) {
				thaw = make(chan struct{}) // of the bubble
				for id := range uint64(refused) {
					p.send(wire.Frame{Type: wire.Request, Arg: rawUnbound, ID: 10 + id}, nil)
					p.wantError(10+id, CodeUnimplemented, wire.NotRun, "no method is bound")
				}
				time.Sleep(15 * time.Second)
				close(thaw)
				synctest.Wait()
				want, texts := refused, []string{"bsrpc: hook panicked", "hook=OnRefused"}
				if name == "hangs" {
					want, texts = 1025, []string{"bsrpc: a hook does not return", "calls of it were dropped", "dropped=5"}
				}
				if calls != want {
					t.Errorf("%d calls, want %d", calls, want)
				}
				lines := log.take()
				for _, text := range texts {
					if !strings.Contains(lines, text) {
						t.Errorf("the log lacks %q:\n%s", text, lines)
					}
				}
			})
		})
	}
}

// Calls of the basic wire pass the interceptors of a server, and OnRefused sees those that
// do not reach them.
func TestInterceptorsOfBasicServer(t *testing.T) {
	var r refusals
	var seen []string
	note := func(next CallFunc) CallFunc {
		return func(ctx context.Context, call *Call) error {
			call.OnEnd(func(err error) {
				seen = append(seen, fmt.Sprint("end ", call.Method().Name, " ", call.ArgsSize(), " ", call.ResultsSize(), " ", err))
			})
			if call.Method().Name == "Desk.Add" {
				*call.Args()[0].(*uint32) += 1000
			}
			seen = append(seen, fmt.Sprint(call.Method().Name, " ", call.Session().ID() == SessionFrom(ctx).ID()))
			err := next(ctx, call)
			if call.Method().Name == "Desk.Last" {
				return &Error{Code: CodeAborted, Name: "KeyError", Message: "not here"}
			}
			return err
		}
	}
	synctest.Test(t, func(t *testing.T) {
		clerk := newBasicClerk()
		srv := basicServer(t, clerk, &ServerOptions{Interceptors: []Interceptor{note}, OnRefused: r.add})
		p := basicClient(t, srv)
		want := func(calls ...string) {
			t.Helper()
			synctest.Wait()
			if !slices.Equal(seen, calls) {
				t.Errorf("got %q, want %q", seen, calls)
			}
			seen = nil
		}
		p.ask(command(2, u32(1)+u32(2)), "\x09\x00\x00\x00\x01"+u32(1003))
		want("Desk.Add true", "end Desk.Add 8 4 <nil>")
		p.askException(command(65535, ""), "KeyError", "not here")
		want("Desk.Last true", "end Desk.Last 0 0 not here")
		p.write([]byte(command(27, "")))
		if _, payload := p.readBasic(); !strings.Contains(string(payload), "panic in the handler (id ") {
			t.Errorf("got %q", payload)
		}
		synctest.Wait()
		if len(seen) != 2 || !strings.HasPrefix(seen[1], "end Desk.Break 0 0 bsrpc: Desk.Break: panic in the handler (id ") {
			t.Errorf("got %q", seen)
		}
		seen = nil
		r.want(t)
		p.askException(command(99, ""), "ProtocolError", "Unknown command with id: 99")
		r.want(t, "unknown: unimplemented: bsrpc: no method has the id 99")
		p.write([]byte(command(2, "x")))
		p.readBasic()
		r.want(t, "Desk.Add: invalid argument: ")
		want()
		p.nc.Close()
		srv.Close()
	})
}

// Calls of a client to a basic server pass its interceptors.
func TestInterceptorsOfBasicClient(t *testing.T) {
	var sizes []int
	var left time.Duration
	note := func(next CallFunc) CallFunc {
		return func(ctx context.Context, call *Call) error {
			if !call.CarriesMetadata(ctx) || call.CarriesMetadata(WithMetadata(ctx, Metadata{"trace": "7"})) {
				t.Error("the wire carries no metadata, and a call without any can be made")
			}
			deadline, _ := ctx.Deadline()
			left = time.Until(deadline)
			*call.Args()[0].(*uint32) += 1000
			err := next(ctx, call)
			sizes = append(sizes, call.ArgsSize(), call.ResultsSize())
			return err
		}
	}
	withBasicRaw(t, &ClientOptions{Interceptors: []Interceptor{note}}, func(t *testing.T, client *Client, desk *basicDesk, p *rawPeer) {
		go func() {
			if id, args := p.takeCommand(); id != 2 || args != u32(1001)+u32(2) {
				t.Errorf("got command %d, %q", id, args)
			}
			p.write(response(u32(1003)))
			p.takeCommand()
		}()
		if got, err := desk.Add(t.Context(), 1, 2); got != 1003 || err != nil {
			t.Errorf("got %d, %v", got, err)
		}
		if !slices.Equal(sizes, []int{10, 4}) || left != 20*time.Second {
			t.Errorf("sizes %v, %v left", sizes, left)
		}
		began := time.Now()
		_, err := desk.Add(context.Background(), 1, 2)
		wantCall(t, err, CodeDeadlineExceeded, OutcomeUnknown, "bsrpc: Desk.Add: no answer in 20s (DefaultCallTimeout)")
		if took := time.Since(began); took != 20*time.Second {
			t.Errorf("took %v", took)
		}
	})
}
