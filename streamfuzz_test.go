package bsrpc

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// For any frames of a client about streams, the server ends every call, and nothing is left
// of the connection.
func FuzzServerStreams(f *testing.F) {
	f.Add([]byte(streamConversation))
	open := rawHead(24, wire.Request, 0, hoseHold, 2) + u64(0) + rawHead(24, wire.Request, 0, hoseQuiet, 3) + u64(0) +
		string(bigRequest(4, hosePut, 70_000, 0)) + rawHead(24, wire.Request, 0, hoseFeed, 5) + u64(0)
	for _, tt := range streamViolations {
		f.Add([]byte(open + tt.frames))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		synctest.Test(t, func(t *testing.T) {
			h := newHose()
			srv := hoseServer(t, h, &ServerOptions{MaxMessage: 1 << 16, MaxStreams: 8})
			p := hosePeer(t, srv, wire.MinStreamWindow)
			go drain(p)
			go p.nc.Write(input)
			synctest.Wait()
			p.nc.Close()
			<-p.served
			synctest.Wait()
			srv.Close()
			checkBooked(t, srv)
			if n, m := h.handlers.Load(), h.iterators.Load(); n != 0 || m != 0 {
				t.Errorf("left: %d handlers, %d iterators", n, m)
			}
		})
	})
}

// For any frames of a server about streams, every call of the client ends with its
// connection at the latest.
func FuzzClientStreams(f *testing.F) {
	const begun, waiting, sending = 2 << 16, 3<<16 | 1, 4<<16 | 2 // as assigned to the three calls
	response := func(id uint64, body string) string {
		return rawHead(uint32(16+len(body)), wire.Response, 0, 0, id) + body
	}
	end := streamFrame(wire.End, 0, begun, 0, "")
	for _, seed := range []string{
		streamFrame(wire.Items, 0, begun, 0, itemsOf(u32(1), u32(2))+u32(4)+"x") + streamFrame(wire.Items, 0, begun, 0, "yz\x00") + end,
		response(waiting, "") + streamFrame(wire.Items, 0, waiting, 0, itemsOf(u32(1))) + streamFrame(wire.End, 0, waiting, 0, failedEnd(5, "x")),
		streamFrame(wire.Credit, 0, sending, 1, u32(1<<20)) + streamFrame(wire.Stop, 0, sending, 1, "") + response(sending, u32(7)),
		streamFrame(wire.Items, 0, begun, 0, u32(1<<30)+"x") + end + end,
		rawHead(24, wire.Response, wire.Chunked, 0, waiting) + u64(70_000) + rawHead(18, wire.ResponseChunk, 0, 0, waiting) + "xy",
		streamFrame(wire.Items, 0, begun, 0, itemsOf("x")) + end + response(begun, ""),
		rawHead(24, wire.Error, wire.NotRun, 14, sending) + strings.Repeat("\x00", 8) + rawHead(24, wire.Error, 0, 5, waiting) + strings.Repeat("\x00", 8),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		withHoseClient(t, func(client *Client, proxy *hoseContract, p *rawPeer, calls *hoseCalls) {
			if calls.begun != begun || calls.waiting != waiting || calls.sending != sending {
				t.Fatalf("ids: %x %x %x", calls.begun, calls.waiting, calls.sending)
			}
			unary := make(chan error, 1)
			go func() { _, err := proxy.Add(context.Background(), 1, 2); unary <- err }()
			go io.CopyN(io.Discard, p.nc, 1<<20) // a CREDIT may be for gigabytes
			go p.nc.Write(input)
			synctest.Wait()
			p.nc.Close()
			<-client.Done()
			<-calls.first
			<-calls.second
			<-calls.third
			<-unary
		})
	})
}
