package bsrpc

// Simulated clients send invalid, late and unusual frames about streams. docs/protocol.md
// has one answer to each.

import (
	"fmt"
	"iter"
	"math"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// The calls open while a frame of the tables below arrives.
const (
	heldCall    = 2 + iota // Hold: its parameter is not read
	quietCall              // Quiet: its result has begun
	chunkedCall            // Put: its REQUEST is not complete
	fedCall                // Feed: its parameter is read
)

// openAll makes the calls of the tables.
func openAll(p *rawPeer) {
	p.request(heldCall, hoseHold, "")
	p.request(quietCall, hoseQuiet, "")
	p.wantAnswer(quietCall)
	p.write(bigRequest(chunkedCall, hosePut, 70_000, 0))
	p.request(fedCall, hoseFeed, "")
}

const byCaller = wire.FromCaller

var streamViolations = []struct{ name, frames, want string }{
	{"credit overdrawn by one byte", streamFrame(wire.Items, byCaller, heldCall, 1, u32(70_000)+strings.Repeat("x", 65_532)) +
		streamFrame(wire.Items, byCaller, heldCall, 1, "x"), "ITEMS of stream 1 of call 2: 1 bytes more than its credit (the server's Limits.StreamWindow is 65536)"},
	{"credit overdrawn by small items", streamFrame(wire.Items, byCaller, heldCall, 1, strings.Repeat(u32(0), 4097)), "16 bytes more than its credit (the server's Limits.StreamWindow is 65536)"},
	{"ITEMS without bytes", streamFrame(wire.Items, byCaller, heldCall, 1, ""), "ITEMS without bytes"},
	{"ITEMS too long", rawHead(16+65_537, wire.Items, byCaller, 1, heldCall), "ITEMS of 65537 bytes in one frame"},
	{"a length cut by its frame", streamFrame(wire.Items, byCaller, heldCall, 1, "\x01\x00\x00"), "ends in the length of an item"},
	{"a second length cut", streamFrame(wire.Items, byCaller, heldCall, 1, itemsOf("x")+"\x01"), "ends in the length of an item"},
	{"ITEMS of a call never made", streamFrame(wire.Items, byCaller, 9, 1, itemsOf("x")), "ITEMS for stream 1 of call 9, which was never made"},
	{"ITEMS of call 0", streamFrame(wire.Items, byCaller, 0, 1, itemsOf("x")), "ITEMS for stream 1 of call 0, which was never made"},
	{"ITEMS of a call of the server", streamFrame(wire.Items, 0, heldCall, 1, itemsOf("x")), "ITEMS for stream 1 of call 2, which was never made"},
	{"ITEMS before the REQUEST is complete", streamFrame(wire.Items, byCaller, chunkedCall, 1, itemsOf("x")), "ITEMS for stream 1 of call 4, which was never made"},
	{"END before the REQUEST is complete", streamFrame(wire.End, byCaller, chunkedCall, 1, ""), "END for stream 1 of call 4, which was never made"},
	{"CREDIT before the REQUEST is complete", streamFrame(wire.Credit, byCaller, chunkedCall, 0, u32(1)), "CREDIT for stream 0 of call 4, which was never made"},
	{"END of a call never made", streamFrame(wire.End, byCaller, 9, 1, ""), "END for stream 1 of call 9, which was never made"},
	{"END in an item", streamFrame(wire.Items, byCaller, heldCall, 1, u32(5)+"abc") + streamFrame(wire.End, byCaller, heldCall, 1, ""), "END of stream 1 of call 2, in an item"},
	{"END with code 0", streamFrame(wire.End, byCaller, heldCall, 1, "\x00\x00"+strings.Repeat("\x00", 8)), "END: a failure with code 0"},
	{"END of one byte", streamFrame(wire.End, byCaller, heldCall, 1, "\x05"), "END: cut off after 1 byte"},
	{"END with a failure cut off", streamFrame(wire.End, byCaller, heldCall, 1, "\x05\x00\x01"), "END: want 2 bytes, have 1"},
	{"END with a failure too long", streamFrame(wire.End, byCaller, heldCall, 1, failedEnd(5, "")+"x"), "END: 1 trailing bytes"},
	{"END with NOTRUN", streamFrame(wire.End, byCaller|wire.NotRun, heldCall, 1, ""), "END frame with reserved flags 0x04"},
	{"CREDIT of 0", streamFrame(wire.Credit, byCaller, quietCall, 0, u32(0)), "CREDIT of 0 bytes"},
	{"CREDIT of 3 bytes", streamFrame(wire.Credit, byCaller, quietCall, 0, "\x01\x00\x00"), "CREDIT with a body of 3 bytes, want 4"},
	{"CREDIT of 5 bytes", streamFrame(wire.Credit, byCaller, quietCall, 0, "\x01\x00\x00\x00\x00"), "CREDIT with a body of 5 bytes, want 4"},
	{"CREDIT without a body", streamFrame(wire.Credit, byCaller, quietCall, 0, ""), "CREDIT with a body of 0 bytes, want 4"},
	{"CREDIT above the most", streamFrame(wire.Credit, byCaller, quietCall, 0, u32(math.MaxUint32)), "for stream 0 of call 3, want at most 2147483647"},
	{"CREDIT above the most, together", strings.Repeat(streamFrame(wire.Credit, byCaller, quietCall, 0, u32(1<<30)), 2), "credit of 2147484672 bytes for stream 0 of call 3"},
	{"CREDIT of a call never made", streamFrame(wire.Credit, byCaller, 9, 0, u32(1)), "CREDIT for stream 0 of call 9, which was never made"},
	{"STOP by a client", streamFrame(wire.Stop, 0, heldCall, 1, ""), "STOP for stream 1 of call 2, which was never made"},
	{"STOP by a client, of its result", streamFrame(wire.Stop, 0, quietCall, 0, ""), "STOP for stream 0 of call 3, which was never made"},
	{"STOP with CALLER", streamFrame(wire.Stop, byCaller, heldCall, 1, ""), "STOP frame with reserved flags 0x20"},
	{"STOP with a body", streamFrame(wire.Stop, 0, heldCall, 1, "x"), "STOP with a body of 1 bytes"},
	{"the first reserved type", streamFrame(0x24, 0, heldCall, 1, ""), "unknown frame type 0x24"},
}

func TestStreamViolationsClose(t *testing.T) {
	for _, tt := range streamViolations {
		t.Run(tt.name, func(t *testing.T) {
			withHose(t, nil, func(p *rawPeer, srv *Server, _ *hose) {
				stop := witnessHose(t, srv)
				openAll(p)
				go p.nc.Write([]byte(tt.frames))
				for {
					f, body := p.read()
					if f.Type == wire.Credit {
						continue
					}
					if failure, err := wire.ReadFailure(body); f.Type != wire.Close || err != nil || !strings.Contains(failure.Message, tt.want) {
						t.Errorf("got %v, %q; want CLOSE, %q", f.Type, failure.Message, tt.want)
					}
					break
				}
				p.wantEnd()
				stop()
			})
		})
	}
}

// witnessHose has a stream open on a connection of its own, until stop.
func witnessHose(t testing.TB, srv *Server) (stop func()) {
	p := hosePeer(t, srv, wire.MinStreamWindow)
	p.request(2, hoseEcho, "")
	p.wantAnswer(2)
	return func() {
		p.write([]byte(streamFrame(wire.Items, byCaller, 2, 1, itemsOf(u32(7))) + streamFrame(wire.End, byCaller, 2, 1, "")))
		if got := string(p.want(wire.Items, 2, 0, 0)); got != itemsOf(u32(7)) {
			t.Errorf("the witness: got %q", got)
		}
		p.want(wire.End, 2, 0, 0)
		p.nc.Close()
		<-p.served
	}
}

// Frames of streams that are over, or that their calls do not have, are ignored.
func TestLateStreamFramesAreIgnored(t *testing.T) {
	end := streamFrame(wire.End, byCaller, heldCall, 1, "")
	for _, tt := range []struct{ name, frames string }{
		{"ITEMS after END", end + streamFrame(wire.Items, byCaller, heldCall, 1, itemsOf("x"))},
		{"invalid ITEMS after END", end + streamFrame(wire.Items, byCaller, heldCall, 1, "x")},
		{"END after END", end + end + streamFrame(wire.End, byCaller, heldCall, 1, failedEnd(5, "late"))},
		{"END with code 0 after END", end + streamFrame(wire.End, byCaller, heldCall, 1, "\x00\x00")},
		{"ITEMS of a number that the call does not have", streamFrame(wire.Items, byCaller, heldCall, 2, "x") + streamFrame(wire.Items, byCaller, heldCall, 65535, "x")},
		{"ITEMS of the result", streamFrame(wire.Items, byCaller, quietCall, 0, itemsOf("x"))},
		{"END of the result", streamFrame(wire.End, byCaller, quietCall, 0, "")},
		{"END of a number that the call does not have", streamFrame(wire.End, byCaller, quietCall, 1, "")},
		{"CREDIT of the parameter", streamFrame(wire.Credit, byCaller, heldCall, 1, u32(1))},
		{"CREDIT of a number that the call does not have", streamFrame(wire.Credit, byCaller, quietCall, 9, u32(0))},
		{"frames of a BIND", streamFrame(wire.Items, byCaller, 1, 1, "x") + streamFrame(wire.End, byCaller, 1, 0, "") + streamFrame(wire.Credit, byCaller, 1, 0, u32(1))},
		{"many bytes without credit", end + strings.Repeat(streamFrame(wire.Items, byCaller, heldCall, 1, strings.Repeat("x", 65_536)), 20)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			withHose(t, nil, func(p *rawPeer, _ *Server, _ *hose) {
				openAll(p)
				p.write([]byte(tt.frames))
				p.wantSum(fedCall + 1)
			})
		})
	}
}

// A number of bytes that nothing has sent yet costs no memory. An item above MaxMessage
// fails its stream, which is stopped, and no other.
func TestLongItems(t *testing.T) {
	withHose(t, &ServerOptions{MaxMessage: 16 << 20}, func(p *rawPeer, srv *Server, _ *hose) {
		p.request(2, hoseTotal, "")
		p.write([]byte(streamFrame(wire.Items, byCaller, 2, 1, blobs("one")+u32(1<<30)+"xyz")))
		p.want(wire.Stop, 2, 1, 0)
		p.wantError(2, CodeResourceExhausted, 0, "item of 1073741824 bytes, this end's MaxMessage is 16777216")
		p.write([]byte(streamFrame(wire.Items, byCaller, 2, 1, "more") + streamFrame(wire.End, byCaller, 2, 1, "")))
		p.wantSum(3)

		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for id := range uint64(3) { // the third is above ConnBytes, and waits
			p.request(4+id, hoseTotal, "")
			p.write([]byte(streamFrame(wire.Items, byCaller, 4+id, 1, u32(16<<20))))
			synctest.Wait()
		}
		if n := srv.budget.Booked(); n != 2*4 { // the lengths of two items
			t.Errorf("%d bytes are booked", n)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
			t.Errorf("%d bytes of memory for three lengths", n)
		}
		p.request(7, hoseTotal, "")
		p.write([]byte(streamFrame(wire.Items, byCaller, 7, 1, blobs("abc")) + streamFrame(wire.End, byCaller, 7, 1, "")))
		if got := string(p.wantAnswer(7)); got != u32(3) {
			t.Errorf("a short item: %q", got)
		}
		p.write([]byte(streamFrame(wire.End, byCaller, 4, 1, failedEnd(CodeDataLoss, "disk"))))
		p.wantError(4, CodeDataLoss, 0, "disk")
		synctest.Wait()
		if n := srv.budget.Booked(); n != 2*4 { // the lengths of two items
			t.Errorf("%d bytes are booked, with the third item in place of the first", n)
		}
		p.write([]byte(streamFrame(wire.Items, byCaller, 5, 1, "x")))
		time.Sleep(30 * time.Second)
		p.write([]byte(streamFrame(wire.Items, byCaller, 5, 1, "x"))) // progress
		p.want(wire.Stop, 6, 1, 0)
		p.wantError(6, CodeDeadlineExceeded, 0, "an item made no progress for the server's Limits.FrameTimeout (1m0s)")
		p.want(wire.Stop, 5, 1, 0)
		p.wantError(5, CodeDeadlineExceeded, 0, "an item made no progress")
		synctest.Wait() // the answers may be sent before
		if n := srv.budget.Booked(); n != 0 {
			t.Errorf("%d bytes are booked at the end", n)
		}
	})
}

// The length of an item may be read after the end of its connection.
func TestLongItemAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := NewServer(&ServerOptions{Logger: quiet})
		wait := make(chan struct{})
		seen := make(chan error, 1)
		err := srv.RegisterFunc("Hose.Slow", func(in iter.Seq2[[]byte, error]) error {
			<-wait
			for _, err := range in {
				seen <- err
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		p := rawDial(t, srv)
		p.write(wire.AppendClientInit(nil, &wire.Hello{Version: 1, Streams: wire.StreamLimits{Window: 1 << 16}}))
		p.readBasic()
		p.send(wire.Frame{Type: wire.Bind, Flags: wire.Describe, ID: 1}, (&wire.BindRequest{Service: "Hose", Names: []string{"Slow"}}).Append(nil))
		p.wantAnswer(1)
		p.request(2, 0, "")
		p.write([]byte(streamFrame(wire.Items, byCaller, 2, 1, u32(1<<20)+"x")))
		synctest.Wait()
		p.nc.Close()
		<-p.served
		synctest.Wait()
		close(wait)
		if err := <-seen; err == nil {
			t.Error("the stream ends without an error")
		}
		srv.Close()
		checkBooked(t, srv)
	})
}

// wantItems reads the items of a result stream, of 8 bytes each, that cost so much credit.
func (p *rawPeer) wantItems(id uint64, cost int) {
	p.t.Helper()
	left := cost / wire.MinItemCost * 8
	for left > 0 {
		left -= len(p.want(wire.Items, id, 0, 0))
	}
	if left < 0 {
		p.t.Errorf("call %d: %d bytes more than the credit", id, -left)
	}
}

// A result stream keeps to its credit, however it is given: before the RESPONSE, in one
// frame, or in many small ones.
func TestResultCredit(t *testing.T) {
	withHose(t, nil, func(p *rawPeer, srv *Server, h *hose) {
		p.request(2, hoseLate, u32(1<<20))
		synctest.Wait()
		p.write([]byte(streamFrame(wire.Credit, byCaller, 2, 0, u32(1024))))
		synctest.Wait()
		close(h.release)
		p.wantAnswer(2)
		p.wantItems(2, 2048)
		p.wantSum(3)
		for range 1000 { // an item each 16 frames
			p.write([]byte(strings.Repeat(streamFrame(wire.Credit, byCaller, 2, 0, u32(1)), 16)))
			p.wantItems(2, 16)
		}
		p.wantSum(4)
		p.write([]byte(streamFrame(wire.Credit, byCaller, 2, 0, u32(1<<20))))
		p.wantItems(2, 1<<20)
		p.wantSum(5)
	})
}

// A reader that waits for bytes pays back what is left of a window when no item fits in it any more,
// and lends as much again, up to a quarter of Limits.ConnWindow.
func TestWindowGrows(t *testing.T) {
	withHose(t, nil, func(p *rawPeer, _ *Server, _ *hose) {
		p.request(2, hoseTotal, "")
		credit, most := 64<<10, 0
		send := func(n int) {
			body := blobs(strings.Repeat("x", n-8)) // the length of the item, and of its bytes
			p.write([]byte(streamFrame(wire.Items, byCaller, 2, 1, body)))
			for credit -= len(body); credit < 32<<10; {
				n, err := wire.ReadCredit(p.want(wire.Credit, 2, 1, 0))
				if err != nil {
					t.Fatal(err)
				}
				credit += int(n)
				most = max(most, credit)
			}
		}
		send(64<<10 - 8)
		for range 60 {
			synctest.Wait()
			send(32 << 10)
		}
		if most < 512<<10 || most > 64<<10+1<<20 {
			t.Errorf("up to %d bytes of credit", most)
		}
	})
}

// More streams than MaxStreams are refused, any number of times.
func TestManyStreams(t *testing.T) {
	t.Parallel()
	withHose(t, &ServerOptions{MaxStreams: 4}, func(p *rawPeer, srv *Server, h *hose) {
		id := uint64(2)
		open := func(method uint16) { p.request(id, method, ""); id++ }
		open(hoseHold)
		open(hoseQuiet)
		p.wantAnswer(3)
		open(hoseEcho) // two
		p.wantAnswer(4)
		rounds := 1_000_000
		if !LongTests {
			rounds = 1000
		}
		for range rounds {
			open([]uint16{hoseHold, hoseQuiet, hoseEcho, hoseFeed}[id%4])
			p.wantError(id-1, CodeResourceExhausted, wire.NotRun, "too many open streams on this connection (the server's MaxStreams is 4)")
		}
		p.send(wire.Frame{Type: wire.Cancel, ID: 3}, nil)
		p.want(wire.End, 3, 0, 0)
		open(hoseHold)
		open(hoseHold)
		p.wantError(id-1, CodeResourceExhausted, wire.NotRun, "MaxStreams")
		p.write([]byte(streamFrame(wire.End, byCaller, 2, 1, ""))) // the call goes on
		open(hoseHold)
		open(hoseHold)
		p.wantError(id-1, CodeResourceExhausted, wire.NotRun, "MaxStreams")
		p.wantSum(id)
	})
}

// A client that does not announce streams cannot use them.
func TestClientWithoutStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := hoseServer(t, newHose(), nil)
		p := hosePeer(t, srv, 0)
		p.request(2, hoseCount, u32(1))
		p.wantError(2, CodeUnimplemented, wire.NotRun, "Hose.Count: the caller does not support streams")
		p.write([]byte(streamFrame(wire.Items, byCaller, 2, 1, "x"))) // of a call that has been answered
		p.wantSum(3)
		p.nc.Close()
		<-p.served
		srv.Close()
		checkBooked(t, srv)
	})
}

// A window that cannot have an item, or more than credit can be, is malformed.
func TestStreamWindowInINIT(t *testing.T) {
	for _, window := range []uint32{1, 16, 1023, 1 << 31, math.MaxUint32} {
		synctest.Test(t, func(t *testing.T) {
			srv := hoseServer(t, newHose(), nil)
			p := rawDial(t, srv)
			p.write(wire.AppendClientInit(nil, &wire.Hello{Version: 1, Streams: wire.StreamLimits{Window: window}}))
			typ, payload := p.readBasic()
			h, err := wire.ReadServerInit(payload)
			want := fmt.Sprintf("field 0x0008 (StreamWindow) is %d, want 1024 to 2147483647", window)
			if typ != wire.Init || err != nil || Code(h.RefusalCode) != CodeFailedPrecondition || !strings.Contains(h.Refusal, want) {
				t.Errorf("window of %d: %v, %+v, %v", window, typ, h, err)
			}
			p.wantEnd()
			<-p.served
			srv.Close()
		})
	}
}

// CANCEL before the RESPONSE, after it, and after END.
func TestCancelOfStreams(t *testing.T) {
	withHose(t, nil, func(p *rawPeer, _ *Server, _ *hose) {
		cancel := func(id uint64) { p.send(wire.Frame{Type: wire.Cancel, ID: id}, nil) }
		p.request(2, hoseLate, u32(1))
		synctest.Wait()
		cancel(2)
		p.wantError(2, CodeCanceled, 0, "canceled")

		p.request(3, hoseCount, u32(1<<20))
		p.wantAnswer(3)
		p.wantItems(3, 1024)
		cancel(3)
		e, err := wire.ReadStreamEnd(p.want(wire.End, 3, 0, 0))
		if err != nil || Code(e.Code) != CodeCanceled {
			t.Errorf("END after CANCEL: %+v, %v", e, err)
		}

		p.request(4, hoseCount, u32(1))
		p.wantAnswer(4)
		p.want(wire.Items, 4, 0, 0)
		if body := p.want(wire.End, 4, 0, 0); len(body) != 0 {
			t.Errorf("END: %q", body)
		}
		cancel(4)
		cancel(4)

		p.request(5, hoseHold, "")
		synctest.Wait()
		cancel(5)
		p.wantError(5, CodeCanceled, 0, "canceled")

		p.request(6, hoseFirst, "")
		p.write([]byte(streamFrame(wire.Items, byCaller, 6, 1, blobs("x", "y"))))
		p.want(wire.Stop, 6, 1, 0)
		p.write([]byte(streamFrame(wire.Items, byCaller, 6, 1, "late") + streamFrame(wire.End, byCaller, 6, 1, "")))
		cancel(6)
		p.wantError(6, CodeCanceled, 0, "canceled")
		p.wantSum(7)
	})
}

// streamConversation is what a client may send: calls in every state of their streams.
var streamConversation = rawHead(24, wire.Request, 0, hoseTotal, 2) + u64(0) +
	streamFrame(wire.Items, byCaller, 2, 1, blobs("one", strings.Repeat("two", 9))+u32(9)+"in") +
	rawHead(28, wire.Request, 0, hoseCount, 3) + u64(0) + u32(100) +
	streamFrame(wire.Credit, byCaller, 3, 0, u32(64)) +
	rawHead(24, wire.Request, 0, hoseEcho, 4) + u64(0) +
	streamFrame(wire.Items, byCaller, 4, 1, itemsOf(u32(1))) +
	streamFrame(wire.End, byCaller, 4, 1, failedEnd(5, "x")) +
	rawHead(24, wire.Request, 0, hoseQuiet, 5) + u64(0) +
	rawHead(28, wire.Request, 0, hoseLate, 6) + u64(0) + u32(1) +
	rawHead(24, wire.Request, 0, hoseFirst, 7) + u64(0) +
	streamFrame(wire.Items, byCaller, 7, 1, blobs("x")) +
	rawHead(16, wire.Cancel, 0, 0, 3) + rawHead(16, wire.Cancel, 0, 0, 6)

// A connection lost at any byte of a conversation with streams leaves nothing.
func TestStreamTruncations(t *testing.T) {
	t.Parallel()
	all := []byte(streamConversation)
	for n := 0; n <= len(all); n += Rounds(3, 1) {
		withHose(t, nil, func(p *rawPeer, _ *Server, _ *hose) {
			go drain(p)
			p.write(all[:n])
			synctest.Wait()
		})
	}
}

// drain reads all frames.
func drain(p *rawPeer) {
	b := make([]byte, 1<<10)
	for {
		if _, err := p.nc.Read(b); err != nil {
			return
		}
	}
}
