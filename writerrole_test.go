package bsrpc

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/transport"
)

// A pipeSocket is one end of a net.Pipe, treated as a socket, so that callers write to
// it themselves. Its reads may be made slow. It has no buffer: a write lasts until the
// bytes are read.
type pipeSocket struct {
	net.Conn
	t       testing.TB
	pause   func() // before each read; nil: none
	writers atomic.Int32
}

func (p *pipeSocket) ActsAsSocket(netconn.Internal) {}

func (p *pipeSocket) Read(b []byte) (int, error) {
	if p.pause != nil {
		p.pause()
	}
	return p.Conn.Read(b)
}

func (p *pipeSocket) Write(b []byte) (int, error) {
	if p.writers.Add(1) != 1 {
		p.t.Error("two write at a time")
	}
	defer p.writers.Add(-1)
	return p.Conn.Write(b)
}

// pipeSocketClient connects a client by a pipeSocket to a server reading after pauses. With
// secured it does so over TLS.
func pipeSocketClient(t testing.TB, secured bool, pause func()) (*Server, *Client, *testeeContract) {
	var s ServerOptions
	var c ClientOptions
	if secured {
		s.TLS, c.TLS = tlsConfigs(t)
	}
	c.Logger = quiet
	srv := testeeServer(t, newTestee(), &s)
	near, far := net.Pipe()
	go srv.ServeConn(&pipeSocket{Conn: far, t: t, pause: pause})
	client, proxy := testeeClientOn(t, &pipeSocket{Conn: near, t: t}, &c)
	return srv, client, proxy
}

// overBoth runs a test without and with TLS.
func overBoth(t *testing.T, test func(t *testing.T, secured bool)) {
	t.Run("plain", func(t *testing.T) { test(t, false) })
	t.Run("TLS", func(t *testing.T) { test(t, true) })
}

// A valve delays callers while it is shut, and for a time while it is not.
type valve struct {
	opened atomic.Pointer[chan struct{}]
	time   atomic.Int64
}

func (v *valve) shut() {
	opened := make(chan struct{})
	v.opened.Store(&opened)
}

func (v *valve) open() { close(*v.opened.Load()) }

func (v *valve) wait() {
	if opened := v.opened.Load(); opened != nil {
		<-*opened
	}
	time.Sleep(time.Duration(v.time.Load()))
}

func roleOf(c *transport.Conn) string { return transport.StateOf(c).Writer }

func wantRole(t testing.TB, c *transport.Conn, want string, when string) {
	t.Helper()
	synctest.Wait()
	if got := roleOf(c); got != want {
		t.Errorf("%s: %s writes, want %s", when, got, want)
	}
}

// Every transition of writerrole.go, one after the other.
func TestWriterRoleTransitions(t *testing.T) {
	overBoth(t, testWriterRoleTransitions)
	synctest.Test(t, func(t *testing.T) { // no socket
		srv := testeeServer(t, newTestee(), nil)
		near, far := net.Pipe()
		var v valve
		go srv.ServeConn(&pipeSocket{Conn: far, t: t, pause: v.wait})
		client, proxy := testeeClientOn(t, near, nil)
		v.shut()
		go proxy.Add(t.Context(), 1, 2)
		synctest.Wait()
		go proxy.Add(t.Context(), 1, 2)
		wantRole(t, client.native.Conn, "connection", "on what is no socket")
		v.open()
		client.Close()
		srv.Close()
	})
}

func testWriterRoleTransitions(t *testing.T, secured bool) {
	synctest.Test(t, func(t *testing.T) {
		var v valve
		srv, client, proxy := pipeSocketClient(t, secured, v.wait)
		c := client.native.Conn
		var calls sync.WaitGroup
		call := func(ctx context.Context) {
			calls.Go(func() { proxy.Add(ctx, 1, 2) })
			synctest.Wait()
		}
		settle := func(when string) {
			calls.Wait()
			time.Sleep(time.Second)
			wantRole(t, c, "nobody", when)
		}
		settle("idle")

		v.shut()
		call(t.Context()) // the server is reading: this is its last for a while
		wantRole(t, c, "nobody", "after a write")
		ctx, cancel := context.WithCancel(t.Context())
		call(ctx)
		wantRole(t, c, "caller", "in a caller's write")
		time.Sleep(3 * transport.WatchdogPeriod)
		wantRole(t, c, "connection", "after a watchdog period in it")
		cancel()
		v.open()
		settle("after all that waited")

		v.shut()
		ctx, cancel = context.WithCancel(t.Context())
		calls.Go(func() { proxy.Hold(ctx) })
		time.Sleep(5 * transport.WatchdogPeriod)
		wantRole(t, c, "nobody", "while a call waits long")
		cancel()
		wantRole(t, c, "connection", "as a call is cancelled") // it must not wait
		v.open()
		settle("after the cancel")

		// Each write ends within a watchdog period, and other callers ask meanwhile.
		v.time.Store(int64(transport.WatchdogPeriod / 3))
		seen := map[string]int{}
		for range 100 {
			call(t.Context())
			seen[roleOf(c)]++
			time.Sleep(transport.WatchdogPeriod / 10)
		}
		if seen["caller"] == 0 || seen["connection"] == 0 {
			t.Errorf("a busy connection's writers are %v, want both kinds", seen)
		}
		v.time.Store(0)
		settle("after many")

		v.shut()
		call(t.Context()) // the last that is read
		c.Close(&fault.Fault{Code: fault.Unavailable, Message: "bye"})
		wantRole(t, c, "connection", "to say goodbye")
		<-c.Done()
		wantRole(t, c, "connection", "on a connection that has ended")
		v.open()
		calls.Wait()
		client.Close()
		srv.Close()
	})
}

// Many callers use a connection whose ends both read with pauses, short and long, so
// that writers are stopped and hand over. Some calls are cancelled, also while they
// are sent.
func TestWriterRoleStorm(t *testing.T) { overBoth(t, testWriterRoleStorm) }

func testWriterRoleStorm(t *testing.T, secured bool) {
	seeds := 20
	if !LongTests {
		seeds = 1
	}
	for seed := range uint64(seeds) {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			rng := rand.New(rand.NewPCG(seed, 1))
			srv, client, proxy := pipeSocketClient(t, secured, func() {
				mu.Lock()
				pause := time.Duration(rng.IntN(3)*rng.IntN(2000)) * time.Microsecond
				mu.Unlock()
				time.Sleep(pause)
			})
			var wg sync.WaitGroup
			for g := range 16 {
				rng := rand.New(rand.NewPCG(seed, uint64(100+g)))
				wg.Go(func() { writerCalls(t, rng, proxy) })
			}
			wg.Wait()
			time.Sleep(time.Second)
			checkEmpty(t, client.native.Conn)
			checkEmpty(t, onlyConn(t, srv))
			client.Close()
			srv.Close()
		})
	}
}

// writerCalls is one caller of the storm.
func writerCalls(t *testing.T, rng *rand.Rand, proxy *testeeContract) {
	for range 10 {
		time.Sleep(time.Duration(rng.IntN(3000)) * time.Microsecond)
		ctx, cancel := context.Background(), context.CancelFunc(func() {})
		if rng.IntN(3) == 0 {
			ctx, cancel = context.WithTimeout(ctx, time.Duration(1+rng.IntN(20_000))*time.Microsecond)
		}
		body := bytes.Repeat([]byte{byte(rng.Uint32())}, []int{0, 100, 10_000, 100_000, 400_000}[rng.IntN(5)])
		got, err := proxy.Echo(ctx, body)
		switch {
		case err == nil && !bytes.Equal(got, body):
			t.Errorf("%d bytes came back otherwise", len(body))
		case err != nil && ctx.Err() == nil:
			t.Error(err)
		}
		cancel()
	}
}
