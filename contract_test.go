package bsrpc_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// A contract is used at both ends.
type contract struct {
	name string
	as   registration
	bind func(context.Context, bsrpc.Caller) error
}

// both returns the contract C of the service Shop, which impl implements.
func both[C any](impl any) contract {
	return contract{fmt.Sprintf("%T", *new(C)), as[C](impl), func(ctx context.Context, c bsrpc.Caller) error {
		proxy, err := bsrpc.Bind[C](ctx, c, "Shop")
		if proxy != nil {
			return fmt.Errorf("a proxy, and %v", err)
		}
		return err
	}}
}

// Invalid contracts.
type (
	notFuncs struct {
		A int
		B func() error
		//lint:ignore U1000 only the type is looked at
		c func() error
		D *struct{}
		E []func() error
		_ int
	}
	Puts struct {
		Put func(int64) error
	}
	puts struct {
		Put func(int64) error
	}
	putTwice struct {
		Puts
		Put func(int64) error
	}
	putRenamed struct {
		Puts
		Get func() (int64, error)
		B   func() error `bsrpc:"name=Put"`
		A   func() error `bsrpc:"name=Get"`
	}
	noErrors struct {
		Put func(int64)
		Get func() int64
		Two func() (error, int64)
	}
	noForms struct {
		Watch func(events chan int, ctx context.Context) (func(), error)
	}
	badOptions struct {
		A func() error `bsrpc:"le4"`
		B func() error `bsrpc:"idempotnt"`
		C func() error `bsrpc:"id=70000"`
		D func() error `bsrpc:"id=7,id=8"`
		E func() error `bsrpc:"timeout=3"`
		F func() error `bsrpc:"name=a-b"`
		G func() error `bsrpc:"name="`
		H func() error `bsrpc:"idempotent=yes"`
		I func() error `bsrpc:"(),"`
	}
	unquoted struct { // as vet lets it pass
		Put func(int64) error `rpc:"bsrpc:(le4)"`
	}
	badRoles struct {
		B func() error `bsrpc:"roles=admin|*"`
	}
	badFormats struct {
		A   func() error               `bsrpc:"(le4"`
		B   func() error               `bsrpc:"(le4)"`
		C   func() error               `bsrpc:"() (le4,le4)"`
		Put func(int64) error          `bsrpc:"(le9)"`
		Get func() (int64, error)      `bsrpc:"() utf8"`
		Sum func([]int64) (int, error) `bsrpc:"(le4,max=3)"`
	}
)

const (
	rawOptions = "; the options are id=, name=, timeout=, idempotent, optional, oneway, exclusive=, nowait, roles= and names="
	eachItsOwn = "; leave all out, or give each its own, an empty one for the default"
)

// till has methods for the contracts of this file.
type till struct{}

func (till) A() error        { return nil }
func (till) B() error        { return nil }
func (till) C() error        { return nil }
func (till) D() error        { return nil }
func (till) E() error        { return nil }
func (till) F() error        { return nil }
func (till) G() error        { return nil }
func (till) H() error        { return nil }
func (till) I() error        { return nil }
func (till) Put(int64) error { return nil }
func (till) Get() int64      { return 7 }

//lint:ignore ST1008 what a contract refuses
func (till) Two() (error, int64)                             { return nil, 0 }
func (till) Sum(ctx context.Context, n ...int64) int         { return len(n) }
func (till) Watch(chan int, context.Context) (func(), error) { return nil, nil }
func (*till) Clear()                                         {}
func (till) get() int64                                      { return 7 }

// Each line is a contract and its problems at either end.
var contractProblems = []struct {
	contract
	problems []string
}{
	{both[struct{}](till{}), []string{"Shop: struct {} has no exported func fields; a contract is a struct of them"}},
	{both[notFuncs](till{}), []string{
		"Shop.A: int in a contract; want a func, or an embedded struct of funcs",
		"Shop.c: not exported; a contract has exported func fields and nothing else",
		"Shop.D: *struct {} in a contract; want a func, or an embedded struct of funcs",
		"Shop.E: []func() error in a contract; want a func, or an embedded struct of funcs",
		"Shop._: not exported; a contract has exported func fields and nothing else",
	}},
	{both[struct{ puts }](till{}), []string{"Shop.puts: not exported; a contract has exported func fields and nothing else"}},
	{both[struct{ *Puts }](till{}), []string{"Shop.Puts: *bsrpc_test.Puts in a contract; want a func, or an embedded struct of funcs"}},
	{both[putTwice](till{}), []string{"Shop.Put: named by Puts.Put and by Put; rename one, or tag it name="}},
	{both[putRenamed](till{}), []string{"Shop.Put: named by Puts.Put and by B; rename one, or tag it name=", "Shop.Get: named by Get and by A; rename one, or tag it name="}},
	{both[noErrors](till{}), []string{
		"Shop.Put: must end in error: a call can fail on the way",
		"Shop.Get: must end in error: a call can fail on the way",
		"Shop.Two: must end in error: a call can fail on the way",
		"Shop.Two, result 1: error has no wire form; it can only be a method's last result",
	}},
	{both[noForms](till{}), []string{
		"Shop.Watch, parameter 1: chan int has no wire form; declare it as iter.Seq2[int, error]",
		"Shop.Watch, parameter 2, Context: context.Context has no wire form; it can only be a method's first parameter",
		"Shop.Watch, result 1: func() has no wire form; only a whole parameter of a method can be a func",
	}},
	{both[badOptions](till{}), []string{
		`Shop.A: unknown option "le4"; formats belong in the signature, as in "(le4,le4) le4"` + rawOptions,
		`Shop.B: unknown option "idempotnt"; did you mean idempotent?`,
		`Shop.C: id=70000: want a number from 0 to 65535`,
		`Shop.D: duplicate option "id="`,
		`Shop.E: timeout=3: want a positive duration with a unit, such as 60s, or none`,
		`Shop.F: name=a-b: want letters, digits and _, not starting with a digit`,
		`Shop.G: "name=" needs a value, as in name=X`,
		`Shop.H: "idempotent" takes no value`,
		`Shop.I: missing option at a comma`,
	}},
	{both[badRoles](till{}), []string{
		"Shop.B: roles=admin|*: want identifiers separated by |, or *",
	}},
	{both[badFormats](till{}), []string{
		`Shop.A: "(le4": unbalanced parentheses`,
		`Shop.B: the tag has formats for 1 parameter, the func has 0` + eachItsOwn,
		`Shop.C: the tag has formats for 2 results, the func has 0` + eachItsOwn,
		`Shop.Put, parameter 1: unknown format "le9"; int64 takes le1 to le8, be1 to be8, varint or uvarint`,
		`Shop.Get, result 1: int64 does not take "utf8"; it takes le1 to le8, be1 to be8, varint or uvarint`,
		`Shop.Sum: the tag has formats for 2 parameters, the func has 1` + eachItsOwn,
	}},
	{both[unquoted](till{}), []string{"Shop.Put: malformed tag \"rpc:\\\"bsrpc:(le4)\\\"\"; want `bsrpc:\"...\"`"}},
}

// Both ends find the same problems, and nothing is sent.
func TestContractProblems(t *testing.T) {
	client, err := bsrpctest.Dial(t, newLab(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range contractProblems {
		checkText(t, test.name, test.as(bsrpc.NewServer(nil)), refused("register Shop", test.problems...))
		checkText(t, test.name, test.bind(t.Context(), client), refused("bind Shop", test.problems...))
	}
}

// Interfaces are contracts for RegisterAs only.
type (
	clearer    interface{ Clear() }
	getter     interface{ Get() int64 }
	wideGetter interface {
		Get(ctx context.Context) (int64, error)
		Sum(context.Context, []int64) int
		Nothing()
	}
	hiddenGetter interface{ get() int64 }
	watcherFace  interface {
		Watch(chan int, context.Context) (func(), error)
	}
)

// Each line is a contract and an implementation that does not fit it.
var implProblems = []struct {
	as       registration
	problems []string
}{
	{as[int](till{}), []string{"Shop: int is not a contract; want a struct of funcs, or an interface"}},
	{as[*Puts](till{}), []string{"Shop: *bsrpc_test.Puts is not a contract; want bsrpc_test.Puts"}},
	{as[func()](till{}), []string{"Shop: func() is not a contract; want a struct of funcs, or an interface"}},
	{as[Puts](nil), []string{"Shop: nil implementation"}},
	{as[getter](nil), []string{"Shop: nil implementation"}},
	{as[Puts]((*till)(nil)), []string{"Shop: nil implementation"}},
	{as[Puts](7), []string{"Shop.Put: int has no such method"}},

	{as[struct {
		Clear   func() error
		Nothing func() error
		Named   func() error `bsrpc:"name=Put"`
		Get     func(int64) (int64, string, error)
		Put     func(context.Context, int32) error
	}](till{}), []string{
		"Shop.Put: named by Named and by Put; rename one, or tag it name=",
		"Shop.Clear: needs a *bsrpc_test.till; pass a pointer",
		"Shop.Nothing: bsrpc_test.till has no such method",
		"Shop.Named: bsrpc_test.till has no such method",
		"Shop.Get: the contract takes (int64) and returns (int64, string), the implementation takes () and returns (int64)",
		"Shop.Put: the contract takes (int32) and returns (), the implementation takes (int64) and returns ()",
	}},

	{as[any](till{}), []string{"Shop: interface {} has no methods; a contract names those to offer"}},
	{as[clearer](till{}), []string{"Shop.Clear: needs a *bsrpc_test.till; pass a pointer"}},
	{as[hiddenGetter](till{}), []string{"Shop.get: not exported; a contract has exported methods and nothing else"}},
	{as[wideGetter](till{}), []string{
		"Shop.Get: the contract has func(context.Context) (int64, error), the implementation func() int64",
		"Shop.Nothing: bsrpc_test.till has no such method",
		"Shop.Sum: the contract has func(context.Context, []int64) int, the implementation func(context.Context, ...int64) int",
	}},
	{as[watcherFace](till{}), []string{
		"Shop.Watch, parameter 1: chan int has no wire form; declare it as iter.Seq2[int, error]",
		"Shop.Watch, parameter 2, Context: context.Context has no wire form; it can only be a method's first parameter",
		"Shop.Watch, result 1: func() has no wire form; only a whole parameter of a method can be a func",
	}},
}

func TestRegisterAsProblems(t *testing.T) {
	for _, test := range implProblems {
		srv := bsrpc.NewServer(nil)
		checkText(t, test.problems[0], test.as(srv), refused("register Shop", test.problems...))
		if list := layouts(srv); list != nil {
			t.Errorf("registered all the same: %q", list)
		}
	}
	err := bsrpc.RegisterAs[Puts](bsrpc.NewServer(nil), "my shop", till{})
	checkText(t, "service name", err, refused(`register "my shop"`, identifiers))
}

func TestBindOfOtherTypes(t *testing.T) {
	client, err := bsrpctest.Dial(t, newLab(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	const instead = "; a client's is a struct of funcs"
	for want, bind := range map[string]contract{
		"interface {}":       both[any](nil),
		"bsrpc_test.getter":  both[getter](nil),
		"map[string]func()":  both[map[string]func()](nil),
		"func(int64) error":  both[func(int64) error](nil),
		"bsrpc_test.celsius": both[celsius](nil),
	} {
		checkText(t, want, bind.bind(t.Context(), client), "bsrpc: bind Shop: "+want+" is not a contract"+instead)
	}
	checkText(t, "a pointer", both[*Puts](nil).bind(t.Context(), client), "bsrpc: bind Shop: *bsrpc_test.Puts is not a contract; want bsrpc_test.Puts")
}

func TestBindServiceNames(t *testing.T) {
	client, err := bsrpctest.Dial(t, newLab(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("s", 256)
	for service, want := range map[string]string{
		"":         refused(`bind ""`, identifiers),
		"my shop":  refused(`bind "my shop"`, identifiers),
		"lab..Lab": refused(`bind "lab..Lab"`, identifiers),
		long:       refused(`bind "`+long[:64]+`"`, "service name: 256 bytes, want at most 255"),
	} {
		proxy, err := bsrpc.Bind[Puts](t.Context(), client, service)
		checkText(t, service, err, want)
		if proxy != nil {
			t.Errorf("%q: a proxy all the same", service)
		}
	}
	if err := client.Call(t.Context(), "Lab.Empty", nil); err != nil {
		t.Errorf("after that: %v", err)
	}
}

// An unknown service is one difference, with the similar name.
func TestBindUnknownService(t *testing.T) {
	client, err := bsrpctest.Dial(t, newLab(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := bsrpc.Bind[Greeter](t.Context(), client, "Lap")
	checkText(t, "Lap", err, "bsrpc: the server has no service Lap; it has Lab")
	var m *bsrpc.MismatchError
	if errors.As(err, &m); len(m.Differences) != 1 || m.Differences[0] != (bsrpc.Difference{Method: "Lap", Client: "2 methods", Near: "Lab"}) {
		t.Errorf("got %+v", m.Differences)
	}
	_, err = proxy.Hello(t.Context(), "Bob")
	wantError(t, err, bsrpc.CodeFailedPrecondition, bsrpc.OutcomeNotRun, "bsrpc: Lap.Hello: the server has no service Lap; it has Lab")
	if errors.As(err, &m); m.Service != "Lap" {
		t.Errorf("got %+v", m)
	}
	_, err = bsrpc.Bind[Greeter](t.Context(), client, "Workshop")
	checkText(t, "Workshop", err, "bsrpc: the server has no service Workshop")
}

// Without a connection the proxy is nil.
func TestBindFails(t *testing.T) {
	client, err := bsrpctest.Dial(t, newLab(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	proxy, err := bsrpc.Bind[labContract](ctx, client, "Lab")
	wantError(t, err, bsrpc.CodeCanceled, bsrpc.OutcomeNotRun, "context canceled")
	if proxy != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v, %v", proxy, err)
	}
	client.Close()
	proxy, err = bsrpc.Bind[labContract](t.Context(), client, "Lab")
	wantError(t, err, bsrpc.CodeCanceled, bsrpc.OutcomeNotRun, "client closed")
	if proxy != nil || !errors.Is(err, bsrpc.ErrClosed) {
		t.Errorf("closed: %v, %v", proxy, err)
	}
}

// Two good contracts of one service: the server's is put together of others and
// gives a name, the client's leaves out contexts, a name and a method.
type (
	Gets struct {
		Get func(ctx context.Context) (int64, error)
	}
	Sums struct {
		Gets
		Sum func(ctx context.Context, n []int64) (int, error) `bsrpc:"(le2) le1,name=Count"`
	}
	serverTill struct {
		Puts
		Sums
		Clear func() error `bsrpc:"idempotent,timeout=none,id=7"`
	}
	clientTill struct {
		HowMany func(n ...int64) (int, error) `bsrpc:"(le2) le1,name=Count"`
		Get     func() (int64, error)
		Clear   func(context.Context) error
	}
)

func TestContractsThatFit(t *testing.T) {
	srv := bsrpc.NewServer(nil)
	if err := bsrpc.RegisterAs[serverTill](srv, "Shop", &till{}); err != nil {
		t.Fatal(err)
	}
	want := "[Shop.Put(int.le8) Shop.Get() int.le8 Shop.Count([]int.le2) int.le1 Shop.Clear()]"
	if got := fmt.Sprint(layouts(srv)); got != want {
		t.Errorf("offers %s, want %s", got, want)
	}
	whole := bsrpctest.Bind[serverTill](t, srv, "Shop")
	if n, err := whole.Sum(t.Context(), []int64{1, 2}); n != 2 || err != nil {
		t.Errorf("Sum: %d, %v", n, err)
	}
	if err := whole.Put(1); err != nil {
		t.Errorf("Put: %v", err)
	}
	checkClientTill(t, bsrpctest.Bind[clientTill](t, srv, "Shop"))
}

func checkClientTill(t *testing.T, proxy *clientTill) {
	t.Helper()
	if n, err := proxy.HowMany(1, 2, 3); n != 3 || err != nil {
		t.Errorf("HowMany: %d, %v", n, err)
	}
	if n, err := proxy.HowMany(); n != 0 || err != nil {
		t.Errorf("HowMany of nothing: %d, %v", n, err)
	}
	if n, err := proxy.Get(); n != 7 || err != nil {
		t.Errorf("Get: %d, %v", n, err)
	}
	if err := proxy.Clear(t.Context()); err != nil {
		t.Errorf("Clear: %v", err)
	}
}

// One connection has any number of proxies, of one service or several.
func TestBindTwice(t *testing.T) {
	srv := newLab(t)
	if err := bsrpc.RegisterAs[serverTill](srv, "Shop", &till{}); err != nil {
		t.Fatal(err)
	}
	client, err := bsrpctest.Dial(t, srv, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		shop, err := bsrpc.Bind[clientTill](t.Context(), client, "Shop")
		if err != nil {
			t.Fatal(err)
		}
		lab, err := bsrpc.Bind[labContract](t.Context(), client, "Lab")
		if err != nil {
			t.Fatal(err)
		}
		checkClientTill(t, shop)
		if sum, err := lab.Add(t.Context(), 1, 2); sum != 3 || err != nil {
			t.Errorf("Add: %d, %v", sum, err)
		}
	}
}

// An interface contract registers exactly its methods.
func TestInterfaceContract(t *testing.T) {
	srv := bsrpc.NewServer(nil)
	if err := bsrpc.RegisterAs[interface {
		getter
		clearer
	}](srv, "Shop", &till{}); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(layouts(srv)), "[Shop.Clear() Shop.Get() int.le8]"; got != want {
		t.Errorf("offers %s, want %s", got, want)
	}
	if n, err := bsrpctest.Bind[Gets](t, srv, "Shop").Get(t.Context()); n != 7 || err != nil {
		t.Errorf("Get: %d, %v", n, err)
	}
}

// A value is copied when it is registered.
type stock struct{ n int }

func (s stock) Count() int { return s.n }

func TestReceiversAreCopied(t *testing.T) {
	type counter struct {
		Count func() (int, error)
	}
	mine := stock{3}
	srv := bsrpc.NewServer(nil)
	if err := bsrpc.RegisterAs[counter](srv, "A", mine); err != nil {
		t.Fatal(err)
	}
	if err := srv.RegisterName("B", mine); err != nil {
		t.Fatal(err)
	}
	if err := srv.RegisterName("C", &mine); err != nil {
		t.Fatal(err)
	}
	mine.n = 4
	for service, want := range map[string]int{"A": 3, "B": 3, "C": 4} {
		if n, err := bsrpctest.Bind[counter](t, srv, service).Count(); n != want || err != nil {
			t.Errorf("%s: %d, %v, want %d", service, n, err, want)
		}
	}
}
