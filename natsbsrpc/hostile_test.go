package natsbsrpc_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
	"github.com/bsrpc/bsrpc/natsbsrpc"
	"github.com/nats-io/nats.go"
)

var keys = strings.Fields("Bsrpc-Knows Bsrpc-Layout Bsrpc-User Bsrpc-Token Bsrpc-Metadata Bsrpc-Stream Bsrpc-More Bsrpc-Seq Bsrpc-End Bsrpc-Credit Bsrpc-Cancel Bsrpc-Ping Bsrpc-Gone Bsrpc-Here Status")

// randomMessage returns a message with some headers of the protocol, and with nonsense in them.
func randomMessage(r *rand.Rand) *nats.Msg {
	m := &nats.Msg{Header: nats.Header{}, Data: make([]byte, r.IntN(60))}
	if n := len(m.Data); n > 0 && r.IntN(2) == 0 {
		m.Data[r.IntN(n)] = byte(r.IntN(256))
	}
	for range r.IntN(6) {
		values := []string{"1", "0", "-1", "99999999999999999999", "ok", "error", "differs", "503", "lost", "a=b&a=c", "AAAA,", strings.Repeat("x", r.IntN(100_000)), strings.Repeat("A", 43)}
		m.Header.Add(keys[r.IntN(len(keys))], values[r.IntN(len(values))])
	}
	return m
}

// TestBadRequests sends nonsense to every subject of an instance.
func TestBadRequests(t *testing.T) {
	b := newBroker(t)
	i := serve(t, b.connect(), newServer(t, newDepot("a"), nil))
	nc := b.connect()
	p := bind(t, dial(t, b.connect(), nil))
	own := "bsrpc.bsrpc.v1.Instance." + i.ID()
	subjects := []string{"bsrpc.lab.Stock.Put", "bsrpc.lab.Stock.Count", "bsrpc.bsrpc.v1.Bind.lab.Stock", "bsrpc.bsrpc.v1.Cancel.lab.Stock", own + ".Call.lab.Stock.Put", own + ".Call.x", own + ".Piece.x", own + ".Bind", "$SRV.PING"}
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 1000 {
		m := randomMessage(r)
		if m.Subject = subjects[r.IntN(len(subjects))]; r.IntN(4) > 0 {
			m.Reply = fmt.Sprint("nowhere.", r.IntN(n/10+1))
		}
		if err := nc.PublishMsg(m); err != nil {
			t.Fatal(err)
		}
	}
	nc.Flush()
	if n, err := p.Put(t.Context(), "bolt", 4); n != 8 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	answer, err := nc.Request("bsrpc.lab.Stock.Put", nil, 5*time.Second)
	if err != nil || answer.Header.Get("Nats-Service-Error-Code") != "3" || !strings.Contains(answer.Header.Get("Nats-Service-Error"), "a message of 0 bytes, want at least 40") {
		t.Errorf("got %+v, %v", answer, err)
	}
}

// FuzzMessages sends any messages to the subjects of an instance, also as those of a call under way. Later calls
// succeed.
func FuzzMessages(f *testing.F) {
	b := newBroker(f)
	i := serve(f, b.connect(), newServer(f, newDepot("a"), nil))
	nc, p := b.connect(), bind(f, dial(f, b.connect(), nil))
	own := "bsrpc.bsrpc.v1.Instance." + i.ID()
	subjects := []string{"bsrpc.lab.Stock.Put", "bsrpc.lab.Stock.Count", "bsrpc.bsrpc.v1.Bind.lab.Stock", "bsrpc.bsrpc.v1.Cancel.lab.Stock", own + ".Call.lab.Stock.Put", own + ".Bind.lab.Stock", own + ".Piece.x"}
	for at := range subjects {
		for key := range keys {
			f.Add(uint8(at), "x", uint8(key), "1", uint8(key+1), "AAAA", []byte("body"))
		}
	}
	for at, body := range []string{"\x01\x00\x00\x00a\x02\x00\x00\x00\x00\x00\x00\x00", "\x02\x00\x00\x00\x00\x00\x00\x00"} {
		for _, m := range newServer(f, newDepot("a"), nil).Methods() {
			if "bsrpc."+m.Name == subjects[at] { // a whole request
				f.Add(uint8(at), "x", uint8(2), "YW5u", uint8(3), "dG9rZW4=", slices.Concat(m.Hash[:], make([]byte, 8), []byte(body)))
			}
		}
	}
	f.Fuzz(func(t *testing.T, at uint8, reply string, key1 uint8, value1 string, key2 uint8, value2 string, body []byte) {
		m := &nats.Msg{Subject: subjects[int(at)%len(subjects)], Reply: reply, Header: nats.Header{}, Data: body}
		m.Header.Add(keys[int(key1)%len(keys)], value1)
		m.Header.Add(keys[int(key2)%len(keys)], value2)
		if nc.PublishMsg(m) != nil { // a subject or a value that NATS refuses
			return
		}
		nc.Flush()
		if who, err := p.Who(t.Context()); who != "a" || err != nil {
			t.Errorf("got %q, %v", who, err)
		}
	})
}

// TestBadReplies answers calls with nonsense.
func TestBadReplies(t *testing.T) {
	b := newBroker(t)
	i := serve(t, b.connect(), newServer(t, newDepot("a"), nil))
	p := bind(t, dial(t, b.connect(), nil))
	i.Shutdown(t.Context())
	nc := b.connect()
	r := rand.New(rand.NewPCG(3, 4))
	if _, err := nc.Subscribe("bsrpc.lab.Stock.*", func(m *nats.Msg) {
		for range 1 + r.IntN(3) {
			answer := randomMessage(r)
			if r.IntN(2) == 0 {
				answer.Data = make([]byte, 33)
				answer.Header["Bsrpc-Stream"] = []string{"1"}
			}
			answer.Subject = m.Reply
			nc.PublishMsg(answer)
		}
	}); err != nil {
		t.Fatal(err)
	}
	nc.Flush()
	for range 100 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		if _, err := p.Who(ctx); err == nil {
			t.Error("nonsense is a result")
		}
		cancel()
		ctx, cancel = context.WithTimeout(t.Context(), 10*time.Millisecond)
		if _, err := bsrpctest.Collect(p.Count(ctx, 3)); err == nil {
			t.Error("nonsense is a stream")
		}
		cancel()
	}
}

// TestSlowConsumer: a client whose subscription drops an answer says so at once.
func TestSlowConsumer(t *testing.T) {
	b := newBroker(t)
	serve(t, b.connect(), newServer(t, newDepot("a"), nil))
	client := dial(t, b.connect(), nil)
	p := bind(t, client)
	natsbsrpc.LimitPending(client, 1000)
	var e *bsrpc.Error
	if _, err := p.Echo(make([]byte, 5000)); !errors.Is(err, nats.ErrSlowConsumer) || !errors.As(err, &e) || e.Outcome != bsrpc.OutcomeUnknown {
		t.Errorf("got %v", err)
	}
}
