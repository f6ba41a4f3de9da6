package httpbsrpc_test

import (
	"net/http/httptest"
	"testing"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
	"github.com/bsrpc/bsrpc/httpbsrpc"
)

func TestConformance(t *testing.T) {
	bsrpctest.TestRoundTripper(t, func(tb testing.TB, srv *bsrpc.Server, opts *bsrpc.ClientOptions) *bsrpc.Client {
		web := httptest.NewServer(httpbsrpc.Handler(srv, nil))
		tb.Cleanup(web.Close)
		client, err := httpbsrpc.Dial(web.URL, &httpbsrpc.DialOptions{Client: opts})
		if err != nil {
			tb.Fatal(err)
		}
		return client
	})
}
