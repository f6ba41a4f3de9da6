package bsrpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// Contracts of the clients in this file.
type (
	Sale struct {
		ID    uint64
		Price int32
		Tags  []string
	}
	selling struct {
		Put func(ctx context.Context, s Sale) (int, error)
	}
	Place struct {
		Host  netip.Addr
		Rooms map[uint8]*Room
	}
	Room     struct{ Width, Height float64 }
	locating struct {
		Put func(p *Place, floor [2]int8) error
	}
	formatted struct {
		Put func(id int, name string) (int, error) `bsrpc:"(le2, len=le1) be2"`
	}
)

// binder is Bind of the service Shop with a contract.
type binder func(context.Context, bsrpc.Caller) error

func bindShop[C any](ctx context.Context, c bsrpc.Caller) error {
	_, err := bsrpc.Bind[C](ctx, c, "Shop")
	return err
}

// Each line is a client, the server's method Put, and the
// differences: place, client, server, and the words for both.
var mismatches = []struct {
	what   string
	bind   binder
	server any
	diffs  [][4]string
}{
	{"type changed", bindShop[selling], func(struct {
		ID    uint64
		Price uint64
		Tags  []string
	}) (n int) {
		return
	}, [][4]string{{"parameter 1, Sale.Price", "int.le4", "uint.le8", "client int.le4, server uint.le8"}}},
	{"type changed inside", bindShop[selling], func(struct {
		ID    uint64
		Price int32
		Tags  []float64
	}) (n int) {
		return
	}, [][4]string{{"parameter 1, Sale.Tags[]", "string.le4", "float.le8", "client string.le4, server float.le8"}}},
	{"fields moved", bindShop[selling], func(struct {
		Tags  []string
		ID    uint64
		Price int32
	}) (n int) {
		return
	}, nil},
	{"field renamed", bindShop[selling], func(struct {
		ID   uint64
		Cost int32
		Tags []string
	}) (n int) {
		return
	}, [][4]string{{"parameter 1, Sale.Price", "calls it Price", "calls it Cost (renamed)", "client calls it Price, server calls it Cost (renamed); give it the old name by name= in its tag"}}},
	{"field added", bindShop[selling], func(struct {
		ID    uint64
		Note  *string
		Price int32
		Tags  []string
	}) (n int) {
		return
	}, [][4]string{{"parameter 1, Sale.Note", "", "*string.le4", "only on the server; tag it optional at the server"}}},
	{"field removed", bindShop[selling], func(struct {
		ID   uint64
		Tags []string
	}) (n int) {
		return
	}, [][4]string{{"parameter 1, Sale.Price", "int.le4", "", "only on the client; tag it optional at the client, and only calls that set it fail"}}},
	{"tags differ", bindShop[selling], func(struct {
		ID    uint64   `bsrpc:"be8"`
		Price int32    `bsrpc:"varint"`
		Tags  []string `bsrpc:"list,len=le2,elem=len=le1"`
	}) (n int) {
		return
	}, nil},
	{"other widths and varints", bindShop[selling], func(struct {
		ID    uint64 `bsrpc:"be7"`
		Price int32  `bsrpc:"uvarint"`
		Tags  []string
	}) (n int) {
		return
	}, [][4]string{
		{"parameter 1, Sale.ID", "uint.le8", "uint.be7", "client uint.le8, server uint.be7; make it at least 8 bytes wide at the server"},
	}},
	{"a pointer", bindShop[selling], func(*Sale) (n int) { return }, nil},
	{"another kind", bindShop[selling], func(string) (n int) { return }, [][4]string{
		{"parameter 1, Sale", "{ID uint.le8; Price int.le4; Tags []string.le4}", "string.le4", "client {ID uint.le8; Price int.le4; Tags []string.le4}, server string.le4"},
	}},
	{"no parameter", bindShop[selling], func() (n int) { return }, [][4]string{
		{"parameter 1", "{ID uint.le8; Price int.le4; Tags []string.le4}", "", "only on the client; tag it optional at the client, and only calls that set it fail"},
	}},
	{"one more parameter", bindShop[selling], func(context.Context, Sale, bool) (n int) { return }, [][4]string{
		{"parameter 2", "", "bool", "only on the server; tag it optional at the server"},
	}},
	{"no result", bindShop[selling], func(Sale) error { return nil }, [][4]string{
		{"result 1", "int.le8", "", "only on the client; tag it optional at the client"},
	}},
	{"more results", bindShop[selling], func(Sale) (a bool, b string, err error) { return }, [][4]string{
		{"result 1", "int.le8", "bool", "client int.le8, server bool"},
	}},
	{"deep inside", bindShop[locating], func(*struct {
		Host  string
		Rooms map[uint16]*struct{ Height, Width float32 }
	}, [3]int8) {
	}, [][4]string{
		{"parameter 1, Place.Host", "binary(netip.Addr)", "string.le4", "client binary(netip.Addr), server string.le4"},
		{"parameter 1, Place.Rooms[key]", "uint.le1", "uint.le2", "client uint.le1, server uint.le2"},
		{"parameter 1, Place.Rooms[].Width", "float.le8", "float.le4", "client float.le8, server float.le4; make it at least 8 bytes wide at the server"},
		{"parameter 1, Place.Rooms[].Height", "float.le8", "float.le4", "client float.le8, server float.le4; make it at least 8 bytes wide at the server"},
		{"parameter 2, [2]int8", "[2]int.le1", "[3]int.le1", "client [2]int.le1, server [3]int.le1"},
	}},
	{"the client's tag", bindShop[formatted], func(int, string) (n int) { return }, [][4]string{
		{"result 1", "int.be2", "int.le8", "client int.be2, server int.le8; make it at least 8 bytes wide at the client"},
	}},
	{"no method", bindShop[formatted], nil, [][4]string{
		{"", "Shop.Put(int.le2, string.le1) int.be2", "", "only on the client"},
	}},
}

func TestMismatches(t *testing.T) {
	for _, test := range mismatches {
		srv := newLab(t)
		name, f := "Shop.Put", test.server
		if f == nil {
			name, f = "Shop.Empty", func() {}
		}
		if err := srv.RegisterFunc(name, f); err != nil {
			t.Fatal(err)
		}
		client, err := bsrpctest.Dial(t, srv, nil)
		if err != nil {
			t.Fatal(err)
		}
		var m *bsrpc.MismatchError
		err = test.bind(t.Context(), client)
		if test.diffs == nil {
			if err != nil {
				t.Errorf("%s: got %v", test.what, err)
			}
			continue
		}
		if !errors.As(fmt.Errorf("starting: %w", err), &m) {
			t.Errorf("%s: got %v", test.what, err)
			continue
		}
		checkMismatch(t, test.what, m, test.diffs)
	}
}

// checkMismatch compares a mismatch of Shop.Put as data and as text.
func checkMismatch(t *testing.T, what string, m *bsrpc.MismatchError, diffs [][4]string) {
	t.Helper()
	want := &bsrpc.MismatchError{Service: "Shop", Methods: 1}
	text := "bsrpc: client and server disagree on 1 of 1 methods of Shop"
	for _, d := range diffs {
		fix := ""
		if i := strings.LastIndex(d[3], "; "); i >= 0 && !strings.Contains(d[3][i:], "}") {
			fix = d[3][i+2:]
		}
		want.Differences = append(want.Differences, bsrpc.Difference{Method: "Shop.Put", Place: d[0], Client: d[1], Server: d[2], Fix: fix})
		line := "\n    Shop.Put, " + d[0] + ": "
		if d[0] == "" {
			line = "\n    Shop.Put: "
		}
		text += line + d[3]
	}
	if diff := cmp.Diff(want, m); diff != "" {
		t.Errorf("%s: -want +got\n%s", what, diff)
	}
	checkText(t, what, m, text)
}

// If some methods differ, the others can be called. Calls of the former return their
// own differences only.
func TestMismatchedProxy(t *testing.T) {
	srv := bsrpc.NewServer(nil)
	ran := false
	for name, f := range map[string]any{
		"Shop.Put":  func(int16) { ran = true },
		"Shop.Get":  func() int64 { return 7 },
		"Shop.List": func() []string { ran = true; return nil },
		"Shop.More": func() {}, // only on the server, which is no difference
	} {
		if err := srv.RegisterFunc(name, f); err != nil {
			t.Fatal(err)
		}
	}
	client, err := bsrpctest.Dial(t, srv, nil)
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := bsrpc.Bind[struct {
		Put  func(ctx context.Context, n int32) error
		Get  func() (int64, error)
		Gone func() error
		List func(page int) ([]int64, error)
	}](t.Context(), client, "Shop")
	checkText(t, "Bind", err, `bsrpc: client and server disagree on 3 of 4 methods of Shop
    Shop.Put, parameter 1: client int.le4, server int.le2; make it at least 4 bytes wide at the server
    Shop.Gone: only on the client
    Shop.List, parameter 1: only on the client; tag it optional at the client, and only calls that set it fail
    Shop.List, result 1, []int64: client int.le8, server string.le4`)

	checkRefusal(t, proxy.Put(t.Context(), 1), 1, `bsrpc: client and server disagree on 1 of 1 methods of Shop
    Shop.Put, parameter 1: client int.le4, server int.le2; make it at least 4 bytes wide at the server`)
	checkRefusal(t, proxy.Gone(), 1, `bsrpc: client and server disagree on 1 of 1 methods of Shop
    Shop.Gone: only on the client`)
	list, err := proxy.List(1)
	checkRefusal(t, err, 2, `bsrpc: client and server disagree on 1 of 1 methods of Shop
    Shop.List, parameter 1: only on the client; tag it optional at the client, and only calls that set it fail
    Shop.List, result 1, []int64: client int.le8, server string.le4`)
	if n, err := proxy.Get(); n != 7 || err != nil {
		t.Errorf("Get: %d, %v", n, err)
	}
	if ran || list != nil {
		t.Errorf("a method that differs has run: %v, %v", ran, list)
	}
}

// checkRefusal checks the error of a call of a differing method.
func checkRefusal(t *testing.T, err error, differences int, text string) {
	t.Helper()
	e := wantError(t, err, bsrpc.CodeFailedPrecondition, bsrpc.OutcomeNotRun, "disagree")
	var m *bsrpc.MismatchError
	if !errors.As(err, &m) || len(m.Differences) != differences || e.Remote {
		t.Errorf("%#v: want a *MismatchError with %d differences in it, of this end", e, differences)
	}
	checkText(t, "call", err, text)
}

// The same differences from the other end: an addition becomes an omission.
func TestMismatchFromBothEnds(t *testing.T) {
	type Old struct{ A, B int16 }
	type New struct{ A, B, C int16 }
	type oldShop struct{ Put func(Old) error }
	type newShop struct{ Put func(New) error }
	for _, test := range []struct {
		server any
		bind   binder
		want   string
	}{
		{func(New) {}, bindShop[oldShop], "Shop.Put, parameter 1, Old.C: only on the server; tag it optional at the server"},
		{func(Old) {}, bindShop[newShop], "Shop.Put, parameter 1, New.C: only on the client; tag it optional at the client, and only calls that set it fail"},
		{func(Old) {}, bindShop[oldShop], ""},
		{func(New) {}, bindShop[newShop], ""},
	} {
		srv := bsrpc.NewServer(nil)
		if err := srv.RegisterFunc("Shop.Put", test.server); err != nil {
			t.Fatal(err)
		}
		client, err := bsrpctest.Dial(t, srv, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := "<nil>"
		if test.want != "" {
			want = "bsrpc: client and server disagree on 1 of 1 methods of Shop\n    " + test.want
		}
		checkText(t, fmt.Sprintf("%T", test.server), test.bind(t.Context(), client), want)
	}
}

// A Difference can be printed by itself, also one made by a user.
func TestDifferenceString(t *testing.T) {
	for want, d := range map[string]bsrpc.Difference{
		"Shop.Put":                     {Method: "Shop.Put"},
		"Shop.Put, 3 more differences": {Method: "Shop.Put", Place: "3 more differences"},
		"Shop.Put: only on the client": {Method: "Shop.Put", Client: "Shop.Put()"},
		"Shop.Put: only on the client; the server has Shop.P": {Method: "Shop.Put", Client: "Shop.Put()", Near: "Shop.P"},
		"Shop.Put, result 1: only on the server":              {Method: "Shop.Put", Place: "result 1", Server: "bool"},
		"Shop.Put, parameter 1: client bool, server int.le1":  {Method: "Shop.Put", Place: "parameter 1", Client: "bool", Server: "int.le1"},
		"Shop.Put, parameter 1, P: client a, b; server order": {Method: "Shop.Put", Place: "parameter 1, P", Client: "a, b", Server: "order"},
	} {
		if got := d.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// A flippingConn flips one bit in bytes it searches for.
type flippingConn struct {
	net.Conn
	look []byte
	bit  int
}

func (c *flippingConn) Write(b []byte) (int, error) {
	if at := bytes.Index(b, c.look); at >= 0 {
		b = slices.Clone(b)
		b[at+c.bit/8] ^= 1 << (c.bit % 8)
	}
	return c.Conn.Write(b)
}

// A server with an invalid layout violates the protocol.
func TestUnreadableLayout(t *testing.T) {
	srv := bsrpc.NewServer(nil)
	if err := srv.RegisterFunc("Shop.Put", func(int64) {}); err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	near, far := net.Pipe()
	const before = len("Shop.Put")
	go srv.ServeConn(&flippingConn{far, []byte("Shop.Put("), 8 * before})
	client, err := bsrpc.NewClient(t.Context(), near, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	const want = `bsrpc: the server's layout of Shop.Put: offset 8: want "(", have ")int.le8)"`
	proxy, err := bsrpc.Bind[struct{ Put func(int32) error }](t.Context(), client, "Shop")
	checkText(t, "Bind", err, want)
	if proxy != nil {
		t.Error("Bind: a proxy all the same")
	}
	checkText(t, "Call", client.Call(t.Context(), "Shop.Put", []any{1}), want)
}

// One bit of a hash makes a difference. Short and missing hashes are tested in
// frames_test.go.
func TestHashesMustBeEqual(t *testing.T) {
	type shop struct {
		Put func(int64) error
		Get func() (bool, error)
	}
	srv := bsrpc.NewServer(nil)
	for name, f := range map[string]any{"Shop.Put": func(int64) {}, "Shop.Get": func() bool { return true }} {
		if err := srv.RegisterFunc(name, f); err != nil {
			t.Fatal(err)
		}
	}
	defer srv.Close()
	hash := methodOf(t, func(int64) {}).Hash
	for bit := range 8 * len(hash) {
		near, far := net.Pipe()
		go srv.ServeConn(far)
		client, err := bsrpc.NewClient(t.Context(), &flippingConn{near, hash[:], bit}, nil)
		if err != nil {
			t.Fatal(err)
		}
		proxy, err := bsrpc.Bind[shop](t.Context(), client, "Shop")
		checkText(t, fmt.Sprintf("bit %d", bit), err, `bsrpc: client and server disagree on 1 of 2 methods of Shop
    Shop.Put, the layouts are equal, but the hash does not belong to the layout`)
		wantError(t, proxy.Put(1), bsrpc.CodeFailedPrecondition, bsrpc.OutcomeNotRun, "the hash does not belong to the layout")
		if ok, err := proxy.Get(); !ok || err != nil {
			t.Errorf("bit %d: Get: %v, %v", bit, ok, err)
		}
		client.Close()
	}
}
