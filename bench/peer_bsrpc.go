package main

import (
	"context"
	"log/slog"
	"net"

	"github.com/bsrpc/bsrpc"
)

type bsrpcPeer struct{ universal }

// bsrpcEcho is the contract, bsrpcService its methods.
type bsrpcEcho struct {
	Small func(ctx context.Context, v *Small) (*Small, error)
	Bulk  func(ctx context.Context, b []byte) ([]byte, error)
	Items func(ctx context.Context, items []Item) ([]Item, error)
	Hold  func(ctx context.Context, v *Small) (*Small, error)
}

type bsrpcService struct{}

func (bsrpcService) Small(v *Small) *Small     { return v }
func (bsrpcService) Bulk(b []byte) []byte      { return b }
func (bsrpcService) Items(items []Item) []Item { return items }

func (bsrpcService) Hold(v *Small) *Small {
	held.wait()
	return v
}

func (bsrpcPeer) name() string { return "bsrpc" }

func (bsrpcPeer) serve(l net.Listener) (stop func()) {
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{
		MaxMessage: maxMessage,
		Logger:     slog.New(slog.DiscardHandler),
	})
	if err := bsrpc.RegisterAs[bsrpcEcho](srv, "Echo", bsrpcService{}); err != nil {
		panic(err)
	}
	go srv.Serve(l)
	return func() { srv.Close() }
}

func (bsrpcPeer) dial(d dialer) (client, error) {
	ctx := context.Background()
	c, err := bsrpc.Dial(ctx, d.network, d.address, &bsrpc.ClientOptions{MaxMessage: maxMessage})
	if err != nil {
		return nil, err
	}
	echo, err := bsrpc.Bind[bsrpcEcho](ctx, c, "Echo")
	return &bsrpcClient{c, echo}, err
}

type bsrpcClient struct {
	c    *bsrpc.Client
	echo *bsrpcEcho
}

func (c *bsrpcClient) small(v Small) call { return bsrpcSmall(c.echo.Small, v) }
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
