package main

import (
	"context"
	"net"

	"github.com/containerd/ttrpc"

	"github.com/bsrpc/bsrpc/bench/proto/pb"
)

type ttrpcPeer struct{}

func (ttrpcPeer) name() string { return "ttrpc" }

// cannot refuses what is above the 4 MiB that ttrpc has as a constant.
func (ttrpcPeer) cannot(w workload) string {
	if w.size+1<<10 > 4<<20 {
		return "messages end at 4 MiB"
	}
	return universal{}.cannot(w)
}

func (ttrpcPeer) serve(l net.Listener) (stop func()) {
	srv, err := ttrpc.NewServer()
	if err != nil {
		panic(err)
	}
	pb.RegisterTTRPCEchoService(srv, protoService{})
	go srv.Serve(context.Background(), l)
	return func() { srv.Close() }
}

func (ttrpcPeer) dial(d dialer) (client, error) {
	nc, err := d.dial()
	if err != nil {
		return nil, err
	}
	c := ttrpc.NewClient(nc)
	return protoClient{pb.NewTTRPCEchoClient(c), c.Close}, nil
}
