package bsrpc_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"testing"
	"testing/synctest"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
	"github.com/bsrpc/bsrpc/layout"
)

// A call with encoded values is the call with the values, over every kind of client.
func TestCallEncoded(t *testing.T) {
	seen := 0
	for name, opts := range map[string]*bsrpc.ClientOptions{
		"plain": nil,
		"intercepted": {Interceptors: []bsrpc.Interceptor{func(next bsrpc.CallFunc) bsrpc.CallFunc {
			return func(ctx context.Context, c *bsrpc.Call) error {
				seen++
				args, ok := c.Args()[0].(*[]byte)
				if !ok || len(c.Args()) != 1 || c.Method().Name != "lab.Dynamic.Swap" && len(*args) == 0 {
					t.Errorf("the interceptor sees %v of %v", c.Args(), c.Method())
				}
				return next(ctx, c)
			}
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			srv := bsrpc.NewServer(nil)
			if err := srv.RegisterName("lab.Dynamic", dynamic{}); err != nil {
				t.Fatal(err)
			}
			client, err := bsrpctest.Dial(t, srv, opts)
			if err != nil {
				t.Fatal(err)
			}
			args, err := bsrpc.Append(nil, int64(7))
			if err == nil {
				args, err = bsrpc.Append(args, "abc")
			}
			if err != nil {
				t.Fatal(err)
			}
			want, err := bsrpc.Append([]byte("before"), "abc")
			if err == nil {
				want, err = bsrpc.Append(want, int64(7))
			}
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				got, err := client.CallEncoded(t.Context(), "lab.Dynamic.Swap", args, []byte("before"))
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("got %x, %v, want %x", got, err, want)
				}
			}
			ctx := bsrpc.WithMetadata(t.Context(), bsrpc.Metadata{"tenant": "blue"})
			if got, err := client.CallEncoded(ctx, "lab.Dynamic.Swap", args, []byte("before")); err != nil || !bytes.Equal(got, want) {
				t.Errorf("with metadata: got %x, %v, want %x", got, err, want)
			}
			big, err := bsrpc.Append(nil, bytes.Repeat([]byte{7}, 3<<20))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := client.CallEncoded(t.Context(), "lab.Dynamic.Bytes", big, nil); err != nil || !bytes.Equal(got, big) {
				t.Errorf("%d bytes: %d bytes, %v", len(big), len(got), err)
			}
		})
	}
	if seen != 5 {
		t.Errorf("the interceptor saw %d calls, want 5", seen)
	}
}

// A client that connects again calls with encoded values, too.
func TestCallEncodedReconnected(t *testing.T) {
	_, client := overTCP[struct {
		Add func(ctx context.Context, a, b uint32) (uint32, error)
	}](t, newLab(t), "Lab")
	for range 2 {
		got, err := client.CallEncoded(t.Context(), "Lab.Add", []byte{1, 0, 0, 0, 2, 0, 0, 0}, nil)
		if err != nil || binary.LittleEndian.Uint32(got) != 3 {
			t.Errorf("got %x, %v", got, err)
		}
	}
}

// Errors are those of Call, and leave dst as it was.
func TestCallEncodedErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := dynamicClient(t)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for _, test := range []struct {
			ctx     context.Context
			method  string
			args    []byte
			code    bsrpc.Code
			outcome bsrpc.Outcome
			text    string
		}{
			{t.Context(), "lab.Dynamic.Int64", []byte{1, 2}, bsrpc.CodeInvalidArgument, bsrpc.OutcomeNotRun, "want 8 bytes, have 2"},
			{t.Context(), "lab.Dynamic.Int8", []byte{1, 2}, bsrpc.CodeInvalidArgument, bsrpc.OutcomeNotRun, "trailing"},
			{t.Context(), "lab.Dynamic.Bool", []byte{2}, bsrpc.CodeInvalidArgument, bsrpc.OutcomeNotRun, "lab.Dynamic.Bool"},
			{t.Context(), "lab.Dynamic.Missing", nil, bsrpc.CodeUnimplemented, bsrpc.OutcomeNotRun, "no method lab.Dynamic.Missing"},
			{t.Context(), "Missing", nil, bsrpc.CodeInvalidArgument, bsrpc.OutcomeNotRun, "want Service.Method"},
			{t.Context(), "bsrpc.v1.Methods", nil, bsrpc.CodeInvalidArgument, bsrpc.OutcomeNotRun, "which is not bytes alone"},
			{t.Context(), "lab.Dynamic.Fail", []byte{1, 0, 0, 0, 'x'}, bsrpc.CodeUnknown, bsrpc.OutcomeAnswered, "x"},
			{ended, "lab.Dynamic.Nothing", nil, bsrpc.CodeCanceled, bsrpc.OutcomeNotRun, "context canceled"},
			{nil, "lab.Dynamic.Nothing", nil, bsrpc.CodeInvalidArgument, bsrpc.OutcomeNotRun, "nil context"},
		} {
			for range 2 {
				got, err := client.CallEncoded(test.ctx, test.method, test.args, []byte("before"))
				wantError(t, err, test.code, test.outcome, test.text)
				if string(got) != "before" {
					t.Errorf("%s: dst is %q", test.method, got)
				}
			}
		}
		var none *bsrpc.Client
		if _, err := none.CallEncoded(t.Context(), "lab.Dynamic.Nothing", nil, nil); err == nil {
			t.Error("a nil client calls")
		}
		client.Close()
		_, err := client.CallEncoded(t.Context(), "lab.Dynamic.Nothing", nil, nil)
		wantError(t, err, bsrpc.CodeCanceled, bsrpc.OutcomeNotRun, "client closed")
	})
}

// Values of JSON are encoded by the layout of the server.
func TestCallEncodedFromJSON(t *testing.T) {
	client := dynamicClient(t)
	m, err := layout.ParseMethod("lab.Dynamic.Swap(int.le8, string.le4) (string.le4, int.le8)")
	if err != nil {
		t.Fatal(err)
	}
	var args []byte
	for i, text := range []string{`"77"`, `"abc"`} {
		if args, err = layout.ParseJSON(args, m.Params[i], []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := client.CallEncoded(t.Context(), "lab.Dynamic.Swap", args, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, rest, err := layout.JSON{}.Decode(nil, m.Results[0], got)
	if err != nil || string(text) != `"abc"` || len(rest) != 8 {
		t.Errorf("got %s, %x, %v", text, rest, err)
	}
}
