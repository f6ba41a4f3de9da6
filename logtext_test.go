package bsrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// Each event is one line, naming the option if there is one.
func TestLogLinesAreTrue(t *testing.T) {
	serveSilent := func(t *testing.T, srv *Server) {
		near, far := net.Pipe()
		go srv.ServeConn(far)
		time.Sleep(2 * time.Second)
		near.Close()
	}
	dial := func(t *testing.T, srv *Server, within time.Duration) {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		near, far := net.Pipe()
		go srv.ServeConn(far)
		if client, err := NewClient(ctx, near, &ClientOptions{Logger: quiet}); err == nil {
			client.Close()
		}
	}
	for name, tt := range map[string]struct {
		opts ServerOptions
		do   func(t *testing.T, srv *Server)
		want map[string]int // lines that have a text
	}{
		"a client above MaxConns": {
			ServerOptions{Limits: Limits{MaxConns: 1}},
			func(t *testing.T, srv *Server) {
				client, _ := testeeClient(t, srv, nil)
				dial(t, srv, time.Second)
				client.Close()
			},
			map[string]int{"client refused": 1, "level=WARN": 1, "Limits.MaxConns (1)": 1},
		},
		"a silent client": {
			ServerOptions{HandshakeTimeout: time.Second}, serveSilent,
			map[string]int{`level=DEBUG msg="bsrpc: client refused" remote=pipe err="no INIT in 1s (HandshakeTimeout)"`: 1},
		},
		"a refusal without a text": {
			ServerOptions{OnConnect: func(context.Context, *Session) error { return &Error{} }},
			func(t *testing.T, srv *Server) { dial(t, srv, time.Second) },
			map[string]int{`client refused" session=1 remote=pipe err="permission denied"`: 1, "err=ok": 0},
		},
		"a client that leaves during OnConnect": {
			ServerOptions{OnConnect: func(context.Context, *Session) error { time.Sleep(2 * time.Second); return nil }},
			func(t *testing.T, srv *Server) { dial(t, srv, time.Second); time.Sleep(2 * time.Second) },
			map[string]int{"connection ended": 1, "admitted": 0},
		},
		"calls by name": {
			ServerOptions{},
			func(t *testing.T, srv *Server) {
				client, _ := testeeClient(t, srv, nil) // it binds
				client.Call(t.Context(), "Probe.Fail", nil)
				client.Call(t.Context(), "Prob.Fail", nil)
				client.Close()
			},
			map[string]int{"bsrpc: bound": 1, "service=Probe methods=1 unknown=0": 1, "service=Prob methods=1 unknown=1": 1},
		},
		"a result that is too long": {
			ServerOptions{},
			func(t *testing.T, srv *Server) {
				client, _ := testeeClient(t, srv, &ClientOptions{MaxMessage: 64})
				var result []byte
				client.Call(t.Context(), "Probe.Make", []any{65}, &result)
				client.Close()
			},
			map[string]int{`method=Probe.Make err="result 1, []uint8: too long (the client's MaxMessage is 64)"`: 1},
		},
		"a handler that outlives its client": {
			ServerOptions{},
			func(t *testing.T, srv *Server) {
				client, proxy := testeeClient(t, srv, nil)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := proxy.Deaf(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
				client.Close()
				time.Sleep(stuckLog + time.Second)
			},
			map[string]int{`a handler runs on after its connection has ended" session=1 method=Probe.Deaf`: 1, "closing while": 0},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lines, log := linesAt(slog.LevelDebug)
				tt.opts.Logger = log
				service := newTestee()
				srv := testeeServer(t, service, &tt.opts)
				tt.do(t, srv)
				close(service.release)
				synctest.Wait()
				srv.Close()
				for text, n := range tt.want {
					if got := strings.Count(lines.String(), text); got != n {
						t.Errorf("%d lines with %q, want %d:\n%s", got, text, n, lines)
					}
				}
			})
		})
	}
}

// A plainHandler is a slog.Handler that writes values as they are.
type plainHandler struct {
	slog.Handler
	t     *testing.T
	lines atomic.Int64
}

func (h *plainHandler) Handle(_ context.Context, r slog.Record) error {
	h.lines.Add(1)
	text := r.Message
	r.Attrs(func(a slog.Attr) bool { text += " " + a.Key + "=" + fmt.Sprint(a.Value); return true })
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(c rune) bool { return !unicode.IsPrint(c) }) || len(text) > 400 {
		h.t.Errorf("a line of the log: %q", text)
	}
	return nil
}

// What a peer sends is quoted and cut in the log, also where the slog.Handler quotes nothing: it forges
// no lines.
func TestPeersForgeNoLines(t *testing.T) {
	evil := "a\nlevel=ERROR \x1b[31m\x00\u202e\xff" + strings.Repeat("z", 200)
	text := (&wire.Failure{Name: evil[:100], Message: evil, LogID: evil[:16]}).Append(nil)
	bind := func(flags wire.Flags, r *wire.BindRequest) []byte {
		return frameBytes(wire.Frame{Type: wire.Bind, Flags: flags, ID: 2}, r.Append(nil))
	}
	synctest.Test(t, func(t *testing.T) {
		log := &plainHandler{Handler: slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelDebug}), t: t}
		srv := testeeServer(t, newTestee(), &ServerOptions{Logger: slog.New(log), Basic: true})
		for _, first := range []string{"GET / HTTP/1.1\r\n" + evil, evil, "\n" + evil, "SSH-2.0-" + evil, "\x00" + evil} {
			near, far := net.Pipe()
			go io.WriteString(near, first)
			go io.Copy(io.Discard, near)
			srv.ServeConn(far)
			near.Close()
			time.Sleep(time.Hour) // lines are limited
		}
		for _, frame := range [][]byte{
			frameBytes(wire.Frame{Type: wire.Close, Arg: uint16(CodeInternal)}, text),
			frameBytes(wire.Frame{Type: wire.Error, ID: 77, Arg: uint16(CodeInternal)}, text),
			bind(wire.Describe, &wire.BindRequest{Service: evil[:100], Names: []string{evil[:50]}}),
			bind(0, &wire.BindRequest{Service: "Probe", Names: []string{evil[:50]}, Hashes: make([][wire.HashSize]byte, 1)}),
			[]byte(evil),
		} {
			p := rawClient(t, srv)
			p.write(frame)
			go p.readAll()
			time.Sleep(time.Second)
			p.nc.Close()
			time.Sleep(time.Hour)
		}
		srv.Close()
		if n := log.lines.Load(); n < 30 {
			t.Errorf("%d lines", n)
		}
	})
	synctest.Test(t, func(t *testing.T) { // a server's error of a oneway call
		log := &plainHandler{Handler: slog.NewTextHandler(io.Discard, nil), t: t}
		near, far := net.Pipe()
		p := &rawPeer{t: t, nc: far}
		go p.answerBind(&wire.Hello{Version: 1})
		client, err := NewClient(t.Context(), near, &ClientOptions{Logger: slog.New(log)})
		if err != nil {
			t.Fatal(err)
		}
		post := bound[Posts](t, client, "Post")
		go post.Nothing(t.Context())
		f, _ := p.read()
		p.send(wire.Frame{Type: wire.Error, ID: f.ID, Arg: uint16(CodeInternal)}, text)
		synctest.Wait()
		if n := log.lines.Load(); n != 1 || client.OnewayErrors() != 1 {
			t.Errorf("%d lines, %d errors", n, client.OnewayErrors())
		}
		client.Close()
		p.nc.Close()
	})
}
