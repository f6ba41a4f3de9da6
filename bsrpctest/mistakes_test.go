package bsrpctest_test

import (
	"errors"
	"testing"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// A server that cannot serve says why, to the test.
func TestDialSaysWhyTheServerDoesNotServe(t *testing.T) {
	closed := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
	closed.Close()
	for want, srv := range map[string]*bsrpc.Server{
		"bsrpc: server closed": closed,
		"bsrpc: ServerOptions: MaxMessage: want 1 B to 1 GiB, or 0 for 16 MiB": bsrpc.NewServer(&bsrpc.ServerOptions{MaxMessage: -5, Logger: quiet}),
	} {
		_, err := bsrpctest.Dial(t, srv, nil)
		var e *bsrpc.Error
		if err == nil || err.Error() != want || !errors.As(err, &e) || e.Outcome != bsrpc.OutcomeNotRun {
			t.Errorf("got %v, want %s", err, want)
		}
		if errors.Is(err, bsrpc.ErrServerClosed) != (srv == closed) {
			t.Errorf("%v and ErrServerClosed", err)
		}
	}
}

// A nil Server is a panic of the test's own goroutine.
func TestDialNilServer(t *testing.T) {
	defer func() {
		if p := recover(); p != "bsrpc: nil or zero Server; use NewServer" {
			t.Errorf("panic: %v", p)
		}
	}()
	bsrpctest.Dial(t, nil, nil)
}
