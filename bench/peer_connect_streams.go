package main

import (
	"context"
	"errors"
	"io"
	"net/http"

	"connectrpc.com/connect"

	"github.com/bsrpc/bsrpc/bench/proto/pb"
)

// The streams of Connect, as its generator writes them.

func handleConnectStreams(mux *http.ServeMux) {
	down, up, both, read := "/bench.Streams/Down", "/bench.Streams/Up", "/bench.Streams/Both", "/bench.Streams/Read"
	mux.Handle(down, connect.NewServerStreamHandler(down, func(_ context.Context, r *connect.Request[pb.Small], s *connect.ServerStream[pb.Small]) error {
		return sendSmall(r.Msg.Id, int(r.Msg.Value), s.Send)
	}))
	mux.Handle(up, connect.NewClientStreamHandler(up, func(_ context.Context, s *connect.ClientStream[pb.Small]) (*connect.Response[pb.Small], error) {
		n, err := receiveSmall(func() (*pb.Small, error) {
			if s.Receive() {
				return s.Msg(), nil
			}
			return nil, endOf(s.Err())
		})
		return connect.NewResponse(&pb.Small{Id: n}), err
	}))
	mux.Handle(both, connect.NewBidiStreamHandler(both, func(_ context.Context, s *connect.BidiStream[pb.Small, pb.Small]) error {
		for {
			v, err := s.Receive()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err == nil {
				err = s.Send(v)
			}
			if err != nil {
				return err
			}
		}
	}))
	mux.Handle(read, connect.NewServerStreamHandler(read, func(_ context.Context, r *connect.Request[pb.Small], s *connect.ServerStream[pb.Bulk]) error {
		return sendBulk(int64(r.Msg.Value), s.Send)
	}))
}

// endOf returns io.EOF for the end of a stream without an error.
func endOf(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}

// A connectClient has streams beside its calls.
type connectClient struct {
	protoClient
	downs *connect.Client[pb.Small, pb.Small]
	ups   *connect.Client[pb.Small, pb.Small]
	boths *connect.Client[pb.Small, pb.Small]
	reads *connect.Client[pb.Small, pb.Bulk]
}

func newConnectClient(c protoClient, hc *http.Client, base string) connectClient {
	plain := connect.WithAcceptCompression("gzip", nil, nil)
	return connectClient{
		c,
		connect.NewClient[pb.Small, pb.Small](hc, base+"/bench.Streams/Down", plain),
		connect.NewClient[pb.Small, pb.Small](hc, base+"/bench.Streams/Up", plain),
		connect.NewClient[pb.Small, pb.Small](hc, base+"/bench.Streams/Both", plain),
		connect.NewClient[pb.Small, pb.Bulk](hc, base+"/bench.Streams/Read", plain),
	}
}

func (c connectClient) down(n int, _ bool) call {
	return func(seq int64) error {
		s, err := c.downs.CallServerStream(context.Background(), connect.NewRequest(&pb.Small{Id: seq, Value: float64(n)}))
		if err != nil {
			return err
		}
		defer s.Close()
		got, err := receiveSmall(func() (*pb.Small, error) {
			if s.Receive() {
				return s.Msg(), nil
			}
			return nil, endOf(s.Err())
		})
		if err != nil {
			return err
		}
		return (&counter{n: got}).end(n)
	}
}

func (c connectClient) up(n int, _ bool) call {
	return func(seq int64) error {
		s := c.ups.CallClientStream(context.Background())
		if err := sendSmall(seq, n, s.Send); err != nil {
			return err
		}
		got, err := s.CloseAndReceive()
		if err != nil {
			return err
		}
		return (&counter{n: got.Msg.Id}).end(n)
	}
}

func (c connectClient) pingPong(n int) call {
	return func(seq int64) error {
		s := c.boths.CallBidiStream(context.Background())
		if err := pingPong(seq, n, s.Send, s.Receive); err != nil {
			return err
		}
		if err := s.CloseRequest(); err != nil {
			return err
		}
		if _, err := s.Receive(); !errors.Is(err, io.EOF) {
			return err
		}
		return s.CloseResponse()
	}
}

func (c connectClient) read(n int64) call {
	return func(int64) error {
		s, err := c.reads.CallServerStream(context.Background(), connect.NewRequest(&pb.Small{Value: float64(n)}))
		if err != nil {
			return err
		}
		defer s.Close()
		return receiveBulk(n, func() (*pb.Bulk, error) {
			if s.Receive() {
				return s.Msg(), nil
			}
			return nil, endOf(s.Err())
		})
	}
}
