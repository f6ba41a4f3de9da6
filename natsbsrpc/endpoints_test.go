package natsbsrpc_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/natsbsrpc"
	"github.com/nats-io/nats.go"
)

// listenFor serves a depot over NATS, and over connections at the address that it announces.
func listenFor(t *testing.T, nc *nats.Conn, name string) *natsbsrpc.Instance {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := newServer(t, newDepot(name), nil)
	t.Cleanup(func() { srv.Close() })
	go srv.Serve(l)
	metadata := map[string]string{"room": "7"}
	i, err := natsbsrpc.Serve(nc, srv, &natsbsrpc.ServeOptions{Address: l.Addr().String(), Metadata: metadata, Logger: quiet})
	if err != nil || len(metadata) != 1 {
		t.Fatal(metadata, err)
	}
	t.Cleanup(func() { i.Close() })
	return i
}

// Clients find servers over NATS, and call them over connections.
func TestEndpoints(t *testing.T) {
	b := newBroker(t)
	nc := b.connect()
	endpoints := natsbsrpc.Endpoints(nc, "lab.Stock")
	if list, err := endpoints(t.Context()); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("got %v, %v", list, err)
	}
	serve(t, b.connect(), newServer(t, newDepot("without an address"), nil))
	for {
		list, err := endpoints(t.Context())
		if err != nil && strings.Contains(err.Error(), "no instance of lab.Stock has answered") {
			continue // in time
		}
		if err == nil || !strings.Contains(err.Error(), "no instance of lab.Stock has an address") {
			t.Errorf("got %v, %v", list, err)
		}
		break
	}
	first := listenFor(t, b.connect(), "a")
	listenFor(t, b.connect(), "b")
	for n := 0; n < 2; { // an instance may answer late
		list, err := endpoints(t.Context())
		if n = len(list); n > 2 || n == 0 && err == nil {
			t.Fatalf("got %v, %v", list, err)
		}
	}
	client, err := bsrpc.Dial(t.Context(), "", "", &bsrpc.ClientOptions{Endpoints: endpoints, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for client.Stats().Connections < 2 {
		time.Sleep(time.Millisecond)
	}
	p := bind(t, client)
	names := make(map[string]bool)
	for len(names) < 2 {
		name, err := p.Who(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		names[name] = true
	}
	if !names["a"] || !names["b"] {
		t.Errorf("called %v", names)
	}
	first.Shutdown(t.Context())
	for n := 0; n != 1; {
		list, err := endpoints(t.Context())
		if n = len(list); n > 1 || n == 0 && err == nil {
			t.Fatalf("got %v, %v", list, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if list, err := endpoints(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v", list, err)
	}
}

// Nonsense as the answer to a PING is no endpoint.
func TestBadEndpoints(t *testing.T) {
	b := newBroker(t)
	nc := b.connect()
	for i, text := range []string{"", "{", `{"id":"%d"}`, `{"id":"%d","metadata":{"bsrpc-address":"x"}}`, `{"id":"%d","metadata":{"bsrpc-address":":1"}}`, `{"id":"%d","metadata":{"bsrpc-address":"h:1"}}`} {
		if _, err := nc.Subscribe("$SRV.PING.lab-Stock", func(m *nats.Msg) { m.Respond([]byte(strings.ReplaceAll(text, "%d", fmt.Sprint(i)))) }); err != nil {
			t.Fatal(err)
		}
	}
	nc.Flush()
	list, err := natsbsrpc.Endpoints(nc, "lab.Stock")(t.Context())
	for err != nil && t.Context().Err() == nil { // it may have come late
		list, err = natsbsrpc.Endpoints(nc, "lab.Stock")(t.Context())
	}
	if len(list) != 1 || list[0].Address != "h:1" || err != nil {
		t.Errorf("got %v, %v", list, err)
	}
	if _, err := natsbsrpc.Serve(nc, newServer(t, newDepot("a"), nil), &natsbsrpc.ServeOptions{Address: "lab"}); err == nil || !strings.Contains(err.Error(), "ServeOptions.Address") {
		t.Errorf("got %v", err)
	}
}
