package bsrpc

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// Connections are counted as their handshakes end: as many as come at once, no more
// than Limits.MaxConns are admitted. What is refused, or leaves, is counted no longer.
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
			if srv.connected != 0 {
				t.Errorf("%d connections are counted after the end", srv.connected)
			}
		})
	}
}

var firstInit = wire.AppendClientInit(nil, &wire.Hello{Version: 1})

// A connection that is counted and then refused, or whose answer cannot be written,
// is counted no longer.
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
		if srv.connected != 0 {
			t.Errorf("%d connections are counted after the end", srv.connected)
		}
		rawClient(t, srv).nc.Close()
		synctest.Wait()
		srv.Close()
	})
}
