// Package bsrpctest connects clients to a server in memory, for tests of
// services.
//
// It opens no ports and works inside a testing/synctest bubble. Connections are
// closed when the test ends. Servers are not, as tests may share one. Close a
// server to wait for OnDisconnect or for receivers; otherwise it holds no
// resources after its connections are closed.
//
// A test of a caller needs neither: a fake is a struct literal of funcs, and a stream of
// a fake is a func with a yield.
//
// Golden finds the changes of a contract that part programs already released.
package bsrpctest

import (
	"context"
	"errors"
	"io"
	"iter"
	"net"
	"testing"

	"github.com/bsrpc/bsrpc"
)

// Dial connects a new client to server in memory and closes the connection, but
// not the server, when the test ends. opts may be nil.
func Dial(tb testing.TB, server *bsrpc.Server, opts *bsrpc.ClientOptions) (*bsrpc.Client, error) {
	tb.Helper()
	server.Sessions() // panics for a nil Server, here and not on a goroutine
	near, far := net.Pipe()
	var why error
	served := make(chan struct{})
	go func() {
		defer close(served)
		why = server.ServeConn(far)
	}()
	client, err := bsrpc.NewClient(context.Background(), near, opts)
	if err != nil {
		<-served
		var e *bsrpc.Error
		if errors.As(err, &e) && e.Code == bsrpc.CodeUnavailable && !e.Remote && why != nil && (errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe)) {
			// The server has closed without an answer: its own error says more.
			return nil, &bsrpc.Error{Code: e.Code, Outcome: e.Outcome, Message: why.Error(), Err: why}
		}
		return nil, err
	}
	tb.Cleanup(func() {
		client.Close()
		<-served
	})
	return client, nil
}

// Bind connects a new client to server, as Dial does, and returns its proxy for
// a service. It calls tb.Fatal on errors, including a *bsrpc.MismatchError.
func Bind[C any](tb testing.TB, server *bsrpc.Server, service string) *C {
	tb.Helper()
	client, err := Dial(tb, server, nil)
	if err != nil {
		tb.Fatal(err)
	}
	proxy, err := bsrpc.Bind[C](context.Background(), client, service)
	if err != nil {
		tb.Fatal(err)
	}
	return proxy
}

// Collect ranges over a stream and returns its items. At the first error it stops and
// returns the items before it, with the error. An empty stream gives a nil slice. The
// stream may come from a proxy or from a fake. It must end, if only with its context.
func Collect[T any](seq iter.Seq2[T, error]) ([]T, error) {
	var items []T
	for item, err := range seq {
		if err != nil {
			return items, err
		}
		items = append(items, item)
	}
	return items, nil
}
