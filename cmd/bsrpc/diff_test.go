package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
	"github.com/bsrpc/bsrpc/layout"
)

// Every row of docs/evolution.md names the end to deploy first.
func TestDeployment(t *testing.T) {
	page, err := os.ReadFile("../../docs/evolution.md")
	if err != nil {
		t.Fatal(err)
	}
	parse := func(cell string) *layout.Method {
		m, err := layout.ParseMethod("Demo." + strings.Trim(cell, "` "))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	rows := 0
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if len(cells) != 6 || !strings.HasPrefix(cells[1], "`") {
			continue
		}
		rows++
		old, now := parse(cells[1]), parse(cells[2])
		if got, want := deployment(compareEnds(now, old), compareEnds(old, now)), strings.TrimSpace(cells[5]); string(got) != want {
			t.Errorf("%s: deploy %s first, want %s", cells[0], got, want)
		}
	}
	if rows < 40 {
		t.Errorf("%d rows with texts", rows)
	}
}

func TestFirstAnd(t *testing.T) {
	for _, test := range [][3]first{
		{firstEither, firstServers, firstServers}, {firstServers, firstEither, firstServers}, {firstServers, firstServers, firstServers},
		{firstServers, firstClients, firstNeither}, {firstNeither, firstEither, firstNeither}, {firstEither, firstEither, firstEither},
	} {
		if got := test[0].and(test[1]); got != test[2] {
			t.Errorf("%s and %s: %s, want %s", test[0], test[1], got, test[2])
		}
	}
}

type orderV1 struct {
	Item  string
	Count int32
	Port  uint16 `bsrpc:"be2"`
}

type orderV2 struct {
	Item  string
	Count int64
	Port  uint16
	Note  string `bsrpc:"optional"`
}

type shopV1 struct {
	Place  func(ctx context.Context, o orderV1) (int, error)
	Stock  func(ctx context.Context, item string) (int32, error)
	Cancel func(ctx context.Context, id int) error
	Trial  func(ctx context.Context) error `bsrpc:"optional"`
	Ping   func(ctx context.Context) error
}

type shopV2 struct {
	Place func(ctx context.Context, o orderV2) (int, error)
	Stock func(ctx context.Context, item string) (int64, error)
	Track func(ctx context.Context, id int) (string, error)
	Extra func(ctx context.Context) error `bsrpc:"optional"`
	Ping  func(ctx context.Context) error
}

type shopV3 struct {
	Place  func(ctx context.Context, o orderV2) (int, error)
	Stock  func(ctx context.Context, item string) (int32, error)
	Cancel func(ctx context.Context, id int) error
	Ping   func(ctx context.Context) error
}

// newShop returns a server with a contract whose funcs are all the same.
func newShop[C any](t *testing.T, service string, impl *C) *bsrpc.Server {
	t.Helper()
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
	if err := bsrpc.RegisterAs[C](srv, service, impl); err != nil {
		t.Fatal(err)
	}
	return srv
}

func ping(context.Context) error { return nil }

// The command diff: servers and files, each order of deployment.
func TestDiff(t *testing.T) {
	v1 := newShop(t, "Shop", &shopV1{
		Place:  func(context.Context, orderV1) (int, error) { return 0, nil },
		Stock:  func(context.Context, string) (int32, error) { return 0, nil },
		Cancel: func(context.Context, int) error { return nil },
		Trial:  ping, Ping: ping,
	})
	v2 := newShop(t, "Shop", &shopV2{
		Place: func(context.Context, orderV2) (int, error) { return 0, nil },
		Stock: func(context.Context, string) (int64, error) { return 0, nil },
		Track: func(context.Context, int) (string, error) { return "", nil },
		Extra: ping, Ping: ping,
	})
	v3 := newShop(t, "Shop", &shopV3{
		Place:  func(context.Context, orderV2) (int, error) { return 0, nil },
		Stock:  func(context.Context, string) (int32, error) { return 0, nil },
		Cancel: func(context.Context, int) error { return nil },
		Ping:   ping,
	})
	if err := bsrpc.RegisterAs[deskContract](v3, "Desk", desk{}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	golden := filepath.Join(dir, "shop.contract")
	t.Setenv("BSRPC_GOLDEN", "update")
	bsrpctest.Golden(t, golden, v1)
	t.Setenv("BSRPC_GOLDEN", "")
	today, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("releases", "\ufeff# Shop\r\n2026-03-01 Shop.Stock(string.le4) int.le8\r\n2026-01-01 clients Shop.Stock(string.le4, bool) int.le2\r\n\r\n2026-02-01 Shop.Stock(string.le4) int.le2\r\n2026-01-15 Shop.Stock(string.le4) int.le2\r\n")
	write("empty", "# nothing\n")
	write("wrong", "2026-03-01 Shop.Stock(string.le4) int.le8\n2026-3-1 Shop.Ping()\n")
	write("lies", "2026-03-01 Shop.Stock(string.le4, \x1b[2J)\n")
	lines := words(
		"diff V1 V1",
		"diff V1 V2",
		"diff V1 V2 --json",
		"diff V1 V2 --first either",
		"diff V1 V2 --first clients",
		"diff V1 V3",
		"diff V1 V3 --same",
		"diff V1 V3 --first either",
		"diff DIR/shop.contract V1 --same",
		"diff DIR/shop.contract V3",
		"diff V3 DIR/shop.contract",
		"diff DIR/releases V1",
		"diff DIR/releases DIR/shop.contract --json",
		"diff V1 DIR/missing",
		"diff V1 DIR/empty",
		"diff V1 DIR/wrong",
		"diff V1 DIR/lies",
		"diff V1",
		"diff V1 V2 --first both",
		"diff V1 V2 --first either --same",
		"diff --address V1 V2 V3",
	)
	date := strings.Fields(string(today[strings.LastIndexByte(strings.TrimSpace(string(today)), '\n')+1:]))[0]
	transcript(t, "testdata/diff.golden", lines, "V1", serve(t, v1), "V2", serve(t, v2), "V3", serve(t, v3), "DIR", dir, "TODAY", date)
}

// A line of a file is a release, or an error; no text is a reason to crash.
func FuzzParseRelease(f *testing.F) {
	f.Add("2026-01-31 Shop.Stock(string.le4) int.le2")
	f.Add("2026-01-31 clients Shop.Stock(string.le4, bool) {A? int.le2}")
	f.Add("2026-02-30 Shop.Stock()")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseRelease(text)
		if err != nil {
			return
		}
		if r.layout.String() != r.text || !strings.HasSuffix(text, r.text) || !strings.HasPrefix(text, r.date+" ") {
			t.Errorf("%q is %+v", text, r)
		}
		if v := compareEnds(r.layout, r.layout); len(v.breaks)+len(v.loses) > 0 {
			t.Errorf("%q does not fit itself: %v", text, v)
		}
	})
}
