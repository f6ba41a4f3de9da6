package bsrpc

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/admission"
	"github.com/bsrpc/bsrpc/internal/wire"
)

type sluice struct{}

func (sluice) Pass(us uint32)  { time.Sleep(time.Duration(us) * time.Microsecond) }
func (sluice) Other(us uint32) { time.Sleep(time.Duration(us) * time.Microsecond) }

type sluiceContract struct {
	Pass  func(ctx context.Context, us uint32) error `bsrpc:"exclusive=lock"`
	Other func(ctx context.Context, us uint32) error
}

// withSluice runs f in a bubble with a peer that has bound Pass and Other, and a
// client.
func withSluice(t *testing.T, concurrent int, f func(t *testing.T, srv *Server, p *rawPeer, proxy *sluiceContract)) {
	synctest.Test(t, func(t *testing.T) {
		srv := NewServer(&ServerOptions{Logger: quiet, MaxConcurrentCalls: concurrent})
		if err := RegisterAs[sluiceContract](srv, "Sluice", sluice{}); err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe()
		go srv.ServeConn(far)
		client, err := NewClient(t.Context(), near, nil)
		if err != nil {
			t.Fatal(err)
		}
		proxy, err := Bind[sluiceContract](t.Context(), client, "Sluice")
		if err != nil {
			t.Fatal(err)
		}
		p := rawDial(t, srv)
		p.write(wire.AppendClientInit(nil, &wire.Hello{Version: 1}))
		p.readBasic()
		r := wire.BindRequest{Service: "Sluice", Names: []string{"Pass", "Other"}}
		p.send(wire.Frame{Type: wire.Bind, Flags: wire.Describe, ID: 1}, r.Append(nil))
		p.wantAnswer(1)
		f(t, srv, p, proxy)
		p.nc.Close()
		<-p.served
		client.Close()
		srv.Close()
		checkBooked(t, srv)
	})
}

// Calls cancelled on their way from one semaphore to the next are answered at once,
// and release their slots.
func TestCancelledBetweenSemaphores(t *testing.T) {
	rounds := uint64(300)
	if !LongTests {
		rounds = 60
	}
	withSluice(t, 1, func(t *testing.T, srv *Server, p *rawPeer, proxy *sluiceContract) {
		rng := rand.New(rand.NewPCG(5, 5))
		ctx, cancel := context.WithCancel(t.Context())
		held := make(chan error, 1)
		go func() { held <- proxy.Pass(ctx, 1e9) }() // the group's holder
		synctest.Wait()
		for id := uint64(2); id < 2+3*rounds; id += 3 {
			us := uint32(1 + rng.IntN(5))
			p.send(wire.Frame{Type: wire.Request, Arg: 1, ID: id}, []byte(u32(us)))
			p.send(wire.Frame{Type: wire.Request, Arg: 0, ID: id + 1}, []byte(u32(0)))
			p.send(wire.Frame{Type: wire.Request, Arg: 0, ID: id + 2}, []byte(u32(0)))
			answered := make(chan map[uint64]string)
			go func() { answered <- p.answers(3) }()
			time.Sleep(time.Duration(us) * time.Microsecond)
			start := time.Now()
			p.nc.Write(frameBytes(wire.Frame{Type: wire.Cancel, ID: id + 1}, nil))
			p.nc.Write(frameBytes(wire.Frame{Type: wire.Cancel, ID: id + 2}, nil))
			<-answered
			if took := time.Since(start); took > 10*time.Millisecond {
				t.Fatalf("a cancelled call was answered after %v", took)
			}
		}
		cancel()
		<-held
		time.Sleep(2000 * time.Second) // Pass does not see that its caller has gone
		if err := proxy.Pass(t.Context(), 0); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		last := admission.NewWaiter(nil, srv.registry.find("Sluice.Pass").group, nil)
		if last.Start(func() {}) {
			t.Error("the group is held, or others wait for it")
		}
	})
}

// The error of a call that waited in vain names the limit and the outcome not run,
// even if its own time ends at about the same moment.
func TestWaitErrorsNameTheLimit(t *testing.T) {
	for _, test := range []struct {
		concurrent int
		call       func(p *sluiceContract) func(context.Context, uint32) error
		what       string
	}{
		{0, func(p *sluiceContract) func(context.Context, uint32) error { return p.Pass }, "exclusive=lock"},
		{1, func(p *sluiceContract) func(context.Context, uint32) error { return p.Other }, "its turn (the server's MaxConcurrentCalls is 1)"},
	} {
		withSluice(t, test.concurrent, func(t *testing.T, _ *Server, p *rawPeer, proxy *sluiceContract) {
			held := make(chan error, 1)
			go func() { held <- test.call(proxy)(t.Context(), 10e6) }()
			synctest.Wait()
			for limit, want := range map[time.Duration]string{2 * time.Second: "waited 1.98s for ", 50 * time.Millisecond: "waited 45ms for ", time.Microsecond: "waited 0s for "} {
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				start := time.Now()
				err := test.call(proxy)(ctx, 0)
				if took := time.Since(start); took > limit || took < limit*9/10 {
					t.Errorf("a call with %v ended after %v", limit, took)
				}
				cancel()
				if limit < time.Millisecond {
					continue // so short a time is over before the answer is there
				}
				wantCall(t, err, CodeDeadlineExceeded, OutcomeNotRun, want+test.what)
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v is not the call's own time", err)
				}
			}
			if err := <-held; err != nil {
				t.Error(err)
			}
		})
	}
	withSluice(t, 1, func(t *testing.T, _ *Server, p *rawPeer, _ *sluiceContract) {
		p.send(wire.Frame{Type: wire.Request, Arg: 1, ID: 2}, []byte(u32(10e6)))
		p.send(wire.Frame{Type: wire.Request, Arg: 1, ID: 3}, []byte(u32(0)))
		time.Sleep(1234 * time.Millisecond)
		p.send(wire.Frame{Type: wire.Cancel, ID: 3}, nil)
		p.wantError(3, CodeCanceled, wire.NotRun, "canceled: waited 1.23s for its turn (the server's MaxConcurrentCalls is 1)")
		p.send(wire.Frame{Type: wire.Request, Arg: 1, ID: 4, Timeout: 1000_000}, []byte(u32(0)))
		p.wantError(4, CodeDeadlineExceeded, wire.NotRun|wire.Expired, "waited 980ms for its turn")
		p.wantAnswer(2)
	})
}
