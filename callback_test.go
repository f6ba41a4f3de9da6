package bsrpc_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// A hub calls its clients.
type hub struct {
	srv     *bsrpc.Server
	mu      sync.Mutex
	members []*events
}

type events struct {
	Alarm func(context.Context, string) (int, error)
	Ask   func(context.Context) (string, error)
	Hang  func(context.Context) error
	Count func(context.Context, int) iter.Seq2[int, error]
	Sum   func(context.Context, iter.Seq2[int, error]) (int, error)
	Panic func() error
}

func (h *hub) Join(ctx context.Context) error {
	e, err := bsrpc.Bind[events](ctx, bsrpc.SessionFrom(ctx), "Events")
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.members = append(h.members, e)
	return nil
}

func (h *hub) Tell(ctx context.Context, text string) (int, error) {
	n := 0
	for _, e := range h.members {
		k, err := e.Alarm(ctx, text)
		if err != nil {
			return 0, err
		}
		n += k
	}
	return n, nil
}

func (h *hub) Back(ctx context.Context) (string, error) { return h.members[0].Ask(ctx) }
func (h *hub) Name() string                             { return "hub" }

func (h *hub) Hang(ctx context.Context) error { return h.members[0].Hang(ctx) }

func (h *hub) Streams(ctx context.Context) (int, error) {
	return h.members[0].Sum(ctx, func(yield func(int, error) bool) {
		for n, err := range h.members[0].Count(ctx, 1000) {
			if !yield(n, err) {
				return
			}
		}
	})
}

func (h *hub) Panic() error { return h.members[0].Panic() }

type hubContract struct {
	Join    func(context.Context) error
	Tell    func(context.Context, string) (int, error)
	Back    func(context.Context) (string, error)
	Name    func() (string, error)
	Hang    func(context.Context) error
	Streams func(context.Context) (int, error)
	Panic   func() error
}

// A listener has the methods of a client.
type listener struct {
	heard []string
	gone  chan error
	hub   *hubContract
}

func (l *listener) Alarm(text string) int { l.heard = append(l.heard, text); return len(text) }

func (l *listener) Ask(ctx context.Context) (string, error) {
	name, err := l.hub.Name() // calls the server from within its call
	return fmt.Sprint(name, " ", bsrpc.SessionFrom(ctx) != nil), err
}

func (l *listener) Hang(ctx context.Context) error {
	<-ctx.Done()
	l.gone <- ctx.Err()
	return ctx.Err()
}

func (l *listener) Count(n int) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range n {
			if !yield(i, nil) {
				return
			}
		}
	}
}

func (l *listener) Sum(in iter.Seq2[int, error]) (sum int, err error) {
	for n, err := range in {
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

func (l *listener) Panic() { panic("secret") }

func join(t *testing.T) (*hub, *listener, *bsrpc.Client) {
	t.Helper()
	h, l := new(hub), &listener{gone: make(chan error, 1)}
	srv, handlers := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: slog.New(slog.DiscardHandler)}), bsrpc.NewServer(&bsrpc.ServerOptions{Logger: slog.New(slog.DiscardHandler)})
	if err := errors.Join(srv.RegisterName("Hub", h), handlers.RegisterName("Events", l)); err != nil {
		t.Fatal(err)
	}
	h.srv = srv
	client, err := bsrpctest.Dial(t, srv, &bsrpc.ClientOptions{Handlers: handlers, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if l.hub, err = bsrpc.Bind[hubContract](t.Context(), client, "Hub"); err != nil {
		t.Fatal(err)
	}
	if err := l.hub.Join(t.Context()); err != nil {
		t.Fatal(err)
	}
	return h, l, client
}

func TestServerCallsClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, l, _ := join(t)
		for i := range 100 {
			text := strings.Repeat("x", 2000*i) // chunked, too
			if n, err := l.hub.Tell(t.Context(), text); n != len(text) || err != nil {
				t.Fatalf("Tell: %d, %v", n, err)
			}
		}
		if len(l.heard) != 100 {
			t.Errorf("heard %d", len(l.heard))
		}
		if got, err := l.hub.Back(t.Context()); got != "hub true" || err != nil {
			t.Errorf("Back: %q, %v", got, err)
		}
		if n, err := l.hub.Streams(t.Context()); n != 999*1000/2 || err != nil {
			t.Errorf("Streams: %d, %v", n, err)
		}
		var e *bsrpc.Error
		if err := l.hub.Panic(); !errors.As(err, &e) || e.Code != bsrpc.CodeInternal || strings.Contains(err.Error(), "secret") {
			t.Errorf("Panic: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			synctest.Wait()
			cancel()
		}()
		if err := l.hub.Hang(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Hang: %v", err)
		}
		if err := <-l.gone; err != context.Canceled {
			t.Errorf("the client's handler: %v", err)
		}
	})
}

// A handle kept after its session fails with the error of the connection.
func TestCallAfterSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _, client := join(t)
		client.Close()
		synctest.Wait()
		_, err := h.members[0].Alarm(t.Context(), "x")
		var e *bsrpc.Error
		if !errors.As(err, &e) || e.Code != bsrpc.CodeUnavailable || e.Outcome != bsrpc.OutcomeNotRun {
			t.Errorf("%v", err)
		}
	})
}

// OnConnect may bind the client's methods, and call them once it has returned.
func TestBindInOnConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bound := make(chan *events, 1)
		srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: slog.New(slog.DiscardHandler), OnConnect: func(ctx context.Context, s *bsrpc.Session) error {
			e, err := bsrpc.Bind[events](ctx, s, "Events")
			if err != nil {
				return err
			}
			if _, err := e.Alarm(ctx, "early"); err == nil || !strings.Contains(err.Error(), "not admitted yet") {
				return fmt.Errorf("early call: %v", err)
			}
			bound <- e
			return nil
		}})
		l := &listener{}
		handlers := bsrpc.NewServer(nil)
		if err := handlers.RegisterName("Events", l); err != nil {
			t.Fatal(err)
		}
		if _, err := bsrpctest.Dial(t, srv, &bsrpc.ClientOptions{Handlers: handlers}); err != nil {
			t.Fatal(err)
		}
		if n, err := (<-bound).Alarm(t.Context(), "late"); n != 4 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		_, err := bsrpctest.Dial(t, srv, nil)
		if err == nil || !strings.Contains(err.Error(), "the client has no service Events") {
			t.Errorf("a client without Handlers: %v", err)
		}
	})
}

// Options for sessions make no sense in Handlers.
func TestHandlersOptions(t *testing.T) {
	for _, tt := range []struct {
		opts *bsrpc.ServerOptions
		want string
	}{
		{&bsrpc.ServerOptions{MaxSessions: 1}, "bsrpc: ClientOptions.Handlers: MaxSessions is an option"},
		{&bsrpc.ServerOptions{OnDisconnect: func(*bsrpc.Session) {}}, "bsrpc: ClientOptions.Handlers: OnDisconnect is an option"},
		{&bsrpc.ServerOptions{MaxInflight: -7}, "bsrpc: ServerOptions: MaxInflight"},
	} {
		_, err := bsrpctest.Dial(t, bsrpc.NewServer(nil), &bsrpc.ClientOptions{Handlers: bsrpc.NewServer(tt.opts)})
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%v\nwant %s", err, tt.want)
		}
	}
}
