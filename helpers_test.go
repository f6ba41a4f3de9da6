package bsrpc_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// lab is the service of most tests: ordinary methods of every temper.
type lab struct{}

func (lab) Empty()                        {}
func (lab) Echo(b []byte) []byte          { return b }
func (lab) Resize(b []byte, n int) []byte { return make([]byte, n+0*len(b)) }
func (lab) Add(a, b uint32) uint32        { return a + b }
func (lab) Narrow(v int64) int64          { return v }
func (lab) Fail(code uint16, text string) error {
	return &bsrpc.Error{Code: bsrpc.Code(code), Message: text}
}
func (lab) Plain(text string) error { return errors.New(text) }
func (lab) Sleep(ctx context.Context, ms int) error {
	select {
	case <-time.After(time.Duration(ms) * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// labContract is what its clients bind.
type labContract struct {
	Empty  func(ctx context.Context) error
	Echo   func(ctx context.Context, b []byte) ([]byte, error)
	Resize func(ctx context.Context, b []byte, n int) ([]byte, error)
	Add    func(ctx context.Context, a, b uint32) (uint32, error)
	Narrow func(ctx context.Context, v int64) (int64, error) `bsrpc:"(le1) le1"`
	Fail   func(ctx context.Context, code uint16, text string) error
	Plain  func(ctx context.Context, text string) error
	Sleep  func(ctx context.Context, ms int) error
}

var quiet = slog.New(slog.DiscardHandler)

// newLab returns a server with a lab; extra services may be registered.
func newLab(t testing.TB) *bsrpc.Server {
	t.Helper()
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
	if err := bsrpc.RegisterAs[labContract](srv, "Lab", lab{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	return srv
}

// overTCP serves srv on loopback and binds a contract over a real socket.
func overTCP[C any](t testing.TB, srv *bsrpc.Server, service string) (*C, *bsrpc.Client) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l)
	t.Cleanup(func() { l.Close() }) // witnesses of the server go on
	client, err := bsrpc.Dial(t.Context(), "tcp", l.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	proxy, err := bsrpc.Bind[C](t.Context(), client, service)
	if err != nil {
		t.Fatal(err)
	}
	return proxy, client
}

// watchWitness calls on a connection of its own until the test ends, and must
// never notice anything.
func watchWitness(t testing.TB, srv *bsrpc.Server) {
	t.Helper()
	proxy := bsrpctest.Bind[labContract](t, srv, "Lab")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := uint32(0); ctx.Err() == nil; n++ {
			if sum, err := proxy.Add(context.Background(), n, 1); err != nil || sum != n+1 {
				t.Errorf("witness: %d + 1 = %d, %v", n, sum, err)
				return
			}
			select {
			case <-time.After(time.Millisecond):
			case <-ctx.Done():
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
}

// wantError checks code, outcome and a part of the text of a call's error.
func wantError(t testing.TB, err error, code bsrpc.Code, outcome bsrpc.Outcome, text string) *bsrpc.Error {
	t.Helper()
	var e *bsrpc.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an *Error", err)
	}
	if e.Code != code || e.Outcome != outcome || !strings.Contains(e.Error(), text) {
		t.Errorf("got %v, %v, %q; want %v, %v, %q", e.Code, e.Outcome, e.Error(), code, outcome, text)
	}
	return e
}
