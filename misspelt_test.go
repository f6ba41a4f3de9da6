package bsrpc_test

import (
	"context"
	"errors"
	"testing"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// slipOfAKey has fields with tags ignored by this package.
type slipOfAKey struct {
	Price int    `bsrcp:"le4"`
	Note  string `BSRPC:"-"`
}

// A misspelt key has no effect until the ends differ. Then the error notes its place,
// at a field or a func.
func TestMismatchNotesMisspeltKeys(t *testing.T) {
	type order struct {
		Price int `bsrpc:"le4"`
	}
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
	for name, f := range map[string]any{"Shop.Put": func(order) {}, "Shop.Sell": func(int) {}, "Shop.Send": func(slipOfAKey, bool) {}, "Shop.Same": func(slipOfAKey) {}} {
		if err := srv.RegisterFunc(name, f); err != nil {
			t.Fatal(err)
		}
	}
	client, err := bsrpctest.Dial(t, srv, nil)
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := bsrpc.Bind[struct {
		Put  func(context.Context, slipOfAKey) error
		Same func(context.Context, slipOfAKey) error
		Send func(context.Context, *slipOfAKey, bool) error
		Sel  func(context.Context, int) error `bsrcp:"name=Sell"`
	}](t.Context(), client, "Shop")
	checkText(t, "Bind", err, `bsrpc: client and server disagree on 3 of 4 methods of Shop
    Shop.Put, parameter 1, slipOfAKey.Price: client int.le8, server int.le4; slipOfAKey.Price has the tag key bsrcp, not bsrpc; make it at least 8 bytes wide at the server
    Shop.Put, parameter 1, slipOfAKey.Note: only on the client; slipOfAKey.Note has the tag key BSRPC, not bsrpc; tag it optional at the client, and only calls that set it fail
    Shop.Send, parameter 1, slipOfAKey: client *{Price int.le8; Note string.le4}, server {Price int.le8; Note string.le4}; slipOfAKey.Price has the tag key bsrcp, not bsrpc; slipOfAKey.Note has the tag key BSRPC, not bsrpc; make it a pointer at the server
    Shop.Sel: only on the client; its func has the tag key bsrcp, not bsrpc; the server has Shop.Sell`)
	var m *bsrpc.MismatchError
	if errors.As(proxy.Put(t.Context(), slipOfAKey{}), &m); len(m.Differences) != 2 || m.Differences[1].Note == "" {
		t.Errorf("got %+v", m)
	}
	if err := proxy.Same(t.Context(), slipOfAKey{}); err != nil {
		t.Errorf("where the ends agree it may be another library's key: %v", err)
	}
}
