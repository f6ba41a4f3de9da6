package main

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/httpbsrpc"
)

// console serves a page in which a person calls the fleet. Its server has the methods of a
// proxy: each call in the page goes to one of the servers behind the broker.
func console(fleet *Instruments[newReading]) (url string, stop func(), err error) {
	gateway := bsrpc.NewServer(&bsrpc.ServerOptions{
		OperatorRole: "operator", // sees the figures of this server
		Authenticate: func(_ context.Context, p *bsrpc.Peer, _ bsrpc.Credentials) error {
			p.Roles = []string{"operator"} // everyone on this machine
			return nil
		},
	})
	if err := bsrpc.RegisterAs[Instruments[newReading]](gateway, service, fleet); err != nil {
		return "", nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	web := &http.Server{Handler: httpbsrpc.Handler(gateway, &httpbsrpc.Options{Console: true}), ReadHeaderTimeout: 10 * time.Second}
	go web.Serve(l)
	return "http://" + l.Addr().String() + "/", func() { gateway.Close(); web.Close() }, nil
}
