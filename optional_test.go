package bsrpc_test

import (
	"context"
	"errors"
	"testing"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

type dial struct {
	Read func(ctx context.Context) (int, error)
	Zero func(ctx context.Context, at int) error `bsrpc:"optional"`
	Lock func() error                            `bsrpc:"(),optional,exclusive=dial"`
}

// dialReader has the method of a dial that every server has.
type dialReader struct{}

func (dialReader) Read() (int, error) { return 7, nil }

// A server may lack an optional method: nothing differs, and its calls do not run.
func TestOptionalMethods(t *testing.T) {
	for name, impl := range map[string]any{
		"funcs":   &dial{Read: func(context.Context) (int, error) { return 7, nil }},
		"methods": dialReader{},
	} {
		srv := bsrpc.NewServer(nil)
		if err := bsrpc.RegisterAs[dial](srv, "Dial", impl); err != nil {
			t.Fatal(name, err)
		}
		client, err := bsrpctest.Dial(t, srv, nil)
		if err != nil {
			t.Fatal(err)
		}
		proxy, err := bsrpc.Bind[dial](t.Context(), client, "Dial")
		if err != nil {
			t.Fatal(name, err)
		}
		if n, err := proxy.Read(t.Context()); n != 7 || err != nil {
			t.Error(name, n, err)
		}
		failed := wantError(t, proxy.Zero(t.Context(), 1), bsrpc.CodeUnimplemented, bsrpc.OutcomeNotRun, "")
		checkText(t, name, failed, "bsrpc: Dial.Zero: the server does not have this optional method")
		if err := proxy.Lock(); err == nil {
			t.Error(name, "Lock was called")
		}
		// A proxy without the method can be served again: its func is set, and says so.
		next := bsrpc.NewServer(nil)
		if err := bsrpc.RegisterAs[dial](next, "Dial", proxy); err != nil {
			t.Error(name, err)
		}
	}
}

// A difference in a method that exists is one, and the service itself is not optional.
func TestOptionalMethodsDiffer(t *testing.T) {
	srv := bsrpc.NewServer(nil)
	if err := srv.RegisterName("Dial", dialReader{}); err != nil {
		t.Fatal(err)
	}
	client, err := bsrpctest.Dial(t, srv, nil)
	if err != nil {
		t.Fatal(err)
	}
	type other struct {
		Read func() (string, error) `bsrpc:"optional"`
	}
	var mismatch *bsrpc.MismatchError
	if _, err := bsrpc.Bind[other](t.Context(), client, "Dial"); !errors.As(err, &mismatch) {
		t.Error(err)
	}
	if _, err := bsrpc.Bind[other](t.Context(), client, "Clock"); !errors.As(err, &mismatch) {
		t.Error(err)
	}
	checkText(t, "nothing to serve", bsrpc.RegisterAs[other](bsrpc.NewServer(nil), "Dial", &other{}), refused("register Dial",
		"Dial: every func is optional and missing; there is nothing to serve"))
	type twice struct {
		Read func() error `bsrpc:"optional,optional"`
		Zero func() error `bsrpc:"optional=yes"`
		Lock func() error `bsrpc:"optionl"`
	}
	_, err = bsrpc.Bind[twice](t.Context(), client, "Dial")
	checkText(t, "tags", err, refused("bind Dial",
		`Dial.Read: duplicate option "optional"`, `Dial.Zero: "optional" takes no value`, `Dial.Lock: unknown option "optionl"; did you mean optional?`))
}
