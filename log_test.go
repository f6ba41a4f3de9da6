package bsrpc

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// Limits documented in docs/guide.
const (
	logPatience = time.Second // of one line
	reportRate  = 10          // lines a second
)

func linesAt(level slog.Level) (*logLines, *slog.Logger) {
	lines := new(logLines)
	return lines, slog.New(slog.NewTextHandler(lines, &slog.HandlerOptions{Level: level}))
}

// A badHandler misbehaves in the method given by its name, until it is repaired.
type badHandler struct {
	slog.Handler
	where  string
	do     func()
	mended *atomic.Bool
}

func (h *badHandler) fall(where string) {
	if h.where == where && !h.mended.Load() {
		h.do()
	}
}

func (h *badHandler) Enabled(ctx context.Context, l slog.Level) bool {
	h.fall("Enabled")
	return h.Handler.Enabled(ctx, l)
}

func (h *badHandler) Handle(ctx context.Context, r slog.Record) error {
	h.fall("Handle")
	return h.Handler.Handle(ctx, r)
}

func (h *badHandler) WithAttrs(a []slog.Attr) slog.Handler {
	h.fall("WithAttrs")
	return h.Handler.WithAttrs(a)
}

// If a user's log handler panics or hangs, only log lines are lost.
func TestLogHandlerIsGuarded(t *testing.T) {
	for _, where := range []string{"Enabled", "Handle"} {
		for name, fall := range falls {
			t.Run(where+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					lines, log := linesAt(slog.LevelWarn)
					thaw := make(chan struct{})
					bad := &badHandler{Handler: log.Handler(), where: where, do: func() { fall(thaw) }, mended: new(atomic.Bool)}
					srv := testeeServer(t, newTestee(), &ServerOptions{Logger: slog.New(bad)})
					stop := witness(t, srv)
					client, proxy := testeeClient(t, srv, nil)
					start := time.Now()
					for range 3 {
						wantCall(t, proxy.Panic(t.Context()), CodeInternal, OutcomeAnswered, "panic in the handler")
					}
					if took := time.Since(start); took > logPatience+time.Second {
						t.Errorf("three panics took %v", took)
					}
					time.Sleep(time.Second)
					bad.mended.Store(true)
					close(thaw)
					synctest.Wait()
					wantCall(t, proxy.Panic(t.Context()), CodeInternal, OutcomeAnswered, "panic in the handler")
					if !strings.Contains(lines.String(), "handler panicked") {
						t.Errorf("mended, it logged %q", lines)
					}
					if said := strings.Contains(lines.String(), "lines were dropped"); said != (name == "hang") {
						t.Errorf("%s: logged %q", name, lines)
					}
					client.Close()
					stop()
					srv.Close()
				})
			})
		}
	}
}

// falls are the ways in which user code does not return. A hang ends with thaw.
var falls = map[string]func(thaw chan struct{}){
	"panic":     func(chan struct{}) { panic("on purpose") },
	"panic nil": func(chan struct{}) { panic(nil) },
	"Goexit":    func(chan struct{}) { runtime.Goexit() },
	"hang":      func(thaw chan struct{}) { <-thaw },
}

// Attributes and groups reach the handler behind the guard.
func TestLogGuardDerives(t *testing.T) {
	var text bytes.Buffer
	log := report.New(slog.New(slog.NewTextHandler(&text, nil)))
	report.Unlimited(log).With("a", 1).WithGroup("g").With("b", 2).Info("line", "c", 3)
	report.Unlimited(log).Info("plain", "d", 4)
	if got := text.String(); !strings.Contains(got, "msg=line a=1 g.b=2 g.c=3\n") || !strings.Contains(got, "msg=plain d=4\n") {
		t.Errorf("got %q", got)
	}
	for name, fall := range falls {
		if name != "hang" {
			bad := &badHandler{Handler: slog.DiscardHandler, where: "WithAttrs", do: func() { fall(nil) }, mended: new(atomic.Bool)}
			report.Unlimited(report.New(slog.New(bad))).With("a", 1).Info("line")
		}
	}
}

// A log handler may use the server: it is called without a lock.
func TestLogHandlerUsesTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var srv *Server
		uses := func() { srv.Sessions(); srv.Panics() }
		handler := &badHandler{Handler: slog.DiscardHandler, where: "Handle", do: func() { uses() }, mended: new(atomic.Bool)}
		handler.Handler = slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelDebug})
		service := newTestee()
		srv = testeeServer(t, service, &ServerOptions{Logger: slog.New(handler)})
		p := rawClient(t, srv)
		srv.mu.Lock()
		conns := slices.Collect(maps.Keys(srv.conns))
		srv.mu.Unlock()
		uses = func() { // a handler of the server that runs can be cancelled
			srv.Sessions()
			for _, c := range conns {
				c.cancelRunning(77)
			}
		}
		p.send(wire.Frame{Type: wire.Request, Arg: rawDeaf, ID: 2}, nil)
		<-service.began
		start := time.Now()
		srv.Close()
		if took := time.Since(start); took >= logPatience {
			t.Errorf("Close took %v", took)
		}
		close(service.release)
		p.nc.Close()
	})
}

// Events repeatable by a peer are one line a connection, and ten a second for the
// server. The next line counts the suppressed ones.
func TestPeerCannotFillTheLog(t *testing.T) {
	for name, flood := range map[string]struct {
		line string
		most int // lines of one connection
		peer func(t *testing.T, srv *Server)
	}{
		"results": {"result cannot be sent", 1, func(t *testing.T, srv *Server) {
			p := rawDial(t, srv)
			p.write(wire.AppendClientInit(nil, &wire.Hello{Version: 1, MaxMessage: 64}))
			p.readBasic()
			r := wire.BindRequest{Service: "Probe", Names: []string{"Make"}}
			p.send(wire.Frame{Type: wire.Bind, Flags: wire.Describe, ID: 1}, r.Append(nil))
			p.read()
			for id := range uint64(20) {
				p.send(wire.Frame{Type: wire.Request, ID: id + 2}, []byte(u32(65)))
				p.read()
			}
			p.nc.Close()
		}},
		"violations": {"violated the protocol", 1, func(t *testing.T, srv *Server) {
			p := rawClient(t, srv)
			p.send(wire.Frame{Type: wire.Admitted}, nil)
			p.wantClose(CodeInternal, "unexpected")
			p.nc.Close()
		}},
		"panics": {"handler panicked", 10, func(t *testing.T, srv *Server) {
			client, proxy := testeeClient(t, srv, nil)
			for range 20 {
				wantCall(t, proxy.Panic(t.Context()), CodeInternal, OutcomeAnswered, "panic in the handler")
			}
			client.Close()
		}},
		"contracts that differ": {"client and server have different versions", 1, func(t *testing.T, srv *Server) {
			client, _ := testeeClient(t, srv, nil)
			for range 20 {
				Bind[struct{ Add func() error }](t.Context(), client, "Probe")
			}
			client.Close()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lines, log := linesAt(slog.LevelInfo)
				srv := testeeServer(t, newTestee(), &ServerOptions{Logger: log})
				count := func() int { return strings.Count(lines.String(), flood.line) }
				flood.peer(t, srv)
				if n := count(); n != flood.most {
					t.Errorf("one connection: %d lines, want %d: %s", n, flood.most, lines)
				}
				for range 15 { // more violations would have to wait
					flood.peer(t, srv)
				}
				if n := strings.Count(lines.String(), "\n"); n > reportRate || count() == 0 {
					t.Errorf("in a second: %d lines: %s", n, lines)
				}
				time.Sleep(2 * time.Second)
				flood.peer(t, srv)
				if !strings.Contains(lines.String(), "suppressed=") {
					t.Errorf("nothing says how many lines are missing: %s", lines)
				}
				srv.Close()
			})
		})
	}
}

// The ids in the errors of panicking methods are all in the log.
func TestPanicIDsAreInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines, log := linesAt(slog.LevelInfo)
		srv := testeeServer(t, newTestee(), &ServerOptions{Logger: log})
		client, proxy := testeeClient(t, srv, nil)
		with := 0
		for range 50 {
			err := proxy.Panic(t.Context()).(*Error)
			if err.ID != "" {
				with++
				if !strings.Contains(lines.String(), "id="+err.ID) {
					t.Errorf("id %s is not in the log", err.ID)
				}
			}
		}
		if with != reportRate || srv.Panics() != 50 {
			t.Errorf("%d ids of %d panics, want %d", with, srv.Panics(), reportRate)
		}
		client.Close()
		srv.Close()
	})
}

// Peers of another protocol cause one line a minute.
func TestForeignPeersAreOneLineAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines, log := linesAt(slog.LevelInfo)
		srv := testeeServer(t, newTestee(), &ServerOptions{Logger: log})
		foreigners := []string{"GET / HTTP/1.1\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01", "SSH-2.0-OpenSSH_9.6\r\n", "\xff\xff\xff\xff\xff"}
		come := func() {
			for _, hello := range foreigners {
				near, far := net.Pipe()
				go io.WriteString(near, hello)
				srv.ServeConn(far)
				near.Close()
			}
		}
		for range 100 {
			come()
			time.Sleep(time.Second / 2)
		}
		if n := strings.Count(lines.String(), "client refused"); n != len(foreigners) {
			t.Errorf("%d lines, want %d: %s", n, len(foreigners), lines)
		}
		time.Sleep(time.Minute)
		come()
		if n := strings.Count(lines.String(), "suppressed=99"); n != len(foreigners) {
			t.Errorf("%d lines say what is missing: %s", n, lines)
		}
		srv.Close()
	})
}

// A resetConn resets its connection, like a port check.
type resetConn struct{ net.Conn }

func (resetConn) Read([]byte) (int, error) { return 0, fmt.Errorf("connection reset by peer") }

// Normal events of connections, including refusals, are logged at Debug only.
func TestConnectionsAreLoggedForDebugging(t *testing.T) {
	life := func(log *slog.Logger) {
		srv := testeeServer(t, newTestee(), &ServerOptions{Logger: log, OnConnect: func(_ context.Context, s *Session) error {
			if s.ID() == 2 {
				return &Error{Code: CodePermissionDenied, Message: "not on Sundays"}
			}
			return nil
		}})
		client, _ := testeeClient(t, srv, nil)
		client.Close()
		near, far := net.Pipe()
		go srv.ServeConn(far)
		if _, err := NewClient(context.Background(), near, &ClientOptions{Logger: quiet}); err == nil {
			t.Error("not refused")
		}
		near, far = net.Pipe()
		near.Close() // a port check
		srv.ServeConn(far)
		near, far = net.Pipe()
		srv.ServeConn(resetConn{far})
		near.Close()
		synctest.Wait()
		srv.Close()
	}
	synctest.Test(t, func(t *testing.T) {
		lines, log := linesAt(slog.LevelInfo)
		life(log)
		if text := lines.String(); text != "" {
			t.Errorf("at Info: %s", text)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		lines, log := linesAt(slog.LevelDebug)
		life(log)
		for line, n := range map[string]int{"accepted": 4, "admitted": 1, "bsrpc: bound": 1, "connection ended": 2, "client refused": 3, "not on Sundays": 1, "reset by peer": 1} {
			if got := strings.Count(lines.String(), line); got < n {
				t.Errorf("%d lines with %q, want %d: %s", got, line, n, lines)
			}
		}
	})
}
