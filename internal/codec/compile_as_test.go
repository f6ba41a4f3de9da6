package codec

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc/layout"
)

// Each row is a value, its layout, and the encoding or error.
var asTests = []struct {
	value  any
	layout string
	want   string // in hex, or an error
}{
	{5, "uint.le4", "05000000"},
	{-5, "uint.le4", "negative, but the wire format is unsigned"},
	{uint8(200), "int.le1", "does not fit in 1 byte"},
	{uint64(1 << 63), "int.le8", "does not fit in a signed number of 8 bytes"},
	{uint16(200), "int.varint", "9003"},
	{int64(3), "uint.varint", "03"},
	{uint16(200), "int.uvarint", "c801"},
	{uint64(1 << 63), "int.uvarint", "does not fit in a signed number of 8 bytes"},
	{int16(-2), "int.be3", "fffffe"},
	{uint32(1 << 23), "int.le3", "does not fit in 3 bytes"},
	{int8(3), "int.be8", "0000000000000003"},
	{int32(7), "duration", "0700000000000000"},
	{time.Duration(7), "int.le2", "0700"},
	{1.5, "float.le4", "0000c03f"},
	{0.1, "float.le4", "does not fit in a float of 4 bytes"},
	{float32(1.5), "float.be8", "3ff8000000000000"},
	{complex(1, 2), "complex.le4", "0000803f00000040"},
	{complex64(1), "complex.le8", "000000000000f03f0000000000000000"},
	{"ab", "string.le1", "026162"},
	{"ab", "string.3", "616200"},
	{"abcd", "string.3", "4 bytes exceed fixed=3"},
	{[]byte("ab"), "bytes.varint", "026162"},
	{[]byte("ab"), "[le1]uint.le2", "0261006200"},
	{[]int{1, 2}, "[]uint.le1", "06000000020000000102"},
	{[]int{1, 300}, "[]uint.le1", "[]int: does not fit in 1 byte"},
	{[2]uint{1, 2}, "[2]int.le2", "01000200"},
	{struct{ B, A int }{2, 1}, "{A uint.le1; B uint.le1}", "0102"},
	{struct {
		X int `bsrpc:"name=A"`
		Y int `bsrpc:"-"`
	}{1, 2}, "{A uint.le1}", "01"},
	{&struct{ A *int }{}, "*{A *int.le1}", "0100"},
	{ptrTo(5), "uint.le1", "05"},
	{(*int)(nil), "uint.le1", "nil pointer, but the wire format requires a value"},
	{link{1, &link{2, nil}}, "{Val uint.le2; Next *^2}", "0100010200" + "00"},
	{struct{ A int }{1}, "{_ uint.be2=46434; A uint.le1; _ int.varint=-2; _ pad.2}", "b56201030000"},
	{struct{}{}, "{_ int.le3=-2}", "feffff"},
	{magic{A: 1}, "{A uint.le1; _ uint.le1=9}", "0109"},
	{time.Unix(1, 0).UTC(), "time", "010000000000000000000000"},
	{netip4, "binary(netip.Addr)", "0400000001020304"},
	{netip4, "text(netip.Addr)", "07000000312e322e332e34"},
}

func TestCompileAs(t *testing.T) {
	for _, test := range asTests {
		l, err := layout.Parse(test.layout)
		if err != nil {
			t.Fatal(err)
		}
		typ := reflect.TypeOf(test.value)
		c, err := CompileAs(typ, l)
		if err != nil {
			t.Errorf("%v as %s: %v", typ, test.layout, err)
			continue
		}
		if got := c.Layout().String(); got != test.layout {
			t.Errorf("%v as %s has the layout %s", typ, test.layout, got)
		}
		in := reflect.New(typ)
		in.Elem().Set(reflect.ValueOf(test.value))
		data, err := appendAll(t, c, Encoder{}, in)
		if err != nil || hex.EncodeToString(data) != test.want {
			if fmt.Sprint(err) != test.want {
				t.Errorf("%v as %s: %x, %v, want %s", typ, test.layout, data, err, test.want)
			}
			continue
		}
		out, err := readAll(t, c, Decoder{Data: data})
		if again, err2 := appendAll(t, c, Encoder{}, out); err != nil || err2 != nil || string(again) != string(data) {
			t.Errorf("%v as %s: %v, %v, %x want %x", typ, test.layout, err, err2, again, data)
		}
	}
}

// Read refuses values out of range for the Go type.
func TestCompileAsReadErrors(t *testing.T) {
	for _, test := range []struct {
		typ          reflect.Type
		layout, data string
		want         string
	}{
		{reflect.TypeFor[uint8](), "int.le2", "\xff\xff", "does not fit in uint8 of 8 bits, offset 0"},
		{reflect.TypeFor[int8](), "uint.le1", "\x80", "does not fit in int8 of 8 bits, offset 0"},
		{reflect.TypeFor[int64](), "uint.le8", "\x00\x00\x00\x00\x00\x00\x00\x80", "does not fit in int64 of 64 bits, offset 0"},
		{reflect.TypeFor[float32](), "float.le8", "\x9a\x99\x99\x99\x99\x99\xb9\x3f", "does not fit in float32 of 32 bits, offset 0"},
		{reflect.TypeFor[*uint8](), "uint.le2", "\x00\x01", "does not fit in uint8 of 8 bits, offset 0"},
	} {
		l, err := layout.Parse(test.layout)
		if err != nil {
			t.Fatal(err)
		}
		c, err := CompileAs(test.typ, l)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := readAll(t, c, Decoder{Data: []byte(test.data)}); fmt.Sprint(err) != test.want {
			t.Errorf("%v as %s: %v, want %s", test.typ, test.layout, err, test.want)
		}
	}
}

// The problem of a type incompatible with a layout names both.
func TestCompileListAsProblems(t *testing.T) {
	var types []reflect.Type
	var layouts []*layout.Type
	var want []string
	for _, test := range []struct {
		value        any
		layout, want string
	}{
		{true, "uint.le4", "parameter 1: bool does not fit uint.le4"},
		{[3]int{}, "[2]int.le4", "parameter 2, [3]int: [3]int does not fit [2]int.le4"},
		{[]string{}, "[]int.le4", "parameter 3, []string: string does not fit int.le4"},
		{struct{ A, C int }{}, "{A int.le4; B int.le4}", "parameter 4: struct { A int; C int } has no field B, required by the wire format\nparameter 4, C: not a field of the wire format"},
		{netip4, "binary(url.URL)", "parameter 5, Addr: netip.Addr does not fit binary(url.URL)"},
		{make(chan int), "bool", "parameter 6: chan int does not fit bool"},
		{link{}, "{Val bool; Next *^2}", "parameter 7, link.Val: uint8 does not fit bool"},
		{1, "*int.le4", "parameter 8: int does not fit *int.le4"},
		{[]struct{}{}, "[]{}", "parameter 9, []: elements take no bytes on the wire"},
		{time.Time{}, "int.le8", "parameter 10, Time: time.Time does not fit int.le8"},
	} {
		l, err := layout.Parse(test.layout)
		if err != nil {
			l = &layout.Type{Kind: layout.Slice, Format: layout.LE4, Bytes: layout.LE4, Elem: &layout.Type{Kind: layout.Struct}}
		}
		types, layouts, want = append(types, reflect.TypeOf(test.value)), append(layouts, l), append(want, test.want)
	}
	_, err := CompileListAs("parameter", types, layouts)
	got := strings.Split(fmt.Sprint(err), "\n")
	for _, line := range strings.Split(strings.Join(want, "\n"), "\n") {
		found := false
		for _, g := range got {
			found = found || g == line
		}
		if !found {
			t.Errorf("want %s", line)
		}
	}
	if t.Failed() || len(got) != 11 {
		t.Errorf("got\n%v", err)
	}
}

var netip4 = netip.MustParseAddr("1.2.3.4")
