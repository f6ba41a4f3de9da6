package natsbsrpc_test

import (
	"errors"
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
