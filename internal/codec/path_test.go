package codec

import (
	"reflect"
	"strings"
	"testing"
)

// Types with long paths: by field names, elements, and nested structs.
type (
	deepPointer struct {
		TheLeftOne *deepPointer
		N          uint8
	}
	deepSlice  struct{ Kids []deepSlice }
	deepInline struct {
		In struct{ Mid struct{ Next *deepInline } }
	}
)

// Paths in errors are short at any depth, for cyclic values and for input of a
// peer.
func TestLongPathsAreElided(t *testing.T) {
	d := &deepPointer{}
	d.TheLeftOne = d
	b := deepSlice{make([]deepSlice, 1)}
	b.Kids[0] = b
	o := &deepInline{}
	o.In.Mid.Next = o
	tooDeep := "nested deeper than MaxDepth (64), or the value is cyclic"
	for _, test := range []struct {
		v    any
		want string
	}{
		{d, "deepPointer.TheLeftOne.TheLeftOne.TheLeftOne.TheLeftOne...(59 more).TheLeftOne.TheLeftOne: " + tooDeep},
		{&b, "deepSlice.Kids[].Kids[]...(123 more)[].Kids: " + tooDeep},
		{o, "deepInline.In.Mid.Next.In...(189 more).Mid.Next: " + tooDeep},
	} {
		c := compileType(t, reflect.TypeOf(test.v).Elem())
		if _, err := appendAll(t, c, Encoder{}, reflect.ValueOf(test.v)); err == nil || err.Error() != test.want {
			t.Errorf("%T: %v\nwant %s", test.v, err, test.want)
		}
	}
	for _, test := range []struct {
		depth int
		data  string
		want  string
	}{
		{64, strings.Repeat("\x01", 65), "deepPointer.TheLeftOne.TheLeftOne.TheLeftOne.TheLeftOne...(59 more).TheLeftOne.TheLeftOne: nested deeper than MaxDepth (64), offset 65"},
		{10_000, strings.Repeat("\x01", 9000), "deepPointer.TheLeftOne.TheLeftOne.TheLeftOne.TheLeftOne...(8995 more).TheLeftOne.TheLeftOne: want 1 byte, have 0, offset 9000"},
		{64, strings.Repeat("\x01", 15) + "\x02", "deepPointer" + strings.Repeat(".TheLeftOne", 16) + ": want 0 or 1 for the presence of a pointer's value, offset 15"},
	} {
		if _, err := readAllDeep(t, compileType(t, reflect.TypeFor[deepPointer]()), Decoder{Data: []byte(test.data), Depth: test.depth}); err == nil || err.Error() != test.want {
			t.Errorf("%d bytes: %v\nwant %s", len(test.data), err, test.want)
		}
	}
}
