package bsrpc

import (
	"strings"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// FrameTimeout begins with the first byte of each frame, even if the frame before was
// late.
func TestFrameTimeoutStartsWithEachFrame(t *testing.T) {
	const timeout = 5 * time.Second
	for _, tt := range []struct {
		name   string
		pauses []time.Duration // between writes, each of which ends a frame and begins another
	}{
		{"one", nil},
		{"behind one", []time.Duration{3 * time.Second}},
		{"behind late ones", []time.Duration{4 * time.Second, 4900 * time.Millisecond, time.Second, 4999 * time.Millisecond}},
		{"behind quick ones", []time.Duration{time.Millisecond, time.Millisecond, 2 * time.Second, time.Millisecond}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			withRaw(t, &ServerOptions{Limits: Limits{FrameTimeout: timeout}}, func(p *rawPeer, _ *Server, _ *testee) {
				frame := rawHead(16, wire.Ping, 0, 0, 7)
				p.write([]byte(frame[:9]))
				for _, pause := range tt.pauses {
					time.Sleep(pause)
					go p.write([]byte(frame[9:] + frame + frame[:9]))
					for range 2 {
						if f, _ := p.read(); f.Type != wire.Pong {
							t.Fatalf("got %v", f.Type)
						}
					}
				}
				start := time.Now()
				p.wantClose(CodeInternal, "a frame has stayed incomplete for the server's Limits.FrameTimeout (5s)")
				if took := time.Since(start); took != timeout {
					t.Errorf("closed %v after the frame began, want %v", took, timeout)
				}
			})
		})
	}
}

// Bytes received in time are not late because this end was busy for longer than
// FrameTimeout with a peer that read nothing.
func TestFrameTimeoutIgnoresReceivedBytes(t *testing.T) {
	ping := rawHead(16, wire.Ping, 0, 0, 7)
	chunk := rawHead(16+20_000, wire.RequestChunk, 0, 0, 9) + strings.Repeat("x", 20_000)
	for _, tt := range []struct{ name, first, rest string }{
		{"message", "", chunk + ping},
		{"frame", chunk + ping[:5], ping[5:]},
		{"both", chunk[:99], chunk[99:] + ping},
	} {
		t.Run(tt.name, func(t *testing.T) {
			opts := &ServerOptions{Limits: Limits{FrameTimeout: time.Second, OutQueue: 1, WriteStall: time.Minute}}
			withRaw(t, opts, func(p *rawPeer, _ *Server, _ *testee) {
				p.write(bigRequest(9, rawEcho, 70_000, 50_000)) // from here on a watch is set
				refused := ""
				for id := range uint64(4) {
					refused += rawHead(24, wire.Request, 0, rawUnbound, 10+id) + u64(0)
				}
				time.Sleep(500 * time.Millisecond)
				go func() {
					p.write([]byte(refused + tt.first))
					p.write([]byte(tt.rest))
				}()
				time.Sleep(10 * time.Second) // takes no answer, and so the server reads nothing
				for id := range uint64(4) {
					p.wantError(10+id, CodeUnimplemented, wire.NotRun, "number 6")
				}
				for range 2 { // in any order: the call is run, or not, apart
					switch f, body := p.read(); {
					case f.Type == wire.Pong:
					case f.Type == wire.Error && f.ID == 9 && Code(f.Arg) == CodeInvalidArgument: // not as late
					default:
						t.Errorf("got %v %d %q", f.Type, f.ID, body)
					}
				}
			})
		})
	}
}
