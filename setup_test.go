package bsrpc_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"

	"github.com/bsrpc/bsrpc"
)

// A turnCounter counts how often an end has read after it had written: its
// round trips.
type turnCounter struct {
	net.Conn

	mu    sync.Mutex
	wrote bool
	turns int
}

func (c *turnCounter) Write(b []byte) (int, error) {
	c.mu.Lock()
	c.wrote = true
	c.mu.Unlock()
	return c.Conn.Write(b)
}

func (c *turnCounter) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > 0 && c.wrote {
		c.wrote = false
		c.turns++
	}
	return n, err
}

// There are three round trips from the connection to the first answer: INIT, BIND, and
// the call.
func TestFirstCallTakesThreeRoundTrips(t *testing.T) {
	srv := newLab(t)
	near, far := net.Pipe()
	go srv.ServeConn(far)
	counted := &turnCounter{Conn: near}
	client, err := bsrpc.NewClient(t.Context(), counted, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	proxy, err := bsrpc.Bind[struct {
		Add func(ctx context.Context, a, b uint32) (uint32, error)
	}](t.Context(), client, "Lab")
	if err != nil {
		t.Fatal(err)
	}
	if sum, err := proxy.Add(t.Context(), 1, 2); sum != 3 || err != nil {
		t.Fatalf("got %d, %v", sum, err)
	}
	counted.mu.Lock()
	defer counted.mu.Unlock()
	if counted.turns != 3 {
		t.Errorf("%d round trips, want 3", counted.turns)
	}
}

// The cost of registering as many methods as a server may have, and of binding a client
// of ten of them.
func BenchmarkSetUp(b *testing.B) {
	const methods = 65_536
	register := func(b *testing.B) *bsrpc.Server {
		srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: slog.New(slog.DiscardHandler)})
		for i := range methods {
			if err := srv.RegisterFunc(fmt.Sprintf("Big.M%d", i), benchService{}.Small); err != nil {
				b.Fatal(err)
			}
		}
		return srv
	}
	b.Run(fmt.Sprintf("register/methods=%d", methods), func(b *testing.B) {
		for b.Loop() {
			register(b)
		}
	})
	b.Run(fmt.Sprintf("dial+bind+call/methods=10of%d", methods), func(b *testing.B) {
		srv, l := register(b), listenBench(b)
		go srv.Serve(l)
		defer srv.Close()
		for b.Loop() {
			setUpBig(b, l.Addr().String())
		}
	})
}

// benchTen is a contract of ten methods.
type benchTen struct {
	M0, M1, M7, M77, M777, M7777, M10000, M32768, M65534, M65535 func(ctx context.Context, s *BenchSmall) (*BenchSmall, error)
}

func setUpBig(b *testing.B, address string) {
	client, err := bsrpc.Dial(b.Context(), "tcp", address, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	proxy, err := bsrpc.Bind[benchTen](b.Context(), client, "Big")
	if err != nil {
		b.Fatal(err)
	}
	if _, err := proxy.M65535(b.Context(), &benchValue); err != nil {
		b.Fatal(err)
	}
}
