package bsrpc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/transport"
)

// wantHolder checks the holder of the read lease in an idle bubble.
func wantHolder(t testing.TB, c *transport.Conn, want string, when string) {
	t.Helper()
	synctest.Wait()
	if got := transport.StateOf(c).Reader; got != want {
		t.Errorf("%s: reader %s, want %s", when, got, want)
	}
}

// Every transition of the read lease, one after the other.
func TestReadLeaseTransitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := newTestee()
		srv := testeeServer(t, service, nil)
		client, proxy := testeeClient(t, srv, nil)
		c, s := client.native.Conn, onlyConn(t, srv)
		time.Sleep(time.Second)
		wantHolder(t, c, "leader", "idle client")
		wantHolder(t, s, "leader", "idle server")
		if transport.StateOf(c).Watched || transport.StateOf(s).Watched {
			t.Error("the watchdog of an idle connection runs")
		}
		proxy.Add(t.Context(), 1, 2) // the leader reads the answer, and lends the lease
		wantHolder(t, c, "nobody", "after a call")
		proxy.Add(t.Context(), 1, 2) // the caller reads it for itself
		wantHolder(t, c, "nobody", "after another call")
		time.Sleep(2 * transport.WatchdogPeriod)
		wantHolder(t, c, "leader", "a watchdog period later")

		proxy.Add(t.Context(), 1, 2)
		held := make(chan error, 1)
		go func() { held <- proxy.Hold(t.Context()) }()
		<-service.began
		wantHolder(t, c, "caller", "while a call waits")
		wantHolder(t, s, "handler", "while a handler runs")
		other := make(chan error, 1)
		go func() { other <- proxy.Fail(t.Context()) }()
		synctest.Wait()
		if !transport.StateOf(c).Parked {
			t.Error("nobody is parked while a caller reads")
		}
		time.Sleep(5 * transport.WatchdogPeriod)
		wantHolder(t, c, "leader", "while a call waits long")
		wantHolder(t, s, "leader", "while a handler runs long")
		if n := transport.StateOf(c).Long; n != 1 {
			t.Errorf("%d calls wait long, want 1", n)
		}
		wantCall(t, <-other, CodeNotFound, OutcomeAnswered, "not here")
		close(service.release)
		if err := <-held; err != nil {
			t.Error(err)
		}
		proxy.Add(t.Context(), 1, 2)
		wantHolder(t, c, "nobody", "after all")
		checkEmpty(t, c)
		checkEmpty(t, s)
		client.Close()
		srv.Close()
	})
}

// leaseSlack is the time a call may take beyond that of its handler: a few watchdog
// periods, and two for each of the other callers, whose handlers may run inline before
// it. A lost wake-up takes longer.
func leaseSlack(callers int) time.Duration {
	return time.Duration(6+2*callers) * transport.WatchdogPeriod
}

// Many callers with small pauses make short and long calls, and cancel some. Time is
// virtual, so that every lost moment is visible.
func TestReadLeaseStorm(t *testing.T) {
	seeds := 40
	if !LongTests {
		seeds = 1
	}
	for seed := range uint64(seeds) {
		for _, callers := range []int{1, 2, 3, 16, 64} {
			synctest.Test(t, func(t *testing.T) {
				srv := testeeServer(t, newTestee(), nil)
				client, proxy := testeeClient(t, srv, nil)
				method := srv.registry.find("Probe.Sleep")
				var wg sync.WaitGroup
				for g := range callers {
					rng := rand.New(rand.NewPCG(seed, uint64(g)))
					wg.Go(func() { leaseCalls(t, rng, proxy, method, leaseSlack(callers)) })
				}
				wg.Wait()
				time.Sleep(time.Second) // for the handlers whose callers have gone
				checkEmpty(t, client.native.Conn)
				checkEmpty(t, onlyConn(t, srv))
				client.Close()
				srv.Close()
			})
		}
	}
}

// leaseCalls is one of the callers.
func leaseCalls(t *testing.T, rng *rand.Rand, proxy *testeeContract, method *servedMethod, slack time.Duration) {
	for range 20 {
		time.Sleep(time.Duration(rng.IntN(4)) * time.Duration(rng.IntN(600)) * time.Microsecond)
		if rng.IntN(4) == 0 {
			method.slow.Store(0) // so that its handlers run inline again
		}
		us := []uint32{0, 0, 1, uint32(rng.IntN(999)), 999, 1000, 1001, 2000, uint32(rng.IntN(5000))}[rng.IntN(9)]
		ctx, cancel := context.Background(), context.CancelFunc(func() {})
		var limit time.Duration
		if rng.IntN(5) == 0 {
			limit = time.Duration(1+rng.IntN(6000)) * time.Microsecond
			ctx, cancel = context.WithTimeout(ctx, limit)
		}
		start := time.Now()
		got, err := proxy.Sleep(ctx, us)
		took := time.Since(start)
		cancel()
		switch {
		case err == nil && got != us:
			t.Errorf("got the answer %d, want %d", got, us)
		case err != nil && (limit == 0 || !errors.Is(err, context.DeadlineExceeded)):
			t.Error(err)
		case limit > 0 && took > limit+slack:
			t.Errorf("a call with %v left took %v", limit, took)
		case limit == 0 && took > time.Duration(us)*time.Microsecond+slack:
			t.Errorf("a call of %d µs took %v", us, took)
		}
	}
}

// A single caller with pauses of every length finds the lease in every state.
func TestReadLeaseOfOneCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := testeeServer(t, newTestee(), nil)
		client, proxy := testeeClient(t, srv, nil)
		rng := rand.New(rand.NewPCG(1, 1))
		for n := range Rounds(1000, 5000) {
			if n%2 == 0 {
				time.Sleep(time.Duration(rng.IntN(3000)) * time.Microsecond)
			}
			start := time.Now()
			if _, err := proxy.Add(t.Context(), 1, 2); err != nil || time.Since(start) > 0 {
				t.Fatalf("call %d: %v after %v", n, err, time.Since(start))
			}
		}
		client.Close()
		srv.Close()
	})
}

// The same on real sockets and processors. It finds calls that are never answered, and
// data races.
func TestReadLeaseOnSockets(t *testing.T) {
	rounds := 400
	if !LongTests {
		rounds = 10
	}
	for _, procs := range []int{1, 2, 8} {
		t.Run(fmt.Sprint("procs=", procs), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			for _, callers := range []int{1, 4, 64} {
				srv := testeeServer(t, newTestee(), nil)
				near, far := tcpPair(t)
				served := make(chan error, 1)
				go func() { served <- srv.ServeConn(far) }()
				client, proxy := testeeClientOn(t, near, nil)
				method := srv.registry.find("Probe.Sleep")
				var wg sync.WaitGroup
				for g := range callers {
					rng := rand.New(rand.NewPCG(uint64(g), uint64(procs)))
					wg.Go(func() { turnSocketCalls(t, rng, proxy, method, rounds) })
				}
				wg.Wait()
				c := onlyConn(t, srv)
				eventually(t, func() string { return residue(client.native.Conn) + residue(c) })
				client.Close()
				<-served
				srv.Close()
			}
		})
	}
}

func turnSocketCalls(t *testing.T, rng *rand.Rand, proxy *testeeContract, method *servedMethod, rounds int) {
	for n := range rounds {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		var err error
		switch rng.IntN(20) {
		case 0: // longer than a watchdog period, inline
			method.slow.Store(0)
			_, err = proxy.Sleep(ctx, uint32(500+rng.IntN(3000)))
		case 1: // cancelled at about the moment of its answer
			cancel()
			ctx, cancel = context.WithTimeout(t.Context(), time.Duration(rng.IntN(2000))*time.Microsecond)
			if _, err = proxy.Sleep(ctx, uint32(rng.IntN(1500))); errors.Is(err, context.DeadlineExceeded) {
				err = nil
			}
		case 2:
			var out []byte
			in := make([]byte, rng.IntN(100_000))
			if out, err = proxy.Echo(ctx, in); err == nil && len(out) != len(in) {
				err = fmt.Errorf("got %d bytes, want %d", len(out), len(in))
			}
		default:
			var sum uint32
			if sum, err = proxy.Add(ctx, uint32(n), 1); err == nil && sum != uint32(n)+1 {
				err = fmt.Errorf("got %d, want %d", sum, n+1)
			}
		}
		cancel()
		if err != nil {
			t.Error(err)
			return
		}
	}
}

// quitter ends its goroutine at once, or after the watchdog has replaced it.
type quitter struct{}

func (quitter) Quit(us uint32) uint32 {
	time.Sleep(time.Duration(us) * time.Microsecond)
	runtime.Goexit()
	return us
}

func (quitter) Panic(us uint32) uint32 {
	time.Sleep(time.Duration(us) * time.Microsecond)
	panic("on purpose")
}

// A handler that ends the goroutine of the leader fails only its call, before and
// after the watchdog has replaced it.
func TestReadLeaseSurvivesGoexit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := NewServer(&ServerOptions{Logger: quiet})
		if err := srv.RegisterName("Quitter", quitter{}); err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe()
		go srv.ServeConn(far)
		client, err := NewClient(t.Context(), near, nil)
		if err != nil {
			t.Fatal(err)
		}
		calls := uint64(0)
		for _, us := range []uint32{0, 500, 1000, 1500, 2000, 5000, 0, 0} {
			for _, method := range []string{"Quitter.Quit", "Quitter.Panic"} {
				srv.registry.find(method).slow.Store(0)
				var got uint32
				err := client.Call(t.Context(), method, []any{us}, &got)
				wantCall(t, err, CodeInternal, OutcomeAnswered, "panic in the handler")
				calls++
			}
		}
		if n := srv.Panics(); n != calls {
			t.Errorf("Panics: %d, want %d", n, calls)
		}
		checkEmpty(t, client.native.Conn)
		checkEmpty(t, onlyConn(t, srv))
		client.Close()
		srv.Close()
		checkBooked(t, srv)
	})
}

// The end of a connection finds the lease in every state.
func TestReadLeaseAndClose(t *testing.T) {
	rounds := 400
	if !LongTests {
		rounds = 80
	}
	rng := rand.New(rand.NewPCG(8, 8))
	for range rounds {
		synctest.Test(t, func(t *testing.T) {
			srv := testeeServer(t, newTestee(), nil)
			client, proxy := testeeClient(t, srv, nil)
			var wg sync.WaitGroup
			for range 1 + rng.IntN(6) {
				us, pause := uint32(rng.IntN(3))*uint32(rng.IntN(1500)), rng.IntN(2000)
				wg.Go(func() {
					time.Sleep(time.Duration(pause) * time.Microsecond)
					for range 5 {
						if _, err := proxy.Sleep(context.Background(), us); err != nil {
							return
						}
					}
				})
			}
			time.Sleep(time.Duration(rng.IntN(4000)) * time.Microsecond)
			start := time.Now()
			if rng.IntN(2) == 0 {
				client.Close()
			} else {
				srv.Close()
			}
			if took := time.Since(start); took != 0 {
				t.Errorf("Close took %v", took)
			}
			wg.Wait()
			client.Close()
			srv.Close()
			time.Sleep(time.Second) // the handlers that Close did not wait for
			checkBooked(t, srv)
		})
	}
}

// On a connection whose answers are all late, most calls are long from the start: the leader reads, and
// no caller is parked first.
func TestLateAnswersMakeCallsLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := testeeServer(t, newTestee(), nil)
		client, proxy := testeeClient(t, srv, nil)
		c := client.native.Conn
		long := 0
		for range 40 {
			done := make(chan error, 1)
			go func() {
				_, err := proxy.Sleep(t.Context(), 5000)
				done <- err
			}()
			synctest.Wait()
			long += transport.StateOf(c).Long
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if long < 30 {
			t.Errorf("%d of 40 calls are long from the start", long)
		}
		client.Close()
		srv.Close()
	})
}
