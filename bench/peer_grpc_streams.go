package main

import (
	"context"
	"io"

	"google.golang.org/grpc"

	"github.com/bsrpc/bsrpc/bench/proto/pb"
)

// The streams of gRPC, as protoc-gen-go-grpc writes them. The request of down and read has
// the first id, and the count in value.

type (
	grpcDown = grpc.ServerStreamingClient[pb.Small]
	grpcUp   = grpc.ClientStreamingClient[pb.Small, pb.Small]
	grpcBoth = grpc.BidiStreamingClient[pb.Small, pb.Small]
)

// grpcStreams describes them to the server.
var grpcStreams = grpc.ServiceDesc{
	ServiceName: "bench.Streams",
	HandlerType: (*any)(nil),
	Streams: []grpc.StreamDesc{
		{StreamName: "Down", Handler: serveDown, ServerStreams: true},
		{StreamName: "Up", Handler: serveUp, ClientStreams: true},
		{StreamName: "Both", Handler: serveBoth, ServerStreams: true, ClientStreams: true},
		{StreamName: "Read", Handler: serveRead, ServerStreams: true},
	},
}

func serveDown(_ any, s grpc.ServerStream) error {
	in := new(pb.Small)
	if err := s.RecvMsg(in); err != nil {
		return err
	}
	return sendSmall(in.Id, int(in.Value), func(v *pb.Small) error { return s.SendMsg(v) })
}

// sendSmall sends n items.
func sendSmall(first int64, n int, send func(*pb.Small) error) error {
	v := protoSmall(&small)
	for i := range n {
		v.Id = first + int64(i)
		if err := send(v); err != nil {
			return err
		}
	}
	return nil
}

func serveUp(_ any, s grpc.ServerStream) error {
	n, err := receiveSmall(func() (*pb.Small, error) {
		v := new(pb.Small)
		return v, s.RecvMsg(v)
	})
	if err != nil {
		return err
	}
	return s.SendMsg(&pb.Small{Id: n})
}

// receiveSmall receives items to the end, and returns how many.
func receiveSmall(receive func() (*pb.Small, error)) (int64, error) {
	var c counter
	for {
		v, err := receive()
		if err == io.EOF {
			return c.n, nil
		}
		if c.n == 0 && err == nil {
			c.first = v.Id
		}
		if err == nil {
			err = c.check(v.Id)
		}
		if err != nil {
			return 0, err
		}
	}
}

func serveBoth(_ any, s grpc.ServerStream) error {
	for {
		v := new(pb.Small)
		if err := s.RecvMsg(v); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := s.SendMsg(v); err != nil {
			return err
		}
	}
}

func serveRead(_ any, s grpc.ServerStream) error {
	in := new(pb.Small)
	if err := s.RecvMsg(in); err != nil {
		return err
	}
	return sendBulk(int64(in.Value), func(v *pb.Bulk) error { return s.SendMsg(v) })
}

// sendBulk sends n bytes in messages of 64 KiB.
func sendBulk(n int64, send func(*pb.Bulk) error) error {
	for n > 0 {
		part := bulkBuffer[:min(n, bufferSize)]
		if err := send(&pb.Bulk{Data: part}); err != nil {
			return err
		}
		n -= int64(len(part))
	}
	return nil
}

// A grpcClient has streams beside its calls.
type grpcClient struct {
	protoClient
	cc *grpc.ClientConn
}

// stream begins a stream, and sends its request unless that is nil.
func (c grpcClient) stream(i int, in *pb.Small) (grpc.ClientStream, error) {
	d := &grpcStreams.Streams[i]
	s, err := c.cc.NewStream(context.Background(), d, "/bench.Streams/"+d.StreamName)
	if err != nil || in == nil {
		return s, err
	}
	if err := s.SendMsg(in); err != nil {
		return nil, err
	}
	return s, s.CloseSend()
}

func (c grpcClient) down(n int, _ bool) call {
	return func(seq int64) error {
		s, err := c.stream(0, &pb.Small{Id: seq, Value: float64(n)})
		if err != nil {
			return err
		}
		var in grpcDown = &grpc.GenericClientStream[pb.Small, pb.Small]{ClientStream: s}
		got, err := receiveSmall(in.Recv)
		if err != nil {
			return err
		}
		return (&counter{n: got}).end(n)
	}
}

func (c grpcClient) up(n int, _ bool) call {
	return func(seq int64) error {
		s, err := c.stream(1, nil)
		if err != nil {
			return err
		}
		var out grpcUp = &grpc.GenericClientStream[pb.Small, pb.Small]{ClientStream: s}
		if err := sendSmall(seq, n, out.Send); err != nil {
			return err
		}
		got, err := out.CloseAndRecv()
		if err != nil {
			return err
		}
		return (&counter{n: got.Id}).end(n)
	}
}

func (c grpcClient) pingPong(n int) call {
	return func(seq int64) error {
		s, err := c.stream(2, nil)
		if err != nil {
			return err
		}
		var both grpcBoth = &grpc.GenericClientStream[pb.Small, pb.Small]{ClientStream: s}
		if err := pingPong(seq, n, both.Send, both.Recv); err != nil {
			return err
		}
		if err := both.CloseSend(); err != nil {
			return err
		}
		if _, err := both.Recv(); err != io.EOF {
			return err
		}
		return nil
	}
}

// pingPong sends one item at a time, and waits for its answer.
func pingPong(first int64, n int, send func(*pb.Small) error, receive func() (*pb.Small, error)) error {
	v := protoSmall(&small)
	for i := range n {
		v.Id = first + int64(i)
		if err := send(v); err != nil {
			return err
		}
		got, err := receive()
		if err == nil {
			err = (&counter{first: v.Id}).check(got.Id)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c grpcClient) read(n int64) call {
	return func(int64) error {
		s, err := c.stream(3, &pb.Small{Value: float64(n)})
		if err != nil {
			return err
		}
		in := &grpc.GenericClientStream[pb.Small, pb.Bulk]{ClientStream: s}
		return receiveBulk(n, in.Recv)
	}
}

// receiveBulk receives messages to the end, and checks their bytes.
func receiveBulk(n int64, receive func() (*pb.Bulk, error)) error {
	for total := int64(0); ; {
		m, err := receive()
		if err == io.EOF {
			return (&counter{n: total}).end(int(n))
		}
		if err != nil {
			return err
		}
		if total += int64(len(m.Data)); len(m.Data) > 0 {
			if err := (&counter{first: bulkByte}).check(int64(m.Data[0])); err != nil {
				return err
			}
		}
	}
}
