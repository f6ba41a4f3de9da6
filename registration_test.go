package bsrpc_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"net"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// A registration registers something with a server.
type registration func(*bsrpc.Server) error

func rcvr(v any) registration { return func(s *bsrpc.Server) error { return s.Register(v) } }

func named(service string, v any) registration {
	return func(s *bsrpc.Server) error { return s.RegisterName(service, v) }
}

func fn(name string, f any) registration {
	return func(s *bsrpc.Server) error { return s.RegisterFunc(name, f) }
}

func as[C any](impl any) registration {
	return func(s *bsrpc.Server) error { return bsrpc.RegisterAs[C](s, "Shop", impl) }
}

// refused returns the text of an error with the problems of a service.
func refused(doing string, problems ...string) string {
	count := fmt.Sprintf("%d problems", len(problems))
	if len(problems) == 1 {
		count = "1 problem"
	}
	return "bsrpc: " + doing + ": " + count + "\n    " + strings.Join(problems, "\n    ")
}

// checkText compares the whole text of an error.
func checkText(t testing.TB, what string, err error, want string) {
	t.Helper()
	if fmt.Sprint(err) != want {
		t.Errorf("%s: got\n%v\nwant\n%s", what, err, want)
	}
}

// layouts returns the layouts of all methods of srv.
func layouts(srv *bsrpc.Server) (list []string) {
	for _, m := range srv.Methods() {
		list = append(list, m.Layout)
	}
	return list
}

// unfit has the methods of the design's sample, one that would do, and Close.
// unfit has the methods of the design's sample, one that would do, and Close.
type (
	unfit     struct{}
	unfitItem struct {
		Price int64 `bsrpc:"le9"`
	}
	Order struct{ Items []unfitItem }
	Node  struct{ Kids []struct{} }
)

func (unfit) Fine(int64) string { return "" }
func (unfit) F(Order)           {}
func (unfit) G(int, chan int)   {}
func (unfit) H() Node           { return Node{} }
func (unfit) Close()            {}

// One error lists all problems of a service, and nothing of it is registered.
func TestAllProblemsAtOnce(t *testing.T) {
	srv := bsrpc.NewServer(nil)
	checkText(t, "the sample", srv.RegisterName("Shop", unfit{}), `bsrpc: register Shop: 3 problems
    Shop.F, parameter 1, Order.Items[].Price: unknown format "le9"; int64 takes le1 to le8, be1 to be8, varint or uvarint
    Shop.G, parameter 2: chan int has no wire form; declare it as iter.Seq2[int, error]
    Shop.H, result 1, Node.Kids: elements take no bytes on the wire`)
	if list := layouts(srv); list != nil {
		t.Errorf("registered all the same: %q", list)
	}
}

type (
	failure struct{}
	watched struct{ Events []map[string]*watcher }
	watcher struct{ C [2]chan<- bool }
	two     struct {
		Done chan int
		Any  any
	}
)

func (*failure) Error() string { return "" }

// Each line is a func and its problems.
var funcProblems = []struct {
	fn       any
	problems []string
}{
	{func(chan int) {}, []string{"Shop.F, parameter 1: chan int has no wire form; declare it as iter.Seq2[int, error]"}},
	{func() <-chan int { return nil }, []string{"Shop.F, result 1: <-chan int has no wire form; declare it as iter.Seq2[int, error]"}},
	{func([]func(int)) {}, []string{"Shop.F, parameter 1, []: func(int) has no wire form; only a whole parameter of a method can be a func"}},
	{func() (int, any) { return 0, nil }, []string{"Shop.F, result 2: interface {} has no wire form; use a concrete type"}},
	{func(map[string][]uintptr) {}, []string{"Shop.F, parameter 1, map[string][]uintptr: uintptr has no wire form; addresses are meaningless in other processes"}},
	{func(context.Context, int, watched) {}, []string{"Shop.F, parameter 2, watched.Events[][].C[]: chan<- bool has no wire form; use a slice, as only a whole parameter or result of a method can be a stream"}},
	{func() []iter.Seq2[int, error] { return nil }, []string{"Shop.F, result 1, []: iter.Seq2[int, error] has no wire form; use a slice, as only a whole parameter or result of a method can be a stream"}},
	{func() io.Reader { return nil }, []string{"Shop.F, result 1, Reader: io.Reader has no wire form; declare it as io.ReadCloser"}},
	{func(...any) {}, []string{"Shop.F, parameter 1, []: interface {} has no wire form; use a concrete type"}},
	{func([]struct{}) {}, []string{"Shop.F, parameter 1, []: elements take no bytes on the wire"}},

	{func(map[any]int) {}, []string{"Shop.F, parameter 1, map[interface {}]int[key]: interface {} has no wire form; use a concrete type"}},
	{func(bytes.Buffer) {}, []string{"Shop.F, parameter 1, Buffer: bytes.Buffer has fields but none is exported; declare it as io.Reader"}},
	{func(bool, struct{ A, B, C, D, E, F, G, H, I, J uintptr }) {}, []string{
		"Shop.F, parameter 2, A: uintptr has no wire form; addresses are meaningless in other processes",
		"Shop.F, parameter 2, B: uintptr has no wire form; addresses are meaningless in other processes",
		"Shop.F, parameter 2, C: uintptr has no wire form; addresses are meaningless in other processes",
		"Shop.F, parameter 2, D: uintptr has no wire form; addresses are meaningless in other processes",
		"Shop.F, parameter 2, E: uintptr has no wire form; addresses are meaningless in other processes",
		"Shop.F, parameter 2, F: uintptr has no wire form; addresses are meaningless in other processes",
		"Shop.F, parameter 2, G: uintptr has no wire form; addresses are meaningless in other processes",
		"Shop.F, parameter 2, H: uintptr has no wire form; addresses are meaningless in other processes",
		"Shop.F, parameter 2: and 2 more problems of the same type",
	}},

	// A context stands first, an error last.
	{func(int, context.Context) {}, []string{"Shop.F, parameter 2, Context: context.Context has no wire form; it can only be a method's first parameter"}},
	{func(_, _ context.Context) {}, []string{"Shop.F, parameter 1, Context: context.Context has no wire form; it can only be a method's first parameter"}},
	{func() context.Context { return nil }, []string{"Shop.F, result 1, Context: context.Context has no wire form; it can only be a method's first parameter"}},
	{func() (error, error) { return nil, nil }, []string{"Shop.F, result 1: error has no wire form; it can only be a method's last result"}},
	//lint:ignore ST1008 it is refused
	{func() (error, int) { return nil, 0 }, []string{"Shop.F, result 1: error has no wire form; it can only be a method's last result"}},
	{func(struct{ Err error }) {}, []string{"Shop.F, parameter 1, Err: error has no wire form; it can only be a method's last result"}},
	{func() *failure { return nil }, []string{"Shop.F, result 1: *bsrpc_test.failure implements error; declare it as error, so that nil stays nil"}},
	{func() (int, net.Error) { return 0, nil }, []string{
		"Shop.F, result 2: net.Error implements error; declare it as error, so that nil stays nil",
		"Shop.F, result 2, Error: net.Error has no wire form; use a concrete type",
	}},

	// All problems are listed.
	//lint:ignore ST1008 it is refused
	{func(func() int, two) (error, chan int, *failure) { return nil, nil, nil }, []string{
		"Shop.F, result 3: *bsrpc_test.failure implements error; declare it as error, so that nil stays nil",
		"Shop.F, parameter 1: func() int must end in error: a call can fail on the way, and a zero would look like an answer",
		"Shop.F, parameter 2, two.Done: chan int has no wire form; use a slice, as only a whole parameter or result of a method can be a stream",
		"Shop.F, parameter 2, two.Any: interface {} has no wire form; use a concrete type",
		"Shop.F, result 1: error has no wire form; it can only be a method's last result",
		"Shop.F, result 2: chan int has no wire form; declare it as iter.Seq2[int, error]",
	}},
}

func TestRegisterFuncProblems(t *testing.T) {
	for _, test := range funcProblems {
		err := bsrpc.NewServer(nil).RegisterFunc("Shop.F", test.fn)
		checkText(t, fmt.Sprintf("%T", test.fn), err, refused("register Shop", test.problems...))
	}
}

// Each line is a func, and the layout it gets.
var funcLayouts = []struct {
	fn     any
	layout string
}{
	{func() {}, "Shop.F()"},
	{func() error { return nil }, "Shop.F()"},
	{func(context.Context) error { return nil }, "Shop.F()"},
	{func(context.Context, bool, string) (int8, error) { return 0, nil }, "Shop.F(bool, string.le4) int.le1"},
	{func() (a, b uint16) { return 0, 0 }, "Shop.F() (uint.le2, uint.le2)"},
	{func(...string) {}, "Shop.F([]string.le4)"},
	{func(string, ...[]int) {}, "Shop.F(string.le4, [][]int.le8)"},
	{func(struct{ A *int32 }) {}, "Shop.F({A *int.le4})"},
	{func(failure) {}, "Shop.F({})"},
}

func TestRegisterFuncLayouts(t *testing.T) {
	for _, test := range funcLayouts {
		if m := methodOf(t, test.fn); m.Layout != strings.Replace(test.layout, "Shop.F", "Shop.Put", 1) {
			t.Errorf("%T has the layout %s, want %s", test.fn, m.Layout, test.layout)
		}
	}
}

// Types with layouts growing tenfold.
type (
	ten      struct{ A, B, C, D, E, F, G, H, I, J int }
	hundred  struct{ A, B, C, D, E, F, G, H, I, J ten }
	thousand struct{ A, B, C, D, E, F, G, H, I, J hundred }
	tooLarge struct{ A, B, C, D, E, F, G, H, I, J thousand }
	vast     struct{ A, B, C, D, E, F, G, H, I, J tooLarge }
)

const tooLargeText = "the text of its layout has more than 65536 bytes; make its types smaller"

// The text of a layout is bounded, at both ends.
func TestLargestLayout(t *testing.T) {
	srv := newLab(t)
	if err := srv.RegisterFunc("Shop.Large", func(thousand) {}); err != nil {
		t.Error(err)
	}
	checkText(t, "RegisterFunc", srv.RegisterFunc("Shop.Put", func(tooLarge) {}), refused("register Shop", "Shop.Put: "+tooLargeText))
	checkText(t, "RegisterFunc", srv.RegisterFunc("Shop.Put", func(*vast) {}),
		refused("register Shop", "Shop.Put: the layout has more than 65536 nodes; use a smaller type"))
	if err := srv.RegisterFunc("Shop.Deep", takesNested(128)); err != nil {
		t.Error(err)
	}
	checkText(t, "RegisterFunc", srv.RegisterFunc("Shop.Put", takesNested(129)),
		refused("register Shop", "Shop.Put: its layout: offset 267: types nested deeper than 128"))
	client, err := bsrpctest.Dial(t, srv, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = bsrpc.Bind[struct{ Put func(tooLarge) error }](t.Context(), client, "Shop")
	checkText(t, "Bind", err, refused("bind Shop", "Shop.Put: "+tooLargeText))
}

// takesNested makes a func that takes slices of slices, depth of them.
func takesNested(depth int) any {
	t := reflect.TypeFor[int]()
	for range depth {
		t = reflect.SliceOf(t)
	}
	f := reflect.FuncOf([]reflect.Type{t}, nil, false)
	return reflect.MakeFunc(f, func([]reflect.Value) []reflect.Value { return nil }).Interface()
}

// Receivers, good and bad.
type (
	byPointer  struct{}
	halfway    struct{}
	locked     struct{ sync.Mutex }
	reading    struct{ io.Reader }
	failing    struct{ error }
	outer      struct{ middle }
	middle     struct{ *bytes.Buffer }
	ours       struct{ core }
	core       struct{}
	ring       struct{ *ring }
	closing    struct{ closer }
	closer     struct{}
	closeable  struct{}
	silent     struct{}
	hushed     struct{}
	Élan       struct{}
	Box[T any] struct{}
)

func (*byPointer) Count() int { return 0 }
func (*byPointer) Reset()     {}

func (halfway) Get() int { return 0 }
func (*halfway) Set(int) {}

func (*locked) Get() int { return 0 }
func (reading) Get() int { return 0 }
func (failing) Get() int { return 0 }
func (outer) Get() int   { return 0 }
func (core) Base() int   { return 0 }
func (ours) Get() int    { return 0 }
func (ring) Get() int    { return 0 }

func (*closer) Close() error           { return nil }
func (closing) Get() int               { return 0 }
func (closeable) Close(how string) int { return 0 }

func (silent) get() int { return 0 }
func (hushed) Get() int { return 0 }
func (Élan) Get() int   { return 0 }
func (Box[T]) Get() T   { return *new(T) }

var receiverProblems = []struct {
	rcvr any
	want string
}{
	{byPointer{}, "Shop.Count: needs a *bsrpc_test.byPointer; pass a pointer"},
	{halfway{}, "Shop.Set: needs a *bsrpc_test.halfway; pass a pointer"},
	{&locked{}, "Shop: the embedded field Mutex (sync.Mutex) adds its methods to the service; " +
		"give the field a name, or expose a contract with RegisterAs"},
	{reading{}, "Shop: the embedded field Reader (io.Reader) adds its methods to the service; " +
		"give the field a name, or expose a contract with RegisterAs"},
	{failing{}, "Shop: the embedded field error (error) adds its methods to the service; " +
		"give the field a name, or expose a contract with RegisterAs"},
	{outer{}, "Shop: the embedded field middle.Buffer (*bytes.Buffer) adds its methods to the service; " +
		"give the field a name, or expose a contract with RegisterAs"},
	{nil, "Shop: nil receiver"},
	{(*byPointer)(nil), "Shop: nil receiver"},
	{silent.get, "Shop: func(bsrpc_test.silent) int has no exported methods"},
	{silent{}, "Shop: bsrpc_test.silent has no exported methods"},
	{&silent{}, "Shop: *bsrpc_test.silent has no exported methods"},
	{&closer{}, "Shop: *bsrpc_test.closer has no exported methods"},
	{new(*byPointer), "Shop: **bsrpc_test.byPointer has no exported methods"},
	{7, "Shop: int has no exported methods"},
}

func TestReceiverProblems(t *testing.T) {
	for _, test := range receiverProblems {
		checkText(t, fmt.Sprintf("%T", test.rcvr), bsrpc.NewServer(nil).RegisterName("Shop", test.rcvr), refused("register Shop", test.want))
	}
}

// Each line is a registration, and the methods that the server offers then.
var registrations = []struct {
	what    string
	do      registration
	methods []string
}{
	{"a pointer", named("Shop", &byPointer{}), []string{"Shop.Count() int.le8", "Shop.Reset()"}},
	{"both kinds of methods", named("Shop", &halfway{}), []string{"Shop.Get() int.le8", "Shop.Set(int.le8)"}},
	{"an embedded type of the same package", named("Shop", ours{}), []string{"Shop.Base() int.le8", "Shop.Get() int.le8"}},
	{"a type embedded in itself", named("Shop", &ring{}), []string{"Shop.Get() int.le8"}},
	{"Close() error", named("Shop", &closing{}), []string{"Shop.Get() int.le8"}},
	{"Close() error of a value's pointer", named("Shop", closing{}), []string{"Shop.Get() int.le8"}},
	{"another Close", named("Shop", closeable{}), []string{"Shop.Close(string.le4) int.le8"}},
	{"dots", named("lab.v1.Scope_2", hushed{}), []string{"lab.v1.Scope_2.Get() int.le8"}},
	{"the type's name", rcvr(&Clock{}), []string{"Clock.Zone() string.le4"}},
	{"the type's name, in French", rcvr(Élan{}), []string{"Élan.Get() int.le8"}},
	{"the longest name", named(strings.Repeat("s", 255), hushed{}), []string{strings.Repeat("s", 255) + ".Get() int.le8"}},
	{"a func", fn("lab.v1.Scope.Arm", func() {}), []string{"lab.v1.Scope.Arm()"}},
	{"Close of a contract", as[interface{ Close() error }](&closing{}), []string{"Shop.Close()"}},
}

func TestRegistrations(t *testing.T) {
	for _, test := range registrations {
		srv := bsrpc.NewServer(nil)
		if err := test.do(srv); err != nil {
			t.Errorf("%s: %v", test.what, err)
		} else if got := layouts(srv); !reflect.DeepEqual(got, test.methods) {
			t.Errorf("%s: offers %q, want %q", test.what, got, test.methods)
		}
	}
}

const identifiers = "service name: want identifiers with dots between, as lab.v1.Scope"

// Each line is a registration, and its error.
var nameProblems = []struct {
	do   registration
	want string
}{
	{named("", hushed{}), refused(`register ""`, identifiers)},
	{named("lab..Scope", hushed{}), refused(`register "lab..Scope"`, identifiers)},
	{named("lab.", hushed{}), refused(`register "lab."`, identifiers)},
	{named("lab.1", hushed{}), refused(`register "lab.1"`, identifiers)},
	{named("lab Scope", hushed{}), refused(`register "lab Scope"`, identifiers)},
	{named("lab\nScope", hushed{}), refused(`register "lab\nScope"`, identifiers)},
	{named("lab/Scope", hushed{}), refused(`register "lab/Scope"`, identifiers)},
	{named("lab✓", hushed{}), refused(`register "lab✓"`, identifiers)},
	{named("lab\xff", hushed{}), refused(`register "lab\xff"`, identifiers)},
	{named(strings.Repeat("s", 256), hushed{}), refused(`register "`+strings.Repeat("s", 64)+`"`, "service name: 256 bytes, want at most 255")},
	{named("my shop", silent{}), refused(`register "my shop"`, identifiers, "my shop: bsrpc_test.silent has no exported methods")},

	{rcvr(nil), "bsrpc: register: nil receiver"},
	{rcvr((*Clock)(nil)), refused("register Clock", "Clock: nil receiver")},
	{rcvr(hushed{}), "bsrpc: register bsrpc_test.hushed: its type has no exported name; use RegisterName"},
	{rcvr(&struct{ hushed }{}), "bsrpc: register *struct { bsrpc_test.hushed }: its type has no exported name; use RegisterName"},
	{rcvr(Box[int]{}), "bsrpc: register bsrpc_test.Box[int]: the name of its type is not a valid service name; use RegisterName"},

	{fn("", func() {}), `bsrpc: register "": want service.Method`},
	{fn("F", func() {}), `bsrpc: register "F": want service.Method`},
	{fn("Shop.", func() {}), `bsrpc: register "Shop.": want service.Method`},
	{fn("Shop.a b", func() {}), `bsrpc: register "Shop.a b": want service.Method`},
	{fn("Shop.✓", func() {}), `bsrpc: register "Shop.✓": want service.Method`},
	{fn(".F", func() {}), refused(`register ""`, identifiers)},
	{fn("my shop.F", func(any) {}), refused(`register "my shop"`, identifiers,
		"my shop.F, parameter 1: interface {} has no wire form; use a concrete type")},
	{fn("Shop.F", nil), "bsrpc: register Shop.F: nil func"},
	{fn("Shop.F", hushed{}), "bsrpc: register Shop.F: bsrpc_test.hushed is not a func"},
	{fn("Shop.F", (func(int))(nil)), "bsrpc: register Shop.F: nil func(int)"},
}

func TestNameProblems(t *testing.T) {
	for _, test := range nameProblems {
		srv := bsrpc.NewServer(nil)
		checkText(t, "a name", test.do(srv), test.want)
		if list := layouts(srv); list != nil {
			t.Errorf("%s\nregistered all the same: %q", test.want, list)
		}
	}
}

// The second registration is refused completely, and both are named.
func TestRegisteredTwice(t *testing.T) {
	type renamed struct {
		Base func() (int, error) `bsrpc:"name=Get"`
	}
	for _, test := range []struct {
		second registration
		as     string
	}{
		{named("Shop", ours{}), "first as a method of bsrpc_test.hushed, now as a method of bsrpc_test.ours; leave one out, or give it another name"},
		{fn("Shop.Get", func(string) {}), "first as a method of bsrpc_test.hushed, now by RegisterFunc; leave one out, or give it another name"},
		{as[renamed](ours{}), "first as a method of bsrpc_test.hushed, now by RegisterAs[bsrpc_test.renamed] with a bsrpc_test.ours; " +
			"leave one out, or give it another name"},
		{as[renamed](&renamed{func() (int, error) { return 0, nil }}), "first as a method of bsrpc_test.hushed, now by RegisterAs with a *bsrpc_test.renamed; " +
			"leave one out, or give it another name"},
		{named("Shop", hushed{}), "both times as a method of bsrpc_test.hushed; register it once, or under another name"},
	} {
		srv := bsrpc.NewServer(nil)
		if err := srv.RegisterName("Shop", hushed{}); err != nil {
			t.Fatal(err)
		}
		want := refused("register Shop", "Shop.Get: registered twice, "+test.as)
		checkText(t, test.as, test.second(srv), want)
		if got := layouts(srv); len(got) != 1 {
			t.Errorf("%s: the server offers %q", test.as, got)
		}
	}
}

// A service may be registered in parts, and one receiver under two names.
func TestRegisteredInParts(t *testing.T) {
	srv := bsrpc.NewServer(nil)
	for _, do := range []registration{named("Shop", hushed{}), named("Shop", Clock{}), fn("Shop.F", func() {}), named("lab.Shop", hushed{})} {
		if err := do(srv); err != nil {
			t.Error(err)
		}
	}
	want := []string{"Shop.Get() int.le8", "Shop.Zone() string.le4", "Shop.F()", "lab.Shop.Get() int.le8"}
	if got := layouts(srv); !reflect.DeepEqual(got, want) {
		t.Errorf("the server offers %q, want %q", got, want)
	}
}

// Registration ends when the server gets its first connection.
func TestRegisterTooLate(t *testing.T) {
	srv := newLab(t)
	if _, err := bsrpctest.Dial(t, srv, nil); err != nil {
		t.Fatal(err)
	}
	for what, do := range map[string]registration{
		"RegisterName": named("Shop", hushed{}), "RegisterFunc": fn("Shop.F", func() {}),
		"RegisterAs": as[interface{ Get() int }](hushed{}),
	} {
		checkText(t, what, do(srv), refused("register Shop", "Shop: the server is already serving; register everything before Serve"))
	}
	if n := len(srv.Methods()); n != 8 {
		t.Errorf("%d methods after that, want the 8 of before", n)
	}
}
