package main

import (
	"context"
	"net"

	"storj.io/drpc/drpcconn"
	"storj.io/drpc/drpcmanager"
	"storj.io/drpc/drpcmux"
	"storj.io/drpc/drpcserver"
	"storj.io/drpc/drpcwire"

	"github.com/bsrpc/bsrpc/bench/proto/pb"
)

// drpcPeer carries one call at a time on a connection; the others wait.
type drpcPeer struct{}

var drpcOptions = drpcmanager.Options{Reader: drpcwire.ReaderOptions{MaximumBufferSize: maxMessage}}

func (drpcPeer) name() string { return "drpc" }

func (drpcPeer) cannot(w workload) string {
	if w.kind == "inflight" && w.callers > 1 {
		return "one call at a time on a connection"
	}
	return universal{}.cannot(w)
}

func (drpcPeer) serve(l net.Listener) (stop func()) {
	mux := drpcmux.New()
	if err := pb.DRPCRegisterEcho(mux, protoService{}); err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	srv := drpcserver.NewWithOptions(mux, drpcserver.Options{Manager: drpcOptions})
	go srv.Serve(ctx, l)
	return cancel
}

func (drpcPeer) dial(d dialer) (client, error) {
	nc, err := d.dial()
	if err != nil {
		return nil, err
	}
	c := drpcconn.NewWithOptions(nc, drpcconn.Options{Manager: drpcOptions})
	return protoClient{pb.NewDRPCEchoClient(c), c.Close}, nil
}
