package bsrpc

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// Connections count from the end of their handshakes: with many at once, no more than
// Limits.MaxConns are admitted. Refused and disconnected ones no longer count.
func TestMaxConnsWithHandshakesUnderWay(t *testing.T) {
	const most, come = 8, 60
	for _, basic := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			srv := testeeServer(t, newTestee(), &ServerOptions{Basic: basic, Limits: Limits{MaxConns: most}})
			for round := range 3 {
				peers := make([]*rawPeer, come)
				for i := range peers {
					peers[i] = rawDial(t, srv)
					if !basic { // half of an INIT
						peers[i].write(firstInit[:3])
					}
				}
				synctest.Wait()
				var admitted atomic.Int64
				var all sync.WaitGroup
				for _, p := range peers {
					all.Go(func() {
						if basic {
							p.write([]byte(basicInit))
						} else {
							p.write(firstInit[3:])
						}
						typ, payload := p.readBasic()
						if hello, err := wire.ReadServerInit(payload); typ == wire.Init && (basic || err == nil && hello.RefusalCode == 0) {
							admitted.Add(1)
						}
					})
				}
				all.Wait()
				if n := admitted.Load(); n != most {
					t.Errorf("round %d: %d connections were admitted, MaxConns is %d", round, n, most)
				}
				for _, p := range peers {
					p.nc.Close()
					<-p.served
				}
				synctest.Wait()
			}
			srv.Close()
			checkBooked(t, srv)
			if len(srv.sessions.present) != 0 {
				t.Errorf("%d connections are counted after the end", len(srv.sessions.present))
			}
		})
	}
}

var firstInit = wire.AppendClientInit(nil, &wire.Hello{Version: 1})

// A connection refused later, or whose answer cannot be written, no longer counts.
func TestMaxConnsGivesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := testeeServer(t, newTestee(), &ServerOptions{MaxSessions: 1, RefuseWhenFull: true, Limits: Limits{MaxConns: 2}})
		holder := rawClient(t, srv)
		for range 3 {
			p := rawDial(t, srv)
			p.write(firstInit)
			p.readBasic() // refused
			p.nc.Close()
			<-p.served
		}
		holder.nc.Close()
		<-holder.served
		synctest.Wait()
		for range 3 {
			p := rawDial(t, srv)
			p.write(firstInit)
			p.nc.Close() // does not read the answer
			<-p.served
			synctest.Wait()
		}
		if len(srv.sessions.present) != 0 {
			t.Errorf("%d connections are counted after the end", len(srv.sessions.present))
		}
		rawClient(t, srv).nc.Close()
		synctest.Wait()
		srv.Close()
	})
}

// A disconnected client counts while its hooks or handlers run, so that clients cannot
// run more of them than Limits.MaxConns.
func TestMaxConnsOfClientsThatLeave(t *testing.T) {
	const most, come = 8, 60
	var inside, peak atomic.Int64
	linger := func() {
		n := inside.Add(1)
		defer inside.Add(-1)
		for old := peak.Load(); n > old && !peak.CompareAndSwap(old, n); old = peak.Load() {
		}
		time.Sleep(time.Minute)
	}
	for name, opts := range map[string]*ServerOptions{
		"OnConnect":    {OnConnect: func(context.Context, *Session) error { linger(); return nil }},
		"OnDisconnect": {OnDisconnect: func(*Session) { linger() }},
		"Basic":        {Basic: true, OnConnect: func(context.Context, *Session) error { linger(); return nil }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opts.Limits.MaxConns = most
				peak.Store(0)
				srv := testeeServer(t, newTestee(), opts)
				for range come {
					p := rawDial(t, srv)
					if opts.Basic {
						p.write([]byte(basicInit))
					} else {
						p.write(firstInit)
						p.readBasic()
					}
					synctest.Wait() // OnConnect runs, if it ever does
					p.nc.Close()
					<-p.served
				}
				synctest.Wait()
				if n := peak.Load(); n != most {
					t.Errorf("%d hooks ran at a time, MaxConns is %d", n, most)
				}
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				if len(srv.sessions.present) != 0 {
					t.Errorf("%d connections are counted after the end", len(srv.sessions.present))
				}
				srv.Close()
			})
		})
	}
}
