package bsrpc

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
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
