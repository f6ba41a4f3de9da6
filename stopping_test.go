package bsrpc

import (
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// A gated connection of a server: the answer to INIT and SetWriteDeadline wait.
type gated struct {
	net.Conn
	write, deadline chan struct{}
	armed           atomic.Bool
}

func (g *gated) Write(b []byte) (int, error) {
	<-g.write
	return g.Conn.Write(b)
}

func (g *gated) SetWriteDeadline(at time.Time) error {
	if g.armed.Load() {
		<-g.deadline
	}
	return g.Conn.SetWriteDeadline(at)
}

// A client whose handshake is about to end when the server stops reads why its connection ends,
// however late the interrupt of the handshake. TestLeaveWaitsForInterrupts has the order of the two.
func TestStopDuringLastStepOfHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := testeeServer(t, newTestee(), nil)
		near, far := net.Pipe()
		g := &gated{Conn: far, write: make(chan struct{}), deadline: make(chan struct{})}
		p := rawDialOver(t, srv, near, g)
		p.write(wire.AppendClientInit(nil, &wire.Hello{Version: 1}))
		synctest.Wait()
		g.armed.Store(true)
		stopped := make(chan error, 1)
		go func() { stopped <- srv.Shutdown(t.Context()) }()
		synctest.Wait()
		close(g.write)
		if typ, payload := p.readBasic(); typ != wire.Init {
			t.Fatalf("%v %q", typ, payload)
		}
		synctest.Wait()
		g.armed.Store(false)
		close(g.deadline)
		time.Sleep(100 * time.Millisecond) // not a client in a hurry
		p.wantClose(CodeUnavailable, "the server is shutting down")
		near.Close()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		<-p.served
	})
}
