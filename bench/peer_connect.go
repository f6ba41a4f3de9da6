package main

import (
	"context"
	"net"
	"net/http"

	"connectrpc.com/connect"

	"github.com/bsrpc/bsrpc/bench/proto/pb"
	"github.com/bsrpc/bsrpc/bench/proto/pb/pbconnect"
)

// connectPeer speaks Connect's own protocol over HTTP/2 without TLS.
type connectPeer struct{ streaming }

func (connectPeer) name() string { return "connect-go" }

func (connectPeer) serve(l net.Listener) (stop func()) {
	mux := http.NewServeMux()
	mux.Handle(pbconnect.NewEchoHandler(connectService{}))
	handleConnectStreams(mux)
	srv := &http.Server{
		Handler:   mux,
		Protocols: h2c(),
		HTTP2:     &http.HTTP2Config{MaxConcurrentStreams: maxCallers},
	}
	go srv.Serve(l)
	return func() { srv.Close() }
}

func (connectPeer) dial(d dialer) (client, error) {
	t := &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return d.dial() },
		Protocols:   h2c(),
		HTTP2:       &http.HTTP2Config{StrictMaxConcurrentRequests: true}, // one connection
	}
	hc := &http.Client{Transport: t}
	c := pbconnect.NewEchoClient(hc, "http://bench",
		connect.WithAcceptCompression("gzip", nil, nil)) // no other peer compresses
	end := func() error { t.CloseIdleConnections(); return nil }
	return newConnectClient(protoClient{connectEcho{c}, end}, hc, "http://bench"), nil
}

func h2c() *http.Protocols {
	var p http.Protocols
	p.SetUnencryptedHTTP2(true)
	return &p
}

type connectService struct{}

func (connectService) EchoSmall(_ context.Context, r *connect.Request[pb.Small]) (*connect.Response[pb.Small], error) {
	return connect.NewResponse(r.Msg), nil
}

func (connectService) EchoBulk(_ context.Context, r *connect.Request[pb.Bulk]) (*connect.Response[pb.Bulk], error) {
	return connect.NewResponse(r.Msg), nil
}

func (connectService) EchoItems(_ context.Context, r *connect.Request[pb.Items]) (*connect.Response[pb.Items], error) {
	return connect.NewResponse(r.Msg), nil
}

func (connectService) EchoHold(_ context.Context, r *connect.Request[pb.Small]) (*connect.Response[pb.Small], error) {
	held.wait()
	return connect.NewResponse(r.Msg), nil
}

// connectEcho takes messages out of Connect's requests and responses.
type connectEcho struct{ c pbconnect.EchoClient }

func (e connectEcho) EchoSmall(ctx context.Context, in *pb.Small) (*pb.Small, error) {
	return unwrap(e.c.EchoSmall(ctx, connect.NewRequest(in)))
}

func (e connectEcho) EchoBulk(ctx context.Context, in *pb.Bulk) (*pb.Bulk, error) {
	return unwrap(e.c.EchoBulk(ctx, connect.NewRequest(in)))
}

func (e connectEcho) EchoItems(ctx context.Context, in *pb.Items) (*pb.Items, error) {
	return unwrap(e.c.EchoItems(ctx, connect.NewRequest(in)))
}

func (e connectEcho) EchoHold(ctx context.Context, in *pb.Small) (*pb.Small, error) {
	return unwrap(e.c.EchoHold(ctx, connect.NewRequest(in)))
}

func unwrap[M any](r *connect.Response[M], err error) (*M, error) {
	if err != nil {
		return nil, err
	}
	return r.Msg, nil
}
