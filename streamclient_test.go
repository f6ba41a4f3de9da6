package bsrpc

// Simulated servers send invalid, late and unusual frames about streams.

import (
	"context"
	"errors"
	"iter"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// Three calls of a client, to a simulated server: a result stream that has begun, one that
// has not, and a parameter.
type hoseCalls struct {
	begun, waiting, sending uint64 // ids
	first, second           chan rangeResult
	third                   chan error
}

// withHoseClient runs f in a bubble with the three calls open.
func withHoseClient(t *testing.T, f func(client *Client, proxy *hoseContract, p *rawPeer, calls *hoseCalls)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		client, proxy, p := hoseClient(t, nil, manyStreams)
		calls := &hoseCalls{first: make(chan rangeResult, 1), second: make(chan rangeResult, 1), third: make(chan error, 1)}
		open := func(call func()) uint64 {
			go call()
			for {
				f, _ := p.read()
				if f.Type == wire.Request {
					return f.ID
				}
			}
		}
		calls.begun = open(func() { calls.first <- rangeOverAll(proxy.Quiet(context.Background())) })
		p.send(wire.Frame{Type: wire.Response, ID: calls.begun}, nil)
		calls.waiting = open(func() { calls.second <- rangeOverAll(proxy.Quiet(context.Background())) })
		calls.sending = open(func() {
			_, err := proxy.Total(context.Background(), func(yield func([]byte, error) bool) {
				for yield(make([]byte, 100), nil) {
				}
			})
			calls.third <- err
		})
		synctest.Wait()
		f(client, proxy, p, calls)
		client.Close()
		p.nc.Close()
	})
}

func TestClientStreamViolations(t *testing.T) {
	const never = 1000 << 16
	begun := func(typ wire.Type, number uint16, body string) func(c *hoseCalls) string {
		return func(c *hoseCalls) string { return streamFrame(typ, 0, c.begun, number, body) }
	}
	sending := func(typ wire.Type, body string) func(c *hoseCalls) string {
		return func(c *hoseCalls) string { return streamFrame(typ, 0, c.sending, 1, body) }
	}
	for _, tt := range []struct {
		name   string
		frames func(c *hoseCalls) string
		want   string
	}{
		{"ITEMS before RESPONSE", func(c *hoseCalls) string { return streamFrame(wire.Items, 0, c.waiting, 0, itemsOf(u32(1))) }, "which has not been answered"},
		{"END before RESPONSE", func(c *hoseCalls) string { return streamFrame(wire.End, 0, c.waiting, 0, "") }, "which has not been answered"},
		{"ITEMS before the last byte of RESPONSE", func(c *hoseCalls) string {
			return rawHead(24, wire.Response, wire.Chunked, 0, c.waiting) + u64(1<<20) + streamFrame(wire.Items, 0, c.waiting, 0, itemsOf(u32(1)))
		}, "which has not been answered"},
		{"RESPONSE twice", begun(wire.Response, 0, ""), "RESPONSE for call 131072, which has been answered"},
		{"RESPONSE twice, in chunks", func(c *hoseCalls) string { return rawHead(24, wire.Response, wire.Chunked, 0, c.begun) + u64(1<<20) }, "RESPONSE for call 131072, which has been answered"},
		{"ERROR after RESPONSE", begun(wire.Error, 5, strings.Repeat("\x00", 8)), "ERROR for call 131072, which has been answered"},
		{"credit overdrawn", begun(wire.Items, 0, strings.Repeat(u32(0), 4097)), "16 bytes more than its credit (the client's Limits.StreamWindow is 65536)"},
		{"a length cut", begun(wire.Items, 0, "\x01"), "ends in the length of an item"},
		{"END in an item", func(c *hoseCalls) string {
			return streamFrame(wire.Items, 0, c.begun, 0, u32(4)+"x") + streamFrame(wire.End, 0, c.begun, 0, "")
		}, "END of stream 0 of call 131072, in an item"},
		{"END with code 0", begun(wire.End, 0, strings.Repeat("\x00", 10)), "END: a failure with code 0"},
		{"END with a failure cut off", begun(wire.End, 0, "\x01\x00\x01"), "END: want 2 bytes"},
		{"ITEMS of a call never made", func(*hoseCalls) string { return streamFrame(wire.Items, 0, never, 0, "x") }, "which was never made"},
		{"ITEMS with CALLER", func(c *hoseCalls) string { return streamFrame(wire.Items, byCaller, c.begun, 0, "x") }, "which was never made"},
		{"END of a call never made", func(*hoseCalls) string { return streamFrame(wire.End, 0, never, 0, "") }, "which was never made"},
		{"CREDIT of a call never made", func(*hoseCalls) string { return streamFrame(wire.Credit, 0, never, 1, u32(1)) }, "which was never made"},
		{"STOP of a call never made", func(*hoseCalls) string { return streamFrame(wire.Stop, 0, never, 1, "") }, "which was never made"},
		{"STOP with a body", sending(wire.Stop, "x"), "STOP with a body of 1 bytes"},
		{"CREDIT of 0", sending(wire.Credit, u32(0)), "CREDIT of 0 bytes"},
		{"CREDIT above the most", sending(wire.Credit, u32(1<<31)), "want at most 2147483647"},
		{"CREDIT of 3 bytes", sending(wire.Credit, "abc"), "CREDIT with a body of 3 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			withHoseClient(t, func(client *Client, _ *hoseContract, p *rawPeer, calls *hoseCalls) {
				go p.nc.Write([]byte(tt.frames(calls)))
				_, body := p.skipTo(wire.Close)
				if failure, err := wire.ReadFailure(body); err != nil || !strings.Contains(failure.Message, tt.want) {
					t.Errorf("CLOSE: got %q, want %q", failure.Message, tt.want)
				}
				<-client.Done()
				for i, err := range []error{(<-calls.first).err, (<-calls.second).err, <-calls.third} {
					var e *Error
					if !errors.As(err, &e) || e.Code != CodeInternal || e.Outcome == OutcomeNotRun || !strings.Contains(e.Message, tt.want) {
						t.Errorf("call %d: %v, want %q", i, err, tt.want)
					}
				}
			})
		})
	}
}

// Frames of streams that are over, or that their calls do not have, are ignored. Then the
// calls end as usual, and leave nothing.
func TestClientLateStreamFrames(t *testing.T) {
	for _, tt := range []struct {
		name   string
		frames func(c *hoseCalls) string
	}{
		{"nothing", func(*hoseCalls) string { return "" }},
		{"ITEMS and END after END", func(c *hoseCalls) string {
			end := streamFrame(wire.End, 0, c.begun, 0, "")
			return end + streamFrame(wire.Items, 0, c.begun, 0, "x") + end
		}},
		{"RESPONSE after END", func(c *hoseCalls) string {
			return streamFrame(wire.End, 0, c.begun, 0, "") + rawHead(16, wire.Response, 0, 0, c.begun)
		}},
		{"frames after STOP", func(c *hoseCalls) string {
			stop := streamFrame(wire.Stop, 0, c.sending, 1, "")
			return stop + stop + streamFrame(wire.Credit, 0, c.sending, 1, u32(1))
		}},
		{"STOP of the result", func(c *hoseCalls) string { return streamFrame(wire.Stop, 0, c.begun, 0, "") }},
		{"STOP of a number that the call does not have", func(c *hoseCalls) string { return streamFrame(wire.Stop, 0, c.sending, 9, "") }},
		{"CREDIT of a number that the call does not have", func(c *hoseCalls) string { return streamFrame(wire.Credit, 0, c.sending, 2, u32(0)) }},
		{"ITEMS of the parameter", func(c *hoseCalls) string { return streamFrame(wire.Items, 0, c.sending, 1, "x") }},
		{"END of the parameter", func(c *hoseCalls) string { return streamFrame(wire.End, 0, c.sending, 1, "") }},
		{"many CREDITs", func(c *hoseCalls) string {
			return strings.Repeat(streamFrame(wire.Credit, 0, c.sending, 1, u32(1)), 10_000)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			withHoseClient(t, func(client *Client, _ *hoseContract, p *rawPeer, calls *hoseCalls) {
				p.t = t
				go drain(p)
				p.write([]byte(tt.frames(calls)))
				p.write([]byte(streamFrame(wire.End, 0, calls.begun, 0, failedEnd(5, "end"))))
				p.send(wire.Frame{Type: wire.Response, ID: calls.waiting}, nil)
				p.write([]byte(streamFrame(wire.Items, 0, calls.waiting, 0, itemsOf(u32(7))) + streamFrame(wire.End, 0, calls.waiting, 0, "")))
				p.send(wire.Frame{Type: wire.Response, ID: calls.sending}, []byte(u32(9)))
				var e *Error
				if r := <-calls.first; r.items != nil || r.err != nil && (!errors.As(r.err, &e) || e.Code != CodeNotFound) {
					t.Errorf("the first call: %+v", r)
				}
				if r := <-calls.second; len(r.items) != 1 || r.items[0] != 7 || r.err != nil {
					t.Errorf("the second call: %+v", r)
				}
				if err := <-calls.third; err != nil {
					t.Errorf("the third call: %v", err)
				}
				checkNothing(t, client)
			})
		})
	}
}

// Results that cannot be used end their call: the items before arrive, and the server gets
// CANCEL.
func TestClientOddResults(t *testing.T) {
	for _, tt := range []struct {
		name   string
		frames func(id uint64) string
		items  int
		code   Code
		want   string
	}{
		{"item above MaxMessage", func(id uint64) string {
			return rawHead(16, wire.Response, 0, 0, id) + streamFrame(wire.Items, 0, id, 0, itemsOf(u32(1), u32(2))+u32(1<<30)+"xyz")
		}, 2, CodeResourceExhausted, "item of 1073741824 bytes, this end's MaxMessage is 1048576"},
		{"item that cannot be decoded", func(id uint64) string {
			return rawHead(16, wire.Response, 0, 0, id) + streamFrame(wire.Items, 0, id, 0, itemsOf(u32(1), "x", u32(3)))
		}, 1, CodeInternal, "cannot decode an item: Hose.Quiet, item 2: "},
		{"RESPONSE with bytes", func(id uint64) string { return rawHead(17, wire.Response, 0, 0, id) + "x" }, 0, CodeInternal, "cannot decode the answer: 1 trailing bytes"},
		{"RESPONSE with malformed metadata", func(id uint64) string {
			return rawHead(16+2+1, wire.Response, wire.Metadata, 0, id) + "\x01\x00x"
		}, 0, CodeInternal, "metadata of the answer"},
		{"RESPONSE above MaxMessage", func(id uint64) string { return rawHead(24, wire.Response, wire.Chunked, 0, id) + u64(1<<30) }, 0,
			CodeResourceExhausted, "answer of 1073741824 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, proxy, p := hoseClient(t, &ClientOptions{MaxMessage: 1 << 20}, manyStreams)
				result := make(chan rangeResult, 1)
				go func() { result <- rangeOverAll(proxy.Quiet(context.Background())) }()
				f, _ := p.read()
				p.write([]byte(tt.frames(f.ID)))
				r := <-result
				var e *Error
				if !errors.As(r.err, &e) || e.Code != tt.code || !strings.Contains(e.Error(), tt.want) || len(r.items) != tt.items {
					t.Errorf("got %v, %v; want %d items, %q", r.items, r.err, tt.items, tt.want)
				}
				if c, _ := p.read(); c.Type != wire.Cancel || c.ID != f.ID {
					t.Errorf("got %v %d, want CANCEL %d", c.Type, c.ID, f.ID)
				}
				if tt.name == "RESPONSE above MaxMessage" {
					p.send(wire.Frame{Type: wire.Error, Arg: 1, ID: f.ID}, (&wire.Failure{}).Append(nil))
				} else {
					p.write([]byte(streamFrame(wire.End, 0, f.ID, 0, failedEnd(CodeCanceled, ""))))
				}
				checkNothing(t, client)
				client.Close()
				p.nc.Close()
			})
		})
	}
}

// A server may end its stream while the CANCEL is on the way, also in an item that the
// client no longer wants.
func TestBreakInItem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, proxy, p := hoseClient(t, nil, manyStreams)
		left := make(chan bool)
		go func() {
			for range proxy.Quiet(context.Background()) {
				break
			}
			left <- true
		}()
		f, _ := p.read()
		p.send(wire.Frame{Type: wire.Response, ID: f.ID}, nil)
		p.write([]byte(streamFrame(wire.Items, 0, f.ID, 0, itemsOf(u32(1))+u32(4)+"x")))
		<-left
		p.want(wire.Cancel, f.ID, 0, 0)
		p.write([]byte(streamFrame(wire.Items, 0, f.ID, 0, "yz\x00") + streamFrame(wire.End, 0, f.ID, 0, "")))
		checkNothing(t, client)
		if err := client.Err(); err != nil {
			t.Error(err)
		}
		client.Close()
		p.nc.Close()
	})
}

// The streams of a REQUEST in chunks begin behind its last byte. Those of a REQUEST that
// waits for room at the server, and is canceled, send nothing.
func TestStreamsBehindChunks(t *testing.T) {
	for _, canceled := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			hello := manyStreams
			hello.ConnBytes = 200_000
			client, proxy, p := hoseClient(t, nil, hello)
			put := func(ctx context.Context, size int, in iter.Seq2[[]byte, error]) (chan error, context.CancelFunc) {
				ctx, cancel := context.WithCancel(ctx)
				done := make(chan error, 1)
				go func() { _, err := proxy.Put(ctx, make([]byte, size), in); done <- err }()
				return done, cancel
			}
			one := func(yield func([]byte, error) bool) { yield([]byte("one"), nil) }
			first, cancel := put(context.Background(), 190_000, nil)
			defer cancel()
			f, body := p.read()
			have, id := len(body), f.ID
			synctest.Wait()
			second, cancelSecond := put(context.Background(), 100_000, one) // waits for room, with all of its stream
			defer cancelSecond()
			synctest.Wait()
			if canceled {
				cancelSecond()
				var e *Error
				if err := <-second; !errors.As(err, &e) || e.Outcome != OutcomeNotRun {
					t.Errorf("canceled before its first chunk: %v", err)
				}
			}
			for have < 190_004 {
				f, body := p.read()
				if f.ID != id || f.Type != wire.RequestChunk {
					t.Fatalf("got %v %d", f.Type, f.ID)
				}
				have += len(body)
			}
			p.want(wire.End, id, 1, byCaller)
			p.send(wire.Frame{Type: wire.Response, ID: id}, []byte(u32(0)))
			if err := <-first; err != nil {
				t.Error(err)
			}
			if !canceled {
				f, body := p.read()
				for have := len(body); have < 100_004; have += len(body) {
					_, body = p.read()
				}
				if got := string(p.want(wire.Items, f.ID, 1, byCaller)); got != blobs("one") {
					t.Errorf("got %q", got)
				}
				p.want(wire.End, f.ID, 1, byCaller)
				p.send(wire.Frame{Type: wire.Response, ID: f.ID}, []byte(u32(3)))
				if err := <-second; err != nil {
					t.Error(err)
				}
			}
			checkNothing(t, client)
			client.Close()
			p.nc.Close()
		})
	}
}

// A server without streams cannot have methods with them, and a server with an impossible
// window cannot be dialed.
func TestServerWithoutStreams(t *testing.T) {
	for _, tt := range []struct {
		window uint32
		want   string
	}{
		{0, "has streams, and the server does not support them"},
		{1023, "field 0x0008 (StreamWindow) is 1023, want 1024 to 2147483647"},
		{1 << 31, "field 0x0008 (StreamWindow) is 2147483648, want 1024 to 2147483647"},
	} {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			p := &rawPeer{t: t, nc: far}
			go func() {
				p.readBasic()
				p.write(wire.AppendServerInit(nil, &wire.Hello{Version: 1, Streams: wire.StreamLimits{Window: tt.window, Most: 9}}))
			}()
			client, err := NewClient(t.Context(), near, &ClientOptions{Logger: quiet})
			if err == nil {
				_, err = Bind[hoseContract](t.Context(), client, "Hose")
				client.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			far.Close()
		})
	}
}

// dropStream drops a stream, and waits until the garbage collector has found it.
func dropStream(t *testing.T, client *Client, proxy *hoseContract, p *rawPeer) (id uint64) {
	t.Helper()
	func() {
		seq := proxy.Quiet(context.Background())
		f, _ := p.read()
		id = f.ID
		p.send(wire.Frame{Type: wire.Response, ID: id}, nil)
		synctest.Wait()
		runtime.KeepAlive(seq)
	}()
	for i := 0; !transport.StateOf(client.native.Conn).Dropped; i++ {
		if i == 10_000 {
			t.Fatal("the stream is never found")
		}
		runtime.GC()
		runtime.Gosched() // cleanups run outside of the bubble
	}
	return id
}

// A dropped stream is canceled at the next write of the connection, or when the keepalive
// looks, although the peer sends nothing.
func TestDroppedStreamWithoutReads(t *testing.T) {
	opts := &ClientOptions{Limits: Limits{PingAfter: time.Minute}}
	synctest.Test(t, func(t *testing.T) {
		client, proxy, p := hoseClient(t, opts, manyStreams)
		id := dropStream(t, client, proxy, p)
		other := proxy.Quiet(context.Background()) // a write
		if f, _ := p.skipTo(wire.Cancel); f.ID != id {
			t.Errorf("CANCEL of call %d, want %d", f.ID, id)
		}
		runtime.KeepAlive(other)
		client.Close()
		p.nc.Close()
	})
	synctest.Test(t, func(t *testing.T) {
		client, proxy, p := hoseClient(t, opts, manyStreams)
		id, since := dropStream(t, client, proxy, p), time.Now()
		if f, _ := p.read(); f.Type != wire.Cancel || f.ID != id {
			t.Errorf("got %v %d, want CANCEL of call %d", f.Type, f.ID, id)
		}
		if after := time.Since(since); after > time.Minute {
			t.Errorf("canceled after %v", after)
		}
		client.Close()
		p.nc.Close()
	})
}

// The streams of a call that waits for its first chunk count in MaxStreams.
func TestMaxStreamsCountsWaitingCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hello := manyStreams
		hello.ConnBytes, hello.Streams.Most = 200_000, 2
		client, proxy, p := hoseClient(t, nil, hello)
		stop := make(chan struct{})
		defer close(stop)
		put := func(ctx context.Context, size int) chan error {
			done := make(chan error, 1)
			go func() {
				_, err := proxy.Put(ctx, make([]byte, size), func(func([]byte, error) bool) { <-stop })
				done <- err
			}()
			synctest.Wait()
			return done
		}
		check := func(err error, code Code, text string) {
			t.Helper()
			var e *Error
			if !errors.As(err, &e) || e.Code != code || e.Outcome != OutcomeNotRun || !strings.Contains(e.Message, text) {
				t.Errorf("got %v, want %v, %q, not run", err, code, text)
			}
		}
		ctx, cancel := context.WithCancel(context.Background())
		first := put(ctx, 190_000)
		p.read()
		second := put(ctx, 100_000) // waits for room at the server
		for range 3 {
			check(<-put(ctx, 1), CodeResourceExhausted, "too many open streams on this connection (the server's MaxStreams is 2)")
		}
		cancel()
		check(<-second, CodeCanceled, "")
		go drain(p)
		<-first
		third := put(context.Background(), 1)
		select {
		case err := <-third:
			t.Errorf("after the calls were canceled: %v", err)
		default:
			client.Close()
			<-third
		}
		p.nc.Close()
	})
}
