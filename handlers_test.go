package bsrpc

import (
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// A workshop counts its running handlers.
type workshop struct {
	now, most, ended atomic.Int32
	pause            time.Duration
}

func (c *workshop) Work(context.Context) error {
	n := c.now.Add(1)
	defer c.now.Add(-1)
	for most := c.most.Load(); n > most && !c.most.CompareAndSwap(most, n); most = c.most.Load() {
	}
	time.Sleep(c.pause)
	switch c.ended.Add(1) % 10 {
	case 0:
		runtime.Goexit()
	case 1:
		panic("on purpose")
	}
	return nil
}

type workshopContract struct {
	Work func(context.Context) error `bsrpc:"id=1"`
}

const workshopHandlers = 15 // none is kept for connections with few

// withWorkshop runs f in a bubble, on one processor and on eight, and holds the
// handlers that ran at a time against MaxHandlers.
func withWorkshop(t *testing.T, opts ServerOptions, f func(t *testing.T, srv *Server, c *workshop)) {
	for _, procs := range []int{1, 8} {
		t.Run(fmt.Sprint("procs=", procs), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			synctest.Test(t, func(t *testing.T) {
				opts.Basic, opts.Logger = true, quiet
				opts.Limits.MaxHandlers = workshopHandlers
				srv := NewServer(&opts)
				c := &workshop{pause: 20 * time.Millisecond}
				if err := RegisterAs[workshopContract](srv, "Workshop", c); err != nil {
					t.Fatal(err)
				}
				f(t, srv, c)
				time.Sleep(time.Second)
				if n := srv.handlers.Load(); n != 0 {
					t.Errorf("%d handlers are counted where none runs", n)
				}
				srv.Close()
				checkBooked(t, srv)
				if n := c.most.Load(); n != workshopHandlers {
					t.Errorf("%d handlers ran at a time, want %d", n, workshopHandlers)
				}
			})
		})
	}
}

// workshopPeer connects a peer that discards its input.
func workshopPeer(t *testing.T, srv *Server) *rawPeer {
	p := rawDial(t, srv)
	p.bindAs(&wire.Hello{Version: 1}, "Workshop", "Work")
	go io.Copy(io.Discard, p.nc)
	return p
}

var workshopGates = map[string]ServerOptions{"inline": {}, "gated": {MaxConcurrentCalls: 1000}}

// Handlers run inline count too, also after the watchdog has replaced the leader.
func TestMaxHandlersOfManyConnections(t *testing.T) {
	for name, opts := range workshopGates {
		t.Run(name, func(t *testing.T) {
			withWorkshop(t, opts, func(t *testing.T, srv *Server, c *workshop) {
				var peers []*rawPeer
				for range 64 {
					peers = append(peers, workshopPeer(t, srv))
				}
				var wg sync.WaitGroup
				for _, p := range peers {
					wg.Go(func() {
						for id := range uint64(5) {
							p.send(wire.Frame{Type: wire.Request, ID: 2 + id}, nil)
							time.Sleep(time.Duration(id) * time.Millisecond)
						}
					})
				}
				wg.Wait()
				time.Sleep(time.Second)
				for _, p := range peers {
					p.nc.Close()
				}
			})
		})
	}
}

// A cancelled call counts until its handler returns.
func TestMaxHandlersOfCancelledCalls(t *testing.T) {
	t.Parallel()
	calls := 100
	if !LongTests {
		calls = 10
	}
	for name, opts := range workshopGates {
		t.Run(name, func(t *testing.T) {
			withWorkshop(t, opts, func(t *testing.T, srv *Server, c *workshop) {
				var wg sync.WaitGroup
				for range 50 {
					p := workshopPeer(t, srv)
					wg.Go(func() {
						for id := range uint64(calls) {
							p.send(wire.Frame{Type: wire.Request, ID: 2 + id}, nil)
							p.send(wire.Frame{Type: wire.Cancel, ID: 2 + id}, nil)
							time.Sleep(time.Duration(id%7) * time.Millisecond)
						}
						p.nc.Close()
					})
				}
				wg.Wait()
			})
		})
	}
}

// Refused calls do not make a slow method look quick.
func TestMaxHandlersOfOneConnection(t *testing.T) {
	calls := 5000
	if !LongTests {
		calls = 1000
	}
	for name, opts := range workshopGates {
		t.Run(name, func(t *testing.T) {
			opts.MaxInflight = NoLimit
			withWorkshop(t, opts, func(t *testing.T, srv *Server, c *workshop) {
				p := workshopPeer(t, srv)
				for id := range uint64(calls) {
					p.send(wire.Frame{Type: wire.Request, ID: 2 + id}, nil)
				}
				if slow := srv.registry.find("Workshop.Work").slow.Load(); opts.MaxConcurrentCalls == 0 && slow < slowRequests-workshopHandlers {
					t.Errorf("refused calls have counted: %d are left", slow)
				}
				time.Sleep(time.Second)
				p.nc.Close()
			})
		})
	}
}

// Commands of basic clients count, also after the client has disconnected.
func TestMaxHandlersOfBasicClients(t *testing.T) {
	t.Parallel()
	withWorkshop(t, ServerOptions{}, func(t *testing.T, srv *Server, c *workshop) {
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				for n := range Rounds(1, 3) {
					near, far := net.Pipe()
					served := make(chan error, 1)
					go func() { served <- srv.ServeConn(far) }()
					near.Write([]byte("\x08\x00\x00\x00\x00\x00\x00\x01"))
					near.Write([]byte("\x07\x00\x00\x00\x01\x01\x00"))
					go io.Copy(io.Discard, near)
					time.Sleep(time.Duration(1+(i+n)%40) * time.Millisecond)
					near.Close()
					<-served
				}
			})
		}
		wg.Wait()
	})
}

// With MaxHandlers 1, sequential calls are never refused, whichever path each call
// takes and whichever goroutine writes its answer.
func TestMaxHandlersOneAfterAnother(t *testing.T) {
	rounds := 3000
	if !LongTests {
		rounds = 200
	}
	for name, opts := range workshopGates {
		t.Run(name, func(t *testing.T) {
			opts.Limits.MaxHandlers = 1
			srv := testeeServer(t, newTestee(), &opts)
			near, far := tcpPair(t)
			served := make(chan error, 1)
			go func() { served <- srv.ServeConn(far) }()
			client, proxy := testeeClientOn(t, near, nil)
			for i := range rounds {
				var err error
				switch {
				case i%100 == 0:
					_, err = proxy.Sleep(t.Context(), uint32(i%7*1000))
				case i%2 == 0:
					_, err = proxy.Echo(t.Context(), make([]byte, i%3*minOwnGoroutine))
				default:
					_, err = proxy.Add(t.Context(), 1, 2)
				}
				if err != nil {
					t.Fatalf("call %d: %v", i, err)
				}
			}
			client.Close()
			<-served
			srv.Close()
			if n := srv.handlers.Load(); n != 0 {
				t.Errorf("%d handlers are counted", n)
			}
		})
	}
}
