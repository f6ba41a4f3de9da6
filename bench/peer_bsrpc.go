package main

import (
	"context"
	"log/slog"
	"net"

	"github.com/bsrpc/bsrpc"
)

// A bsrpcPeer may have an interceptor at both ends that does nothing, or TLS.
type bsrpcPeer struct{ intercepted, tls bool }

func (bsrpcPeer) cannot(workload) string { return "" }

// of returns the peer for a workload.
func (p bsrpcPeer) of(w workload) peer { return bsrpcPeer{w.kind == "intercepted", p.tls} }

func (p bsrpcPeer) interceptors() []bsrpc.Interceptor {
	if p.intercepted {
		return []bsrpc.Interceptor{pass}
	}
	return nil
}

// bsrpcEcho is the contract, bsrpcService its methods.
type bsrpcEcho struct {
	Small func(ctx context.Context, v *Small) (*Small, error)
	Bulk  func(ctx context.Context, b []byte) ([]byte, error)
	Items func(ctx context.Context, items []Item) ([]Item, error)
	Hold  func(ctx context.Context, v *Small) (*Small, error)
	Bare  func(ctx context.Context, v *Small) (*Small, error)
}

type bsrpcService struct{}

func (bsrpcService) Small(_ context.Context, v *Small) (*Small, error) { return v, nil }
func (bsrpcService) Bulk(b []byte) []byte                              { return b }
func (bsrpcService) Items(items []Item) []Item                         { return items }

// Bare has neither a context nor an error.
func (bsrpcService) Bare(v *Small) *Small { return v }

func (bsrpcService) Hold(v *Small) *Small {
	held.wait()
	return v
}

func (p bsrpcPeer) name() string {
	switch {
	case p.intercepted && p.tls:
		return "bsrpc-intercepted-tls"
	case p.intercepted:
		return "bsrpc-intercepted"
	case p.tls:
		return "bsrpc-tls"
	}
	return "bsrpc"
}

func (p bsrpcPeer) serve(l net.Listener) (stop func()) {
	opts := &bsrpc.ServerOptions{
		MaxMessage:   maxMessage,
		MaxStreams:   bsrpc.NoLimit,
		Interceptors: p.interceptors(),
		Logger:       slog.New(slog.DiscardHandler),
	}
	if p.tls {
		opts.TLS = serverTLS()
	}
	srv := bsrpc.NewServer(opts)
	if err := bsrpc.RegisterAs[bsrpcEcho](srv, "Echo", bsrpcService{}); err != nil {
		panic(err)
	}
	if err := bsrpc.RegisterAs[bsrpcStreams](srv, "Streams", bsrpcService{}); err != nil {
		panic(err)
	}
	go srv.Serve(l)
	return func() { srv.Close() }
}

func (p bsrpcPeer) dial(d dialer) (client, error) {
	ctx := context.Background()
	opts := &bsrpc.ClientOptions{MaxMessage: maxMessage, Interceptors: p.interceptors()}
	if p.tls {
		opts.TLS = clientTLS()
	}
	c, err := bsrpc.Dial(ctx, d.network, d.address, opts)
	if err != nil {
		return nil, err
	}
	echo, err := bsrpc.Bind[bsrpcEcho](ctx, c, "Echo")
	if err != nil {
		return nil, err
	}
	streams, err := bsrpc.Bind[bsrpcStreams](ctx, c, "Streams")
	return &bsrpcClient{c, echo, streams}, err
}

type bsrpcClient struct {
	c       *bsrpc.Client
	echo    *bsrpcEcho
	streams *bsrpcStreams
}

func (c *bsrpcClient) small(v Small) call { return bsrpcSmall(c.echo.Small, v) }
func (c *bsrpcClient) bare(v Small) call  { return bsrpcSmall(c.echo.Bare, v) }
func (c *bsrpcClient) hold(v Small) call  { return bsrpcSmall(c.echo.Hold, v) }

func bsrpcSmall(method func(context.Context, *Small) (*Small, error), v Small) call {
	return func(seq int64) error {
		v.ID = seq
		got, err := method(context.Background(), &v)
		if err != nil {
			return err
		}
		return checkSmall(*got, v)
	}
}

func (c *bsrpcClient) bulk(b []byte) call {
	return func(seq int64) error {
		stamp(b, seq)
		got, err := c.echo.Bulk(context.Background(), b)
		if err != nil {
			return err
		}
		return checkBulk(got, b, seq)
	}
}

func (c *bsrpcClient) items(items []Item) call {
	return func(seq int64) error {
		items[0].ID = seq
		got, err := c.echo.Items(context.Background(), items)
		if err != nil {
			return err
		}
		return checkItems(got, items)
	}
}

func (c *bsrpcClient) close() { c.c.Close() }
