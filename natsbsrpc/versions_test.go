package natsbsrpc_test

import (
	"context"
	"errors"
	"iter"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
	"github.com/bsrpc/bsrpc/natsbsrpc"
	"github.com/nats-io/nats.go"
)

// Two versions of a service: the newer one has a field and a method more.

type itemV1 struct {
	Name string
}

type itemV2 struct {
	Name string
	Bin  *int `bsrpc:"optional"`
}

type shelfV1 struct {
	Get  func(ctx context.Context, name string) (itemV1, error)
	List func(ctx context.Context) iter.Seq2[itemV1, error]
}

type shelfV2 struct {
	Get  func(ctx context.Context, name string) (itemV2, error)
	List func(ctx context.Context) iter.Seq2[itemV2, error]
	Bins func(ctx context.Context) (int, error)
}

type oldShelf struct{}

func (oldShelf) Get(_ context.Context, name string) (itemV1, error) { return itemV1{name}, nil }
func (oldShelf) List(context.Context) iter.Seq2[itemV1, error] {
	return func(yield func(itemV1, error) bool) { yield(itemV1{"a"}, nil) }
}

type newShelf struct{}

func (newShelf) Get(_ context.Context, name string) (itemV2, error) {
	return itemV2{Name: name, Bin: new(int)}, nil
}
func (newShelf) List(context.Context) iter.Seq2[itemV2, error] {
	return func(yield func(itemV2, error) bool) { yield(itemV2{Name: "a", Bin: new(int)}, nil) }
}
func (newShelf) Bins(context.Context) (int, error) { return 3, nil }

func serveShelf[C any](t *testing.T, nc *nats.Conn, impl any) *natsbsrpc.Instance {
	t.Helper()
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
	if err := bsrpc.RegisterAs[C](srv, "Shelf", impl); err != nil {
		t.Fatal(err)
	}
	return serve(t, nc, srv)
}

// TestVersions: clients of both versions reach instances of both, call by call.
func TestVersions(t *testing.T) {
	b := newBroker(t)
	serveShelf[shelfV1](t, b.connect(), oldShelf{})
	old := dial(t, b.connect(), nil)
	v1, err := bsrpc.Bind[shelfV1](t.Context(), old, "Shelf")
	if err != nil {
		t.Fatal(err)
	}
	serveShelf[shelfV2](t, b.connect(), newShelf{})
	v2, err := bsrpc.Bind[shelfV2](t.Context(), old, "Shelf")
	for err != nil { // the old instance has answered, and has not all methods
		var e *bsrpc.MismatchError
		if !errors.As(err, &e) {
			t.Fatal(err)
		}
		v2, err = bsrpc.Bind[shelfV2](t.Context(), old, "Shelf")
	}
	bins := make(map[bool]int)
	for range 50 {
		if got, err := v1.Get(t.Context(), "bolt"); got.Name != "bolt" || err != nil {
			t.Errorf("old: got %v, %v", got, err)
		}
		if got, err := bsrpctest.Collect(v1.List(t.Context())); len(got) != 1 || err != nil {
			t.Errorf("old: got %v, %v", got, err)
		}
		got, err := v2.Get(t.Context(), "bolt")
		if got.Name != "bolt" || err != nil {
			t.Errorf("new: got %v, %v", got, err)
		}
		bins[got.Bin != nil]++
		if got, err := bsrpctest.Collect(v2.List(t.Context())); len(got) != 1 || err != nil {
			t.Errorf("new: got %v, %v", got, err)
		}
		if n, err := v2.Bins(t.Context()); n != 3 || err != nil { // only the new instance has it
			t.Errorf("got %d, %v", n, err)
		}
	}
	if bins[false] == 0 || bins[true] == 0 {
		t.Errorf("the new client has reached one instance only: %v", bins)
	}
	n := 0
	for from, err := range natsbsrpc.Each[map[string]any](t.Context(), old, "Shelf.Get", "nut") {
		if n++; err != nil || from.Result["Name"] != "nut" {
			t.Errorf("got %v, %v", from, err)
		}
	}
	if n != 2 {
		t.Errorf("%d instances have answered", n)
	}
}

// TestMismatch: an instance with another contract does not run the call.
func TestMismatch(t *testing.T) {
	b := newBroker(t)
	first := serve(t, b.connect(), newServer(t, newDepot("a"), nil))
	p := bind(t, dial(t, b.connect(), nil))
	first.Shutdown(t.Context())
	ran := false
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
	if err := srv.RegisterFunc("lab.Stock.Put", func(ctx context.Context, item []bool) error { ran = true; return nil }); err != nil {
		t.Fatal(err)
	}
	serve(t, b.connect(), srv)
	var m *bsrpc.MismatchError
	if _, err := p.Put(t.Context(), "bolt", 1); !errors.As(err, &m) || ran {
		t.Errorf("got %v, ran %v", err, ran)
	}
}

func TestCredentials(t *testing.T) {
	b := newBroker(t)
	d := newDepot("a")
	srv := newServer(t, d, &bsrpc.ServerOptions{Authenticate: func(_ context.Context, p *bsrpc.Peer, c bsrpc.Credentials) error {
		if p.Addr.Network() != "nats" || c.User() != "ann" || !c.HasToken("secret\n") {
			return errors.New("no")
		}
		return nil
	}})
	serve(t, b.connect(), srv)
	for token, want := range map[string]bsrpc.Code{"secret\n": bsrpc.CodeOK, "other": bsrpc.CodeUnauthenticated} {
		client := dial(t, b.connect(), &bsrpc.ClientOptions{Credentials: func(context.Context) (bsrpc.Credentials, error) {
			return bsrpc.NewCredentials("ann", token), nil
		}})
		if _, err := bsrpc.Bind[contract](t.Context(), client, "lab.Stock"); bsrpc.CodeOf(err) != want {
			t.Errorf("%q: got %v", token, err)
		}
	}
}

// TestRefused: what a server without sessions cannot serve is an error of Serve, or of Bind.
func TestRefused(t *testing.T) {
	b := newBroker(t)
	nc := b.connect()
	srv := newServer(t, newDepot("a"), &bsrpc.ServerOptions{MaxSessions: 1})
	if _, err := natsbsrpc.Serve(nc, srv, nil); err == nil || !strings.Contains(err.Error(), "MaxSessions") {
		t.Errorf("got %v", err)
	}
	for _, opts := range []natsbsrpc.ServeOptions{{Version: "one"}, {Prefix: "a..b"}, {Prefix: "a.*"}, {Queue: "a b"}, {MaxMessage: -1}} {
		if _, err := natsbsrpc.Serve(nc, newServer(t, newDepot("a"), nil), &opts); err == nil || !strings.HasPrefix(err.Error(), "bsrpc: NATS: ") {
			t.Errorf("%+v: got %v", opts, err)
		}
	}
	if _, err := natsbsrpc.Serve(nc, bsrpc.NewServer(nil), nil); err == nil {
		t.Error("a server without methods is served")
	}
	if _, err := natsbsrpc.Dial(nc, &natsbsrpc.DialOptions{Client: &bsrpc.ClientOptions{Basic: true}}); err == nil {
		t.Error("a client of the basic wire over NATS")
	}
}
