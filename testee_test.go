package bsrpc

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/transport"
)

// A testee is the service of the tests that inspect connections.
type testee struct {
	began   chan struct{} // gets a token as Hold, Deaf or Slow begins
	release chan struct{} // closed: Hold and Deaf return
}

func newTestee() *testee {
	return &testee{began: make(chan struct{}, 1<<16), release: make(chan struct{})}
}

func (p *testee) Add(a, b uint32) uint32 { return a + b }
func (p *testee) Echo(b []byte) []byte   { return b }
func (p *testee) Make(n uint32) []byte   { return make([]byte, n) }
func (p *testee) Fail() error            { return &Error{Code: CodeNotFound, Message: "not here"} }
func (p *testee) Panic()                 { panic("on purpose") }

// Hold waits for its caller to go, or to be released.
func (p *testee) Hold(ctx context.Context) error {
	p.began <- struct{}{}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.release:
		return nil
	}
}

// Deaf ignores its context.
func (p *testee) Deaf() {
	p.began <- struct{}{}
	<-p.release
}

// Sleep takes microseconds.
func (p *testee) Sleep(us uint32) uint32 {
	time.Sleep(time.Duration(us) * time.Microsecond)
	return us
}

type testeeContract struct {
	Add   func(ctx context.Context, a, b uint32) (uint32, error)
	Echo  func(ctx context.Context, b []byte) ([]byte, error)
	Make  func(ctx context.Context, n uint32) ([]byte, error)
	Fail  func(ctx context.Context) error
	Panic func(ctx context.Context) error
	Hold  func(ctx context.Context) error
	Deaf  func(ctx context.Context) error
	Sleep func(ctx context.Context, us uint32) (uint32, error)
}

// The numbers of the testee's methods on a rawClient's connection.
const (
	rawAdd = iota
	rawEcho
	rawMake
	rawFail
	rawHold
	rawDeaf
	rawUnbound
)

var quiet = slog.New(slog.DiscardHandler)

func testeeServer(t testing.TB, p *testee, opts *ServerOptions) *Server {
	t.Helper()
	o := ServerOptions{Logger: quiet}
	if opts != nil {
		o = *opts
		o.Logger = cmp.Or(o.Logger, quiet)
	}
	o.Limits.PingAfter = cmp.Or(o.Limits.PingAfter, NoLimit) // raw peers answer none
	srv := NewServer(&o)
	if err := RegisterAs[testeeContract](srv, "Probe", p); err != nil {
		t.Fatal(err)
	}
	return srv
}

// testeeClient connects a client to srv, in memory. The test closes both.
func testeeClient(t testing.TB, srv *Server, opts *ClientOptions) (*Client, *testeeContract) {
	t.Helper()
	near, far := net.Pipe()
	go srv.ServeConn(far)
	return testeeClientOn(t, near, opts)
}

func testeeClientOn(t testing.TB, nc net.Conn, opts *ClientOptions) (*Client, *testeeContract) {
	t.Helper()
	o := ClientOptions{Logger: quiet}
	if opts != nil {
		o = *opts
	}
	o.Limits.PingAfter = cmp.Or(o.Limits.PingAfter, NoLimit)
	client, err := NewClient(context.Background(), nc, &o)
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := Bind[testeeContract](context.Background(), client, "Probe")
	if err != nil {
		t.Fatal(err)
	}
	return client, proxy
}

// witness calls srv again and again, by a connection of its own, until stop.
func witness(t testing.TB, srv *Server) (stop func()) {
	client, proxy := testeeClient(t, srv, nil)
	return witnessOf(t, client, proxy.Add)
}

// witnessOf calls add with client again and again, until stop. stop closes the client.
func witnessOf(t testing.TB, client *Client, add func(ctx context.Context, a, b uint32) (uint32, error)) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	pause := 100 * time.Millisecond
	go func() {
		defer close(ended)
		for n := uint32(0); ; n++ {
			if n == 100 && !LongTests {
				pause *= 10 // hours of virtual time cost seconds of the processor's
			}
			if sum, err := add(context.Background(), n, 1); sum != n+1 || err != nil {
				t.Errorf("the witness: got %d, %v; want %d", sum, err, n+1)
				return
			}
			select {
			case <-done:
				return
			case <-time.After(pause):
			}
		}
	}()
	return func() {
		close(done)
		<-ended
		client.Close()
	}
}

// withRaw runs f in a bubble with a rawPeer to a server that has a witness.
func withRaw(t *testing.T, opts *ServerOptions, f func(p *rawPeer, srv *Server, service *testee)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		service := newTestee()
		srv := testeeServer(t, service, opts)
		stop := witness(t, srv)
		p := rawClient(t, srv)
		f(p, srv, service)
		p.nc.Close()
		<-p.served
		stop()
		srv.Close()
		checkBooked(t, srv)
	})
}

// checkBooked checks that a server without connections holds nothing.
func checkBooked(t testing.TB, srv *Server) {
	t.Helper()
	synctest.Wait()
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if n, m, k := srv.budget.Booked(), srv.handlers.Load(), len(srv.conns)+srv.handshaking.Count(); n != 0 || m != 0 || k != 0 {
		t.Errorf("after the end: %d bytes booked, %d handlers, %d connections", n, m, k)
	}
}

// checkEmpty checks that an open connection contains no state of calls.
func checkEmpty(t testing.TB, c *transport.Conn) {
	t.Helper()
	time.Sleep(10 * transport.WatchdogPeriod) // without a waiting caller, the leader reads an answer after a watchdog period
	synctest.Wait()
	if left := residue(c) + transport.Arriving(c); left != "" {
		t.Error(left)
	}
}

// eventually is for real sockets, without a bubble to wait for.
func eventually(t testing.TB, residue func() string) {
	t.Helper()
	late := time.After(10 * time.Second)
	for {
		left := residue()
		if left == "" {
			return
		}
		select {
		case <-late:
			t.Fatal(left)
		case <-time.After(time.Millisecond):
		}
	}
}

// residue describes the state of calls in a connection, "" for none.
func residue(c *transport.Conn) string {
	left := transport.Residue(c)
	if c, ok := transport.HandlerOf(c).(*nativeConn); ok {
		c.served.mu.Lock()
		defer c.served.mu.Unlock()
		if n := c.served.running.Len(); n != 0 {
			left += fmt.Sprintf("; serving: %d handlers", n)
		}
	}
	return left
}
