package bsrpc_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// A warehouse is the receiver of the fuzz tests: its handlers return soon, whatever they get.
type warehouse struct{}

type crate struct {
	Name  string
	Parts []noteV2          `bsrpc:"max=8"`
	Tags  map[string]*crate `bsrpc:"optional"`
}

func (warehouse) Put(_ context.Context, c crate, n int8) (crate, int8, error) { return c, n, nil }
func (warehouse) Note(text string) error                                      { return nil }
func (warehouse) Count(_ context.Context, n uint8) iter.Seq2[uint8, error] {
	return func(yield func(uint8, error) bool) {
		for i := range n {
			if !yield(i, nil) {
				return
			}
		}
	}
}
func (warehouse) Open(_ context.Context, text string) (int, io.ReadCloser, error) {
	return len(text), io.NopCloser(strings.NewReader(text)), nil
}

type warehouseContract struct {
	Put   func(ctx context.Context, c crate, n int8) (crate, int8, error)
	Note  func(text string) error
	Count func(ctx context.Context, n uint8) iter.Seq2[uint8, error]
	Open  func(ctx context.Context, text string) (int, io.ReadCloser, error)
}

// oldCrate is a crate without its optional field.
type oldCrate struct {
	Name  string
	Parts []noteV2 `bsrpc:"max=8"`
}

// warehouseRequests returns the requests of real calls, of a client with another version too.
func warehouseRequests(tb testing.TB, srv *bsrpc.Server) (all []*bsrpc.Request) {
	tb.Helper()
	client := overClient(tripper(func(ctx context.Context, r *bsrpc.Request) (*bsrpc.Reply, error) {
		all = append(all, r)
		return bsrpctest.Direct(srv).RoundTrip(ctx, r)
	}), nil)
	defer client.Close()
	p, err := bsrpc.Bind[warehouseContract](tb.Context(), client, "Stock")
	if err == nil {
		_, _, err = p.Put(tb.Context(), crate{"a", []noteV2{{"b", "c"}}, map[string]*crate{"d": {Name: "e"}}}, 7)
	}
	if err == nil {
		_, err = bsrpctest.Collect(p.Count(tb.Context(), 3))
	}
	if err == nil {
		_, _, err = p.Open(tb.Context(), "text")
	}
	old, oldErr := bsrpc.Bind[struct {
		Put func(ctx context.Context, c oldCrate, n int8) (oldCrate, int8, error)
	}](tb.Context(), client, "Stock")
	if oldErr == nil {
		_, _, oldErr = old.Put(tb.Context(), oldCrate{Name: "a"}, 7)
	}
	if err = errors.Join(err, oldErr); err != nil {
		tb.Fatal(err)
	}
	return all
}

func warehouseServer(tb testing.TB) *bsrpc.Server {
	tb.Helper()
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, MaxMessage: 1 << 16})
	if err := srv.RegisterName("Stock", warehouse{}); err != nil {
		tb.Fatal(err)
	}
	return srv
}

// FuzzHandle hands any request to a server. It has an answer by the rules, and then nothing of it is
// left.
func FuzzHandle(f *testing.F) {
	srv := warehouseServer(f)
	for _, r := range warehouseRequests(f, srv) {
		f.Add(r.Method, r.Hash[:], r.Layout, []byte("own"), r.Body, int64(r.Timeout), "", "key", "value")
	}
	f.Add("bsrpc.v1.Services", []byte("own"), "", []byte{}, []byte{}, int64(0), "token", "", "")
	f.Add("Stock.Put", []byte("layout"), "Stock.Put(struct{string.le4}) ()", []byte("own"), []byte("\x01\x00\x00\x00a"), int64(-1), "", "Key", "")
	f.Fuzz(func(t *testing.T, method string, hash []byte, layout string, knows, body []byte, timeout int64, token, key, value string) {
		r := &bsrpc.Request{Method: method, Layout: layout, Body: body, Timeout: time.Duration(timeout), Credentials: bsrpc.NewCredentials("ann", token)}
		copy(r.Hash[:], hash)
		for _, m := range srv.Methods() {
			if m.Name == method && string(hash) == "own" {
				r.Hash = m.Hash
			}
			if m.Name == method && string(knows) == "own" {
				r.Knows = []bsrpc.Hash{m.Hash}
			}
		}
		if string(hash) == "layout" {
			r.Hash = hashOfLayout(layout)
		}
		if key != "" {
			r.Metadata = bsrpc.Metadata{key: value}
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		checkReply(t, srv.Handle(ctx, r), cancel)
		cancel()
		for srv.Stats().Open > 0 { // a stream ends with its context
			time.Sleep(time.Microsecond)
		}
		if s := srv.Stats(); s.Handlers != 0 || s.Panics != 0 || s.Sessions != 0 || len(srv.Sessions()) != 0 {
			t.Errorf("after the call: %+v", s)
		}
	})
}

// hashOfLayout is the hash of docs/protocol.md.
func hashOfLayout(text string) bsrpc.Hash { return sha256.Sum256([]byte("bsrpc method 1\n" + text)) }

// checkReply fails for a reply that breaks the rules of Handle. It cancels a stream after some items:
// that of bsrpc.v1 for the health has no end.
func checkReply(t *testing.T, r *bsrpc.Reply, cancel func()) {
	t.Helper()
	switch {
	case r == nil:
		t.Fatal("no reply")
	case r.Status == bsrpc.StatusOK && r.Err == nil:
	case r.Status == bsrpc.StatusDiffers && r.Err == nil && r.Layout != "" && hashOfLayout(r.Layout) == r.Hash && r.Items == nil && r.Body == nil:
	case r.Status == bsrpc.StatusError && r.Err != nil && r.Err.Code != bsrpc.CodeOK && r.Err.Message != "" && r.Items == nil && r.Body == nil:
		if e, err := bsrpc.ReadError(bsrpc.AppendError(nil, r.Err)); err != nil || e.Code != r.Err.Code || e.Message != r.Err.Message || e.Outcome != r.Err.Outcome {
			t.Errorf("got %+v, %v, want %+v", e, err, r.Err)
		}
	default:
		t.Fatalf("got %+v", r)
	}
	if r.Items == nil {
		return
	}
	n := 0
	for _, err := range r.Items {
		if n++; n == 1 && len(r.Body)%2 == 1 {
			break
		} else if n == 1 {
			cancel()
		}
		var e *bsrpc.Error
		if err != nil && !errors.As(err, &e) {
			t.Errorf("got %v, want an *Error", err)
		}
	}
}

// FuzzRoundTripReply gives any replies to a client. Each call returns, with an *Error or with results.
func FuzzRoundTripReply(f *testing.F) {
	srv := warehouseServer(f)
	for _, r := range warehouseRequests(f, srv) {
		reply := srv.Handle(f.Context(), r)
		f.Add(r.Method == bsrpc.BindMethod, uint8(reply.Status), "own", reply.Layout, reply.Body, []byte{}, uint8(3), []byte("\x01"), "key", "value")
	}
	refused := bsrpc.AppendError(nil, srv.Handle(f.Context(), &bsrpc.Request{Method: "Stock.Pit"}).Err)
	f.Add(false, uint8(bsrpc.StatusError), "", "", []byte{}, refused, uint8(0), []byte{}, "", "")
	f.Add(false, uint8(bsrpc.StatusDiffers), "", "Stock.Put(struct{string.le4}) ()", []byte{}, []byte{}, uint8(0), []byte{}, "", "")
	f.Add(false, uint8(9), "layout", "Stock.Put(", []byte{1}, []byte{}, uint8(200), []byte{}, "Key", "")
	f.Fuzz(func(t *testing.T, bind bool, status uint8, hash, layout string, body, failure []byte, n uint8, item []byte, key, value string) {
		client := overClient(tripper(func(ctx context.Context, r *bsrpc.Request) (*bsrpc.Reply, error) {
			if !bind && r.Method == bsrpc.BindMethod {
				return srv.Handle(ctx, r), nil
			}
			reply := &bsrpc.Reply{Status: bsrpc.Status(status), Layout: layout, Body: body}
			switch hash {
			case "own":
				reply.Hash = r.Hash
			case "layout":
				reply.Hash = hashOfLayout(layout)
			default:
				copy(reply.Hash[:], hash)
			}
			if key != "" {
				reply.Metadata = bsrpc.Metadata{key: value}
			}
			e, err := bsrpc.ReadError(failure)
			if err == nil && n == 0 {
				reply.Err = e
			}
			if n > 0 {
				reply.Items = func(yield func([]byte, error) bool) {
					for range n {
						if !yield(item, nil) {
							return
						}
					}
					if e != nil {
						yield(nil, e)
					}
				}
			}
			return reply, nil
		}), &bsrpc.ClientOptions{MaxMessage: 1 << 16})
		defer client.Close()
		check := func(what string, err error) {
			var e *bsrpc.Error
			var m *bsrpc.MismatchError
			if err != nil && !errors.As(err, &e) && !errors.As(err, &m) {
				t.Errorf("%s: got %T %v, want an *Error", what, err, err)
			}
			if errors.Is(err, context.Canceled) || errors.Is(err, bsrpc.ErrClosed) {
				t.Errorf("%s: got %v, and neither the caller nor the client has ended", what, err)
			}
		}
		p, err := bsrpc.Bind[warehouseContract](t.Context(), client, "Stock")
		check("Bind", err)
		if err != nil {
			return
		}
		_, _, err = p.Put(t.Context(), crate{Name: "a"}, 1)
		check("Put", err)
		items, err := bsrpctest.Collect(p.Count(t.Context(), 3))
		if check("Count", err); len(items) > int(n) {
			t.Errorf("%d items of %d", len(items), n)
		}
		_, r, err := p.Open(t.Context(), "a")
		if check("Open", err); err == nil {
			_, err = io.ReadAll(r)
			check("Read", err)
		}
		var result any
		check("Call", client.Call(t.Context(), "Stock.Put", []any{map[string]any{"Name": "a"}, 1}, &result))
	})
}
