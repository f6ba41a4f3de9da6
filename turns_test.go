package bsrpc

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// Connections that send without end take turns, and each call is answered: by the leader with
// its own answers, or by the goroutine of the handler.
func TestTurnsAnswerAllCalls(t *testing.T) {
	peers, calls := 5, uint64(3000)
	if !LongTests {
		calls = 400
	}
	for _, procs := range []int{1, 2, 8} {
		t.Run(fmt.Sprint("procs=", procs), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			service := newTestee()
			srv := testeeServer(t, service, &ServerOptions{MaxInflight: NoLimit, Limits: Limits{OutQueue: 1 << 10}})
			defer srv.Close()
			var wg sync.WaitGroup
			for range peers {
				near, far := tcpPair(t)
				p := rawDialOver(t, srv, near, far)
				p.runHandshake()
				var sent []byte
				for id := uint64(2); id < 2+calls; id++ {
					switch {
					case id%100 == 0:
						sent = append(sent, frameBytes(wire.Frame{Type: wire.Request, Arg: rawEcho, ID: id}, append([]byte(u32(minOwnGoroutine)), make([]byte, minOwnGoroutine)...))...)
					case id%2 == 0:
						sent = append(sent, frameBytes(wire.Frame{Type: wire.Request, Arg: rawAdd, ID: id}, []byte(u32(1)+u32(2)))...)
					default:
						sent = append(sent, frameBytes(wire.Frame{Type: wire.Request, Arg: rawHold, ID: id}, nil)...)
						sent = append(sent, frameBytes(wire.Frame{Type: wire.Cancel, ID: id}, nil)...)
					}
				}
				wg.Go(func() { p.write(sent) })
				wg.Go(func() {
					answered := make(map[uint64]bool)
					for range calls {
						f, _ := p.read()
						answered[f.ID] = true
					}
					if uint64(len(answered)) != calls {
						t.Errorf("%d calls of %d are answered", len(answered), calls)
					}
					p.nc.Close()
				})
			}
			wg.Wait()
		})
	}
}

// Connections with many running handlers leave the last ones to others.
func TestMaxHandlersLeavesSome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := newTestee()
		srv := testeeServer(t, service, &ServerOptions{Limits: Limits{MaxHandlers: 160}})
		stop := witness(t, srv)
		time.Sleep(time.Millisecond) // from here on never at an instant of the witness's calls
		var peers []*rawPeer
		for range 2 {
			p := rawClient(t, srv)
			peers = append(peers, p)
			for id := uint64(2); ; id++ {
				before := len(service.began)
				p.send(wire.Frame{Type: wire.Request, Arg: rawDeaf, ID: id}, nil)
				time.Sleep(5 * time.Millisecond)
				if len(service.began) == before {
					p.wantError(id, CodeResourceExhausted, wire.NotRun, "the server is busy: the last of Limits.MaxHandlers (160) handlers are for other connections")
					break
				}
			}
		}
		if n := len(service.began); n != 150+fewEnough+1 {
			t.Errorf("%d handlers run", n)
		}
		time.Sleep(time.Second)
		stop()
		close(service.release)
		for _, p := range peers {
			p.nc.Close()
		}
		srv.Close()
	})
}
