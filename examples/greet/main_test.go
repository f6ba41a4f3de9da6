package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

const want = "hello Bob\ngoodbye Bob\n1000 + 2050 = 3050\n"

func TestBothInOneProcess(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), &out, "", ""); err != nil {
		t.Fatal(err)
	}
	if out.String() != want {
		t.Errorf("printed %q, want %q", out.String(), want)
	}
}

// The client command, with a server in the test.
func TestClient(t *testing.T) {
	srv := bsrpc.NewServer(nil)
	if err := bsrpc.RegisterAs[Greeter](srv, "Greeter", service{}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()

	var out bytes.Buffer
	if err := run(t.Context(), &out, "client", l.Addr().String()); err != nil {
		t.Error(err)
	}
	if out.String() != want {
		t.Errorf("printed %q, want %q", out.String(), want)
	}
	srv.Close()
	if err := <-served; !errors.Is(err, bsrpc.ErrServerClosed) {
		t.Errorf("Serve returned %v, want ErrServerClosed", err)
	}
}

// A service can be tested without a socket, and a client without a server: a fake is a
// struct literal.
func TestWithoutSockets(t *testing.T) {
	srv := bsrpc.NewServer(nil)
	if err := bsrpc.RegisterAs[Greeter](srv, "Greeter", service{}); err != nil {
		t.Fatal(err)
	}
	fake := &Greeter{Hello: func(ctx context.Context, name string) (string, error) { return "hello " + name, nil }}
	for _, g := range []*Greeter{bsrpctest.Bind[Greeter](t, srv, "Greeter"), fake} {
		if got, err := g.Hello(t.Context(), "Ann"); err != nil || got != "hello Ann" {
			t.Errorf(`Hello("Ann") = %q, %v`, got, err)
		}
	}
}

func TestUsageErrors(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := run(ctx, nil, "sever", ""); err == nil || !strings.Contains(err.Error(), `"sever"`) {
		t.Errorf("unknown command: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // not listening any more
	if err := run(ctx, nil, "client", l.Addr().String()); err == nil {
		t.Error("a client without a server got no error")
	}
}
