package bsrpc

// Simulated clients answer the calls of their funcs wrongly, late, or not at all.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// A stall calls the funcs among its arguments.
type stall struct {
	notes int
	hold  chan struct{} // ends Hold
	asked chan string   // if not nil, has the answer in Ask
	kept  []func(context.Context, string) (string, error)
}

func (s *stall) Ask(ctx context.Context, ask func(context.Context, string) (string, error)) (string, error) {
	answer, err := ask(ctx, "now?")
	if s.asked != nil {
		s.asked <- answer
	}
	return answer, err
}

func (s *stall) Note(note func(string)) {
	for range s.notes {
		note("x")
	}
}

// AskMany calls ask on many goroutines at once.
func (s *stall) AskMany(ctx context.Context, ask func(context.Context, string) (string, error)) (string, error) {
	var mu sync.Mutex
	var errs []error
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			q := fmt.Sprint(i)
			if a, err := ask(ctx, q); err != nil || a != q {
				mu.Lock()
				errs = append(errs, fmt.Errorf("%q: %q, %w", q, a, err))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return "", errors.Join(errs...)
}

func (s *stall) Keep(ask func(context.Context, string) (string, error)) { s.kept = append(s.kept, ask) }

// Hold holds the leader up.
func (s *stall) Hold() { <-s.hold }

func (s *stall) Add(a, b uint32) uint32 { return a + b }

const (
	stallAsk = iota
	stallNote
	stallAskMany
	stallKeep
	stallAdd
	stallHold
)

// firstCallback is the id of the first call of a server on a connection.
const firstCallback = 1 << 16

// withStall runs f in a bubble, with a simulated client of a stall. Afterwards nothing may be
// left.
func withStall(t *testing.T, inflight uint32, f func(p *rawPeer, srv *Server, s *stall)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := new(stall)
		o := ServerOptions{Logger: quiet}
		o.Limits.PingAfter = NoLimit
		srv := NewServer(&o)
		if err := srv.RegisterName("Stall", s); err != nil {
			t.Fatal(err)
		}
		p := rawDial(t, srv)
		p.write(wire.AppendClientInit(nil, &wire.Hello{Version: 1, MaxInflight: inflight, MaxMessage: 1 << 20}))
		p.readBasic()
		r := wire.BindRequest{Service: "Stall", Names: []string{"Ask", "Note", "AskMany", "Keep", "Add", "Hold"}}
		p.send(wire.Frame{Type: wire.Bind, Flags: wire.Describe, ID: 1}, r.Append(nil))
		p.wantAnswer(1)
		f(p, srv, s)
		p.nc.Close()
		<-p.served
		srv.Close()
		checkBooked(t, srv)
	})
}

// wantStallSum makes a call beside the others.
func (p *rawPeer) wantStallSum(id uint64) {
	p.t.Helper()
	p.request(id, stallAdd, u32(1)+u32(2))
	if got := string(p.wantAnswer(id)); got != u32(3) {
		p.t.Errorf("1 + 2: %q", got)
	}
}

// wantCallback reads the REQUEST of a callback.
func (p *rawPeer) wantCallback(call uint64, number uint16) (id uint64) {
	p.t.Helper()
	f, _ := p.read()
	if f.Type != wire.Request || f.Flags != wire.Callback || f.Call != call || f.Arg != number {
		p.t.Fatalf("got %+v, want a callback of func %d of call %d", f, number, call)
	}
	return f.ID
}

func TestCallbacksOfServerViolations(t *testing.T) {
	for _, tt := range []struct{ name, frames, want string }{
		{"a callback of a server that has made no call", callbackOf(3, firstCallback, 1, ""), "callback of call 65536, which was never made"},
		{"a callback of a call of the client", callbackOf(3, 2, 1, ""), "callback of call 2, which was never made"},
		{"an answer to a callback never made", rawHead(16, wire.Response, 0, 0, 99<<16), "RESPONSE for call 6488064, which was never made"},
		{"an error for a callback never made", rawHead(24, wire.Error, 0, 5, 99<<16) + strings.Repeat("\x00", 8), "ERROR for call 6488064, which was never made"},
		{"an answer to the next callback", rawHead(16, wire.Response, 0, 0, 2<<16), "RESPONSE for call 131072, which was never made"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			withStall(t, 0, func(p *rawPeer, _ *Server, _ *stall) {
				if strings.Contains(tt.name, "next") {
					p.request(2, stallAsk, "\x01")
					p.wantCallback(2, 1)
				}
				go p.nc.Write([]byte(tt.frames))
				p.wantClose(CodeInternal, tt.want)
			})
		})
	}
	withStall(t, 0, func(p *rawPeer, _ *Server, _ *stall) {
		p.request(2, stallAsk, "\x01")
		id := p.wantCallback(2, 1)
		p.write([]byte(callbackOf(3, id, 1, ""))) // of a callback, which has no funcs
		p.wantClose(CodeInternal, "callback of call 65536, which has no funcs")
	})
}

// Whatever the client answers to a callback, the call and the connection go on.
func TestOddAnswersToCallbacks(t *testing.T) {
	for _, tt := range []struct {
		name  string
		frame func(id uint64) string
		code  Code
		want  string
	}{
		{"not decodable", func(id uint64) string { return rawHead(17, wire.Response, 0, 0, id) + "x" }, CodeInternal, "cannot decode the answer"},
		{"too long", func(id uint64) string { return rawHead(24, wire.Response, wire.Chunked, 0, id) + u64(1<<40) }, CodeResourceExhausted, "MaxMessage"},
		{"late", func(id uint64) string {
			return rawHead(24, wire.Error, wire.NotRun, uint16(CodeCanceled), id) + strings.Repeat("\x00", 8)
		}, CodeCanceled, "the call is over"},
		{"an error", func(id uint64) string { return rawHead(24, wire.Error, 0, 5, id) + strings.Repeat("\x00", 8) }, CodeNotFound, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			withStall(t, 0, func(p *rawPeer, _ *Server, _ *stall) {
				p.request(2, stallAsk, "\x01")
				p.write([]byte(tt.frame(p.wantCallback(2, 1))))
				for {
					f, body := p.read()
					if f.Type == wire.Cancel {
						continue
					}
					failure, _ := wire.ReadFailure(body)
					if f.Type != wire.Error || f.ID != 2 || Code(f.Arg) != tt.code || !strings.Contains(failure.Message, tt.want) {
						t.Errorf("got %v %v %q, want %v, %q", f.Type, Code(f.Arg), failure.Message, tt.code, tt.want)
					}
					break
				}
				p.wantStallSum(3)
			})
		})
	}
}

// A client that answers none of its callbacks holds its own call only, until CANCEL, its time
// or the end of the connection.
func TestUnansweredCallbacks(t *testing.T) {
	withStall(t, 0, func(p *rawPeer, _ *Server, _ *stall) {
		p.request(2, stallAsk, "\x01")
		id := p.wantCallback(2, 1)
		p.wantStallSum(3)
		p.send(wire.Frame{Type: wire.Cancel, ID: 2}, nil)
		p.want(wire.Cancel, id, 0, 0)
		p.wantError(2, CodeCanceled, 0, "")
		p.send(wire.Frame{Type: wire.Response, ID: id}, []byte(text("late")))
		p.wantStallSum(4)

		p.send(wire.Frame{Type: wire.Request, Arg: stallAsk, ID: 5, Timeout: uint64(time.Minute / time.Microsecond)}, []byte("\x01"))
		p.wantCallback(5, 1)
		f, _ := p.skipTo(wire.Error)
		if f.ID != 5 || Code(f.Arg) != CodeDeadlineExceeded {
			t.Errorf("after the time of the call: %+v", f)
		}
		p.wantStallSum(6)
		p.request(7, stallAsk, "\x01") // ended by the connection
		p.wantCallback(7, 1)
	})
}

// The leader reads the answer to a callback and a request together, and runs the request when
// the connection ends. There is no next leader to wake the caller of the callback.
func TestAnswerInTheLastReadOfALeader(t *testing.T) {
	withStall(t, 0, func(p *rawPeer, srv *Server, s *stall) {
		s.hold, s.asked = make(chan struct{}), make(chan string, 1)
		p.request(2, stallAsk, "\x01")
		id := p.wantCallback(2, 1)
		p.write(append(frameBytes(wire.Frame{Type: wire.Response, ID: id}, []byte(text("yes"))),
			frameBytes(wire.Frame{Type: wire.Request, Arg: stallHold, ID: 3}, nil)...))
		synctest.Wait() // within the first period of the watchdog
		srv.Close()
		if got := <-s.asked; got != "yes" {
			t.Errorf("the callback has returned %q", got)
		}
		close(s.hold)
	})
}

// A handler waits at the client's MaxInflight.
func TestCallbacksWaitForTheClient(t *testing.T) {
	const most = 4
	withStall(t, most, func(p *rawPeer, _ *Server, s *stall) {
		s.notes = 100
		p.request(2, stallNote, "\x01")
		var open []uint64
		for range most {
			open = append(open, p.wantCallback(2, 1))
		}
		p.wantStallSum(3) // no further callback before it
		for range s.notes - most {
			p.send(wire.Frame{Type: wire.Response, ID: open[0]}, nil)
			open = append(open[1:], p.wantCallback(2, 1))
		}
		p.wantAnswer(2)
		for _, id := range open { // after the call
			p.send(wire.Frame{Type: wire.Response, ID: id}, nil)
		}
		p.wantStallSum(4)
	})
}

// A connection lost at any byte of the answers leaves nothing.
func TestTruncatedAnswersToCallbacks(t *testing.T) {
	all := rawHead(25, wire.Request, 0, stallAsk, 2) + u64(0) + "\x01" +
		string(frameBytes(wire.Frame{Type: wire.Response, Flags: wire.Chunked, ID: firstCallback, Total: 70_000}, []byte(u32(69_996)+"xy")))
	for n := range len(all) + 1 {
		withStall(t, 0, func(p *rawPeer, _ *Server, _ *stall) {
			go drain(p)
			p.write([]byte(all[:n]))
			synctest.Wait()
		})
	}
}

// Funcs of one call never reach those of another, on any goroutine, during their calls and
// after.
func TestFuncsOfManyCallsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := new(stall)
		srv := NewServer(&ServerOptions{Logger: quiet})
		if err := srv.RegisterName("Stall", s); err != nil {
			t.Fatal(err)
		}
		type contract struct {
			AskMany func(ctx context.Context, ask func(context.Context, string) (string, error)) (string, error)
			Keep    func(ctx context.Context, ask func(context.Context, string) (string, error)) error
		}
		near, p := servedPipe(srv)
		client, err := NewClient(t.Context(), near, &ClientOptions{Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		c, err := Bind[contract](t.Context(), client, "Stall")
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range Rounds(3, 10) {
					over := false
					_, err := c.AskMany(t.Context(), func(_ context.Context, q string) (string, error) {
						if over {
							t.Error("called after the call")
						}
						return q, nil
					})
					if err != nil {
						t.Error(err)
					}
					over = true
				}
			})
		}
		wg.Wait()
		for range 10 {
			if err := c.Keep(t.Context(), func(context.Context, string) (string, error) { t.Error("called after the call"); return "", nil }); err != nil {
				t.Fatal(err)
			}
		}
		for i := range Rounds(30, 100) {
			wg.Go(func() {
				if _, err := s.kept[i%10](context.Background(), "?"); !errors.Is(err, ErrCallOver) {
					t.Errorf("a func after its call: %v", err)
				}
			})
			wg.Go(func() {
				if _, err := c.AskMany(t.Context(), func(_ context.Context, q string) (string, error) { return q, nil }); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		client.Close()
		<-p
		srv.Close()
		checkBooked(t, srv)
	})
}

// Shutdown lets a handler and its callbacks end; Close ends both.
func TestStopWhileCallbacksRun(t *testing.T) {
	for _, graceful := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			srv := NewServer(&ServerOptions{Logger: quiet})
			if err := srv.RegisterName("Stall", new(stall)); err != nil {
				t.Fatal(err)
			}
			type contract struct {
				Ask func(ctx context.Context, ask func(context.Context, string) (string, error)) (string, error)
			}
			near, served := servedPipe(srv)
			client, err := NewClient(t.Context(), near, &ClientOptions{Logger: quiet})
			if err != nil {
				t.Fatal(err)
			}
			c, err := Bind[contract](t.Context(), client, "Stall")
			if err != nil {
				t.Fatal(err)
			}
			stopped := make(chan error, 1)
			got, err := c.Ask(t.Context(), func(ctx context.Context, q string) (string, error) {
				go func() {
					if graceful {
						stopped <- srv.Shutdown(context.Background())
						return
					}
					stopped <- srv.Close()
				}()
				select {
				case <-ctx.Done():
					return "", ctx.Err()
				case <-time.After(time.Second):
					return "yes", nil
				}
			})
			if graceful && (got != "yes" || err != nil) || !graceful && err == nil {
				t.Errorf("graceful %v: %q, %v", graceful, got, err)
			}
			if err := <-stopped; err != nil {
				t.Error(err)
			}
			<-served
			client.Close()
			checkBooked(t, srv)
		})
	}
}

// servedPipe returns the end of a client of srv, and a channel for the result of ServeConn.
func servedPipe(srv *Server) (near net.Conn, served chan error) {
	near, far := net.Pipe()
	served = make(chan error, 1)
	go func() { served <- srv.ServeConn(far) }()
	return near, served
}
