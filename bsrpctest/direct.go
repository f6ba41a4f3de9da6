package bsrpctest

import (
	"bytes"
	"context"
	"iter"
	"maps"
	"net"

	"github.com/bsrpc/bsrpc"
)

// Direct returns a RoundTripper to srv in memory, for bsrpc.NewClientOver. It carries what a
// transport between two machines would: copies of the bytes, and of an error what
// bsrpc.AppendError has. It is safe for concurrent use.
func Direct(srv *bsrpc.Server) bsrpc.RoundTripper { return direct{srv} }

type direct struct{ server *bsrpc.Server }

// Prompt implements bsrpc.PromptRoundTripper.
func (d direct) Prompt() {}

// RoundTrip implements bsrpc.RoundTripper.
func (d direct) RoundTrip(ctx context.Context, r *bsrpc.Request) (*bsrpc.Reply, error) {
	own := *r
	own.Body, own.Metadata = bytes.Clone(r.Body), maps.Clone(r.Metadata)
	own.Peer = bsrpc.Peer{Addr: directAddr{}}
	reply := *d.server.Handle(ctx, &own)
	if reply.Err != nil {
		reply.Err = carried(reply.Err)
	}
	if items := reply.Items; items != nil {
		reply.Items = carriedItems(items)
	}
	return &reply, nil
}

// carried returns an error as it arrives at the other end.
func carried(e *bsrpc.Error) *bsrpc.Error {
	arrived, err := bsrpc.ReadError(bsrpc.AppendError(nil, e))
	if err != nil {
		return &bsrpc.Error{Code: bsrpc.CodeInternal, Message: err.Error()}
	}
	return arrived
}

// carriedItems returns items whose last error has been carried.
func carriedItems(items iter.Seq2[[]byte, error]) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for item, err := range items {
			if e, ok := err.(*bsrpc.Error); ok {
				err = carried(e)
			}
			if !yield(item, err) {
				return
			}
		}
	}
}

// A directAddr is the address of the callers of Direct.
type directAddr struct{}

var _ net.Addr = directAddr{}

func (directAddr) Network() string { return "direct" }
func (directAddr) String() string  { return "in memory" }
