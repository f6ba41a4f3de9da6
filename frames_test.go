package bsrpc

// A simulated peer sends invalid and unusual frames. Each has one fixed answer, and a
// witness, a normal client of the same server, is never affected.
//
// All tests run in bubbles with virtual time. The bubbles also check for leaks: a
// bubble fails if a goroutine is left at the end of its test.

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// Frames that end the connection, and the text of the CLOSE frame.
var violations = []struct {
	name, frames, want string
}{
	{"request, id as before", rawHead(24, wire.Request, 0, rawAdd, 1) + u64(0), "REQUEST 1 after 1: ids must rise"},
	{"request, id 0", rawHead(24, wire.Request, 0, rawAdd, 0) + u64(0), "REQUEST 0 after 1: ids must rise"},
	{"BIND, id as before", rawHead(20, wire.Bind, wire.Describe, 0, 1) + "\x00\x00\x00\x00", "BIND 1 after 1: ids must rise"},
	{"BIND, cut", rawHead(18, wire.Bind, wire.Describe, 0, 2) + "\x05\x00", "BIND: want 5 bytes, have 0"},
	{"BIND, bytes left over", rawHead(21, wire.Bind, wire.Describe, 0, 2) + "\x00\x00\x00\x00\x00", "BIND: 1 trailing bytes"},
	{"BIND, hash too short", rawHead(55, wire.Bind, 0, 0, 2) + "\x01\x00S\x01\x00\x01\x00M\x1f" + strings.Repeat("h", 30), "hash of 31 bytes, want 32"},
	{"BIND, hash absent", rawHead(24, wire.Bind, 0, 0, 2) + "\x01\x00S\x01\x00\x01\x00M", "BIND: want 1 bytes, have 0"},
	{"BIND, hash of no bytes", rawHead(25, wire.Bind, 0, 0, 2) + "\x01\x00S\x01\x00\x01\x00M\x00", "hash of 0 bytes, want 32"},
	{"chunk of no message", rawHead(17, wire.RequestChunk, 0, 0, 2) + "x", "REQUEST_CHUNK for message 2: not begun, or already complete"},
	{"chunk of an unknown response", rawHead(17, wire.ResponseChunk, 0, 0, 2) + "x", "RESPONSE_CHUNK for message 2: not begun, or already complete"},
	{"chunk too long", string(bigRequest(2, rawEcho, 70000, 69999)) + rawHead(18, wire.RequestChunk, 0, 0, 2) + "xy", "REQUEST_CHUNK for message 2 is 1 bytes too long"},
	{"begun twice", string(bigRequest(2, rawEcho, 70000, 0)) + string(bigRequest(2, rawEcho, 70000, 0)), "REQUEST 2 begins a second time"},
	{"begun twice, whole", string(bigRequest(2, rawEcho, 70000, 0)) + rawHead(24, wire.Request, 0, rawAdd, 2) + u64(0), "REQUEST 2 after 2: ids must rise"},
	{"chunked although short", rawHead(32, wire.Request, wire.Chunked, rawEcho, 2) + u64(0) + u64(65536), "first chunk of 0 bytes of a REQUEST of 65536"},
	{"response to nothing", rawHead(16, wire.Response, 0, 0, 7), "RESPONSE for call 7, which was never made"},
	{"chunked response to no call", rawHead(24, wire.Response, wire.Chunked, 0, 7<<16) + u64(1<<20), "RESPONSE for call 458752, which was never made"},
	{"error to nothing", rawHead(24, wire.Error, 0, 1, 1<<16) + "\x00\x00\x00\x00\x00\x00\x00\x00", "ERROR for call 65536, which was never made"},
	{"unknown type", rawHead(16, 0x24, 0, 0, 2), "unknown frame type 0x24"},
	{"last type", rawHead(16, 0xff, 0, 0, 2), "unknown frame type 0xff"},
	{"second INIT", string(wire.AppendClientInit(nil, &wire.Hello{Version: 1, MaxMessage: 1 << 20})), "unknown frame type 0x00"},
	{"basic request", u32(16) + "\x01" + strings.Repeat("\x00", 11), "unknown frame type 0x01"},
	{"reserved flag", rawHead(24, wire.Request, 0x10, rawAdd, 2) + u64(0), "REQUEST frame with reserved flags 0x10"},
	{"flag of another type", rawHead(16, wire.Cancel, wire.NotRun, 0, 2), "CANCEL frame with reserved flags 0x04"},
	{"size 0", rawHead(0, wire.Request, 0, 0, 2), "frame of 0 bytes, want 16 to"},
	{"size below the head", rawHead(23, wire.Request, 0, rawAdd, 2) + u64(0), "REQUEST frame of 23 bytes, but its header takes 24"},
	{"size above the most", rawHead(wire.MaxFrame+1, wire.Request, 0, rawAdd, 2), "want 16 to"},
	{"greatest size", "\xff\xff\xff\xff", "frame of 4294967295 bytes"},
	{"HTTP", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "frame of 542393671 bytes"},
	{"whole message too long", rawHead(24+65537, wire.Request, 0, rawEcho, 2) + u64(0), "REQUEST of 65537 bytes in one frame"},
	{"metadata too long", rawHead(wire.MaxFrame, wire.Request, wire.Metadata, rawAdd, 2) + u64(0) + "\x01\x20", "8193 bytes of metadata"},
	{"CLOSE that cannot be read", rawHead(17, wire.Close, 0, 14, 0) + "x", "CLOSE: want 2 bytes, have 1"},
}

func TestViolationsClose(t *testing.T) {
	for _, tt := range violations {
		t.Run(tt.name, func(t *testing.T) {
			withRaw(t, nil, func(p *rawPeer, srv *Server, _ *testee) {
				go p.nc.Write([]byte(tt.frames))
				p.wantClose(CodeInternal, tt.want)
				if err := <-p.served; err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("ServeConn: got %v, want %q", err, tt.want)
				}
				p.served <- nil
			})
		})
	}
}

// Frames that fail at most one call, and the answer.
func TestOddRequestsAreRefused(t *testing.T) {
	critical := "\x34\x92\x00\x00\x00\x00"
	withMeta := func(meta string) string {
		return rawHead(uint32(24+2+len(meta)+8), wire.Request, wire.Metadata, rawAdd, 2) + u64(0) +
			string([]byte{byte(len(meta)), byte(len(meta) >> 8)}) + meta + "\x01\x00\x00\x00\x02\x00\x00\x00"
	}
	for _, tt := range []struct {
		name, frames string
		code         Code
		text         string
	}{
		{"number without a method", rawHead(24, wire.Request, 0, rawUnbound, 2) + u64(0), CodeUnimplemented, "no method is bound to the number 6"},
		{"greatest number", rawHead(24, wire.Request, 0, 0xffff, 2) + u64(0), CodeUnimplemented, "no method is bound to the number 65535"},
		{"arguments cut", rawHead(27, wire.Request, 0, rawAdd, 2) + u64(0) + "\x01\x02\x03", CodeInvalidArgument, "Probe.Add, parameter 1: want 4 bytes, have 3"},
		{"arguments too long", rawHead(33, wire.Request, 0, rawAdd, 2) + u64(0) + strings.Repeat("\x00", 9), CodeInvalidArgument, "Probe.Add"},
		{"length that lies", rawHead(28, wire.Request, 0, rawEcho, 2) + u64(0) + "\xff\xff\xff\xff", CodeInvalidArgument, "Probe.Echo, parameter 1"},
		{"critical metadata", withMeta(critical), CodeUnimplemented, "field 0x9234 is required"},
		{"metadata that lies", withMeta("\x01\x00\xff\xff\xff\xff"), CodeUnimplemented, "metadata"},
		{"entries: bad key", withMeta("\x0b\x00\x04\x00\x00\x00\x01A\x00\x00"), CodeUnimplemented, "metadata: field 0x000b: key with the byte 0x41"},
		{"entries: duplicate key", withMeta("\x0b\x00\x08\x00\x00\x00\x01a\x00\x00\x01a\x00\x00"), CodeUnimplemented, "metadata: field 0x000b: duplicate key"},
		{"entries: too many", withMeta("\x0b\x00\x1d\x01\x00\x00" + manyKeys(57)), CodeUnimplemented, "metadata: field 0x000b: more than 56 entries"},
		{"entries: too long", withMeta("\x0b\x00\x01\x1c\x00\x00\x01a\xfd\x1b" + strings.Repeat("x", 7165)), CodeUnimplemented, "metadata: field 0x000b: entries of 7169 bytes, want at most 7168"},
		{"entries: cut off", withMeta("\x0b\x00\x04\x00\x00\x00\x01a\x01\x00"), CodeUnimplemented, "metadata: field 0x000b: want 1 bytes, have 0"},
		{"chunked, too long", string(bigRequest(2, rawEcho, 16<<20+1, 0)), CodeResourceExhausted, "message of 16777217 bytes, the server's MaxMessage is 16777216"},
		{"chunked, greatest length", rawHead(32, wire.Request, wire.Chunked, rawEcho, 2) + u64(0) + u64(1<<64-1), CodeResourceExhausted, "MaxMessage is"},
		{"chunked, to no method", string(bigRequest(2, rawUnbound, 70000, 0)), CodeUnimplemented, "number 6"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			withRaw(t, nil, func(p *rawPeer, _ *Server, _ *testee) {
				p.write([]byte(tt.frames))
				p.wantError(2, tt.code, wire.NotRun, tt.text)
				p.wantAlive(3)
			})
		})
	}
}

// manyKeys returns n entries without values, of five bytes each.
func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "\x02%02d\x00\x00", i)
	}
	return b.String()
}

// Frames that are ignored: late ones, and optional ones.
func TestLateFramesAreIgnored(t *testing.T) {
	for _, tt := range []struct{ name, frames string }{
		{"CANCEL of a call that has ended", rawHead(16, wire.Cancel, 0, 0, 1)},
		{"CANCEL of a call that has not begun", rawHead(16, wire.Cancel, 0, 0, 77)},
		{"CANCEL twice", rawHead(16, wire.Cancel, 0, 0, 1) + rawHead(16, wire.Cancel, 0, 0, 1)},
		{"chunks of a refused call", string(bigRequest(2, rawUnbound, 70000, 60000)) + rawHead(16+10000, wire.RequestChunk, 0, 0, 2) + strings.Repeat("x", 10000)},
		{"CANCEL of a refused call", string(bigRequest(2, rawUnbound, 70000, 60000)) + rawHead(16, wire.Cancel, 0, 0, 2)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			withRaw(t, nil, func(p *rawPeer, _ *Server, _ *testee) {
				go p.nc.Write([]byte(tt.frames))
				if strings.Contains(tt.name, "refused") {
					p.wantError(2, CodeUnimplemented, wire.NotRun, "number 6")
				}
				synctest.Wait()
				p.wantAlive(3)
			})
		})
	}
}

// A client treats its server as hostile too. Each case is sent by the server while a
// call waits for its answer.
func TestClientViolations(t *testing.T) {
	never := uint64(1000 << 16)
	for _, tt := range []struct {
		name   string
		frames func(id uint64) string
		want   string
	}{
		{"response to nothing", func(uint64) string { return rawHead(16, wire.Response, 0, 0, never) }, "RESPONSE for call 65536000, which was never made"},
		{"response to a slot that is not", func(id uint64) string { return rawHead(16, wire.Response, 0, 0, id|0xff00) }, "which was never made"},
		{"response to 0", func(uint64) string { return rawHead(16, wire.Response, 0, 0, 0) }, "RESPONSE for call 0, which was never made"},
		{"error to nothing", func(uint64) string {
			return rawHead(24, wire.Error, 0, 1, never) + "\x00\x00\x00\x00\x00\x00\x00\x00"
		}, "ERROR for call 65536000, which was never made"},
		{"chunked response to no call", func(uint64) string { return rawHead(24, wire.Response, wire.Chunked, 0, never) + u64(1<<20) }, "which was never made"},
		{"chunk of no message", func(id uint64) string { return rawHead(17, wire.ResponseChunk, 0, 0, id) + "x" }, "not begun, or already complete"},
		{"request with the id 0", func(uint64) string { return rawHead(24, wire.Request, 0, 0, 0) + u64(0) }, "REQUEST 0 after 0: ids must rise"},
		{"malformed bind", func(uint64) string { return rawHead(17, wire.Bind, 0, 0, 1) + "x" }, "BIND: "},
		{"unknown type", func(uint64) string { return rawHead(16, 0x42, 0, 0, 1) }, "unknown frame type 0x42"},
		{"close with code 0", func(uint64) string {
			return rawHead(24, wire.Close, 0, 0, 0) + "\x00\x00\x00\x00\x00\x00\x00\x00"
		}, "CLOSE: a failure with code 0"},
		{"size that lies", func(uint64) string { return "\x00\x00\x00\x80" }, "frame of 2147483648 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, proxy, p := rawServer(t, nil)
				call := make(chan error, 1)
				go func() { _, err := proxy.Add(context.Background(), 1, 2); call <- err }()
				f, _ := p.read()
				go p.nc.Write([]byte(tt.frames(f.ID)))
				p.wantClose(CodeInternal, tt.want)
				err := <-call
				var e *Error
				if !errors.As(err, &e) || e.Code != CodeInternal || e.Outcome != OutcomeUnknown || e.Remote || !strings.Contains(e.Message, tt.want) {
					t.Errorf("the call: got %#v, want %q", err, tt.want)
				}
				<-client.Done()
				client.Close()
				p.nc.Close()
			})
		})
	}
}

// A client without Handlers answers the calls of its server, and goes on.
func TestClientWithoutHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, proxy, p := rawServer(t, nil)
		call := make(chan error, 1)
		go func() { _, err := proxy.Add(context.Background(), 1, 2); call <- err }()
		f, _ := p.read()
		p.write([]byte(rawHead(24, wire.Request, 0, 0, 5) + u64(0)))
		p.wantError(5, CodeUnimplemented, wire.NotRun, "no method is bound to the number 0")
		p.write(bigRequest(6, 0, 70000, 0))
		p.wantError(6, CodeUnimplemented, wire.NotRun, "no method is bound to the number 0")
		p.write([]byte(rawHead(16, wire.Cancel, 0, 0, 6)))
		r := &wire.BindRequest{Service: "Events", Names: []string{"Alarm"}, Hashes: make([][32]byte, 1)}
		p.send(wire.Frame{Type: wire.Bind, ID: 7}, r.Append(nil))
		if f, body := p.read(); f.Type != wire.Response || f.ID != 7 || body[2] != byte(wire.BindNoService) {
			t.Errorf("answer to BIND: %v %x", f, body)
		}
		p.send(wire.Frame{Type: wire.Response, ID: f.ID}, []byte{3, 0, 0, 0, 0, 0, 0, 0})
		<-call
		if err := client.Err(); err != nil {
			t.Error(err)
		}
		client.Close()
		p.nc.Close()
	})
}

// Answers with invalid content fail only their call.
func TestClientOddAnswers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer func(id uint64) string
		code   Code
		want   string
	}{
		{"result cut", func(id uint64) string { return rawHead(18, wire.Response, 0, 0, id) + "\x01\x02" }, CodeInternal, "cannot decode the answer: Probe.Add, result 1: want 4 bytes, have 2"},
		{"result too long", func(id uint64) string { return rawHead(21, wire.Response, 0, 0, id) + "\x01\x02\x03\x04\x05" }, CodeInternal, "cannot decode the answer: Probe.Add"},
		{"error cut", func(id uint64) string { return rawHead(17, wire.Error, 0, 5, id) + "x" }, CodeInternal, "answer: want 2 bytes, have 1"},
		{"error with code 0", func(id uint64) string {
			return rawHead(24, wire.Error, 0, 0, id) + "\x00\x00\x00\x00\x00\x00\x00\x00"
		}, CodeInternal, "answer: a failure with code 0"},
		{"entries of a result", func(id uint64) string {
			return rawHead(16+2+11+4, wire.Response, wire.Metadata, 0, id) + "\x0b\x00" + "\x0b\x00\x05\x00\x00\x00\x02ab\x01\x00" + "\x03\x00\x00\x00"
		}, CodeInternal, "metadata of the answer: field 0x000b: want 1 bytes, have 0"},
		{"entries of an error", func(id uint64) string {
			return rawHead(16+2+10+8, wire.Error, wire.Metadata|wire.NotRun, 5, id) + "\x0a\x00" + "\x0b\x00\x04\x00\x00\x00\x01A\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00"
		}, CodeInternal, "metadata of the answer: field 0x000b: key with the byte 0x41"},
		{"code of the future", func(id uint64) string {
			return rawHead(24, wire.Error, 0, 999, id) + "\x00\x00\x00\x00\x00\x00\x00\x00"
		}, 999, "code 999"},
		{"answer above MaxMessage", func(id uint64) string { return rawHead(24, wire.Response, wire.Chunked, 0, id) + u64(1<<40) }, CodeResourceExhausted,
			"answer of 1099511627776 bytes, this end's MaxMessage is 16777216"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, proxy, p := rawServer(t, nil)
				call := make(chan error, 1)
				go func() { _, err := proxy.Add(context.Background(), 1, 2); call <- err }()
				f, _ := p.read()
				p.write([]byte(tt.answer(f.ID)))
				err := <-call
				var e *Error
				if !errors.As(err, &e) || e.Code != tt.code || !strings.Contains(e.Error(), tt.want) {
					t.Errorf("got %v, want %v, %q", err, tt.code, tt.want)
				}
				if tt.code == CodeResourceExhausted { // the rest of the answer is not wanted
					if f, _ := p.read(); f.Type != wire.Cancel {
						t.Errorf("got %v, want CANCEL", f.Type)
					}
				}
				go proxy.Add(context.Background(), 1, 2)
				f, _ = p.read()
				p.send(wire.Frame{Type: wire.Response, ID: f.ID}, []byte("\x03\x00\x00\x00"))
				client.Close()
				p.nc.Close()
			})
		})
	}
}

// An answer to a call that has ended is ignored in every form.
func TestClientLateAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, proxy, p := rawServer(t, nil)
		ctx, cancel := context.WithCancel(context.Background())
		call := make(chan error, 1)
		go func() { _, err := proxy.Echo(ctx, nil); call <- err }()
		first, _ := p.read()
		cancel()
		if err := <-call; !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
		if f, _ := p.read(); f.Type != wire.Cancel || f.ID != first.ID {
			t.Fatalf("got %v %d, want CANCEL %d", f.Type, f.ID, first.ID)
		}
		// It begins in chunks, and an error follows instead of the rest.
		p.send(wire.Frame{Type: wire.Response, Flags: wire.Chunked, ID: first.ID, Total: 1 << 20}, make([]byte, 1<<16))
		p.send(wire.Frame{Type: wire.ResponseChunk, ID: first.ID}, make([]byte, 1<<16))
		p.send(wire.Frame{Type: wire.Error, Arg: 1, ID: first.ID}, (&wire.Failure{Message: "gone"}).Append(nil))
		for range 2 { // without a call to answer
			p.send(wire.Frame{Type: wire.Error, Arg: 1, ID: first.ID}, (&wire.Failure{}).Append(nil))
			p.send(wire.Frame{Type: wire.Response, ID: first.ID}, nil)
		}
		go func() {
			f, _ := p.read()
			p.send(wire.Frame{Type: wire.Response, ID: f.ID}, []byte("\x03\x00\x00\x00"))
		}()
		if sum, err := proxy.Add(context.Background(), 1, 2); sum != 3 || err != nil {
			t.Errorf("got %d, %v", sum, err)
		}
		checkEmpty(t, client.native.Conn)
		client.Close()
		p.nc.Close()
	})
}

// A cancellation crosses the answer of its call. The caller gets either, and neither disturbs a later
// call.
func TestCancelCrossesAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := testeeServer(t, newTestee(), nil)
		client, proxy := testeeClient(t, srv, nil)
		answered, canceled := 0, 0
		for i := range uint32(Rounds(1000, 10_000)) {
			us := 5000 + i%7
			ctx, cancel := context.WithCancel(t.Context())
			timer := time.AfterFunc(time.Duration(us-i%5*500)*time.Microsecond, cancel) // before or at the answer
			switch got, err := proxy.Sleep(ctx, us); {
			case err == nil && got == us:
				answered++
			case errors.Is(err, context.Canceled):
				canceled++
			default:
				t.Fatalf("call %d: %d, %v", i, got, err)
			}
			cancel()
			cancel()
			timer.Stop()
			if sum, err := proxy.Add(t.Context(), i, 1); sum != i+1 || err != nil {
				t.Fatalf("the next call: %d, %v, want %d", sum, err, i+1)
			}
		}
		if answered == 0 || canceled == 0 {
			t.Errorf("%d answered, %d canceled", answered, canceled)
		}
		checkEmpty(t, client.native.Conn)
		checkEmpty(t, onlyConn(t, srv))
		client.Close()
		srv.Close()
		checkBooked(t, srv)
	})
}

// CLOSE fails every call with the reason of the peer.
func TestCloseFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, proxy, p := rawServer(t, nil)
		call := make(chan error, 1)
		go func() { _, err := proxy.Echo(context.Background(), nil); call <- err }()
		p.read()
		p.send(wire.Frame{Type: wire.Close, Arg: uint16(CodeUnavailable)}, (&wire.Failure{Message: "maintenance"}).Append(nil))
		for _, err := range []error{<-call, client.Err()} {
			var e *Error
			if !errors.As(err, &e) || e.Code != CodeUnavailable || !e.Remote || e.Message != "maintenance" {
				t.Errorf("got %#v", err)
			}
		}
		p.wantEnd()
		client.Close()
	})
}

// conversation returns valid input: whole calls, chunked calls with others between,
// and a call cancelled while it arrives.
func conversation() []byte {
	add := []byte("\x01\x00\x00\x00\x02\x00\x00\x00")
	echo := func(n int) []byte { return append([]byte(u32(uint32(n))), bytes.Repeat([]byte("e"), n)...) }
	big := echo(150_000)
	return slices.Concat(
		frameBytes(wire.Frame{Type: wire.Request, Arg: rawAdd, ID: 2}, add),
		frameBytes(wire.Frame{Type: wire.Request, Flags: wire.Chunked, Arg: rawEcho, ID: 3, Total: uint64(len(big))}, big[:70_000]),
		frameBytes(wire.Frame{Type: wire.Request, Flags: wire.Metadata, Arg: rawAdd, ID: 4, Meta: []byte("\x07\x00\x01\x00\x00\x00x\x0b\x00\x05\x00\x00\x00\x01a\x01\x00b")}, add),
		frameBytes(wire.Frame{Type: wire.Request, Flags: wire.Chunked, Arg: rawEcho, ID: 5, Total: 1 << 20}, make([]byte, 100)),
		frameBytes(wire.Frame{Type: wire.RequestChunk, ID: 3}, big[70_000:70_001]),
		frameBytes(wire.Frame{Type: wire.Cancel, ID: 5}, nil),
		frameBytes(wire.Frame{Type: wire.Request, Arg: rawUnbound, ID: 6}, nil),
		frameBytes(wire.Frame{Type: wire.RequestChunk, ID: 3}, big[70_001:]),
		frameBytes(wire.Frame{Type: wire.Request, Arg: rawFail, ID: 7}, nil),
		frameBytes(wire.Frame{Type: wire.Request, Arg: rawEcho, ID: 8}, echo(9000)),
		frameBytes(wire.Frame{Type: wire.Bind, Flags: wire.Describe, ID: 9}, (&wire.BindRequest{Service: "Probe", Names: []string{"Sleep", "None"}}).Append(nil)),
		frameBytes(wire.Frame{Type: wire.Request, Arg: rawAdd, ID: 10, Timeout: 1e6}, add),
	)
}

const conversationAnswers = 9

// answers reads n complete answers, by the ids of their calls.
func (p *rawPeer) answers(n int) map[uint64]string {
	p.t.Helper()
	got, parts := make(map[uint64]string), make(map[uint64]*[]byte)
	heads := make(map[uint64]string)
	for len(got) < n {
		f, body := p.read()
		switch {
		case f.Flags&wire.Chunked != 0:
			heads[f.ID] = fmt.Sprint(f.Type, f.Arg, f.Total)
			parts[f.ID] = &body
		case f.Type == wire.ResponseChunk:
			*parts[f.ID] = append(*parts[f.ID], body...)
		default:
			got[f.ID] = fmt.Sprint(f.Type, f.Arg, f.Total) + string(body)
			continue
		}
		if b := parts[f.ID]; strings.HasSuffix(heads[f.ID], fmt.Sprint(len(*b))) {
			got[f.ID] = heads[f.ID] + string(*b)
		}
	}
	return got
}

// converse sends the conversation in parts that end at the given points.
func converse(t *testing.T, cuts []int) (got map[uint64]string) {
	synctest.Test(t, func(t *testing.T) {
		srv := testeeServer(t, newTestee(), nil)
		p := rawClient(t, srv)
		all := conversation()
		go func() {
			at := 0
			for _, cut := range append(cuts, len(all)) {
				if cut = min(cut, len(all)); cut > at {
					p.nc.Write(all[at:cut])
					at = cut
				}
			}
		}()
		got = p.answers(conversationAnswers)
		p.nc.Close()
		<-p.served
		srv.Close()
		checkBooked(t, srv)
	})
	return got
}

// The input may be split anywhere with the same result.
func TestInputSplit(t *testing.T) {
	want := converse(t, nil)
	if len(want) != conversationAnswers || !strings.Contains(want[5], "canceled") {
		t.Fatalf("whole: got answers to %d calls; 5: %q", len(want), want[5])
	}
	rng := rand.New(rand.NewPCG(142, 1))
	rounds := 40
	if !LongTests {
		rounds = 8
	}
	n := len(conversation())
	for range rounds {
		cuts := make([]int, 1+rng.IntN(30))
		for i := range cuts {
			cuts[i] = rng.IntN(n)
			if i%2 == 1 {
				cuts[i] = cuts[i-1] + rng.IntN(40) // two near each other: inside of a head
			}
		}
		slices.Sort(cuts)
		got := converse(t, cuts)
		for id, w := range want {
			if got[id] != w {
				t.Fatalf("split at %v: the answer to %d differs", cuts, id)
			}
		}
	}
}

// FuzzInputSplit is TestInputSplit for the fuzzer: two bytes a point, relative to the
// previous one.
func FuzzInputSplit(f *testing.F) {
	f.Add([]byte{1, 0, 16, 0, 23, 0, 24, 0})
	f.Add(bytes.Repeat([]byte{255, 7}, 100))
	var once sync.Once
	var want map[uint64]string
	f.Fuzz(func(t *testing.T, steps []byte) {
		once.Do(func() { want = converse(t, nil) })
		var cuts []int
		at := 0
		for ; len(steps) >= 2 && len(cuts) < 1000; steps = steps[2:] {
			at += int(binary.LittleEndian.Uint16(steps))
			cuts = append(cuts, at)
		}
		got := converse(t, cuts)
		for id, w := range want {
			if got[id] != w {
				t.Fatalf("split at %v: the answer to %d differs", cuts, id)
			}
		}
	})
}

// A connection that ends within a frame, at any byte, leaves nothing.
func TestTruncations(t *testing.T) {
	frames := map[string][]byte{
		"REQUEST":       frameBytes(wire.Frame{Type: wire.Request, Arg: rawAdd, ID: 2}, []byte("\x01\x00\x00\x00\x02\x00\x00\x00")),
		"first chunk":   bigRequest(2, rawEcho, 70000, 10),
		"metadata":      frameBytes(wire.Frame{Type: wire.Request, Flags: wire.Metadata, Arg: rawAdd, ID: 2, Meta: []byte("\x07\x00\x01\x00\x00\x00x\x0b\x00\x05\x00\x00\x00\x01a\x01\x00b")}, make([]byte, 8)),
		"REQUEST_CHUNK": append(bigRequest(2, rawEcho, 70000, 10), frameBytes(wire.Frame{Type: wire.RequestChunk, ID: 2}, make([]byte, 10))...),
		"CANCEL":        frameBytes(wire.Frame{Type: wire.Cancel, ID: 1}, nil),
		"BIND":          frameBytes(wire.Frame{Type: wire.Bind, Flags: wire.Describe, ID: 2}, (&wire.BindRequest{Service: "Probe", Names: []string{"Add"}}).Append(nil)),
		"CLOSE":         frameBytes(wire.Frame{Type: wire.Close}, make([]byte, 8)),
	}
	for name, frame := range frames {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := testeeServer(t, newTestee(), nil)
				stop := witness(t, srv)
				for n := range frame {
					p := rawClient(t, srv)
					p.write(frame[:n])
					synctest.Wait()
					p.nc.Close()
					if err := <-p.served; err != nil && !errors.Is(err, io.ErrClosedPipe) {
						t.Errorf("cut after %d bytes: %v", n, err)
					}
				}
				stop()
				srv.Close()
				checkBooked(t, srv)
			})
		})
	}
}

// A frame that is never completed ends its connection after FrameTimeout, an
// unfinished message only its call.
func TestStalledFrames(t *testing.T) {
	frame := frameBytes(wire.Frame{Type: wire.Request, Arg: rawAdd, ID: 2}, make([]byte, 8))
	for _, n := range []int{1, 3, 4, 15, 16, 17, 24, len(frame) - 1} {
		withRaw(t, nil, func(p *rawPeer, _ *Server, _ *testee) {
			p.write(frame[:n])
			start := time.Now()
			p.wantClose(CodeInternal, "a frame has stayed incomplete for the server's Limits.FrameTimeout (1m0s)")
			if took := time.Since(start); took != time.Minute {
				t.Errorf("cut after %d bytes: closed after %v", n, took)
			}
		})
	}
}

// With any bytes of a valid conversation changed, the server answers or closes, and
// releases everything.
func TestMutations(t *testing.T) {
	t.Parallel()
	rounds := 600
	if !LongTests {
		rounds = 100
	}
	synctest.Test(t, func(t *testing.T) {
		srv := testeeServer(t, newTestee(), nil)
		stop := witness(t, srv)
		rng := rand.New(rand.NewPCG(33, 7))
		proper := conversation()
		heads := headsOf(proper)
		for range rounds {
			p := rawClient(t, srv)
			b := bytes.Clone(proper)
			for range 1 + rng.IntN(3) {
				at := heads[rng.IntN(len(heads))] + rng.IntN(32)
				b[min(at, len(b)-1)] = []byte{0, 1, 0x7f, 0x80, 0xff, byte(rng.Uint32())}[rng.IntN(6)]
			}
			go io.Copy(io.Discard, p.nc)
			p.nc.SetWriteDeadline(time.Now().Add(rawPatience))
			p.nc.Write(b)
			synctest.Wait()
			p.nc.Close()
			<-p.served
		}
		stop()
		srv.Close()
		checkBooked(t, srv)
	})
}

// headsOf returns where the frames of b begin.
func headsOf(b []byte) (at []int) {
	for n := 0; n < len(b); n += int(binary.LittleEndian.Uint32(b[n:])) {
		at = append(at, n)
	}
	return at
}
