package codec

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"github.com/bsrpc/bsrpc/internal/wire"
)

type price struct{ Cents int64 }

type item struct {
	Name  string
	Price price
	Notes []string
}

type order struct {
	ID    uint64
	Items []item
	Tags  map[string][]item
	Next  *order
}

// compileType is Compile for types without problems.
func compileType(t testing.TB, typ reflect.Type) *Codec {
	t.Helper()
	c, err := Compile(typ, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// encode returns the encoding of v.
func encode[T any](t testing.TB, v T) []byte {
	t.Helper()
	data, err := appendAll(t, compileType(t, reflect.TypeFor[T]()), Encoder{}, reflect.ValueOf(&v))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestListPaths(t *testing.T) {
	types := []reflect.Type{
		reflect.TypeFor[order](), reflect.TypeFor[[]*order](), reflect.TypeFor[map[string]order](), reflect.TypeFor[uint32](),
		reflect.TypeFor[[2]uint16](), reflect.TypeFor[[]struct{ X bool }](),
	}
	c, err := CompileList("parameter", types, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	paths := map[string]string{
		".A0.ID":                  "parameter 1, order.ID",
		".A0.Items[].Price.Cents": "parameter 1, order.Items[].Price.Cents",
		".A0":                     "parameter 1, order",
		".A1":                     "parameter 2, []order",
		".A1[]":                   "parameter 2, []order",
		".A1[].Next.ID":           "parameter 2, []order.Next.ID",
		".A2[key]":                "parameter 3, map[string]order[key]",
		".A2[].Tags[key]":         "parameter 3, map[string]order.Tags[key]",
		".A3":                     "parameter 4",
		".A4[]":                   "parameter 5, [2]uint16",
		".A5[].X":                 "parameter 6, [].X",
		"":                        "",
	}
	for inside, want := range paths {
		if got := c.root.path(inside); got != want {
			t.Errorf("%q: %q, want %q", inside, got, want)
		}
	}
	layouts := c.Layouts()
	if len(layouts) != len(types) || layouts[3].String() != "uint.le4" || layouts[4].String() != "[2]uint.le2" {
		t.Errorf("layouts %v", layouts)
	}
}

func TestListProblems(t *testing.T) {
	le9, err := ParseTag("le9")
	if err != nil {
		t.Fatal(err)
	}
	_, err = CompileList("parameter",
		[]reflect.Type{reflect.TypeFor[int](), reflect.TypeFor[chan int](), reflect.TypeFor[struct{ Kids []struct{} }]()},
		[]*Tag{le9, nil, nil}, nil)
	want := `parameter 1: unknown format "le9"; int takes le1 to le8, be1 to be8, varint or uvarint
parameter 2: chan int has no wire form; declare it as iter.Seq2[int, error]
parameter 3, Kids: elements take no bytes on the wire`
	var problems Problems
	if !errors.As(err, &problems) || len(problems) != 3 || err.Error() != want {
		t.Errorf("%v\nwant\n%s", err, want)
	}
}

func TestListRoundTrip(t *testing.T) {
	c, err := CompileList("result", []reflect.Type{reflect.TypeFor[uint32](), reflect.TypeFor[uint32](), reflect.TypeFor[string]()}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	in := reflect.New(c.Type())
	in.Elem().Field(0).SetUint(1000)
	in.Elem().Field(1).SetUint(2050)
	in.Elem().Field(2).SetString("hi")
	data, err := appendAll(t, c, Encoder{}, in)
	if want := "\xe8\x03\x00\x00\x02\x08\x00\x00\x02\x00\x00\x00hi"; err != nil || string(data) != want {
		t.Fatalf("%v, %q", err, data)
	}
	if _, err := readAll(t, c, Decoder{Data: data[:6]}); err == nil || err.Error() != "result 2: want 4 bytes, have 2, offset 4" {
		t.Error(err)
	}
	if out, err := readAll(t, c, Decoder{Data: data}); err != nil || !reflect.DeepEqual(in.Interface(), out.Interface()) {
		t.Error(err, out)
	}
}

func TestEmptyList(t *testing.T) {
	c, err := CompileList("parameter", nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := appendAll(t, c, Encoder{}, reflect.New(c.Type())); err != nil || len(data) != 0 || c.Min() != 0 {
		t.Error(err, data)
	}
}

// Read replaces the whole previous value, except for fields that are not
// encoded.
func TestReadReplacesValues(t *testing.T) {
	type inner struct {
		A []int
		B map[string]int
		C *int
		D string
		e int
		F int `bsrpc:"-"`
	}
	one := 1
	v := inner{[]int{1}, map[string]int{"a": 1}, &one, "d", 5, 6}
	old := v
	if _, err := readInto(t, &v, encode(t, inner{})); err != nil {
		t.Fatal(err)
	}
	want := inner{B: map[string]int{}, e: 5, F: 6}
	if !reflect.DeepEqual(v, want) || old.A[0] != 1 || len(old.B) != 1 || one != 1 {
		t.Errorf("%+v", v)
	}
}

// readInto reads data into v.
func readInto[T any](t testing.TB, v *T, data []byte) (*T, error) {
	return v, compileType(t, reflect.TypeFor[T]()).Read(&Decoder{Data: data}, RefTo(reflect.ValueOf(v)))
}

func TestCuts(t *testing.T) {
	type cutting struct {
		A []byte
		B []uint32 `bsrpc:"len=varint"`
		C [][]byte `bsrpc:"len=varint"`
		D map[string][]byte
		E []byte `bsrpc:"fixed=40"`
	}
	long := bytes.Repeat([]byte("x"), 40)
	v := cutting{long, make([]uint32, 50), [][]byte{long, long[:3], long}, map[string][]byte{"k": long}, long}
	want := encode(t, v)
	c := compileType(t, reflect.TypeFor[cutting]())
	for i, form := range executors(c) {
		e := Encoder{Body: wire.Body{Buf: []byte("before")}, MinCut: 40, Max: len(want)}
		if err := form.Append(&e, RefTo(reflect.ValueOf(&v))); err != nil {
			t.Fatal(err)
		}
		want5 := i == 0 && c.useFast && littleEndian // numbers that lie as on the wire are cut too
		if n := len(e.Cuts); n != 4 && n != 5 || want5 && n != 5 {
			t.Errorf("%d cuts", n)
		}
		if got := joinCuts(e); got != "before"+string(want) {
			t.Errorf("%q\nwant %q", got, want)
		}
		if e.Cuts[0].Bytes[0] = 'y'; v.A[0] != 'y' {
			t.Error("a cut is a copy")
		}
		v.A[0] = 'x'
		again := Encoder{Body: wire.Body{Buf: e.Buf[:3], Cuts: e.Cuts[:1]}, MinCut: 40, Max: len(want) - 1}
		if err := form.Append(&again, RefTo(reflect.ValueOf(&v))); !errors.Is(err, ErrLimit) || len(again.Cuts) != 1 || len(again.Buf) != 3 {
			t.Errorf("%v, %d cuts, %d bytes", err, len(again.Cuts), len(again.Buf))
		}
	}
}

// joinCuts returns the encoding with its cuts inserted.
func joinCuts(e Encoder) string {
	var b strings.Builder
	at := 0
	for _, cut := range e.Cuts {
		b.Write(e.Buf[at:cut.At])
		b.Write(cut.Bytes)
		at = cut.At
	}
	b.Write(e.Buf[at:])
	return b.String()
}

func TestDecoderOwnsData(t *testing.T) {
	type two struct{ A, B []byte }
	data := encode(t, two{bytes.Repeat([]byte("a"), 100), []byte("bb")})
	for _, form := range executors(compileType(t, reflect.TypeFor[two]())) {
		for _, own := range []bool{false, true} {
			var v two
			if err := form.Read(&Decoder{Data: data, Own: own}, RefTo(reflect.ValueOf(&v))); err != nil {
				t.Fatal(err)
			}
			if shares := &v.A[0] == &data[4]; shares != own || cap(v.A) < 100 || own && cap(v.A) != 100 {
				t.Errorf("own %v: shares %v, cap %d", own, shares, cap(v.A))
			}
			if &v.B[0] == &data[108] {
				t.Error("a small part of the input was not copied")
			}
		}
	}
}

// Short strings share arenas, long ones have their own memory, and none aliases
// the input.
func TestShortStringsShareMemory(t *testing.T) {
	list := make([]string, 300)
	for i := range list {
		list[i] = strings.Repeat("s", i)
	}
	data := encode(t, list)
	c := compileType(t, reflect.TypeFor[[]string]())
	var out []string
	allocs := testing.AllocsPerRun(10, func() {
		if err := c.Read(&Decoder{Data: data}, RefTo(reflect.ValueOf(&out))); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 150 {
		t.Errorf("%v allocations for 300 strings", allocs)
	}
	clear(data)
	if !reflect.DeepEqual(out, list) {
		t.Error("strings changed with the input")
	}
	ends := map[*byte]bool{}
	for _, s := range out[1:] {
		ends[unsafe.StringData(s)] = true
	}
	if len(ends) != 299 {
		t.Error("strings overlap")
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	type flat struct {
		A int64
		B string
		C []uint16
		D []item
	}
	w := flat{1, "two", []uint16{3}, []item{{"a", price{2}, []string{"b"}}}}
	c := compileType(t, reflect.TypeFor[flat]())
	ref := RefTo(reflect.ValueOf(&w))
	e := Encoder{Body: wire.Body{Buf: make([]byte, 0, 1024)}}
	if allocs := testing.AllocsPerRun(100, func() {
		e.Buf = e.Buf[:0]
		if err := c.Append(&e, ref); err != nil {
			t.Fatal(err)
		}
	}); allocs != 0 && c.useFast {
		t.Errorf("%v allocations", allocs)
	}
}

func TestErrorUnwraps(t *testing.T) {
	_, err := readInto(t, new(uint64), []byte{1})
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
}
