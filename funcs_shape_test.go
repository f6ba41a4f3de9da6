package bsrpc

import (
	"context"
	"testing"
)

// Funcs that implement a contract are called as methods are: without
// reflection where their types have a shape.
func TestFuncsHaveShapes(t *testing.T) {
	type contract struct {
		Swap func(ctx context.Context, a string, b []byte) ([]byte, error)
		Wide func(p [3]int32) (int32, error)
	}
	srv := NewServer(nil)
	if err := RegisterAs[contract](srv, "S", &contract{
		func(_ context.Context, a string, b []byte) ([]byte, error) { return append(b, a...), nil },
		func(p [3]int32) (int32, error) { return p[2], nil },
	}); err != nil {
		t.Fatal(err)
	}
	for _, m := range srv.registry.list {
		if m.code.valid() != (m.sig.shape != nil) {
			t.Errorf("%s: called without reflection: %v, has a shape: %v", m.Name, m.code.valid(), m.sig.shape != nil)
		}
	}
}
