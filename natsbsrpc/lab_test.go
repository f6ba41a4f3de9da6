package natsbsrpc_test

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/natsbsrpc"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

var quiet = slog.New(slog.DiscardHandler)

// A broker is a NATS server in this process, on a port of the system's choice.
type broker struct {
	t    testing.TB
	opts *server.Options
	*server.Server
}

func newBroker(t testing.TB) *broker {
	b := &broker{t: t, opts: &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true}}
	b.start()
	t.Cleanup(func() { b.stop() })
	return b
}

func (b *broker) start() {
	b.t.Helper()
	s, err := server.NewServer(b.opts)
	if err != nil {
		b.t.Fatal(err)
	}
	go s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		b.t.Fatal("the broker does not start")
	}
	b.Server = s
}

func (b *broker) stop() {
	b.Shutdown()
	b.WaitForShutdown()
}

// connect returns a connection to the broker.
func (b *broker) connect() *nats.Conn {
	b.t.Helper()
	nc, err := nats.Connect(b.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(nc.Close)
	return nc
}

// connectOnce returns a connection to the broker that does not come back, and a func that cuts it as the
// death of the process would.
func (b *broker) connectOnce() (nc *nats.Conn, cut func()) {
	b.t.Helper()
	d := new(cutDialer)
	nc, err := nats.Connect(b.ClientURL(), nats.NoReconnect(), nats.SetCustomDialer(d))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(nc.Close)
	return nc, func() { d.conn.Close() }
}

// A cutDialer keeps its connection.
type cutDialer struct{ conn net.Conn }

func (d *cutDialer) Dial(network, address string) (net.Conn, error) {
	var err error
	d.conn, err = net.Dial(network, address)
	return d.conn, err
}

// A depot is the receiver of the tests.
type depot struct {
	name     string
	ran      atomic.Int64
	items    sync.Map      // of Put, by their names
	canceled chan struct{} // capacity 1
}

func (d *depot) Put(ctx context.Context, item string, n int) (int, error) {
	d.ran.Add(1)
	d.items.Store(item, true)
	switch item {
	case "none":
		return 0, errors.New("no stock")
	case "wait":
		<-ctx.Done()
		d.canceled <- struct{}{}
		return 0, ctx.Err()
	}
	return 2 * n, nil
}

func (d *depot) Echo(b []byte) ([]byte, error) { return b, nil }

func (d *depot) Who(context.Context) (string, error) { return d.name, nil }

func (d *depot) Count(ctx context.Context, n int) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range n {
			if !yield(i, nil) {
				d.canceled <- struct{}{}
				return
			}
		}
		if n == 8 {
			<-ctx.Done()
			d.canceled <- struct{}{}
		}
	}
}

type contract struct {
	Put   func(ctx context.Context, item string, n int) (int, error)
	Echo  func(b []byte) ([]byte, error)
	Who   func(ctx context.Context) (string, error)
	Count func(ctx context.Context, n int) iter.Seq2[int, error]
}

func newDepot(name string) *depot { return &depot{name: name, canceled: make(chan struct{}, 16)} }

func newServer(t testing.TB, d *depot, opts *bsrpc.ServerOptions) *bsrpc.Server {
	t.Helper()
	own := bsrpc.ServerOptions{}
	if opts != nil {
		own = *opts
	}
	own.Logger = quiet
	srv := bsrpc.NewServer(&own)
	if err := bsrpc.RegisterAs[contract](srv, "lab.Stock", d); err != nil {
		t.Fatal(err)
	}
	return srv
}

func serve(t testing.TB, nc *nats.Conn, srv *bsrpc.Server) *natsbsrpc.Instance {
	t.Helper()
	i, err := natsbsrpc.Serve(nc, srv, &natsbsrpc.ServeOptions{Version: "1.2.3", Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { i.Close() })
	return i
}

func dial(t testing.TB, nc *nats.Conn, opts *bsrpc.ClientOptions) *bsrpc.Client {
	t.Helper()
	own := bsrpc.ClientOptions{}
	if opts != nil {
		own = *opts
	}
	own.Logger = quiet
	client, err := natsbsrpc.Dial(nc, &natsbsrpc.DialOptions{Client: &own})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func bind(t testing.TB, client *bsrpc.Client) *contract {
	t.Helper()
	p, err := bsrpc.Bind[contract](t.Context(), client, "lab.Stock")
	if err != nil {
		t.Fatal(err)
	}
	return p
}
