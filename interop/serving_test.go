package interop

// Servers of the package, and clients of this library that call them.

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc"
)

// startServer starts a server of the package, of one of server.py's kinds.
func startServer(t *testing.T, kind ...string) (s *console, addr string) {
	t.Helper()
	s = start(t, "server.py", kind...)
	return s, "127.0.0.1:" + s.await("port")
}

// dial joins a client to a server of the package until the test ends.
func dial(t *testing.T, addr string, opts bsrpc.ClientOptions) (*bsrpc.Client, *Desk) {
	t.Helper()
	opts.Basic, opts.Logger = true, slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client, err := bsrpc.Dial(ctx, "tcp", addr, &opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client, bind[Desk](t, client)
}

func bind[C any](t *testing.T, client *bsrpc.Client) *C {
	t.Helper()
	proxy, err := bsrpc.Bind[C](t.Context(), client, "Desk")
	if err != nil {
		t.Fatal(err)
	}
	return proxy
}

// wantError checks what is known of a failed call, and returns all of it.
func wantError(t *testing.T, what string, err error, code bsrpc.Code, outcome bsrpc.Outcome, message string) *bsrpc.Error {
	t.Helper()
	var e *bsrpc.Error
	if !errors.As(err, &e) || e.Code != code || e.Outcome != outcome || !strings.Contains(e.Message, message) {
		t.Errorf("%s: got %#v, want %v, %v, %q", what, err, code, outcome, message)
		return &bsrpc.Error{}
	}
	return e
}

// wantServed checks that calls work.
func wantServed(t *testing.T, desk *Desk) {
	t.Helper()
	if s, err := desk.Hello(t.Context(), "Bob"); s != "hello Bob" || err != nil {
		t.Errorf("got %q, %v", s, err)
	}
}
