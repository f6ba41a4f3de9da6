package bsrpc_test

import (
	"context"
	"encoding/hex"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/layout"
)

// methodOf describes fn as the method Shop.Put.
func methodOf(t *testing.T, fn any) bsrpc.Method {
	t.Helper()
	srv := bsrpc.NewServer(nil)
	if err := srv.RegisterFunc("Shop.Put", fn); err != nil {
		t.Fatal(err)
	}
	return srv.Methods()[0]
}

// methodAs describes Shop.Put in the contract C.
func methodAs[C any](t *testing.T, impl any) bsrpc.Method {
	t.Helper()
	srv := bsrpc.NewServer(nil)
	if err := bsrpc.RegisterAs[C](srv, "Shop", impl); err != nil {
		t.Fatal(err)
	}
	return srv.Methods()[0]
}

type putter struct{}

func (putter) Put(int64) {}

type celsius int64

type addr struct{ netip.Addr }

func (a addr) MarshalBinary() ([]byte, error)     { return a.Addr.MarshalBinary() }
func (a *addr) UnmarshalBinary(data []byte) error { return a.Addr.UnmarshalBinary(data) }

// Each line is two funcs, and whether the change from one to the other changes
// the hash: the table of docs/protocol.md.
var hashChanges = []struct {
	change  string
	a, b    any
	changes bool
}{
	{"the order of a struct's fields", func(struct{ A, B int64 }) {}, func(struct{ B, A int64 }) {}, true},
	{"the order, the names or the types of a union's members", func(either) {}, func(struct {
		_ struct{} `bsrpc:"union"`
		B *string  `bsrpc:"len=le1,name=Text"`
		A *uint16  `bsrpc:"be2"`
	}) {
	}, true},
	{"a field's name", func(struct{ A int64 }) {}, func(struct{ B int64 }) {}, true},
	{"the order, number or form of parameters", func(int64, bool) {}, func(bool, int64) {}, true},
	{"the order, number or form of parameters", func(int64) {}, func(int64, int64) {}, true},
	{"the order, number or form of parameters", func(int64) {}, func(uint64) {}, true},
	{"a pointer in place of its value", func(int64) {}, func(*int64) {}, true},
	{"a tag that changes bytes", func(struct{ A int64 }) {}, func(struct {
		A int64 `bsrpc:"be8"`
	}) {
	}, true},
	{"a tag that changes bytes", func(struct{ A string }) {}, func(struct {
		A string `bsrpc:"len=le2"`
	}) {
	}, true},
	{"`optional` on a field, parameter or result", func(struct{ A int }) {}, func(struct {
		A int `bsrpc:"optional"`
	}) {
	}, true},
	{"`max=`, `utf8`, `ignorable`", func(struct {
		A int `bsrpc:"optional"`
	}) {
	}, func(struct {
		A int `bsrpc:"optional,ignorable"`
	}) {
	}, false},
	{"the Go name of a type with an encoding of its own", func(netip.Addr) {}, func(addr) {}, true},
	{"the Go name of any other type", func(int64) {}, func(celsius) {}, false},
	{"`int` in place of `int64`", func(int) {}, func(int64) {}, false},
	{"a context or an error added", func(int) {}, func(context.Context, int) error { return nil }, false},
	{"a variadic in place of a slice", func(...int) {}, func([]int) {}, false},
	{"a field that is not exported", func(struct{ A int }) {}, func(struct {
		A int
		b int
	}) {
	}, false},
	{"skipped with `-`", func(struct{ A int }) {}, func(struct {
		A int
		B int `bsrpc:"-"`
	}) {
	}, false},
	{"`name=x` on a renamed field", func(struct{ A int }) {}, func(struct {
		B int `bsrpc:"name=A"`
	}) {
	}, false},
	{"`max=`, `utf8`", func(struct{ A string }) {}, func(struct {
		A string `bsrpc:"max=9,utf8"`
	}) {
	}, false},
}

// The table in docs/protocol.md lists the changes that change the hash.
func TestHashChanges(t *testing.T) {
	page, err := os.ReadFile("docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range hashChanges {
		a, b := methodOf(t, test.a), methodOf(t, test.b)
		if (a.Hash != b.Hash) != test.changes || (a.Layout != b.Layout) != test.changes {
			t.Errorf("%s:\n\t%s\n\t%s\nwant a change: %v", test.change, a.Layout, b.Layout, test.changes)
		}
		if !said(string(page), test.change, test.changes) {
			t.Errorf("the page does not say of %q whether it changes the hash: %v", test.change, test.changes)
		}
	}
}

// said reports whether the table contains a line for a change.
func said(page, change string, changes bool) bool {
	word := map[bool]string{true: "| changes |", false: "| stays |"}[changes]
	for line := range strings.Lines(page) {
		if strings.Contains(line, change) && strings.HasSuffix(strings.TrimSpace(line), word) {
			return true
		}
	}
	return false
}

// Names of methods and services change the hash, options do not.
func TestHashOfNames(t *testing.T) {
	type named struct {
		Put func(int64) error `bsrpc:"name=Store"`
	}
	type options struct {
		Put func(int64) error `bsrpc:"id=7,timeout=3s,idempotent"`
	}
	was := methodOf(t, func(int64) {})
	if m := methodAs[named](t, putter{}); m.Hash == was.Hash {
		t.Errorf("%s has the hash of %s", m.Layout, was.Layout)
	}
	if m := methodAs[options](t, putter{}); m.Hash != was.Hash {
		t.Errorf("the options of a method change its hash: %s, %s", m.Layout, was.Layout)
	}
	srv := bsrpc.NewServer(nil)
	if err := srv.RegisterFunc("Market.Put", func(int64) {}); err != nil {
		t.Fatal(err)
	}
	if m := srv.Methods()[0]; m.Hash == was.Hash {
		t.Errorf("%s has the hash of %s", m.Layout, was.Layout)
	}
}

// The page works out one hash.
// The texts that docs/protocol.md shows are those of layouts.
func TestProtocolLayouts(t *testing.T) {
	page, err := os.ReadFile("docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, ok := strings.Cut(string(page), "Some texts:\n\n```text\n")
	block, _, end := strings.Cut(block, "\n```")
	if !ok || !end {
		t.Fatal("docs/protocol.md shows no texts")
	}
	for _, text := range strings.Split(block, "\n") {
		if l, err := layout.ParseMethod(text); err != nil || l.String() != text {
			t.Errorf("%s: reads as %v, %v", text, l, err)
		}
	}
}

func TestProtocolHash(t *testing.T) {
	page, err := os.ReadFile("docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	srv := bsrpc.NewServer(nil)
	if err := srv.RegisterFunc("Greeter.Add2Words", func(a, b uint32) uint32 { return a + b }); err != nil {
		t.Fatal(err)
	}
	m := srv.Methods()[0]
	if want := m.Layout + "\n" + hex.EncodeToString(m.Hash[:]) + "\n"; !strings.Contains(string(page), want) {
		t.Errorf("docs/protocol.md lacks\n%s", want)
	}
}
