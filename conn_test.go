package bsrpc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// raceEnabled reports whether the race detector is on; tests are slower then.
var raceEnabled = func() bool {
	info, ok := debug.ReadBuildInfo()
	for i := 0; ok && i < len(info.Settings); i++ {
		if s := info.Settings[i]; s.Key == "-race" {
			return s.Value == "true"
		}
	}
	return false
}()

// After Close at either end all goroutines, timers and descriptors are released. Every
// bubble checks its goroutines; this test checks the rest, on real sockets.
func TestCloseReleasesEverything(t *testing.T) {
	first, second := tcpPair(t) // the first socket of a process brings descriptors of the runtime's
	first.Close()
	second.Close()
	goroutines, files := runtime.NumGoroutine(), descriptors()
	rounds := 50
	if !LongTests {
		rounds = 4
	}
	for round := range rounds {
		srv := testeeServer(t, newTestee(), nil)
		near, far := tcpPair(t)
		served := make(chan error, 1)
		go func() { served <- srv.ServeConn(far) }()
		client, proxy := testeeClientOn(t, near, nil)
		c, s := client.native.Conn, onlyConn(t, srv)
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				for n := range 10 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+n)*time.Millisecond)
					proxy.Echo(ctx, make([]byte, g*50_000))
					cancel()
				}
			})
		}
		if round%2 == 0 {
			wg.Wait()
		}
		if round%3 == 0 {
			srv.Close()
		}
		client.Close()
		<-served
		wg.Wait()
		srv.Close()
		for _, c := range []*transport.Conn{c, s} {
			if transport.StopTimers(c) {
				t.Error("a timer of a connection that has ended was set")
			}
		}
	}
	eventually(t, func() string {
		if n, f := runtime.NumGoroutine(), descriptors(); n > goroutines || f > files {
			return fmt.Sprintf("%d goroutines, %d before; %d descriptors, %d before", n, goroutines, f, files)
		}
		return ""
	})
}

// descriptors returns the number of open descriptors of the process, or 0 if unknown.
func descriptors() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}

// A million calls with every kind of end leave the tables empty.
func TestCallTablesAreEmptyAfterwards(t *testing.T) {
	calls := int64(1_000_000)
	switch {
	case !LongTests:
		calls = 2_000
	case raceEnabled:
		calls = 200_000
	}
	service := newTestee()
	close(service.release)
	srv := testeeServer(t, service, &ServerOptions{MaxMessage: 1 << 20})
	near, far := tcpPair(t)
	served := make(chan error, 1)
	go func() { served <- srv.ServeConn(far) }()
	client, proxy := testeeClientOn(t, near, nil)
	var left atomic.Int64
	left.Store(calls)
	var wg sync.WaitGroup
	for g := range 64 {
		rng := rand.New(rand.NewPCG(139, uint64(g)))
		wg.Go(func() {
			drained := make([]byte, 200_000)
			for left.Add(-1) >= 0 {
				if err := anyCall(t.Context(), rng, proxy, drained); err != nil {
					t.Error(err)
					return
				}
				select { // the calls of Hold need not be received
				case <-service.began:
				default:
				}
			}
		})
	}
	wg.Wait()
	c := onlyConn(t, srv)
	eventually(t, func() string { return residue(client.native.Conn) + residue(c) })
	if n := transport.StateOf(client.native.Conn).Slots; n > 1024 {
		t.Errorf("%d slots for 64 callers", n)
	}
	if n := srv.handlers.Load(); n != 0 {
		t.Errorf("%d handlers are counted", n)
	}
	client.Close()
	<-served
	for _, c := range []*transport.Conn{c, client.native.Conn} {
		if left := transport.Arriving(c); left != "" {
			t.Error(left)
		}
	}
	srv.Close()
}

// anyCall makes a call with a random end, and returns an error for a different end.
func anyCall(ctx context.Context, rng *rand.Rand, proxy *testeeContract, memory []byte) error {
	var err error
	var e *Error
	want := func(code Code) error {
		if !errors.As(err, &e) || e.Code != code {
			return fmt.Errorf("got %w, want %v", err, code)
		}
		return nil
	}
	switch n := rng.IntN(1000); {
	case n < 700: // answered
		_, err = proxy.Add(ctx, 1, 2)
		return err
	case n < 780: // with an error
		err = proxy.Fail(ctx)
		return want(CodeNotFound)
	case n < 800: // by a panic
		err = proxy.Panic(ctx)
		return want(CodeInternal)
	case n < 850: // over before it begins
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		err = proxy.Fail(ctx)
		return want(CodeCanceled)
	case n < 880: // refused here
		_, err = proxy.Echo(ctx, make([]byte, 1<<20+1))
		return want(CodeResourceExhausted)
	case n < 990: // at about its end
		ctx, cancel := context.WithTimeout(ctx, time.Duration(rng.IntN(3000))*time.Microsecond)
		defer cancel()
		if _, err = proxy.Sleep(ctx, uint32(rng.IntN(2000))); err != nil {
			return want(CodeDeadlineExceeded)
		}
	default: // chunked, cancelled at about its end
		ctx, cancel := context.WithTimeout(ctx, time.Duration(rng.IntN(20_000))*time.Microsecond)
		defer cancel()
		if _, err = proxy.Echo(ctx, memory[:rng.IntN(len(memory))]); err != nil {
			return want(CodeDeadlineExceeded)
		}
	}
	return nil
}

// timed is a contract with timeout= tags.
type timed struct {
	Deaf  func(ctx context.Context) error                      `bsrpc:"timeout=7s"`
	Sleep func(ctx context.Context, us uint32) (uint32, error) `bsrpc:"timeout=none"`
	Hold  func(ctx context.Context) error
}

// Calls end exactly at their time limit, from any source, and so do the contexts of
// their handlers.
func TestCallTimeoutsAreExact(t *testing.T) {
	for _, tt := range []struct {
		name    string
		opts    ClientOptions
		timeout time.Duration // of the context
		call    func(ctx context.Context, p *testeeContract, q *timed) error
		want    time.Duration
		text    string
	}{
		{"default", ClientOptions{}, 0, func(ctx context.Context, p *testeeContract, _ *timed) error { return p.Deaf(ctx) },
			20 * time.Second, "no answer in 20s (DefaultCallTimeout); give the context a deadline, or the method timeout="},
		{"option", ClientOptions{DefaultCallTimeout: 3 * time.Second}, 0, func(ctx context.Context, p *testeeContract, _ *timed) error { return p.Deaf(ctx) },
			3 * time.Second, "no answer in 3s (DefaultCallTimeout)"},
		{"tag", ClientOptions{}, 0, func(ctx context.Context, _ *testeeContract, q *timed) error { return q.Deaf(ctx) },
			7 * time.Second, "no answer in 7s (timeout= of the method)"},
		{"context", ClientOptions{}, 90 * time.Second, func(ctx context.Context, _ *testeeContract, q *timed) error { return q.Hold(ctx) },
			90 * time.Second, "deadline exceeded"},
		{"a microsecond", ClientOptions{}, time.Microsecond, func(ctx context.Context, p *testeeContract, _ *timed) error { return p.Hold(ctx) },
			time.Microsecond, "deadline exceeded"},
		{"less than a watchdog period", ClientOptions{}, 300 * time.Microsecond, func(ctx context.Context, p *testeeContract, _ *timed) error { return p.Hold(ctx) },
			300 * time.Microsecond, "deadline exceeded"},
		{"a few watchdog periods", ClientOptions{}, 3300 * time.Microsecond, func(ctx context.Context, p *testeeContract, _ *timed) error { return p.Hold(ctx) },
			3300 * time.Microsecond, "deadline exceeded"},
		{"more watchdog periods", ClientOptions{}, 4100 * time.Microsecond, func(ctx context.Context, p *testeeContract, _ *timed) error { return p.Hold(ctx) },
			4100 * time.Microsecond, "deadline exceeded"},
		{"a handler that does not look", ClientOptions{}, time.Second, func(ctx context.Context, p *testeeContract, _ *timed) error { return p.Deaf(ctx) },
			time.Second, "deadline exceeded"},
		{"large, to a peer that reads it", ClientOptions{}, time.Second, func(ctx context.Context, p *testeeContract, _ *timed) error {
			p.Echo(ctx, make([]byte, 1<<20))
			return p.Hold(ctx)
		}, time.Second, "deadline exceeded"},
		{"none", ClientOptions{DefaultCallTimeout: time.Second}, 0, func(ctx context.Context, _ *testeeContract, q *timed) error {
			_, err := q.Sleep(ctx, 100e6)
			return err
		}, 100 * time.Second, ""},
		{"no limit", ClientOptions{DefaultCallTimeout: NoLimit}, 0, func(ctx context.Context, p *testeeContract, _ *timed) error {
			_, err := p.Sleep(ctx, 100e6)
			return err
		}, 100 * time.Second, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				service := newTestee()
				srv := testeeServer(t, service, nil)
				tt.opts.Logger = quiet
				client, proxy := testeeClient(t, srv, &tt.opts)
				q, err := Bind[timed](t.Context(), client, "Probe")
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.Background(), context.CancelFunc(func() {})
				start := time.Now()
				if tt.timeout > 0 {
					ctx, cancel = context.WithTimeout(ctx, tt.timeout)
				}
				err = tt.call(ctx, proxy, q)
				cancel()
				if took := time.Since(start); took != tt.want {
					t.Errorf("ended after %v, want %v", took, tt.want)
				}
				if tt.text != "" {
					var e *Error
					if !errors.As(err, &e) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(e.Error(), tt.text) {
						t.Errorf("got %v, want %q", err, tt.text)
					}
				} else if err != nil {
					t.Error(err)
				}
				close(service.release)
				checkEmpty(t, onlyConn(t, srv))
				checkEmpty(t, client.native.Conn)
				client.Close()
				srv.Close()
			})
		})
	}
}

// A cancelled call returns within two watchdog periods at first, and at once later.
// Its handler observes the cancellation at that moment.
func TestCancelIsImmediate(t *testing.T) {
	for _, after := range []time.Duration{0, time.Microsecond, 1500 * time.Microsecond, 10 * time.Millisecond, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			service := newTestee()
			srv := testeeServer(t, service, nil)
			client, proxy := testeeClient(t, srv, nil)
			ctx, cancel := context.WithCancel(t.Context())
			call := make(chan error, 1)
			go func() { call <- proxy.Hold(ctx) }()
			<-service.began
			time.Sleep(after)
			start := time.Now()
			cancel()
			wantCall(t, <-call, CodeCanceled, OutcomeUnknown, "canceled")
			most := time.Duration(0)
			if after < 2*transport.WatchdogPeriod {
				most = (2+1)*transport.WatchdogPeriod - after
			}
			if took := time.Since(start); took > most {
				t.Errorf("cancelled after %v: returned after %v, want at most %v", after, took, most)
			}
			checkEmpty(t, onlyConn(t, srv))
			checkEmpty(t, client.native.Conn)
			client.Close()
			srv.Close()
		})
	}
}

// A server that closes a connection waits for a peer that reads nothing only for
// netconn.CloseTime, also after a violation of the protocol.
func TestGracefulCloseTime(t *testing.T) {
	withRaw(t, nil, func(p *rawPeer, _ *Server, _ *testee) {
		start := time.Now()
		p.write([]byte(rawHead(16, 0x77, 0, 0, 2)))
		if err := <-p.served; err == nil || time.Since(start) != netconn.CloseTime {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		p.served <- nil
	})
}

// The outcome of a call on a lost connection is as precise as possible.
func TestOutcomesOfLostCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, proxy, p := rawServer(t, nil)
		written := make(chan error, 1)
		go func() { written <- proxy.Fail(t.Context()) }()
		p.read()
		begun := make(chan error, 1)
		go func() { _, err := proxy.Echo(t.Context(), make([]byte, 1<<20)); begun <- err }()
		p.read()
		synctest.Wait() // the next chunk is being written, and not read
		waiting := make(chan error, 1)
		go func() { waiting <- proxy.Fail(t.Context()) }()
		synctest.Wait()
		p.nc.Close()
		wantCall(t, <-written, CodeUnavailable, OutcomeUnknown, "connection lost")
		wantCall(t, <-begun, CodeUnavailable, OutcomeUnknown, "connection lost")
		wantCall(t, <-waiting, CodeUnavailable, OutcomeNotRun, "connection lost")
		client.Close()
	})
}

// Ids ascend in the order of writing, also of large calls waiting for their first
// chunk.
func TestIDsAscend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, proxy, p := rawServer(t, nil)
		var wg sync.WaitGroup
		for n := range 60 {
			wg.Go(func() { proxy.Echo(t.Context(), make([]byte, n%3*70_000)) })
		}
		last := uint64(0)
		for seen := 0; seen < 60; {
			f, _ := p.read()
			if f.Type != wire.Request {
				continue
			}
			if f.ID <= last {
				t.Fatalf("id %d after %d", f.ID, last)
			}
			seen, last = seen+1, f.ID
		}
		client.Close()
		p.nc.Close()
		wg.Wait()
	})
}
