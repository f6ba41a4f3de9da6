package bsrpctest_test

import (
	"context"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
)

// Files as editors, merges and accidents leave them.
func TestGoldenFiles(t *testing.T) {
	const form = "want a date and the text of a method, as in 2026-01-31 Shop.Pay(int.le8) bool"
	const conflict = "a conflict of a merge; keep the lines of both sides, without the markers"
	dos := strings.ReplaceAll(released, "\n", "\r\n")
	reversed := strings.Split(strings.TrimSpace(released), "\n")
	reversed[0], reversed[2] = reversed[2], reversed[0]
	for _, test := range []struct{ name, content, want string }{
		{"carriage returns", "# a comment\r\n\r\n" + dos, ""},
		{"a byte order mark", "\ufeff" + released, ""},
		{"both", "\ufeff" + dos, ""},
		{"another order", strings.Join(reversed, "\n\n"), ""},
		{"lines twice", released + "# of the other branch\n" + released, ""},
		{"spaces", "  " + strings.ReplaceAll(released, " Shop", "  Shop") + "  \n\t# indented\n", ""},
		{"clients alone", strings.ReplaceAll(released, "Shop", "clients Shop"), ""},
		{"another service", strings.ReplaceAll(released, "Shop", "v2.Shop"), ""},
		{"conflict", "<<<<<<< HEAD\n" + released + "=======\n" + released + ">>>>>>> branch\n",
			"testdata/shop.contract:1: " + conflict + "\ntestdata/shop.contract:5: " + conflict + "\ntestdata/shop.contract:9: " + conflict},
		{"no date", "Shop.Place()\n", "testdata/shop.contract:1: " + form},
		{"a date alone", "2000-01-01\n", "testdata/shop.contract:1: the text of the method: offset 0: want a name, have the end"},
		{"a day of no calendar", "2000-02-30 Shop.Place()\n", "testdata/shop.contract:1: " + form},
		{"a text cut", "\r\n2000-01-01 Shop.Place(int.le8", "testdata/shop.contract:2: the text of the method: offset 18: want \")\", have the end"},
		{"not canonical", "2000-01-01 Shop.Place( int.le8)", "testdata/shop.contract:1: the text of the method: offset 11: want a type, have \" int.le8)\""},
		{"another file", strings.Repeat("package shop\n", 9),
			strings.Repeat("testdata/shop.contract:N: "+form+"\n", 4) + "and 5 more"},
		{"not text", "\xff\xfe2\x000\x00", "testdata/shop.contract: not UTF-8"},
		{"two services", strings.ReplaceAll(released, "Shop", "A") + strings.ReplaceAll(released, "Shop", "B"),
			"testdata/shop.contract has the services A, B, and the contract is one; give each contract its own file, or pass the server with all of them"},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := fileWith(t, test.content)
			for _, command := range []string{"", "update", "retire:2000-01-01"} {
				got, want := golden(t, 1, command, file, Shop{}), test.want
				for n := range 4 {
					want = strings.Replace(want, ":N:", ":"+string(rune('1'+n))+":", 1)
				}
				if want != "" {
					want = "bsrpctest.Golden: " + want
				}
				wantText(t, got, want)
			}
			if got := content(t, file); got != test.content {
				t.Errorf("changed to %q", got)
			}
		})
	}
	if got := golden(t, 0, "", t.TempDir(), Shop{}); !strings.Contains(got, "is a directory") {
		t.Errorf("a folder: %s", got)
	}
}

// An update keeps line ends, mark and comments. Each text follows those of its method.
func TestGoldenKeepsTheFile(t *testing.T) {
	before := "\ufeff# ours\r\n2000-01-01 Shop.Refund(int.le8)\r\n\r\n# the first form\r\n" +
		"2000-01-01 Shop.Place({ID int.le8; Price int.le4}) int.le8\r\n# found\r\n2000-01-01 Shop.Find(int.le8) {ID int.le8; Price int.le4}"
	file := fileWith(t, before)
	golden(t, 5, "update", file, ShopNote{})
	want := strings.Replace(before, "# found", "2000-01-06 Shop.Place({Price int.le4; ID int.le8; Note? string.le4}) int.le8\r\n# found", 1) +
		"\r\n2000-01-06 Shop.Find(int.le8) {Price int.le4; ID int.le8; Note? string.le4}\r\n2000-01-06 Shop.Count() int.le8\r\n"
	if got := content(t, file); got != want {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
	golden(t, 10, "retire:2000-01-06", file, ShopNote{})
	want = strings.Replace(want, "2000-01-01 Shop.Place({ID int.le8; Price int.le4}) int.le8\r\n", "", 1)
	want = strings.Replace(want, "2000-01-01 Shop.Find(int.le8) {ID int.le8; Price int.le4}\r\n", "", 1)
	if got := content(t, file); got != want {
		t.Errorf("after retire: got\n%q\nwant\n%q", got, want)
	}
}

// Two branches add different fields; the file of the merge has the lines of both.
func TestGoldenMerge(t *testing.T) {
	type noteTip struct {
		ID, Tip int64  `bsrpc:"optional"`
		Note    string `bsrpc:"optional"`
	}
	type merged struct {
		Place func(o noteTip) error
	}
	const lines = "2000-01-01 Shop.Place({ID? int.le8})\n" +
		"2000-01-02 Shop.Place({ID? int.le8; Tip? int.le8})\n2000-01-02 Shop.Place({ID? int.le8; Note? string.le4})\n"
	file := fileWith(t, lines)
	wantText(t, golden(t, 2, "update", file, merged{}), `Shop has changed since 2000-01-02 and fits every text in testdata/shop.contract
    Shop.Place
        parameter 1, noteTip.Tip is new: calls that set it fail at old servers, not run, unless it is ignorable
        to deploy: servers first, if nothing must fail or be lost meanwhile
recorded`)
	wantText(t, content(t, file), lines+"2000-01-03 Shop.Place({ID? int.le8; Tip? int.le8; Note? string.le4})")

	// One branch was never released, and the other has the field in another type.
	file = fileWith(t, lines+"2000-01-02 Shop.Place({ID? int.le8; Note? int.le8})\n")
	wantText(t, golden(t, 2, "update", file, merged{}), `bsrpctest.Golden: Shop does not fit 1 of 4 texts released, in testdata/shop.contract
    Shop.Place, released 2000-01-02
        new client, old server: parameter 1, noteTip.Note: client string.le4, server int.le8
        old client, new server: parameter 1, noteTip.Note: client int.le8, server string.le4
        to deploy: neither end can be first
follow the advice above, or leave the method as it is and add another; bsrpc's docs/evolution.md lists all changes
if a text was never released: delete its line from the file
if its programs are no longer in use: BSRPC_GOLDEN=retire:2000-01-03 go test`)
}

// A text stays until another has replaced it, however old it is.
func TestGoldenRetire(t *testing.T) {
	lines := "2000-01-01 Shop.Place({ID int.le8; Price int.le4; Tip? bool}) int.le8\n" +
		"2000-02-01 Shop.Place({ID int.le8; Price int.le4}) int.le8\n" +
		"2000-01-01 Shop.Find(int.le8) {ID int.le8; Price int.le4}\n" +
		"2000-01-01 Shop.Refund(int.le8)\n"
	file := fileWith(t, lines)
	if got := golden(t, 60, "retire:2000-01-31", file, Shop{}); got != "" {
		t.Errorf("nothing is that old: %s", got)
	}
	wantText(t, golden(t, 60, "retire:2000-02-01", file, Shop{}), `testdata/shop.contract: retired programs of 1 of 4 texts
    Shop.Place, in programs from 2000-01-01 until 2000-02-01
        still fits; later changes may part these programs`)
	wantText(t, content(t, file), lines[strings.Index(lines, "\n")+1:])
}

// ShopServersFirst has a wider number among its arguments.
type ShopServersFirst struct {
	Place func(ctx context.Context, o struct{ ID, Price int64 }) (int64, error)
}

// A change that only new servers bear: servers of older releases retire, clients stay.
func TestGoldenRetireServers(t *testing.T) {
	const lines = "2000-01-01 Shop.Place({ID int.le8; Price int.le4}) int.le8\n"
	file := fileWith(t, lines)
	wantText(t, golden(t, 9, "update", file, ShopServersFirst{}), `bsrpctest.Golden: Shop does not fit 1 of 1 texts released, in testdata/shop.contract
    Shop.Place, released 2000-01-01
        new client, old server: parameter 1, Price: client int.le8, server int.le4; keep it as released
        to deploy: servers first; clients once no server of that release is in use
follow the advice above, or leave the method as it is and add another; bsrpc's docs/evolution.md lists all changes
if a text was never released: delete its line from the file
if its programs are no longer in use: BSRPC_GOLDEN=retire:2000-01-10 go test
if its servers are no longer in use, but its clients are: BSRPC_GOLDEN=retire-servers:2000-01-10 go test`)
	wantText(t, golden(t, 9, "retire-servers:2000-01-10", file, ShopServersFirst{}), `testdata/shop.contract: retired servers of 1 of 1 texts
    Shop.Place, in servers from 2000-01-01 until 2000-01-10
        parted: new client, old server: parameter 1, Price: client int.le8, server int.le4
recorded Shop as it is now`)
	wantText(t, content(t, file), "2000-01-01 clients Shop.Place({ID int.le8; Price int.le4}) int.le8\n2000-01-10 Shop.Place({ID int.le8; Price int.le8}) int.le8")
	for _, command := range []string{"", "update", "retire-servers:2000-01-10"} {
		if got := golden(t, 20, command, file, ShopServersFirst{}); got != "" {
			t.Errorf("%q: %s", command, got)
		}
	}
	// The clients still count.
	if got := golden(t, 20, "", file, Shop{}); !strings.Contains(got, "old client, new server: parameter 1, shopOrder.Price") {
		t.Error(got)
	}
}

func TestGoldenCommands(t *testing.T) {
	file := fileWith(t, released)
	for command, want := range map[string]string{
		"1":                    `BSRPC_GOLDEN="1": want update, or retire: or retire-servers: and a date, as in retire:2026-01-31`,
		"retire":               `BSRPC_GOLDEN="retire": want a date up to today, as in retire:2000-01-02`,
		"retire:31.1.2026":     `BSRPC_GOLDEN="retire:31.1.2026": want a date up to today, as in retire:2000-01-02`,
		"retire-servers:never": `BSRPC_GOLDEN="retire-servers:never": want a date up to today, as in retire-servers:2000-01-02`,
		"retire:2000-01-03":    `BSRPC_GOLDEN="retire:2000-01-03": want a date up to today, as in retire:2000-01-02`,
	} {
		wantText(t, golden(t, 1, command, file, Shop{}), "bsrpctest.Golden: "+want)
	}
}

type generic[T any] struct {
	Get func() (T, error)
}

// What is not a contract is an error.
func TestGoldenMistakes(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none.contract")
	for want, contract := range map[string]any{
		"<nil> is not a contract; want a struct of funcs, or a *bsrpc.Server":                        nil,
		"int is not a contract; want a struct of funcs, or a *bsrpc.Server":                          7,
		"the server has no methods; register them first":                                             bsrpc.NewServer(nil),
		"the type of the contract has no name; declare one":                                          struct{ Get func() error }{},
		"the type of the contract, generic[int], is not a valid service name; declare a type for it": generic[int]{},
		"bsrpc: bind shopOrder: 2 problems\n":                                                        shopOrder{},
	} {
		if got := golden(t, 0, "update", none, contract); !strings.HasPrefix(got+"\n", "bsrpctest.Golden: "+want) {
			t.Errorf("%T: %s", contract, got)
		}
	}
	if _, err := os.Stat(none); err == nil {
		t.Error("a file was written")
	}
}

// A server counts with all its methods, of receivers, funcs and contracts.
func TestGoldenServer(t *testing.T) {
	srv := newServer(t)
	if err := srv.RegisterFunc("v2.Clock.Now", func() int64 { return 7 }); err != nil {
		t.Fatal(err)
	}
	file := fileWith(t, "")
	wantText(t, golden(t, 0, "update", file, srv), "the server is not yet in testdata/shop.contract\nrecorded")
	wantText(t, content(t, file), strings.Replace(header, "Shop", "the server", 1)+
		"2000-01-01 Greeter.Hello(string.le4) string.le4\n2000-01-01 v2.Clock.Now() int.le8")
	if got := golden(t, 9, "", file, srv); got != "" {
		t.Error(got)
	}
	if got := golden(t, 9, "", file, newServer(t)); !strings.Contains(got, "v2.Clock.Now, released 2000-01-01\n        old client, new server: the method is gone; keep it") {
		t.Error(got)
	}
	// Names of Go types are unknown, but not those of fields.
	srv = bsrpc.NewServer(nil)
	if err := srv.RegisterFunc("Shop.Place", func(o []noteOrder) ([]noteOrder, error) { return o, nil }); err != nil {
		t.Fatal(err)
	}
	file = fileWith(t, "2000-01-01 Shop.Place([]{Price int.le4}) []{Price int.le4}\n")
	if got := golden(t, 9, "", file, srv); !strings.Contains(got, "old client, new server: parameter 1, [].ID: only on the server; tag it optional at the server") {
		t.Error(got)
	}
}

// Calls of every kind, and what is new or gone in them.

type Rich struct {
	Watch  func(ctx context.Context, from int64, every int32) iter.Seq2[richItem, error]
	Submit func(ctx context.Context, progress func(richStep) (richAnswer, error)) (int64, bool, error)
	Ping   func() error `bsrpc:"optional"`
}

type richItem struct {
	At   int64
	Tags map[string][]*richTag
}

type richTag struct {
	Key  string
	Note string `bsrpc:"optional"`
}

type (
	richStep   struct{ Done, Total int64 }
	richAnswer struct{ Go bool }
)

func TestGoldenKinds(t *testing.T) {
	file := fileWith(t, "2000-01-01 Rich.Watch(int.le8, int.le4) stream({At int.be4; Gone? bool; Tags map[string.le4][]*{Key string.le4}})\n"+
		"2000-01-01 Rich.Submit(func({Done int.le8}) {Go bool; Why? string.le4}) int.le8\n")
	got := golden(t, 1, "", file, Rich{})
	for _, want := range []string{
		"Rich.Watch, released 2000-01-01\n        old client, new server: result 1, richItem.At: client int.be4, server int.le8; keep it as released",
		"Rich.Submit, released 2000-01-01\n        new client, old server: parameter 1, func's parameter 1, richStep.Total: only on the client; tag it optional at the client\n",
		"new client, old server: result 2: only on the client; tag it optional at the client\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
	file = fileWith(t, "2000-01-01 Rich.Watch(int.le8, int.le4, bool?) stream({At int.be8; Gone? bool; Tags map[string.le4][]*{Key string.le4}})\n"+
		"2000-01-01 Rich.Submit(func({Done int.le8; Total int.le8; Left? int.le8}) {Go bool; Why? string.le4}) (int.le8, bool)\n")
	wantText(t, golden(t, 1, "", file, Rich{}), `bsrpctest.Golden: Rich has changed since 2000-01-01 and fits every text in testdata/shop.contract
    Rich.Watch
        parameter 3 is gone: calls of old clients that set it fail at new servers, not run, unless it is ignorable there
        result 1, richItem.Tags[][].Note is new: old clients drop it, and from old servers it is zero
        result 1, richItem.Gone is gone: old clients read zero
        to deploy: clients first, if nothing must fail or be lost meanwhile
    Rich.Submit
        parameter 1, func's parameter 1, richStep.Left is gone: callbacks of old servers that set it fail at new clients, not run, unless it is ignorable there
        parameter 1, func's result 1, richAnswer.Why is gone: old servers read zero
        to deploy: servers first, if nothing must fail or be lost meanwhile
    Rich.Ping
        is new and optional: a client without it gets CodeUnimplemented
        to deploy: either end first
record it and commit the file: BSRPC_GOLDEN=update go test`)
}

// The guide shows what a test reports.
func TestGoldenGuide(t *testing.T) {
	page := strings.Split(content(t, "../docs/guide/fields.md"), "```text\n")
	shown := func(begin string) string {
		for _, block := range page {
			if strings.HasPrefix(block, begin) {
				text, _, _ := strings.Cut(block, "```")
				return text
			}
		}
		t.Fatalf("the page has no block %q", begin)
		return ""
	}
	released := strings.Join(strings.SplitAfter(shown("# Shop"), "\n")[:3], "")
	days := int(time.Date(2026, 5, 4, 0, 0, 0, 0, time.UTC).Sub(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).Hours() / 24)
	file := fileWith(t, released)
	wantText(t, golden(t, days, "", file, guideWithout()), shown("bsrpctest.Golden: Shop does not fit"))
	wantText(t, golden(t, days, "", file, guideWith()), shown("bsrpctest.Golden: Shop has changed"))
	golden(t, days, "update", file, guideWith())
	wantText(t, content(t, file), shown("# Shop"))
}

func guideWithout() any {
	type Order struct {
		Item  string
		Count int32
		Gift  bool
	}
	type Shop struct {
		Place func(ctx context.Context, o Order) (id int64, err error)
	}
	return Shop{}
}

func guideWith() any {
	type Order struct {
		Item  string
		Count int32
		Gift  bool `bsrpc:"optional"`
	}
	type Shop struct {
		Place func(ctx context.Context, o Order) (id int64, err error)
	}
	return Shop{}
}

// Members of unions: the reader of an unknown one has none set.
func TestGoldenUnions(t *testing.T) {
	type Event struct {
		_     struct{} `bsrpc:"union"`
		Alarm *string
		Idle  *struct{} `bsrpc:"optional"`
	}
	type Log struct {
		Put  func(e Event) error
		Last func() (Event, error)
	}
	file := fileWith(t, "2000-01-01 Log.Put(<Alarm string.le4; Reset? bool>)\n2000-01-01 Log.Last() <Alarm string.le4>\n")
	wantText(t, golden(t, 1, "", file, Log{}), `bsrpctest.Golden: Log has changed since 2000-01-01 and fits every text in testdata/shop.contract
    Log.Put
        parameter 1, Event.Idle is new: old servers read a union without a member
        parameter 1, Event.Reset is gone: from old clients, new servers read a union without a member
        to deploy: neither end first, if nothing must fail or be lost meanwhile
    Log.Last
        result 1, Event.Idle is new: old clients read a union without a member
        to deploy: clients first, if nothing must fail or be lost meanwhile
record it and commit the file: BSRPC_GOLDEN=update go test`)
	file = fileWith(t, "2000-01-01 Log.Put(<Alarm string.le4; Idle {}>)\n2000-01-01 Log.Last() <Alarm string.le4; Reset bool>\n")
	if got := golden(t, 1, "", file, Log{}); !strings.Contains(got, "Log.Last, released 2000-01-01\n"+
		"        new client, old server: result 1, Event.Reset: only on the server; keep it as released\n"+
		"        to deploy: servers first; clients once no server of that release is in use\n") {
		t.Error(got)
	}
}

// Two steps that fit one by one may part the first release from the third.
func TestGoldenOlderReleases(t *testing.T) {
	type Item struct {
		ID   int64
		Note int64 `bsrpc:"optional"`
	}
	type Shop struct {
		Put func(i Item) error
	}
	file := fileWith(t, "2000-01-01 Shop.Put({ID int.le8; Note? string.le4})\n2000-01-02 Shop.Put({ID int.le8})\n")
	if got := golden(t, 5, "update", file, Shop{}); !strings.HasPrefix(got, "bsrpctest.Golden: Shop does not fit 1 of 2 texts released, in testdata/shop.contract\n"+
		"    Shop.Put, released 2000-01-01\n        new client, old server: parameter 1, Item.Note: client int.le8, server string.le4\n") {
		t.Error(got)
	}
	golden(t, 5, "retire:2000-01-02", file, Shop{})
	wantText(t, content(t, file), "2000-01-02 Shop.Put({ID int.le8})\n2000-01-06 Shop.Put({ID int.le8; Note? int.le8})")
}
