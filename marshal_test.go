package bsrpc_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// Types for the tests of Marshal.
type (
	parcel struct {
		Size  uint8
		Marks map[string]int8
		Parts []*int16 `bsrpc:"max=2"`
		note  string
		Local []byte `bsrpc:"-"`
	}
	narrow struct {
		Val int64 `bsrpc:"le1"`
	}
	chain struct{ Next *chain }
	fat   struct { // much memory for one byte
		Size  uint8
		Local [1000]uint64 `bsrpc:"-"`
	}
	closed struct{ Lines []func() }
)

func ptrTo[T any](v T) *T { return &v }

// circle is a chain containing itself.
func circle() *chain {
	c := new(chain)
	c.Next = c
	return c
}

const nestedTooDeep = "nested deeper than MaxDepth (64)"

// Each line is a value and its bytes in hex, or its error.
var marshalled = []struct {
	v    any
	want string
	err  string
}{
	{int8(-2), "fe", ""},
	{"ab", "020000006162", ""},
	{[]uint16(nil), "0400000000000000", ""},
	{parcel{Size: 1, note: "n", Local: []byte{7}}, "010400000000000000" + "0400000000000000", ""},
	{narrow{-128}, "80", ""},
	{&narrow{1}, "01", ""},
	{ptrTo(&narrow{1}), "0101", ""}, // one pointer is followed, the other is a value
	{new(*narrow), "00", ""},
	{chain{}, "00", ""},

	{nil, "", "marshal: nil has no type"},
	{(*narrow)(nil), "", "marshal: nil *bsrpc_test.narrow"},
	{narrow{128}, "", "narrow.Val: does not fit in 1 byte"},
	{[]narrow{{1}, {-129}}, "", "[]narrow.Val: does not fit in 1 byte"},
	{map[string]narrow{"hunter2": {777}}, "", "map[string]narrow.Val: does not fit in 1 byte"},
	{parcel{Parts: make([]*int16, 3)}, "", "parcel.Parts: 3 elements exceed max=2"},
	{map[float64]bool{math.NaN(): true}, "", "map[float64]bool[key]: NaN and -0 cannot be map keys"},
	{circle(), "", "chain.Next.Next.Next.Next...(59 more).Next.Next: " + nestedTooDeep + ", or the value is cyclic"},
	{make(chan int), "", refusedType("marshal chan int", "chan int has no wire form; use a slice, as only a whole parameter or result of a method can be a stream")},
	{closed{}, "", refusedType("marshal bsrpc_test.closed", "closed.Lines[]: func() has no wire form; only a whole parameter of a method can be a func")},
}

// refusedType is the text of an error about a type, without its prefix.
func refusedType(doing string, problems ...string) string {
	return strings.TrimPrefix(refused(doing, problems...), "bsrpc: ")
}

func TestMarshal(t *testing.T) {
	for _, test := range marshalled {
		want := "<nil>"
		if test.err != "" {
			want = "bsrpc: " + test.err
		}
		data, err := bsrpc.Marshal(test.v)
		checkText(t, fmt.Sprintf("%T", test.v), err, want)
		if got := fmt.Sprintf("%x", data); got != test.want {
			t.Errorf("%T: got %s, want %s", test.v, got, test.want)
		}
	}
}

// Append adds the same bytes to a prefix, or leaves the prefix unchanged.
func TestAppend(t *testing.T) {
	for _, test := range marshalled {
		memory := make([]byte, 3, 64)
		copy(memory, "abc")
		got, err := bsrpc.Append(memory, test.v)
		if (err != nil) != (test.err != "") {
			t.Errorf("%T: %v", test.v, err)
		}
		if want := "616263" + test.want; fmt.Sprintf("%x", got) != want {
			t.Errorf("%T: got %x, want %s", test.v, got, want)
		}
		if err != nil && (&got[0] != &memory[0] || cap(got) != cap(memory)) {
			t.Errorf("%T: not the slice that was given", test.v)
		}
	}
}

// Cached types have the same results, for every way to pass a value.
func TestMarshalAgain(t *testing.T) {
	type pointer *narrow
	v := &narrow{7}
	for range 3 {
		for _, same := range []any{v, *v, pointer(v)} {
			if data, err := bsrpc.Marshal(same); err != nil || string(data) != "\x07" {
				t.Errorf("%T: %x, %v", same, data, err)
			}
		}
		if data, err := bsrpc.Marshal(&v); err != nil || string(data) != "\x01\x07" {
			t.Errorf("%T: %x, %v", &v, data, err)
		}
		for _, none := range []any{nil, (*narrow)(nil), pointer(nil), (**narrow)(nil)} {
			if data, err := bsrpc.Marshal(none); err == nil {
				t.Errorf("%T: %x", none, data)
			}
			if err := bsrpc.Unmarshal([]byte{7}, none); err == nil {
				t.Errorf("%T was read", none)
			}
		}
		var back narrow
		if err := bsrpc.Unmarshal([]byte{7}, pointer(&back)); err != nil || back != *v {
			t.Error(back, err)
		}
	}
}

// Each line is bytes, the target to decode into, and the error.
var unmarshalled = []struct {
	data string
	v    any
	err  string
}{
	{"", nil, "unmarshal: nil, want a pointer to the value"},
	{"", narrow{}, "unmarshal: bsrpc_test.narrow, want a pointer to the value"},
	{"", map[string]int{}, "unmarshal: map[string]int, want a pointer to the value"},
	{"", (*narrow)(nil), "unmarshal: nil *bsrpc_test.narrow, want a pointer to the value"},
	{"\x01", new(chan int), refusedType("unmarshal chan int", "chan int has no wire form; use a slice, as only a whole parameter or result of a method can be a stream")},
	{"\x01", new(closed), refusedType("unmarshal bsrpc_test.closed", "closed.Lines[]: func() has no wire form; only a whole parameter of a method can be a func")},

	{"\x05", new(bool), "want 0 or 1 for a bool, offset 0"},
	{"\x02\x00\x00\x00", new(uint64), "want 8 bytes, have 4, offset 0"},
	{"\x05\x00\x00\x00ab", new(string), "want 5 bytes, have 2, offset 4"},
	{"\x02\x00\x00\x00abc", new(string), "1 trailing byte, offset 6"},
	{"", new(parcel), "parcel.Size: want 1 byte, have 0, offset 0"},
	{"\x01\x04\x00", new(parcel), "parcel.Marks: want 4 bytes, have 2, offset 1"},
	{"\x01\xff\xff\xff\xff\x00\x00\x00\x00", new(parcel), "parcel.Marks: want 4294967295 bytes of elements, have 4, offset 5"},
	{"\x01\x04\x00\x00\x00\x00\x00\x00\x00\x07\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00", new(parcel), "parcel.Parts: 3 elements exceed max=2, offset 13"},
	{"\x01\x04\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x01\x00\x00\x00\x02", new(parcel), "parcel.Parts[]: want 0 or 1 for the presence of a pointer's value, offset 17"},
	{"\x01\x04\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x09\x09", new(parcel), "parcel: 2 trailing bytes, offset 17"},
	{"\x02", new(*narrow), "narrow: want 0 or 1 for the presence of a pointer's value, offset 0"},
	{strings.Repeat("\x01", 65) + "\x00", new(*chain), "chain.Next.Next.Next.Next...(58 more).Next.Next: " + nestedTooDeep + ", offset 65"},
}

func TestUnmarshalErrors(t *testing.T) {
	for _, test := range unmarshalled {
		checkText(t, fmt.Sprintf("%T %.20x", test.v, test.data), bsrpc.Unmarshal([]byte(test.data), test.v), "bsrpc: "+test.err)
	}
}

// Every exported field is replaced, the others stay. The new values share no memory
// with the old ones or with the data.
func TestUnmarshalReplacesValues(t *testing.T) {
	old := parcel{Size: 9, Marks: map[string]int8{"old": 1}, Parts: []*int16{ptrTo[int16](5)}, note: "kept", Local: []byte("kept")}
	marks, parts := old.Marks, old.Parts
	data, err := bsrpc.Marshal(parcel{Size: 1, Marks: map[string]int8{"new": -1}, Parts: []*int16{ptrTo[int16](-6)}})
	if err != nil {
		t.Fatal(err)
	}
	if err := bsrpc.Unmarshal(data, &old); err != nil {
		t.Fatal(err)
	}
	clear(data)
	want := parcel{Size: 1, Marks: map[string]int8{"new": -1}, Parts: []*int16{ptrTo[int16](-6)}, note: "kept", Local: []byte("kept")}
	if !reflect.DeepEqual(old, want) {
		t.Errorf("got %+v, want %+v", old, want)
	}
	if len(marks) != 1 || marks["old"] != 1 || *parts[0] != 5 {
		t.Errorf("earlier memory was written to: %v, %d", marks, *parts[0])
	}
}

// A decoded []byte is a copy.
func TestUnmarshalCopies(t *testing.T) {
	data := []byte("\x04\x00\x00\x00abcd")
	var got []byte
	if err := bsrpc.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	clear(data)
	if string(got) != "abcd" {
		t.Errorf("got %q", got)
	}
}

// Data exceeding the budget is refused before memory is allocated.
func TestUnmarshalBudget(t *testing.T) {
	for n, want := range map[int]string{8000: "<nil>", 9000: "bsrpc: []fat: needs more memory than DecodeBudget (67108864) allows, offset 8"} {
		data, err := bsrpc.Marshal(make([]fat, n))
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err = bsrpc.Unmarshal(data, new([]fat))
		runtime.ReadMemStats(&after)
		checkText(t, fmt.Sprint(n, " elements"), err, want)
		if made := after.TotalAlloc - before.TotalAlloc; err != nil && made > 1<<20 {
			t.Errorf("%d elements: %d bytes were made and then refused", n, made)
		}
	}
}

// Types are compiled once, by the first of concurrent callers.
func TestMarshalConcurrently(t *testing.T) {
	type fresh struct { // nobody has compiled it
		A map[string]*parcel
		B []narrow
	}
	v := fresh{map[string]*parcel{"x": {Size: 1, Marks: map[string]int8{}}}, []narrow{{1}, {2}}}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				data, err := bsrpc.Marshal(v)
				var got fresh
				if err := errors.Join(err, bsrpc.Unmarshal(data, &got)); err != nil || !reflect.DeepEqual(got, v) {
					t.Errorf("got %+v, %v", got, err)
				}
				if _, err := bsrpc.Append(data, []narrow{{300}}); err == nil {
					t.Error("300 fits in a byte")
				}
			}
		})
	}
	wg.Wait()
}

// counter is a service of ints.
type counter struct{}

func (counter) Take(n int, u uint) (int, uint) { return n, u }
func (counter) Give(n int64) int64             { return n }

// int and uint have eight bytes on every machine. A value too large for an end is an
// error of its call, at that end.
func TestIntsOfAnySize(t *testing.T) {
	data, err := bsrpc.Marshal(struct {
		N int
		U uint
	}{-2, 3})
	if want := []byte("\xfe\xff\xff\xff\xff\xff\xff\xff\x03\x00\x00\x00\x00\x00\x00\x00"); err != nil || !bytes.Equal(data, want) {
		t.Errorf("got %x, %v; want %x", data, err, want)
	}
	srv := newLab(t)
	if err := srv.RegisterName("Counter", counter{}); err != nil {
		t.Fatal(err)
	}
	wide := bsrpctest.Bind[struct {
		Take func(int64, uint64) (int64, uint64, error)
	}](t, srv, "Counter")
	own := bsrpctest.Bind[struct {
		Take func(int, uint) (int, uint, error)
		Give func(int64) (int, error)
	}](t, srv, "Counter")
	if n, u, err := own.Take(math.MinInt, math.MaxUint); n != math.MinInt || u != math.MaxUint || err != nil {
		t.Errorf("there and back: %d, %d, %v", n, u, err)
	}
	n, u, err := wide.Take(1<<31, 1)
	checkInt(t, "parameter", err, bsrpc.CodeInvalidArgument, bsrpc.OutcomeNotRun, "Counter.Take, parameter 1")
	if err == nil && (n != 1<<31 || u != 1) {
		t.Errorf("got %d, %d", n, u)
	}
	_, _, err = wide.Take(1, 1<<32)
	checkInt(t, "parameter", err, bsrpc.CodeInvalidArgument, bsrpc.OutcomeNotRun, "Counter.Take, parameter 2")
	_, err = own.Give(-1<<31 - 1)
	checkInt(t, "result", err, bsrpc.CodeInternal, bsrpc.OutcomeAnswered, "Counter.Give, result 1")
	checkInt(t, "Unmarshal", bsrpc.Unmarshal([]byte("\x00\x00\x00\x00\x01\x00\x00\x00"), new(int)), 0, 0, "does not fit")
	if n, err := own.Give(7); n != 7 || err != nil {
		t.Errorf("the next call: %d, %v", n, err)
	}
}

// checkInt checks the error of a number that needs more than 32 bits.
func checkInt(t *testing.T, what string, err error, code bsrpc.Code, outcome bsrpc.Outcome, text string) {
	t.Helper()
	switch {
	case strconv.IntSize == 64 && err != nil:
		t.Errorf("%s: %v", what, err)
	case strconv.IntSize == 32 && (err == nil || !strings.Contains(err.Error(), "does not fit")):
		t.Errorf("%s: got %v, want what does not fit", what, err)
	case strconv.IntSize == 32 && code != 0:
		wantError(t, err, code, outcome, text)
	}
}

// Elements without bytes are refused wherever a type is passed, with the path.
func TestElementsWithoutBytes(t *testing.T) {
	type crowd struct{ Heads []struct{} }
	const takeNone = "elements take no bytes on the wire"
	for _, test := range []struct {
		fn   any
		want string
	}{
		{func([]struct{}) {}, "Shop.F, parameter 1, []: "},
		{func(int, [][0]parcel) {}, "Shop.F, parameter 2, [][0]parcel: "},
		{func() map[struct{}]struct{} { return nil }, "Shop.F, result 1, map[struct {}]: "},
		{func([2]*crowd) {}, "Shop.F, parameter 1, [2]crowd.Heads: "},
		{func(...struct{}) {}, "Shop.F, parameter 1, []: "},
		{func(map[string][]*[0]int) (int, error) { return 0, nil }, ""}, // a pointer's presence is a byte
	} {
		want := "<nil>"
		if test.want != "" {
			want = refused("register Shop", test.want+takeNone)
		}
		checkText(t, fmt.Sprintf("%T", test.fn), bsrpc.NewServer(nil).RegisterFunc("Shop.F", test.fn), want)
	}
	client, err := bsrpctest.Dial(t, newLab(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = bsrpc.Bind[struct{ F func(crowd) error }](t.Context(), client, "Shop")
	checkText(t, "Bind", err, refused("bind Shop", "Shop.F, parameter 1, crowd.Heads: "+takeNone))
	_, err = bsrpc.Marshal(crowd{})
	checkText(t, "Marshal", err, refused("marshal bsrpc_test.crowd", "crowd.Heads: "+takeNone))
	checkText(t, "Unmarshal", bsrpc.Unmarshal(nil, new(crowd)), refused("unmarshal bsrpc_test.crowd", "crowd.Heads: "+takeNone))
}
