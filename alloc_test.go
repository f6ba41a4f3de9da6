//go:build !race && !bsrpc_safe

package bsrpc_test

import (
	"context"
	"net"
	"testing"

	"github.com/bsrpc/bsrpc"
)

type contextService struct{ benchService }

func (contextService) Small(_ context.Context, s *BenchSmall) *BenchSmall { return s }

// A call allocates only the values for the users of both ends, a struct and its string
// at each, and a context if the handler has one.
func TestCallAllocations(t *testing.T) {
	for _, tt := range []struct {
		name string
		impl any
		most float64
	}{{"small", benchService{}, 2}, {"small with a context", contextService{}, 3}} {
		t.Run(tt.name, func(t *testing.T) {
			proxy, _ := overTCP[benchContract](t, serverOf(t, tt.impl), "Bench")
			call := func() {
				if s, err := proxy.Small(context.Background(), &benchValue); err != nil || *s != benchValue {
					t.Fatal(s, err)
				}
			}
			if n := testing.AllocsPerRun(2000, call); n > tt.most {
				t.Errorf("%v allocations a call, want at most %v", n, tt.most)
			}
		})
	}
}

// Metadata costs the server one copy of what it received and a struct for it, also if the
// handler does not look at it. The caller has encoded it before, in WithMetadata.
func TestMetadataAllocations(t *testing.T) {
	proxy, _ := overTCP[benchContract](t, serverOf(t, contextService{}), "Bench")
	ctx := bsrpc.WithMetadata(context.Background(), bsrpc.Metadata{"tenant": "acme", "trace": "1"})
	call := func() {
		if s, err := proxy.Small(ctx, &benchValue); err != nil || *s != benchValue {
			t.Fatal(s, err)
		}
	}
	if n := testing.AllocsPerRun(2000, call); n > 5 {
		t.Errorf("%v allocations a call, want at most 5", n)
	}
}

// A call through interceptors at both ends allocates a Call at each as well, together with
// the context.
func TestInterceptedCallAllocations(t *testing.T) {
	pass := []bsrpc.Interceptor{func(next bsrpc.CallFunc) bsrpc.CallFunc {
		return func(ctx context.Context, call *bsrpc.Call) error { return next(ctx, call) }
	}}
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, Interceptors: pass})
	if err := bsrpc.RegisterAs[benchContract](srv, "Bench", contextService{}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	client, err := bsrpc.Dial(t.Context(), "tcp", l.Addr().String(), &bsrpc.ClientOptions{Logger: quiet, Interceptors: pass})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	proxy, err := bsrpc.Bind[benchContract](t.Context(), client, "Bench")
	if err != nil {
		t.Fatal(err)
	}
	call := func() {
		if s, err := proxy.Small(context.Background(), &benchValue); err != nil || *s != benchValue {
			t.Fatal(s, err)
		}
	}
	if n := testing.AllocsPerRun(2000, call); n > 4 {
		t.Errorf("%v allocations a call, want at most 4", n)
	}
}

// A future needs a call, a timer, channels and reflection.
func TestEagerAllocations(t *testing.T) {
	q := newQueue()
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
	if err := bsrpc.RegisterAs[queueContract](srv, "Queue", q); err != nil {
		t.Fatal(err)
	}
	proxy, _ := overTCP[queueContract](t, srv, "Queue")
	ctx := context.Background()
	if n := testing.AllocsPerRun(2000, func() {
		if k, err := proxy.Double(ctx, 4).Wait(ctx); k != 8 || err != nil {
			t.Fatal(k, err)
		}
	}); n > 25 {
		t.Errorf("%v allocations a future, want at most 25", n)
	}
	if n := testing.AllocsPerRun(2000, func() {
		if err := proxy.Put(ctx, 4); err != nil {
			t.Fatal(err)
		}
	}); n > 10 {
		t.Errorf("%v allocations a oneway call, want at most 10", n)
	}
}

// The codec allocates only decoded values, and for encoding a copy of a value passed
// by value.
func TestMarshalAllocations(t *testing.T) {
	data, err := bsrpc.Marshal(&benchValue)
	if err != nil {
		t.Fatal(err)
	}
	var back BenchSmall
	for _, tt := range []struct {
		name string
		do   func() error
		most float64
	}{
		{"a pointer", func() error { _, err := bsrpc.Append(data[:0], &benchValue); return err }, 0},
		{"a value", func() error { _, err := bsrpc.Append(data[:0], benchValue); return err }, 2}, // in the interface, and where it can be pointed to
		{"reading, with a text", func() error { return bsrpc.Unmarshal(data, &back) }, 1},
	} {
		if n := testing.AllocsPerRun(500, func() {
			if err := tt.do(); err != nil {
				t.Fatal(err)
			}
		}); n > tt.most {
			t.Errorf("%s: %v allocations, want at most %v", tt.name, n, tt.most)
		}
	}
}

// A struct passed by value needs reflection. It adds at most three allocations at each
// end.
func TestReflectiveCallAllocations(t *testing.T) {
	proxy, _ := overTCP[benchContract](t, serverOf(t, benchService{}), "Bench")
	call := func() {
		if s, err := proxy.Value(context.Background(), benchValue); err != nil || s != benchValue {
			t.Fatal(s, err)
		}
	}
	if n := testing.AllocsPerRun(2000, call); n > 2+6 { // two strings
		t.Errorf("%v allocations a call, want at most 8", n)
	}
}

// The allocations for a chunked message do not grow with the number of its chunks.
func TestBulkAllocations(t *testing.T) {
	proxy, _ := overTCP[benchContract](t, serverOf(t, benchService{}), "Bench")
	body := make([]byte, 1<<20)
	call := func() {
		if b, err := proxy.Bytes(context.Background(), body); err != nil || len(b) != len(body) {
			t.Fatal(len(b), err)
		}
	}
	rounds := 200
	if !bsrpc.LongTests {
		rounds = 20
	}
	if n := testing.AllocsPerRun(rounds, call); n > 30 {
		t.Errorf("%v allocations a call, want at most 30", n)
	}
}

func serverOf(t *testing.T, impl any) *bsrpc.Server {
	t.Helper()
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
	if err := bsrpc.RegisterAs[benchContract](srv, "Bench", impl); err != nil {
		t.Fatal(err)
	}
	return srv
}
