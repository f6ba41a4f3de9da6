package bsrpc_test

import (
	"context"
	"errors"
	"math"
	"math/big"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// Types of the server, unknown to a caller by name.
type (
	part struct {
		ID     uint16 `bsrpc:"be2"`
		Name   string `bsrpc:"len=le1"`
		Weight *float32
		Spare  []part
	}
	shelf map[string][]int32
)

// dynamic is a service with methods returning their arguments.
type dynamic struct{}

func (dynamic) Int8(n int8) int8                                   { return n }
func (dynamic) Int64(n int64) int64                                { return n }
func (dynamic) Uint16(n uint16) uint16                             { return n }
func (dynamic) Uint64(n uint64) uint64                             { return n }
func (dynamic) Float32(f float32) float32                          { return f }
func (dynamic) Complex(c complex128) complex128                    { return c }
func (dynamic) Bool(b bool) bool                                   { return b }
func (dynamic) String(s string) string                             { return s }
func (dynamic) Bytes(b []byte) []byte                              { return b }
func (dynamic) Ints(n ...int32) []int32                            { return n }
func (dynamic) Pair(p [2]uint8) [2]uint8                           { return p }
func (dynamic) Part(p part) part                                   { return p }
func (dynamic) PartPointer(p *part) *part                          { return p }
func (dynamic) Shelf(s shelf) shelf                                { return s }
func (dynamic) Time(t time.Time) time.Time                         { return t }
func (dynamic) Duration(d time.Duration) time.Duration             { return d }
func (dynamic) Addr(a netip.Addr) netip.Addr                       { return a }
func (dynamic) Big(b big.Int) big.Int                              { return b }
func (dynamic) Shape(s shape) shape                                { return s }
func (dynamic) Keys(m map[int32]bool) map[int32]bool               { return m }
func (dynamic) Flags(m map[bool]uint8) map[bool]uint8              { return m }
func (dynamic) Swap(a int, b string) (string, int)                 { return b, a }
func (dynamic) Nothing()                                           {}
func (dynamic) Fail(ctx context.Context, text string) (int, error) { return 7, errors.New(text) }

func dynamicClient(t *testing.T) *bsrpc.Client {
	t.Helper()
	srv := bsrpc.NewServer(nil)
	if err := srv.RegisterName("lab.Dynamic", dynamic{}); err != nil {
		t.Fatal(err)
	}
	client, err := bsrpctest.Dial(t, srv, nil)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// What a caller has in place of a part: other names, widths and order, a field
// more that says so.
type myPart struct {
	Label  string `bsrpc:"name=Name"`
	Spare  []*myPart
	ID     int
	Weight *float64
	Note   any `bsrpc:"-"`
}

var halfKilo = ptr(0.5)

// Each line is a method, an argument, and what comes back into a value of the
// type of result.
var dynamicCalls = []struct {
	method      string
	arg, result any
}{
	{"Int8", int8(-5), int8(-5)},
	{"Int8", -128, int64(-128)},
	{"Int8", uint64(127), uint8(127)},
	{"Int64", int8(-1), -1},
	{"Int64", uint64(math.MaxInt64), int64(math.MaxInt64)},
	{"Uint16", 65535, uint32(65535)},
	{"Uint16", int8(3), int8(3)},
	{"Uint64", uint64(math.MaxUint64), uint64(math.MaxUint64)},
	{"Uint64", celsius(21), celsius(21)},
	{"Uint64", ptr(5), ptr(5)},
	{"Float32", 0.5, 0.5},
	{"Float32", float32(0.1), float32(0.1)},
	{"Float32", math.Inf(1), math.Inf(1)},
	{"Complex", complex64(complex(1, 2)), complex(1, 2)},
	{"Bool", true, true},
	{"String", "hé", "hé"},
	{"Bytes", []byte{1, 2}, []byte{1, 2}},
	{"Bytes", []enum{1, 2}, []enum{1, 2}},
	{"Bytes", nil, []byte(nil)},
	{"Ints", []int{1, -2}, []int64{1, -2}},
	{"Ints", []uint8{1, 2}, []int8{1, 2}},
	{"Ints", nil, []int(nil)},
	{"Ints", ptr([]int16{3}), []int16{3}},
	{"Pair", [2]int{1, 2}, [2]uint64{1, 2}},
	{"Part", part{ID: 1, Name: "a"}, part{ID: 1, Name: "a"}},
	{"Part", myPart{"a", []*myPart{{ID: 2}}, 1, halfKilo, nil}, myPart{"a", []*myPart{{ID: 2}}, 1, halfKilo, nil}},
	{"Part", &part{ID: 1}, ptr(part{ID: 1})},
	{"PartPointer", &myPart{ID: 1}, &part{ID: 1}},
	{"PartPointer", nil, (*part)(nil)},
	{"PartPointer", (*myPart)(nil), (*myPart)(nil)},
	{"Shelf", map[string][]int{"a": {1}, "b": nil}, map[string][]int16{"a": {1}, "b": nil}},
	{"Shelf", nil, map[string][]int{}},
	{"Time", time.Unix(1, 2).UTC(), time.Unix(1, 2).UTC()},
	{"Duration", time.Second, time.Second},
	{"Duration", 1000, int64(1000)},
	{"Addr", netip.MustParseAddr("1.2.3.4"), netip.MustParseAddr("1.2.3.4")},
	{"Big", *big.NewInt(77), *big.NewInt(77)},
}

func TestCall(t *testing.T) {
	client := dynamicClient(t)
	for _, test := range dynamicCalls {
		result := reflect.New(reflect.TypeOf(test.result))
		if err := client.Call(t.Context(), "lab.Dynamic."+test.method, []any{test.arg}, result.Interface()); err != nil {
			t.Errorf("%s of %T %v: %v", test.method, test.arg, test.arg, err)
		} else if got := result.Elem().Interface(); !reflect.DeepEqual(got, test.result) {
			t.Errorf("%s of %T %v: got %#v, want %#v", test.method, test.arg, test.arg, got, test.result)
		}
	}
}

// Each line is arguments and results unsuitable for a method of lab.Dynamic.
var dynamicMisfits = []struct {
	method  string
	args    []any
	results []any
	want    string
}{
	// Their number.
	{"Swap", nil, []any{new(string), new(int)}, `got 0 arguments, want 2: lab.Dynamic.Swap(int.le8, string.le4) (string.le4, int.le8)`},
	{"Swap", []any{1, "a", 2}, []any{new(string), new(int)}, `got 3 arguments, want 2: lab.Dynamic.Swap(int.le8, string.le4) (string.le4, int.le8)`},
	{"Swap", []any{1, "a"}, nil, `got 0 pointers for results, want 2: lab.Dynamic.Swap(int.le8, string.le4) (string.le4, int.le8)`},
	{"Swap", []any{1, "a"}, []any{[]any{new(string), new(int)}}, `got 1 pointer for results, want 2: lab.Dynamic.Swap(int.le8, string.le4) (string.le4, int.le8); spread the slice with ...`},
	{"Nothing", nil, []any{new(int)}, `got 1 pointer for results, want 0: lab.Dynamic.Nothing()`},
	{"Ints", []any{1, 2}, []any{new([]int)}, `got 2 arguments, want 1: lab.Dynamic.Ints([]int.le4) []int.le4`},
	// Results.
	{"Swap", []any{1, "a"}, []any{new(string), 0}, `lab.Dynamic.Swap, result 2: int for int.le8, want a pointer to it`},
	{"Swap", []any{1, "a"}, []any{nil, new(int)}, `lab.Dynamic.Swap, result 1: nil for string.le4, want a pointer to a value that takes it`},
	{"Swap", []any{1, "a"}, []any{(*string)(nil), new(int)}, `lab.Dynamic.Swap, result 1: nil *string for string.le4, want one that points to a value`},
	{"Swap", []any{1, "a"}, []any{new(int), new(string)}, `lab.Dynamic.Swap: 2 problems
    result 1: int does not fit string.le4
    result 2: string does not fit int.le8`},
	// Kinds.
	{"Int64", []any{nil}, []any{new(int)}, `lab.Dynamic.Int64, parameter 1: nil does not fit int.le8`},
	{"Int64", []any{(*int)(nil)}, []any{new(int)}, `lab.Dynamic.Int64, parameter 1: nil pointer, but the wire format requires a value`},
	{"Float32", []any{1}, []any{new(float32)}, `lab.Dynamic.Float32, parameter 1: int does not fit float.le4`},
	{"String", []any{[]byte("a")}, []any{new(string)}, `lab.Dynamic.String, parameter 1, []uint8: []uint8 does not fit string.le4`},
	{"Bytes", []any{"a"}, []any{new([]byte)}, `lab.Dynamic.Bytes, parameter 1: not base64; the layout has bytes, a string in base64`},
	{"Bytes", []any{make(chan int)}, []any{new([]byte)}, `lab.Dynamic.Bytes, parameter 1: chan int does not fit bytes.le4`},
	{"Pair", []any{[]int{1, 2}}, []any{new([2]int)}, `lab.Dynamic.Pair, parameter 1, []int: []int does not fit [2]uint.le1`},
	{"Pair", []any{[3]int{1, 2}}, []any{new([2]int)}, `lab.Dynamic.Pair, parameter 1, [3]int: [3]int does not fit [2]uint.le1`},
	{"Ints", []any{[]string{"a"}}, []any{new([]int)}, `lab.Dynamic.Ints, parameter 1, []string: string does not fit int.le4`},
	{"Shelf", []any{map[int][]int{}}, []any{new(shelf)}, `lab.Dynamic.Shelf, parameter 1, map[int][]int[key]: int does not fit string.le4`},
	{"Time", []any{int64(1)}, []any{new(time.Time)}, `lab.Dynamic.Time, parameter 1: int64 does not fit time`},
	{"Addr", []any{"1.2.3.4"}, []any{new(netip.Addr)}, `lab.Dynamic.Addr, parameter 1: not base64; the layout has the bytes of netip.Addr, a string in base64`},
	// Structs.
	{"Part", []any{struct{ ID int }{}}, []any{new(part)}, `lab.Dynamic.Part: 3 problems
    parameter 1: struct { ID int } has no field Name, required by the wire format
    parameter 1: struct { ID int } has no field Weight, required by the wire format
    parameter 1: struct { ID int } has no field Spare, required by the wire format`},
	{"Part", []any{struct {
		ID           int
		Name, Colour string
		Weight       *int
		Spare        []part
	}{}}, []any{new(part)}, `lab.Dynamic.Part: 2 problems
    parameter 1, Weight: int does not fit float.le4
    parameter 1, Colour: not a field of the wire format`},
	{"PartPointer", []any{part{}}, []any{new(*part)}, `lab.Dynamic.PartPointer, parameter 1, part: bsrpc_test.part does not fit *{ID uint.be2; Name string.le1; Weight *float.le4; Spare []^2}`},
	// Ranges.
	{"Int8", []any{128}, []any{new(int)}, `lab.Dynamic.Int8, parameter 1: does not fit in 1 byte`},
	{"Int8", []any{uint8(200)}, []any{new(int)}, `lab.Dynamic.Int8, parameter 1: does not fit in 1 byte`},
	{"Int64", []any{uint64(1 << 63)}, []any{new(int)}, `lab.Dynamic.Int64, parameter 1: does not fit in a signed number of 8 bytes`},
	{"Uint16", []any{-1}, []any{new(int)}, `lab.Dynamic.Uint16, parameter 1: negative, but the wire format is unsigned`},
	{"Uint16", []any{65536}, []any{new(int)}, `lab.Dynamic.Uint16, parameter 1: does not fit in 2 bytes`},
	{"Ints", []any{[]int64{1, 1 << 31}}, []any{new([]int)}, `lab.Dynamic.Ints, parameter 1, []int64: does not fit in 4 bytes`},
	{"Part", []any{part{Name: strings.Repeat("n", 256)}}, []any{new(part)}, `lab.Dynamic.Part, parameter 1, part.Name: 256 bytes do not fit in a length of 1 byte`},
	{"Part", []any{myPart{Spare: []*myPart{{ID: -1}}}}, []any{new(part)}, `lab.Dynamic.Part, parameter 1, myPart.Spare[].ID: negative, but the wire format is unsigned`},
	{"Part", []any{myPart{Spare: []*myPart{nil}}}, []any{new(part)}, `lab.Dynamic.Part, parameter 1, myPart.Spare[]: nil pointer, but the wire format requires a value`},
}

// Unsuitable values are not sent, and have no other effect.
func TestCallMisfits(t *testing.T) {
	client := dynamicClient(t)
	for _, test := range dynamicMisfits {
		err := client.Call(t.Context(), "lab.Dynamic."+test.method, test.args, test.results...)
		checkNotSent(t, err, bsrpc.CodeInvalidArgument, test.want)
	}
	if err := client.Call(t.Context(), "lab.Dynamic.Nothing", nil); err != nil {
		t.Errorf("after that: %v", err)
	}
}

// checkNotSent checks the error of a call refused by this end.
func checkNotSent(t *testing.T, err error, code bsrpc.Code, want string) {
	t.Helper()
	checkText(t, "Call", err, "bsrpc: "+want)
	if e := wantError(t, err, code, bsrpc.OutcomeNotRun, ""); e.Remote {
		t.Errorf("%v is told to be the peer's", e)
	}
}

// Each line is the name of a method that cannot be called.
var dynamicNames = []struct {
	method string
	code   bsrpc.Code
	want   string
}{
	{"", bsrpc.CodeInvalidArgument, `method "": want Service.Method`},
	{"Nothing", bsrpc.CodeInvalidArgument, `method "Nothing": want Service.Method`},
	{".Nothing", bsrpc.CodeInvalidArgument, `method ".Nothing": want Service.Method`},
	{"lab.Dynamic.", bsrpc.CodeInvalidArgument, `method "lab.Dynamic.": want Service.Method`},
	{"lab.Dynamic.No\x00thing", bsrpc.CodeInvalidArgument, `method "lab.Dynamic.No\x00thing": want Service.Method`},
	{"the lab.Nothing", bsrpc.CodeInvalidArgument, `method "the lab.Nothing": want Service.Method`},
	{strings.Repeat("s", 256) + ".Nothing", bsrpc.CodeInvalidArgument, `method "` + strings.Repeat("s", 64) + `": want Service.Method`},
	{"S." + strings.Repeat("M", 100_000), bsrpc.CodeInvalidArgument, "method name of 100002 bytes, want at most 65531"},
	{"S." + strings.Repeat("M", 65_530), bsrpc.CodeInvalidArgument, "method name of 65532 bytes, want at most 65531"},
	{"S." + strings.Repeat("M", 65_529), bsrpc.CodeUnimplemented, "S." + strings.Repeat("M", 65_529) + ": the server has no service S"},
	{"lab.Dynamic.Missing", bsrpc.CodeUnimplemented, "the server has no method lab.Dynamic.Missing"},
	{"Dynamic.Nothing", bsrpc.CodeUnimplemented, "Dynamic.Nothing: the server has no service Dynamic; it has lab.Dynamic"},
}

func TestCallNames(t *testing.T) {
	client := dynamicClient(t)
	for _, test := range dynamicNames {
		checkNotSent(t, client.Call(t.Context(), test.method, nil), test.code, test.want)
	}
	if err := client.Call(t.Context(), "lab.Dynamic.Nothing", nil); err != nil {
		t.Errorf("after that: %v", err)
	}
}

// If the call succeeds, all results are set; otherwise none.
func TestCallResults(t *testing.T) {
	client := dynamicClient(t)
	text, n := "before", int8(1)
	results := []any{&text, &n}
	if err := client.Call(t.Context(), "lab.Dynamic.Swap", []any{7, "after"}, results...); err != nil || text != "after" || n != 7 {
		t.Errorf("got %q, %d, %v", text, n, err)
	}
	err := client.Call(t.Context(), "lab.Dynamic.Swap", []any{128, "too much"}, results...)
	wantError(t, err, bsrpc.CodeInternal, bsrpc.OutcomeAnswered, "")
	checkText(t, "a result too large", err, "bsrpc: cannot decode the answer: lab.Dynamic.Swap, result 2: does not fit in int8 of 8 bits, offset 12")
	err = client.Call(t.Context(), "lab.Dynamic.Fail", []any{"out of paper"}, &n)
	wantError(t, err, bsrpc.CodeUnknown, bsrpc.OutcomeAnswered, "out of paper")
	if text != "after" || n != 7 {
		t.Errorf("a call that failed has set %q, %d", text, n)
	}
}

// The client asks for the layout of a method once.
func TestCallAsksOnce(t *testing.T) {
	srv := newLab(t)
	near, far := net.Pipe()
	go srv.ServeConn(far)
	counted := &countingConn{Conn: near}
	client, err := bsrpc.NewClient(t.Context(), counted, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var took [3]int64
	for i := range took {
		before := counted.written.Load()
		var sum int
		if err := client.Call(t.Context(), "Lab.Add", []any{i, int8(1)}, &sum); err != nil || sum != i+1 {
			t.Errorf("%d + 1: %d, %v", i, sum, err)
		}
		took[i] = counted.written.Load() - before
	}
	if took[0] <= took[1] || took[1] != 24+8 || took[2] != took[1] {
		t.Errorf("the calls took %d bytes, want the later ones to take the 32 of their request", took)
	}
}

// Calls by name are safe for concurrent use, including the first of each method.
func TestCallConcurrently(t *testing.T) {
	client := dynamicClient(t)
	var wg sync.WaitGroup
	for i := range 100 {
		method := []string{"Int64", "Uint64", "Uint16"}[i%3]
		wg.Go(func() {
			var n int
			if err := client.Call(context.Background(), "lab.Dynamic."+method, []any{i}, &n); err != nil || n != i {
				t.Errorf("%s: %d came back as %d: %v", method, i, n, err)
			}
		})
	}
	wg.Wait()
}

func TestCallEnds(t *testing.T) {
	client := dynamicClient(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := client.Call(ctx, "lab.Dynamic.Nothing", nil)
	wantError(t, err, bsrpc.CodeCanceled, bsrpc.OutcomeNotRun, "context canceled")
	client.Close()
	err = client.Call(t.Context(), "lab.Dynamic.Nothing", nil)
	wantError(t, err, bsrpc.CodeCanceled, bsrpc.OutcomeNotRun, "client closed")
	if !errors.Is(err, bsrpc.ErrClosed) {
		t.Errorf("%v does not wrap ErrClosed", err)
	}
}
