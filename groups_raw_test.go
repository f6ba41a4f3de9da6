package bsrpc

// Exclusive groups as bytes: positions, and ids of groups from strangers.

import (
	"context"
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// benchContract has a method of a group that takes some time.
type benchContract struct {
	Turn func(ctx context.Context, ms uint16) error `bsrpc:"exclusive=bench"`
}

type bench struct{}

func (bench) Turn(ctx context.Context, ms uint16) error {
	if ms == 0 {
		return nil
	}
	select {
	case <-time.After(time.Duration(ms) * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// benchClient connects a rawPeer to a server with a bench.
func benchClient(t *testing.T) (*Server, *rawPeer) {
	srv := NewServer(&ServerOptions{Logger: quiet, Limits: Limits{PingAfter: NoLimit, SessionLease: NoLimit}})
	if err := RegisterAs[benchContract](srv, "Bench", bench{}); err != nil {
		t.Fatal(err)
	}
	p := rawDial(t, srv)
	p.bindAs(&wire.Hello{Version: 1}, "Bench", "Turn")
	return srv, p
}

// turn requests a turn.
func (p *rawPeer) turn(id uint64, ms uint16, m wire.RequestMetadata) {
	p.t.Helper()
	f := wire.Frame{Type: wire.Request, ID: id}
	if f.Meta = wire.AppendRequestMetadata(nil, &m); f.Meta != nil {
		f.Flags = wire.Metadata
	}
	p.send(f, binary.LittleEndian.AppendUint16(nil, ms))
}

// Positions go to the calls that ask for them, by ids of 64 bits.
func TestPositionFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, p := benchClient(t)
		const id = 1<<64 - 9
		wantPosition := func(id uint64, want int) {
			t.Helper()
			group, n, err := wire.ReadPosition(p.want(wire.Position, id, 0, 0))
			if group != "bench" || n != want || err != nil {
				t.Errorf("got %q, %d, %v, want %d", group, n, err, want)
			}
		}
		p.turn(id, 10_000, wire.RequestMetadata{Positions: true})
		p.turn(id+1, 0, wire.RequestMetadata{})
		p.turn(id+2, 1000, wire.RequestMetadata{Positions: true})
		p.turn(id+3, 0, wire.RequestMetadata{Positions: true})
		wantPosition(id+2, 2)
		wantPosition(id+3, 3)
		p.send(wire.Frame{Type: wire.Cancel, ID: id + 1}, nil)
		p.wantError(id+1, CodeCanceled, wire.NotRun, "canceled: waited")
		wantPosition(id+2, 1)
		wantPosition(id+3, 2)
		p.want(wire.Response, id, 0, 0)
		wantPosition(id+3, 1)
		p.want(wire.Response, id+2, 0, 0)
		p.want(wire.Response, id+3, 0, 0)
		p.nc.Close()
		srv.Close()
	})
}

// A client that waits and does not read gets no more positions than its queue has room for.
func TestPositionsUnread(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := NewServer(&ServerOptions{Logger: quiet, Limits: Limits{OutQueue: 2 << 10, WriteStall: NoLimit, PingAfter: NoLimit, SessionLease: NoLimit}})
		if err := RegisterAs[benchContract](srv, "Bench", bench{}); err != nil {
			t.Fatal(err)
		}
		p := rawDial(t, srv)
		p.bindAs(&wire.Hello{Version: 1}, "Bench", "Turn")
		calls := Rounds(100, 200)
		for i := range calls {
			p.turn(uint64(10+i), 500, wire.RequestMetadata{Positions: true})
		}
		time.Sleep(20 * time.Second)
		for c := range srv.conns {
			if n := transport.StateOf(c.conn.(*nativeConn).Conn).Queued; n > 8<<10 {
				t.Errorf("%d bytes wait", n)
			}
		}
		for answered := 0; answered < calls; {
			if f, _ := p.read(); f.Type == wire.Response {
				answered++
			}
		}
		p.nc.Close()
		srv.Close()
	})
}

// Groups that a caller claims to hold have an effect only if their ids are those of running calls:
// what a peer has learned once, or invents, makes no call of it or of others wait for itself.
func TestHeldGroupsOfStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, p := benchClient(t)
		claim := func(id uint64, held ...uint64) { p.turn(id, 0, wire.RequestMetadata{HeldGroups: held}) }
		p.turn(2, 1000, wire.RequestMetadata{})
		synctest.Wait()
		var own uint64
		for c := range srv.conns {
			c.mu.Lock()
			own = c.running.Find(2).waiter.ID
			c.mu.Unlock()
		}
		claim(3, 0, 1<<64-1, own^1, own<<1, own^1<<40)
		claim(4, 7, own)
		p.wantError(4, CodeFailedPrecondition, wire.NotRun, "called while already holding exclusive=bench: deadlock")
		p.want(wire.Response, 2, 0, 0)
		p.want(wire.Response, 3, 0, 0)
		claim(5, own)
		p.want(wire.Response, 5, 0, 0)
		p.turn(6, 1000, wire.RequestMetadata{})
		claim(7, own)
		p.want(wire.Response, 6, 0, 0)
		p.want(wire.Response, 7, 0, 0)
		p.nc.Close()
		srv.Close()
	})
}

// A POSITION has one fixed answer: it goes to its call, is ignored after that, or ends the
// connection.
func TestPositionOfServer(t *testing.T) {
	position := func(id uint64, n int) []byte { return wire.AppendPosition(nil, id, "g", n) }
	for name, tt := range map[string]struct {
		asks  bool
		frame func(id uint64) []byte
		text  string // of the violation; "" for none
	}{
		"asked":      {true, func(id uint64) []byte { return position(id, 3) }, ""},
		"not asked":  {false, func(id uint64) []byte { return position(id, 3) }, "which has not asked for it"},
		"never made": {true, func(id uint64) []byte { return position(id+1<<16, 3) }, "which was never made"},
		"none":       {true, func(id uint64) []byte { return position(id, 0) }, "POSITION 0, want 1 to 2147483647"},
		"short": {true, func(id uint64) []byte {
			return frameBytes(wire.Frame{Type: wire.Position, ID: id}, []byte("\x01\x00\x00\x00"))
		}, "POSITION with a body of 4 bytes, want 5 to 1028"},
		"long": {true, func(id uint64) []byte {
			return frameBytes(wire.Frame{Type: wire.Position, ID: id}, make([]byte, 1029))
		}, "POSITION with a body of 1029 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, proxy, p := rawServer(t, &ClientOptions{Logger: quiet, Limits: Limits{PingAfter: NoLimit}})
				ctx, got := t.Context(), 0
				if tt.asks {
					ctx = WithPosition(ctx, func(group string, n int) { got = n })
				}
				done := make(chan error, 1)
				go func() { _, err := proxy.Add(ctx, 1, 2); done <- err }()
				f, _ := p.read()
				if asked := f.Flags&wire.Metadata != 0; asked != tt.asks {
					t.Errorf("asked: %v", asked)
				}
				p.write(tt.frame(f.ID))
				if tt.text != "" {
					p.wantClose(CodeInternal, tt.text)
					if err := <-done; err == nil {
						t.Error("the call goes on")
					}
					return
				}
				synctest.Wait()
				if got != 3 {
					t.Errorf("got %d", got)
				}
				p.send(wire.Frame{Type: wire.Response, ID: f.ID}, []byte("\x03\x00\x00\x00"))
				if err := <-done; err != nil {
					t.Error(err)
				}
				p.write(tt.frame(f.ID)) // ignored
				synctest.Wait()
				if client.Err() != nil || got != 3 {
					t.Errorf("after the answer: %v", client.Err())
				}
				client.Close()
			})
		})
	}
}
