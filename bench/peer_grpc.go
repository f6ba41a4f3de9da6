package main

import (
	"context"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/bsrpc/bsrpc/bench/proto/pb"
)

type grpcPeer struct{ streaming }

type grpcService struct {
	pb.UnimplementedEchoServer
}

func (grpcService) EchoSmall(ctx context.Context, in *pb.Small) (*pb.Small, error) { return in, nil }
func (grpcService) EchoBulk(ctx context.Context, in *pb.Bulk) (*pb.Bulk, error)    { return in, nil }
func (grpcService) EchoItems(ctx context.Context, in *pb.Items) (*pb.Items, error) { return in, nil }

func (grpcService) EchoHold(ctx context.Context, in *pb.Small) (*pb.Small, error) {
	held.wait()
	return in, nil
}

func (grpcPeer) name() string { return "grpc-go" }

func (grpcPeer) serve(l net.Listener) (stop func()) {
	srv := grpc.NewServer(grpc.MaxRecvMsgSize(maxMessage))
	pb.RegisterEchoServer(srv, grpcService{})
	srv.RegisterService(&grpcStreams, nil)
	go srv.Serve(l)
	return srv.Stop
}

func (grpcPeer) dial(d dialer) (client, error) {
	cc, err := grpc.NewClient("passthrough:///bench",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return d.dial() }),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)))
	if err != nil {
		return nil, err
	}
	return grpcClient{protoClient{grpcEcho{pb.NewEchoClient(cc)}, cc.Close}, cc}, nil
}

// grpcEcho leaves out the options that calls may have.
type grpcEcho struct{ c pb.EchoClient }

func (e grpcEcho) EchoSmall(ctx context.Context, in *pb.Small) (*pb.Small, error) {
	return e.c.EchoSmall(ctx, in)
}

func (e grpcEcho) EchoBulk(ctx context.Context, in *pb.Bulk) (*pb.Bulk, error) {
	return e.c.EchoBulk(ctx, in)
}

func (e grpcEcho) EchoItems(ctx context.Context, in *pb.Items) (*pb.Items, error) {
	return e.c.EchoItems(ctx, in)
}

func (e grpcEcho) EchoHold(ctx context.Context, in *pb.Small) (*pb.Small, error) {
	return e.c.EchoHold(ctx, in)
}
