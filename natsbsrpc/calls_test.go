package natsbsrpc_test

import (
	"errors"
	"runtime"
	"sync"
	"testing"

	"github.com/bsrpc/bsrpc"
	"github.com/nats-io/nats.go"
)

func TestNoInstance(t *testing.T) {
	b := newBroker(t)
	client := dial(t, b.connect(), nil)
	var e *bsrpc.Error
	_, err := bsrpc.Bind[contract](t.Context(), client, "lab.Stock")
	if !errors.As(err, &e) || e.Outcome != bsrpc.OutcomeNotRun || e.Code != bsrpc.CodeUnavailable || !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("got %v", err)
	}
	i := serve(t, b.connect(), newServer(t, newDepot("a"), nil))
	p := bind(t, client)
	i.Shutdown(t.Context())
	if _, err := p.Put(t.Context(), "bolt", 1); !errors.As(err, &e) || e.Outcome != bsrpc.OutcomeNotRun || !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("got %v", err)
	}
}

// A result of MaxMessage bytes passes, in pieces too: the front of its message does not count.
func TestLongestResult(t *testing.T) {
	b := newBroker(t)
	serve(t, b.connect(), newServer(t, newDepot("a"), nil))
	const most = 2 << 20 // twice the payload of the broker
	p := bind(t, dial(t, b.connect(), &bsrpc.ClientOptions{MaxMessage: most}))
	want := make([]byte, most-4) // behind its length
	if got, err := p.Echo(want); err != nil || len(got) != len(want) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

// Handlers that end their goroutines, and more calls at a time than workers wait for, leave an instance as it was.
func TestWorkers(t *testing.T) {
	b := newBroker(t)
	srv := newServer(t, newDepot("a"), nil)
	if err := srv.RegisterFunc("Late.Exit", func() { runtime.Goexit() }); err != nil {
		t.Fatal(err)
	}
	var here sync.WaitGroup
	here.Add(100)
	if err := srv.RegisterFunc("Late.Meet", func() { here.Done(); here.Wait() }); err != nil {
		t.Fatal(err)
	}
	i := serve(t, b.connect(), srv)
	client := dial(t, b.connect(), nil)
	p := bind(t, client)
	late, err := bsrpc.Bind[struct{ Exit, Meet func() error }](t.Context(), client, "Late")
	if err != nil {
		t.Fatal(err)
	}
	var callers sync.WaitGroup
	for range 100 {
		callers.Go(func() {
			if err := late.Meet(); err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	for range 100 {
		if err := late.Exit(); err == nil {
			t.Error("a handler without a return is a success")
		}
		if who, err := p.Who(t.Context()); who != "a" || err != nil {
			t.Errorf("got %q, %v", who, err)
		}
	}
	if err := i.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}
