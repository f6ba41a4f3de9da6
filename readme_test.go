package bsrpc_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// The mismatch shown in the README is the error of Bind.
func TestReadmeMismatch(t *testing.T) {
	type ServerOrder struct {
		Price uint64
		ID    uint64
		Note  string
	}
	type Order struct {
		ID    uint64
		Price int32
	}
	type Shop struct {
		PlaceOrder func(o Order) error
		Count      func() (int, error)
	}
	srv := bsrpc.NewServer(nil)
	for name, fn := range map[string]any{"Shop.PlaceOrder": func(ServerOrder) {}, "Shop.Count": func() int { return 0 }} {
		if err := srv.RegisterFunc(name, fn); err != nil {
			t.Fatal(err)
		}
	}
	client, err := bsrpctest.Dial(t, srv, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = bsrpc.Bind[Shop](context.Background(), client, "Shop")
	readme, readErr := os.ReadFile("README.md")
	if err == nil || readErr != nil {
		t.Fatal(err, readErr)
	}
	if !strings.Contains(string(readme), "```text\n"+err.Error()+"\n```") {
		t.Errorf("the README lacks\n%v", err)
	}
	if n := strings.Count(string(readme), "\n"); n > 130 {
		t.Errorf("the README has %d lines, want at most 130", n)
	}
}
