// Package bsrpctest joins servers and clients in memory, for the tests of
// services.
//
// It opens no ports and works inside a testing/synctest bubble. Connections are
// closed with the test. Servers are not, as several tests may use one: close a
// server whose OnDisconnect or receivers are to be waited for; any other holds
// nothing once its connections are closed.
package bsrpctest

import (
	"context"
	"net"
	"testing"

	"github.com/bsrpc/bsrpc"
)

// Dial joins one more client to server, in memory. The connection, and not the
// server, is closed when the test ends. opts may be nil.
func Dial(tb testing.TB, server *bsrpc.Server, opts *bsrpc.ClientOptions) (*bsrpc.Client, error) {
	tb.Helper()
	near, far := net.Pipe()
	served := make(chan struct{})
	go func() {
		defer close(served)
		server.ServeConn(far)
	}()
	client, err := bsrpc.NewClient(context.Background(), near, opts)
	if err != nil {
		<-served
		return nil, err
	}
	tb.Cleanup(func() {
		client.Close()
		<-served
	})
	return client, nil
}

// Bind joins one more client to server and returns its proxy for a service.
// Anything that goes wrong, a *bsrpc.MismatchError among it, fails the test.
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
