package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc/layout"
)

// layoutFrom parses a layout, as a peer's.
func layoutFrom(t testing.TB, text string) *layout.Type {
	t.Helper()
	l, err := layout.Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return l
}

// listFrom parses the layouts of a list of parameters.
func listFrom(t testing.TB, params string) []*layout.Type {
	t.Helper()
	m, err := layout.ParseMethod("S.M(" + params + ")")
	if err != nil {
		t.Fatalf("%s: %v", params, err)
	}
	return m.Params
}

type orderNow struct {
	ID    int64
	Note  string `bsrpc:"optional"`
	Price int32
}

// TestReadFrom reads bytes of peers with other versions of types: the zero values and
// edges that random pairs rarely have.
func TestReadFrom(t *testing.T) {
	tests := []struct {
		name string
		peer string
		data string
		want any
	}{
		{"a field less", "{ID int.le2; Price int.be4}", "\x05\x00\x00\x00\x00\x06", orderNow{ID: 5, Price: 6}},
		{"a field more", "{ID int.le1; Extra bool; Price int.le1; More []string.le4}", "\x05\x01\x06\x04\x00\x00\x00\x00\x00\x00\x00", orderNow{ID: 5, Price: 6}},
		{"unsigned", "{ID uint.le1; Price uint.be2}", "\xff\xff\xff", orderNow{ID: 255, Price: 65535}},
		{"zigzag", "{ID int.varint; Price int.uvarint}", "\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", orderNow{ID: -2, Price: -1}},
		{"an empty struct drops fields", "{A int.le4; B string.le1}", "\x01\x02\x03\x04\x02ab", struct{}{}},
		{"a set drops its values", "map[uint.le1]{A int.le2}", "\x0a\x00\x00\x00\x02\x00\x00\x00\x01zz\x02zz", map[uint8]struct{}{1: {}, 2: {}}},
		{"an array of empty structs", "[2]{A string.le1}", "\x01a\x01b", [2]struct{}{}},
		{"an array of empty structs in a struct", "{A [2]{B bool}; C bool}", "\x01\x01\x01", struct {
			A [2]struct{}
			C bool
		}{C: true}},
		{"a struct with the size of what it drops", "{B int.le8}", "\x01\x02\x03\x04\x05\x06\x07\x08", struct {
			A int64 `bsrpc:"optional"`
		}{}},
		{"nothing to read", "{}", "", orderNow{}},
		{"fixed into a length", "string.4", "ab\x00\x00", "ab"},
		{"fixed bytes into a length", "bytes.2", "\x00\x01", []byte{0, 1}},
		{"to a pointer", "uint.le1", "\x05", ptr(uint32(5))},
		{"to two pointers", "uint.le1", "\x05", ptr(ptr(uint32(5)))},
		{"slices of pointers", "[le1]{ID uint.le1; Price int.le1}", "\x02\x01\x02\x03\x04", []*orderNow{{ID: 1, Price: 2}, {ID: 3, Price: 4}}},
		{"dropped kinds", "{A time; B duration; C *complex.le8; D [3]bool; E map[le1 bool]*{F ^2}; G binary(x.Y); ID int.le1; H text(x.Z); Price int.le1}",
			strings.Repeat("x", 20) + "\x00xxx\x01\x00\x00" + "\x02\x00\x00\x00yy\x07" + "\x01\x00\x00\x00z\x08", orderNow{ID: 7, Price: 8}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := compileType(t, reflect.TypeOf(test.want))
			from, err := c.ReadFrom(layoutFrom(t, test.peer))
			if err != nil {
				t.Fatal(err)
			}
			got, err := readBoth(t, from, c, Decoder{Data: []byte(test.data)})
			if err != nil || !reflect.DeepEqual(got.Elem().Interface(), test.want) {
				t.Errorf("%+v %v, want %+v", got.Elem(), err, test.want)
			}
			for n := range len(test.data) {
				if _, err := readBoth(t, from, c, Decoder{Data: []byte(test.data)[:n]}); err == nil {
					t.Errorf("reads %d of %d bytes", n, len(test.data))
				}
			}
			if _, err := readBoth(t, from, c, Decoder{Data: []byte(test.data + "x")}); err == nil {
				t.Error("reads a byte more")
			}
		})
	}
}

func ptr[T any](v T) *T { return &v }

// TestReadListFrom reads parameters of callers with fewer and with more of them.
func TestReadListFrom(t *testing.T) {
	types := []reflect.Type{reflect.TypeFor[int64](), reflect.TypeFor[*orderNow](), reflect.TypeFor[io.Reader](), reflect.TypeFor[string]()}
	for _, test := range []struct {
		own  int // of types
		peer string
		data string
		want string
	}{
		{4, "int.le1, *{ID int.le1; Price int.le1}, reader, string.le1", "\x05\x01\x06\x07\x01a", `{A0:5 A1:{ID:6 Note: Price:7} A2:<nil> A3:a}`},
		{2, "int.le1", "\x05", `{A0:5 A1:<nil>}`},
		{2, "int.le1, *{ID int.le1; Price int.le1}?, bool?", "\x05\x00\x01", `{A0:5 A1:<nil>}`},
		{1, "int.le1, func(bool)?, [le1]string.le1?", "\x05\x01\x02\x01a\x00", `{A0:5}`},
		{0, "func()?, {A bool; B {}}?", "\x00\x01", `{}`},
		{0, "", "", `{}`},
		{1, "", "", `{A0:0}`},
	} {
		c, err := CompileList("parameter", types[:test.own], nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		from, err := c.ReadListFrom(listFrom(t, test.peer))
		if err != nil {
			t.Fatal(err)
		}
		got, err := readBoth(t, from, c, Decoder{Data: []byte(test.data)})
		if text := listText(got.Elem()); err != nil || text != test.want {
			t.Errorf("%d of (%s): %s %v, want %s", test.own, test.peer, text, err, test.want)
		}
	}
}

// listText prints a list, with the targets of its pointers.
func listText(list reflect.Value) string {
	var parts []string
	for i := range list.NumField() {
		f := list.Field(i)
		if f.Kind() == reflect.Pointer && !f.IsNil() {
			f = f.Elem()
		}
		parts = append(parts, fmt.Sprintf("%s:%+v", list.Type().Field(i).Name, f))
	}
	return "{" + strings.Join(parts, " ") + "}"
}

// Errors name the place at this end, or that of the peer for what this end does not have.
func TestTranslatedErrors(t *testing.T) {
	type order struct {
		ID    uint8
		Items []orderNow
		Code  string `bsrpc:"max=3,optional"`
	}
	c, err := CompileList("parameter", []reflect.Type{reflect.TypeFor[bool](), reflect.TypeFor[*order]()}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("ö", 3000)
	for _, test := range []struct{ peer, data, want string }{
		{"bool, *{ID uint.varint; Items [le1]{ID int.le1; Price int.le4}}", "\x00\x01\x80\x02\x00", "parameter 2, order.ID: does not fit in uint8 of 8 bits, offset 2"},
		{"bool, *{ID uint.le1; Items [le1]{ID int.le1; Price int.le4}}", "\x00\x01\x01\x01\x00\x00\x00\x00", "parameter 2, order.Items: want 1 element of at least 5 bytes, have 4 bytes, offset 3"},
		{"bool, *{ID uint.le1; Items [le1]{ID int.le1; Price int.varint}}", "\x00\x01\x01\x01\x00\xff\xff\xff\xff\xff\x01", "parameter 2, order.Items[].Price: does not fit in int32 of 32 bits, offset 5"},
		{"bool, *{Items [le1]{ID int.le1; Price int.le1}; ID uint.le1; More {A bool; B string.le1}}", "\x00\x01\x00\x01\x01\x05", "parameter 2, order.More: want 5 bytes, have 0, offset 6"},
		{"bool, *{Items [le1]{ID int.le1; X int.le4; Price int.le1}; ID uint.le1}", "\x00\x01\x01\x01\x00\x00\x00\x00\x01", "parameter 2, order.ID: want 1 byte, have 0, offset 9"},
		{"bool, *{ID uint.le1; Items [le1]{ID int.le1; Price int.le1}; Code string.4}", "\x00\x01\x01\x00abcd", "parameter 2, order.Code: 4 bytes exceed max=3, offset 4"},
		{"bool, *{ID uint.le1; Items [le1]{ID int.le1; Price int.le1}}, int.le8", "\x00\x00\x01", "parameter 3: want 8 bytes, have 1, offset 2"},
		{"bool, *{" + long + " bool; ID uint.le1; Items [le1]{ID int.le1; Price int.le1}}", "\x00\x01", "parameter 2, order." + long[:100] + ": want 1 byte, have 0, offset 2"},
		{"bool, *{ID uint.le1; Items [le1]{ID int.le1; Price int.le1}; A *bool}", "\x00\x01\x01\x00\x02", "parameter 2, order.A: want 0 or 1 for the presence of a pointer's value, offset 4"},
	} {
		from, err := c.ReadListFrom(listFrom(t, test.peer))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := readBoth(t, from, c, Decoder{Data: []byte(test.data)}); err == nil || err.Error() != test.want {
			t.Errorf("%.80s:\n%v\n%s", test.peer, err, test.want)
		}
	}
}

// Values that a peer lacks must be zero, unless they are ignorable.
func TestWriteTo(t *testing.T) {
	type deep struct {
		A    int64
		Opt  *int64                `bsrpc:"optional"`
		List []int16               `bsrpc:"optional"`
		Drop string                `bsrpc:"optional,ignorable"`
		In   struct{ X, Y []byte } `bsrpc:"optional"`
		Skip int                   `bsrpc:"-"`
	}
	type order struct {
		Items []deep
		Next  *order
		ByKey map[string]*deep
		Two   [2]deep
	}
	c, err := CompileList("parameter", []reflect.Type{reflect.TypeFor[*order](), reflect.TypeFor[bool](), reflect.TypeFor[func()]()},
		[]*Tag{nil, {Optional: true}, {Optional: true}}, map[int]*layout.Signature{2: {}})
	if err != nil {
		t.Fatal(err)
	}
	to := c.WriteListTo(listFrom(t, "*{Items []*{A int.le8}; Next *^2; ByKey map[string.le4]*{A int.le8; List []int.le2}; Two [2]{A int.le8}}"), "the server")
	if to == c {
		t.Fatal("nothing is checked")
	}
	full := deep{A: 1, Drop: "dropped", List: []int16{}, Skip: 1}
	full.In.X = []byte{}
	type args struct {
		A0 *order
		A1 bool
		A2 func()
	}
	tests := []struct {
		v    args
		want string
	}{
		{args{A0: &order{Items: []deep{full}, Next: &order{}, ByKey: map[string]*deep{"a": &full, "b": nil}, Two: [2]deep{full, full}}}, ""},
		{args{}, ""},
		{args{A1: true}, "parameter 2: the server does not know it"},
		{args{A2: func() {}}, "parameter 3: the server does not know it"},
		{args{A0: &order{Items: []deep{full, {Opt: new(int64)}}}}, "parameter 1, order.Items[].Opt: the server does not know it"},
		{args{A0: &order{Next: &order{Items: []deep{{List: []int16{0}}}}}}, "parameter 1, order.Next.Items[].List: the server does not know it"},
		{args{A0: &order{ByKey: map[string]*deep{"a": {List: []int16{1}}}}}, ""},
		{args{A0: &order{ByKey: map[string]*deep{"a": {Opt: new(int64)}}}}, "parameter 1, order.ByKey[].Opt: the server does not know it"},
		{args{A0: &order{Two: [2]deep{{}, {In: struct{ X, Y []byte }{Y: []byte{0}}}}}}, "parameter 1, order.Two[].In: the server does not know it"},
	}
	for _, test := range tests {
		list := reflect.New(c.Type())
		for i := range 3 {
			list.Elem().Field(i).Set(reflect.ValueOf(test.v).Field(i))
		}
		var plain Encoder
		if err := c.Append(&plain, RefTo(list)); err != nil {
			t.Fatal(err)
		}
		for _, form := range executors(to) {
			e := Encoder{}
			err := form.Append(&e, RefTo(list))
			if test.want == "" && err == nil && bytes.Equal(e.Buf, plain.Buf) {
				continue
			}
			if fmt.Sprint(err) != test.want || len(e.Buf) > 0 {
				t.Errorf("%+v: %v, want %s", test.v, err, test.want)
			}
		}
	}
	if same := c.WriteListTo(c.Layouts(), "the server"); same != c {
		t.Error("a check for a peer that lacks nothing")
	}
	if same := compileType(t, reflect.TypeFor[order]()).WriteTo(layoutFrom(t, "{Items []{A int.le8; Opt *int.le8; List []int.le2; In {X bytes.le4; Y bytes.le4}}}"), "the server"); same.absent == nil {
		t.Error("no check for a peer that lacks fields")
	}
}

// hostileLayouts are texts of peers that are large, deep, recursive, or for values that
// announce much.
var hostileLayouts = []string{
	"[le8]string.2147483647", "[le8]bytes.2147483647", "[2147483647][2147483647]bool", "[2147483647][2147483647]string.le4", "[2147483647]{}",
	"[2147483647][2147483647]{}", "[le8]{A {}; B bool}", "[varint]varintless", "map[le8 varint]", "*^1", "**^2", "[le8]*^2", "[]^1", "[le8 le8]^1", "map[le8 bool]^1",
	"[le8][0]^2", "{A [1000000000]*^3}", "{A string.2147483647; B string.2147483647; C string.2147483647}", "[le8]{A string.2147483647; B [2147483647]bool}",
	strings.Repeat("*", 128) + "bool", strings.Repeat("[le8]", 128) + "bool", strings.Repeat("[2]", 128) + "bool", strings.Repeat("{A ", 128) + "bool" + strings.Repeat("}", 128),
	"[le8]{" + emptyFields("{}", 5000) + "Z uint.varint}", "[le8]{" + emptyFields("[0]string.le4", 5000) + "Z uint.varint}",
	"[2147483647][0]string.le4", "[2147483647][2147483647][0]string.le4", "[2147483647]{A [0]string.le4; B [0]*bool}", "{A [0]^1; B [2147483647][0]^1}",
	"[le8]" + strings.Repeat("{A ", 120) + "[1]uint.varint" + strings.Repeat("}", 120), "{A []{B [2]^3; C *^4}; D [][2]^3}", "[]{F {X [2]^3}; H *{G ^3}}",
}

// emptyFields returns n fields of a type without bytes.
func emptyFields(of string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "F%d %s; ", i, of)
	}
	return b.String()
}

// What takes no bytes takes no steps to drop, and a struct of one field takes none beside it.
func TestSkippingIsBoundedByBytes(t *testing.T) {
	c := compileType(t, reflect.TypeFor[struct{}]())
	for _, text := range []string{
		"[2147483647][2147483647][0]string.le4", "{A [2147483647]{B [0]*bool; C {}}}",
		"[le4]" + strings.Repeat("{A ", 120) + "[1]uint.varint" + strings.Repeat("}", 120),
	} {
		from, err := c.ReadFrom(layoutFrom(t, "{X "+text+"}"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range from.node.fields {
			s := f.node.skipped
			for s.kind == layout.Slice {
				s = s.parts[0]
			}
			if s.kind == layout.Struct || s.kind == layout.Array {
				t.Errorf("%.60s: elements of kind %d are left to skip", text, s.kind)
			}
		}
	}
}

// Hostile layouts are dropped in bounded time and memory, or refused by the parser.
func TestHostileLayouts(t *testing.T) {
	type own struct {
		A int8   `bsrpc:"optional"`
		S string `bsrpc:"optional"`
	}
	c := compileType(t, reflect.TypeFor[own]())
	ones := bytes.Repeat([]byte{1}, 4<<10)
	huge := binary.LittleEndian.AppendUint64(nil, 1<<62)
	for _, text := range hostileLayouts {
		l, err := layout.Parse("{X " + text + "; A int.le1; S string.le4}")
		if err != nil {
			continue
		}
		if got := compareValues(l, c.Layout(), false); got != nil {
			t.Fatalf("%.80s: %v", text, got)
		}
		from, err := c.ReadFrom(l)
		if err != nil {
			t.Fatalf("%.80s: %v", text, err)
		}
		for _, data := range [][]byte{ones, bytes.Repeat([]byte{0}, 4<<10), bytes.Repeat([]byte{0xff}, 4<<10), slices.Concat(huge, ones), slices.Concat(huge, huge, ones), nil} {
			used := allocated(func() {
				_, err = readBoth(t, from, c, Decoder{Data: data, Budget: 1 << 10})
			})
			if used > 1<<20 {
				t.Errorf("%.80s: %d bytes allocated", text, used)
			}
		}
	}
}

// A skipped field is read as its peer writes it, for random types.
func TestSkipRandom(t *testing.T) {
	c := compileType(t, reflect.TypeFor[struct {
		A uint8
		Z uint8
	}]())
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 17))
		typ := reflect.StructOf([]reflect.StructField{{Name: "A", Type: reflect.TypeFor[uint8]()}, {Name: "X", Type: randomType(r, 4)}, {Name: "Z", Type: reflect.TypeFor[uint8]()}})
		peer, err := Compile(typ, nil)
		if err != nil || peer.Standalone() != nil { // a word that must come last, or is not for calls
			continue
		}
		from, err := c.ReadFrom(reparsed(t, peer.Layout()))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		v := reflect.New(typ)
		fill(r, v.Elem(), 0)
		data, err := appendAll(t, peer, Encoder{}, v)
		if err != nil {
			t.Fatal(err)
		}
		got, err := readBoth(t, from, c, Decoder{Data: data})
		if err != nil || got.Elem().Field(0).Uint() != v.Elem().Field(0).Uint() || got.Elem().Field(1).Uint() != v.Elem().Field(2).Uint() {
			t.Fatalf("seed %d: %v: %x: %+v %v", seed, typ, data, got.Elem(), err)
		}
	}
}

// What Compare refuses, ReadFrom refuses or reads, but never panics.
func TestReadFromRefuses(t *testing.T) {
	type itself *itself
	for _, test := range []struct {
		own  any
		peer string
	}{
		{int64(0), "bool"}, {int64(0), "*int.le8"}, {uint64(0), "int.le8"}, {itself(nil), "bool"}, {[2]bool{}, "[3]bool"}, {[2]bool{}, "[]bool"},
		{struct{ A bool }{}, "{A time}"}, {map[string]bool{}, "map[bool]bool"}, {"", "bytes.le4"}, {[]*itself{}, "[]int.le4"},
	} {
		if c, err := compileType(t, reflect.TypeOf(test.own)).ReadFrom(layoutFrom(t, test.peer)); err == nil {
			t.Errorf("%T reads %s: %v", test.own, test.peer, c)
		}
	}
}

// The budget bounds what a translated value takes, as any other.
func TestTranslatedBudget(t *testing.T) {
	type wide struct {
		A    uint8
		Rest [4096]int64 `bsrpc:"optional"`
	}
	c := compileType(t, reflect.TypeFor[[]*wide]())
	from, err := c.ReadFrom(layoutFrom(t, "[le4]{A uint.le1}"))
	if err != nil {
		t.Fatal(err)
	}
	data := binary.LittleEndian.AppendUint32(nil, 1<<20)
	data = append(data, make([]byte, 1<<20)...)
	for _, form := range executors(from) {
		var v []*wide
		used := allocated(func() { err = form.Read(&Decoder{Data: data, Budget: 2 << 20}, RefTo(reflect.ValueOf(&v))) })
		if !errors.Is(err, ErrLimit) || used > 5<<20 {
			t.Errorf("%v, %d bytes allocated", err, used)
		}
	}
}

// translateShapes are own types of FuzzTranslate, with layouts of peers.
var translateShapes = []struct {
	own   reflect.Type
	peers []string
}{
	{reflect.TypeFor[orderNow](), []string{"{ID int.le2; Price int.be4}", "{Price int.varint; X [le1]{A *^3; B string.2}; ID uint.le3}"}},
	{reflect.TypeFor[[]orderNow](), []string{"[varint]{ID int.le2; Price int.be4; X bool}", "[]{Price int.le4; ID int.le8}"}},
	{reflect.TypeFor[nodeB](), []string{compileLayout[nodeA](), compileLayout[nodeC](), compileLayout[nodeB]()}},
	{reflect.TypeFor[leftB](), []string{compileLayout[leftA]()}},
	{reflect.TypeFor[sliceB](), []string{compileLayout[sliceA]()}},
	{reflect.TypeFor[map[string]*orderNow](), []string{"map[varint string.le4]{ID int.le1; Price int.le1; M map[bool]^2}"}},
	{reflect.TypeFor[struct {
		_ uint16   `bsrpc:"be2,const=0xB562"`
		A []uint32 `bsrpc:"bytes=le1"`
		B map[uint8]string
		_ int8   `bsrpc:"const=-1"`
		C uint64 `bsrpc:"le7"`
	}](), []string{"{_ uint.be2=46434; A [bytes=varint]uint.le3; _ int.le1=-1; X {_ uint.le8=1; A [bytes=be2]^3}; B map[bytes=le3 uint.le1]string.le4; C uint.be5}",
		"{X [bytes=le1]bool; _ uint.be2=46434; _ int.le1=-1; C uint.le1; B map[uint.le1]string.le1; A []uint.le1}"}},
	{reflect.TypeFor[struct {
		A [3]struct{}
		B *[]*string `bsrpc:"optional"`
		C complex128
		D **float64
	}](), []string{"{A [3]{X uint.varint}; C complex.be4; D float.le4; E time}", "{B [le1]string.3; C complex.le8; D **float.be8; A [3]{}}"}},
}

// compileLayout returns the text of the layout of T.
func compileLayout[T any]() string {
	c, err := Compile(reflect.TypeFor[T](), nil)
	if err != nil {
		panic(err)
	}
	return c.Layout().String()
}

// FuzzTranslate reads data as written by a peer with any layout that fits, as the reader of
// results. Both executors agree, and memory is bounded by the budget.
func FuzzTranslate(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for i, s := range translateShapes {
		for _, text := range s.peers {
			data := make([]byte, 64)
			for k := range data {
				data[k] = byte(r.IntN(3))
			}
			f.Add(uint8(i), text, data)
		}
	}
	for _, text := range hostileLayouts {
		f.Add(uint8(0), "{X "+text+"; ID int.le1; Price int.le1}", bytes.Repeat([]byte{1}, 64))
	}
	f.Fuzz(func(t *testing.T, shape uint8, text string, data []byte) {
		c := compileType(t, translateShapes[int(shape)%len(translateShapes)].own)
		l, err := layout.Parse(text)
		if err != nil {
			return
		}
		fits := compareValues(l, c.Layout(), false) == nil
		from, err := c.ReadFrom(l)
		if fits && err != nil {
			t.Fatalf("%s does not read %s: %v", c.Layout(), l, err)
		}
		if layout.Compare(&layout.Method{Params: []*layout.Type{c.Layout()}}, &layout.Method{Params: []*layout.Type{l}}) == nil {
			c.WriteTo(l, "the server")
		}
		if err != nil {
			return
		}
		const budget = 32 << 10
		used := allocated(func() { _ = from.Read(&Decoder{Data: data, Budget: budget}, RefTo(reflect.New(c.Type()))) })
		if used > 2*budget+64<<10 {
			t.Errorf("%s from %s: %d bytes allocated", c.Layout(), l, used)
		}
		_, _ = readBoth(t, from, c, Decoder{Data: data, Budget: budget})
		_, _ = readBoth(t, from, c, Decoder{Data: data, Budget: budget, Lenient: true})
	})
}

// FuzzVersions corrupts what a random version of a type writes, at offsets from data, and
// reads it as another version.
func FuzzVersions(f *testing.F) {
	f.Add(uint64(1), []byte{0, 0, 1})
	f.Fuzz(func(t *testing.T, seed uint64, data []byte) {
		m := pairMaker{rand.New(rand.NewPCG(seed, 18))}
		w, rd := m.structs(3)
		if m.one(2) {
			w, rd = rd, w
		}
		wc, rc := compileType(t, w.typ), compileType(t, rd.typ)
		wl := reparsed(t, wc.Layout())
		if compareValues(wl, rc.Layout(), false) != nil {
			return
		}
		from, err := rc.ReadFrom(wl)
		if err != nil {
			t.Fatal(err)
		}
		v := reflect.New(w.typ)
		w.randomOf(m.Rand, v.Elem(), 0)
		buf, err := appendAll(t, wc, Encoder{}, v)
		if err != nil {
			t.Fatal(err)
		}
		for ; len(data) >= 3 && len(buf) > 0; data = data[3:] {
			buf[int(binary.LittleEndian.Uint16(data))%len(buf)] ^= data[2]
		}
		_, _ = readBoth(t, from, rc, Decoder{Data: buf})
	})
}
