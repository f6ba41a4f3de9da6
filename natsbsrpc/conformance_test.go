package natsbsrpc_test

import (
	"testing"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
	"github.com/bsrpc/bsrpc/natsbsrpc"
)

func TestConformance(t *testing.T) {
	b := newBroker(t)
	bsrpctest.TestRoundTripper(t, func(tb testing.TB, srv *bsrpc.Server, opts *bsrpc.ClientOptions) *bsrpc.Client {
		serve(tb, b.connect(), srv)
		client, err := natsbsrpc.Dial(b.connect(), &natsbsrpc.DialOptions{Client: opts})
		if err != nil {
			tb.Fatal(err)
		}
		return client
	})
}
