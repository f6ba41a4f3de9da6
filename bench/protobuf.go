package main

import (
	"context"
	"fmt"

	"github.com/bsrpc/bsrpc/bench/proto/pb"
)

// What the peers with protobuf share: they differ in the transport only.

// A protoEcho is a client that protoc has made, or a wrapper of one.
type protoEcho interface {
	EchoSmall(ctx context.Context, in *pb.Small) (*pb.Small, error)
	EchoBulk(ctx context.Context, in *pb.Bulk) (*pb.Bulk, error)
	EchoItems(ctx context.Context, in *pb.Items) (*pb.Items, error)
	EchoHold(ctx context.Context, in *pb.Small) (*pb.Small, error)
}

// protoService implements the servers that protoc has made.
type protoService struct{}

func (protoService) EchoSmall(_ context.Context, in *pb.Small) (*pb.Small, error) { return in, nil }
func (protoService) EchoBulk(_ context.Context, in *pb.Bulk) (*pb.Bulk, error)    { return in, nil }
func (protoService) EchoItems(_ context.Context, in *pb.Items) (*pb.Items, error) { return in, nil }

func (protoService) EchoHold(_ context.Context, in *pb.Small) (*pb.Small, error) {
	held.wait()
	return in, nil
}

// A protoClient prepares requests in protobuf's own types, so that no call
// pays for turning one struct into another.
type protoClient struct {
	echo protoEcho
	end  func() error
}

func (c protoClient) small(v Small) call { return protoSmallBy(c.echo.EchoSmall, v) }
func (c protoClient) hold(v Small) call  { return protoSmallBy(c.echo.EchoHold, v) }

func protoSmallBy(method func(context.Context, *pb.Small) (*pb.Small, error), v Small) call {
	in := protoSmall(&v)
	return func(seq int64) error {
		in.Id, v.ID = seq, seq
		got, err := method(context.Background(), in)
		if err != nil {
			return err
		}
		return checkSmall(Small{got.Id, got.Name, got.Flags, got.Value}, v)
	}
}

func (c protoClient) bulk(b []byte) call {
	in := &pb.Bulk{Data: b}
	return func(seq int64) error {
		stamp(b, seq)
		got, err := c.echo.EchoBulk(context.Background(), in)
		if err != nil {
			return err
		}
		return checkBulk(got.Data, b, seq)
	}
}

func (c protoClient) items(items []Item) call {
	in := protoItems(items)
	return func(seq int64) error {
		in.Items[0].Id = seq
		got, err := c.echo.EchoItems(context.Background(), in)
		if err != nil {
			return err
		}
		return checkProtoItems(got.Items, in.Items)
	}
}

func checkProtoItems(got, want []*pb.Item) error {
	same := len(got) == len(want)
	for i := 0; i < len(want) && same; i++ {
		g, w := got[i], want[i]
		same = g.Id == w.Id && g.X == w.X && g.Y == w.Y && g.Z == w.Z && g.Name == w.Name
	}
	if !same {
		return fmt.Errorf("sent %d items, got %d, or others", len(want), len(got))
	}
	return nil
}

func (c protoClient) close() { c.end() }

func protoSmall(v *Small) *pb.Small {
	return &pb.Small{Id: v.ID, Name: v.Name, Flags: v.Flags, Value: v.Value}
}

func protoItems(items []Item) *pb.Items {
	m := &pb.Items{Items: make([]*pb.Item, len(items))}
	for i, it := range items {
		m.Items[i] = &pb.Item{Id: it.ID, X: it.X, Y: it.Y, Z: it.Z, Name: it.Name}
	}
	return m
}
