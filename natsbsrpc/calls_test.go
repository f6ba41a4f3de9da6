package natsbsrpc_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
	"github.com/nats-io/nats.go"
)

func TestCalls(t *testing.T) {
	d, p := pair(t)
	ctx, reply := bsrpc.WithReplyMetadata(bsrpc.WithMetadata(t.Context(), bsrpc.Metadata{"tenant": "/a\r\n&=ü", "other": ""}))
	if n, err := p.Put(ctx, "bolt", 4); n != 8 || err != nil || reply.Get()["item"] != "bolt/a\r\n&=ü" {
		t.Errorf("got %d, %v, %q", n, err, reply.Get()["item"])
	}
	var e *bsrpc.Error
	if _, err := p.Put(ctx, "none", 4); !errors.Is(err, errEmpty) || !errors.As(err, &e) || e.Outcome != bsrpc.OutcomeAnswered || !e.Remote || e.Message != "put:\nno stock" {
		t.Errorf("got %v, %+v", err, e)
	}
	var l *limitError
	if _, err := p.Put(ctx, "limit", 4); !errors.As(err, &l) || l.Most != 4 {
		t.Errorf("got %v", err)
	}
	if _, err := p.Put(ctx, "missing", 4); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, err := p.Put(ctx, "panic", 4); bsrpc.CodeOf(err) != bsrpc.CodeInternal || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
	short, stop := context.WithTimeout(ctx, 20*time.Millisecond)
	defer stop()
	if _, err := p.Put(short, "wait", 4); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	<-d.canceled
	cancelled, cancel := context.WithCancel(ctx)
	ran := d.ran.Load()
	failed := make(chan error)
	go func() {
		_, err := p.Put(cancelled, "wait", 4)
		failed <- err
	}()
	for d.ran.Load() == ran {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	<-d.canceled // the handler too
}

func TestStreams(t *testing.T) {
	d, p := pair(t)
	for _, n := range []int{0, 1, 5, 5_000} {
		if got, err := bsrpctest.Collect(p.Count(t.Context(), n)); len(got) != n || err != nil || n > 0 && got[n-1] != n-1 {
			t.Errorf("%d: got %d items, %v", n, len(got), err)
		}
	}
	if got, err := bsrpctest.Collect(p.Count(t.Context(), 7)); len(got) != 7 || !errors.Is(err, errEmpty) {
		t.Errorf("got %v, %v", got, err)
	}
	for range p.Count(t.Context(), 1_000_000) {
		break
	}
	<-d.canceled
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	for _, err := range p.Count(ctx, 8) {
		if n++; n == 8 {
			cancel()
		}
		if n > 8 && !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
	cancel()
	if <-d.canceled; n != 9 {
		t.Errorf("got %d steps", n)
	}
	for _, size := range []int{0, 100, 1 << 17, 3 << 20} {
		got, err := bsrpctest.Collect(p.Blobs(size, 3))
		if err != nil || len(got) != 3 || string(got[2]) != strings.Repeat("c", size) {
			t.Errorf("%d: got %d items, %v", size, len(got), err)
		}
	}
	r, err := p.Open(t.Context(), "xyz")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(r); len(b) != 3_000_000 || err != nil {
		t.Errorf("got %d bytes, %v", len(b), err)
	}
	if _, err := p.Open(t.Context(), ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestOneway(t *testing.T) {
	b, d := newBroker(t), newDepot("a")
	srv := newServer(t, d, nil)
	i := serve(t, b.connect(), srv)
	client := dial(t, b.connect(), nil)
	p := bind(t, client)
	for _, text := range []string{"a", "b", "bad"} {
		if err := p.Note(text); err != nil {
			t.Error(err)
		}
	}
	client.Close()
	i.Shutdown(t.Context())
	if n := d.ran.Load(); n != 3 || srv.OnewayErrors() != 1 {
		t.Errorf("%d calls ran, %d failed", n, srv.OnewayErrors())
	}
}

func TestLongBodies(t *testing.T) {
	_, p := pair(t)
	for _, size := range []int{0, 1 << 20, 1<<20 - 400, 2 << 20, 10 << 20} {
		want := bytes.Repeat([]byte("0123456789abcdef"), size/16)
		if got, err := p.Echo(want); !bytes.Equal(got, want) || err != nil {
			t.Errorf("%d: got %d bytes, %v", size, len(got), err)
		}
	}
}

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
