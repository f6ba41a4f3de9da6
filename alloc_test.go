//go:build !race && !bsrpc_safe

package bsrpc_test

import (
	"context"
	"testing"

	"github.com/bsrpc/bsrpc"
)

type contextService struct{ benchService }

func (contextService) Small(_ context.Context, s *BenchSmall) *BenchSmall { return s }

// What a call allocates, both ends together: what they hand to their users, a
// struct with its string behind it at each end, and nothing else; and the context,
// if the handler takes one.
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

// A struct by value goes by reflection: it adds at most three allocations an end.
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

// A message in pieces costs a bounded number of allocations, however many its
// pieces are.
func TestBulkAllocations(t *testing.T) {
	proxy, _ := overTCP[benchContract](t, serverOf(t, benchService{}), "Bench")
	body := make([]byte, 1<<20)
	call := func() {
		if b, err := proxy.Bytes(context.Background(), body); err != nil || len(b) != len(body) {
			t.Fatal(len(b), err)
		}
	}
	if n := testing.AllocsPerRun(200, call); n > 30 {
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
