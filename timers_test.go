package bsrpc

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// Each timer of a server is its own: one of a minute ends its connection after a minute, while
// all others are a second.
func TestTimersAreSeparate(t *testing.T) {
	const long, short = time.Minute, time.Second
	alive := func(p *rawPeer, b []byte) { // writes what does no harm, until the end
		for len(b) > 0 {
			if _, err := p.nc.Write(b[:1]); err != nil {
				return
			}
			b = b[1:]
			time.Sleep(short / 2)
		}
	}
	for name, test := range map[string]struct {
		set  func(o *ServerOptions)
		peer func(p *rawPeer)
	}{
		"HandshakeTimeout": {func(o *ServerOptions) { o.HandshakeTimeout = long }, func(p *rawPeer) { p.readBasic() }},
		"FrameTimeout": {func(o *ServerOptions) { o.Limits.FrameTimeout = long }, func(p *rawPeer) {
			p.runHandshake()
			go alive(p, frameBytes(wire.Frame{Type: wire.Request, Arg: rawEcho, ID: 2}, make([]byte, 1000)))
		}},
		"PingTimeout": {func(o *ServerOptions) { o.Limits.PingTimeout = long - short }, func(p *rawPeer) {
			p.runHandshake()
			go p.read() // the PING, without an answer
		}},
		"PingAfter": {func(o *ServerOptions) { o.Limits.PingAfter = long - short }, func(p *rawPeer) {
			p.runHandshake()
			go p.read()
		}},
		"WriteStall": {func(o *ServerOptions) { o.Limits.WriteStall, o.Limits.FrameTimeout = long, NoLimit }, func(p *rawPeer) {
			p.runHandshake()
			p.send(wire.Frame{Type: wire.Request, Arg: rawMake, ID: 2}, []byte(u32(1<<20)))
			go alive(p, frameBytes(wire.Frame{Type: wire.Request, Arg: rawEcho, ID: 3}, make([]byte, 1000)))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := ServerOptions{HandshakeTimeout: short, Limits: Limits{FrameTimeout: short, PingAfter: short, PingTimeout: short, WriteStall: short, SessionLease: short}}
				test.set(&o)
				srv := testeeServer(t, newTestee(), &o)
				began := time.Now()
				p := rawDial(t, srv)
				p.nc.SetDeadline(time.Time{})
				test.peer(p)
				if name != "HandshakeTimeout" {
					<-p.served
				}
				if took := time.Since(began); took < long || took > long+short {
					t.Errorf("the connection ends after %v", took)
				}
				p.nc.Close()
				srv.Close()
				time.Sleep(short) // the end of alive
			})
		})
	}
}
