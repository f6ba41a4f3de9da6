package bsrpctest_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bsrpc/bsrpc/bsrpctest"
)

// A recorder is the testing.TB of a call of Golden that may fail.
type recorder struct {
	testing.TB
	text string
}

func (r *recorder) Helper()           {}
func (r *recorder) Error(args ...any) { r.text += fmt.Sprint(args...) }

// golden calls Golden after days, in a bubble, which begins on 2000-01-01. It returns its
// failure, or else what it has printed.
func golden(t *testing.T, days int, command, file string, contract any) string {
	t.Helper()
	t.Setenv("BSRPC_GOLDEN", command)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = write
	r := new(recorder)
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Duration(days) * 24 * time.Hour)
		bsrpctest.Golden(r, file, contract)
	})
	os.Stdout = stdout
	write.Close()
	printed, err := io.ReadAll(read)
	if err != nil {
		t.Fatal(err)
	}
	if r.text != "" && len(printed) > 0 {
		t.Errorf("failed, and printed %q", printed)
	}
	return strings.ReplaceAll(r.text+string(printed), filepath.Dir(file), "testdata")
}

func wantText(t *testing.T, got, want string) {
	t.Helper()
	if diff := cmp.Diff(strings.Split(strings.TrimSpace(want), "\n"), strings.Split(strings.TrimSpace(got), "\n")); diff != "" {
		t.Errorf("-want +got\n%s\ngot\n%s", diff, got)
	}
}

// fileWith returns the name of a file with the content.
func fileWith(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "shop.contract")
	if err := os.WriteFile(file, []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
	return file
}

func content(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// Versions of a shop. The name of the type does not matter once a file has its service.

type Shop struct {
	Place  func(ctx context.Context, o shopOrder) (int64, error)
	Find   func(ctx context.Context, id int64) (shopOrder, error)
	Refund func(ctx context.Context, id int64) error
}

type shopOrder struct {
	ID    int64
	Price int32
}

const released = "2000-01-01 Shop.Place({ID int.le8; Price int.le4}) int.le8\n" +
	"2000-01-01 Shop.Find(int.le8) {ID int.le8; Price int.le4}\n" +
	"2000-01-01 Shop.Refund(int.le8)\n"

const header = "# Shop: the text of every method ever released, for bsrpctest.Golden.\n" +
	"# After a change that fits all of them: BSRPC_GOLDEN=update go test\n"

// ShopNote has an optional field, and a new method.
type ShopNote struct {
	Place  func(ctx context.Context, o noteOrder) (int64, error)
	Find   func(ctx context.Context, id int64) (noteOrder, error)
	Refund func(ctx context.Context, id int64) error
	Count  func(ctx context.Context) (int64, error)
}

type noteOrder struct {
	Price int32
	ID    int64
	Note  string `bsrpc:"optional"`
}

// ShopWide breaks both ends: another number, a field without optional, and no Refund.
type ShopWide struct {
	Place func(ctx context.Context, o wideOrder) (int64, error)
	Find  func(ctx context.Context, id int64) (wideOrder, error)
}

type wideOrder struct {
	ID    int64
	Price int64
	Note  string
}

// The life of a file: created, in accordance, changed, updated.
func TestGolden(t *testing.T) {
	file := filepath.Join(t.TempDir(), "new", "shop.contract")
	wantText(t, golden(t, 0, "", file, Shop{}),
		"bsrpctest.Golden: testdata/shop.contract does not exist; create it and commit it: BSRPC_GOLDEN=update go test")
	if _, err := os.Stat(file); err == nil {
		t.Error("created without update")
	}
	wantText(t, golden(t, 0, "update", file, Shop{}), "Shop is not yet in testdata/shop.contract\nrecorded")
	wantText(t, content(t, file), header+released)
	for _, command := range []string{"", "update", "retire:2000-01-01"} {
		if got := golden(t, 9, command, file, &Shop{}); got != "" {
			t.Errorf("%q: an unchanged contract: %s", command, got)
		}
	}

	change := `Shop has changed since 2000-01-01 and fits every text in testdata/shop.contract
    Shop.Place
        parameter 1, noteOrder.Note is new: calls that set it fail at old servers, not run, unless it is ignorable
        noteOrder is a parameter and a result: old clients that read it and write it back lose Note
        to deploy: servers first, if nothing must fail or be lost meanwhile
    Shop.Find
        result 1, noteOrder.Note is new: old clients drop it, and from old servers it is zero
        noteOrder is a parameter and a result: old clients that read it and write it back lose Note
        to deploy: either end first
    Shop.Count
        is new: Bind of a new client at an old server returns a mismatch for it; a client that goes on without it tags it optional
        to deploy: servers first
`
	wantText(t, golden(t, 30, "", file, ShopNote{}),
		"bsrpctest.Golden: "+change+"record it and commit the file: BSRPC_GOLDEN=update go test")
	wantText(t, golden(t, 30, "update", file, ShopNote{}), change+"recorded")
	wantText(t, content(t, file), header+
		"2000-01-01 Shop.Place({ID int.le8; Price int.le4}) int.le8\n"+
		"2000-01-31 Shop.Place({Price int.le4; ID int.le8; Note? string.le4}) int.le8\n"+
		"2000-01-01 Shop.Find(int.le8) {ID int.le8; Price int.le4}\n"+
		"2000-01-31 Shop.Find(int.le8) {Price int.le4; ID int.le8; Note? string.le4}\n"+
		"2000-01-01 Shop.Refund(int.le8)\n"+
		"2000-01-31 Shop.Count() int.le8\n")
	if got := golden(t, 60, "", file, ShopNote{}); got != "" {
		t.Error(got)
	}
	// Back to the first version: Count is missing, the rest fits.
	wantText(t, golden(t, 60, "", file, Shop{}), `bsrpctest.Golden: Shop does not fit 1 of 6 texts released, in testdata/shop.contract
    Shop.Count, released 2000-01-31
        old client, new server: the method is gone; keep it
        to deploy: first clients that do not call it; servers once no other client is in use
follow the advice above, or leave the method as it is and add another; bsrpc's docs/evolution.md lists all changes
if a text was never released: delete its line from the file
if its programs are no longer in use: BSRPC_GOLDEN=retire:2000-03-01 go test`)
}

// A breaking change fails with an explanation, also if it is to be recorded.
func TestGoldenBreaks(t *testing.T) {
	before := released + "2000-01-20 Shop.Place({ID int.le8; Price int.le4; Tip? bool}) int.le8\n"
	const rest = `    Shop.Find, released 2000-01-01
        new client, old server: result 1, wideOrder.Note: only on the client; tag it optional at the client
        old client, new server: result 1, wideOrder.Price: client int.le4, server int.le8; keep it as released
        to deploy: neither end can be first
    Shop.Refund, released 2000-01-01
        old client, new server: the method is gone; keep it
        to deploy: first clients that do not call it; servers once no other client is in use
follow the advice above, or leave the method as it is and add another; bsrpc's docs/evolution.md lists all changes
if a text was never released: delete its line from the file
if its programs are no longer in use: BSRPC_GOLDEN=retire:2000-02-10 go test`
	place := `
        new client, old server: parameter 1, wideOrder.Price: client int.le8, server int.le4; keep it as released
        new client, old server: parameter 1, wideOrder.Note: only on the client; tag it optional at the client, and only calls that set it fail
        old client, new server: parameter 1, wideOrder.Note: only on the server; tag it optional at the server
        to deploy: neither end can be first
`
	all := "Shop does not fit 4 of 4 texts released, in testdata/shop.contract\n    Shop.Place, released 2000-01-01, 2000-01-20" + place + rest
	find, more, _ := strings.Cut(rest, "follow")
	file := fileWith(t, before)
	for _, test := range []struct{ command, want string }{
		{"", all},
		{"update", all},
		{"retire-servers:2000-01-01", all},
		// The first text of Place is old enough.
		{"retire:2000-02-09", "Shop does not fit 3 of 3 texts released, in testdata/shop.contract\n" + find + "    Shop.Place, released 2000-01-20" + place + "follow" + more},
	} {
		wantText(t, golden(t, 40, test.command, file, ShopWide{}), "bsrpctest.Golden: "+test.want)
		if content(t, file) != before {
			t.Errorf("%q has changed the file", test.command)
		}
	}
	// The command in the text does it.
	wantText(t, golden(t, 40, "retire:2000-02-10", file, ShopWide{}), `testdata/shop.contract: retired programs of 4 of 4 texts
    Shop.Place, in programs from 2000-01-01 until 2000-01-20
        parted: new client, old server: parameter 1, wideOrder.Price: client int.le8, server int.le4
        parted: new client, old server: parameter 1, wideOrder.Note: only on the client
        parted: old client, new server: parameter 1, wideOrder.Note: only on the server
    Shop.Find, in programs from 2000-01-01 until 2000-02-10
        parted: new client, old server: result 1, wideOrder.Note: only on the client
        parted: old client, new server: result 1, wideOrder.Price: client int.le4, server int.le8
    Shop.Refund, in programs from 2000-01-01 until 2000-02-10
        parted: old client, new server: the method is gone
    Shop.Place, in programs from 2000-01-20 until 2000-02-10
        parted: new client, old server: parameter 1, wideOrder.Price: client int.le8, server int.le4
        parted: new client, old server: parameter 1, wideOrder.Note: only on the client
        parted: old client, new server: parameter 1, wideOrder.Note: only on the server
recorded Shop as it is now`)
	wantText(t, content(t, file), header+"2000-02-10 Shop.Place({ID int.le8; Price int.le8; Note string.le4}) int.le8\n"+
		"2000-02-10 Shop.Find(int.le8) {ID int.le8; Price int.le8; Note string.le4}")
}
