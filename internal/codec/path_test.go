package codec

import (
	"reflect"
	"strings"
	"testing"
)

// deepLeft is long by its field's name, bough by elements in between.
type (
	deepLeft struct {
		TheLeftOne *deepLeft
		N          uint8
	}
	bough   struct{ Kids []bough }
	nested3 struct {
		In struct{ Mid struct{ Next *nested3 } }
	}
)

// The path of an error is short however deep its place is, whether a value
// that holds itself makes it or a peer's bytes do.
func TestLongPathsAreCut(t *testing.T) {
	d := &deepLeft{}
	d.TheLeftOne = d
	b := bough{make([]bough, 1)}
	b.Kids[0] = b
	o := &nested3{}
	o.In.Mid.Next = o
	tooDeep := "nested deeper than MaxDepth (64), or the value holds itself"
	for _, test := range []struct {
		v    any
		want string
	}{
		{d, "deepLeft.TheLeftOne.TheLeftOne.TheLeftOne.TheLeftOne...(59 more).TheLeftOne.TheLeftOne: " + tooDeep},
		{&b, "bough.Kids[].Kids[]...(123 more)[].Kids: " + tooDeep},
		{o, "nested3.In.Mid.Next.In...(189 more).Mid.Next: " + tooDeep},
	} {
		c := compiled(t, reflect.TypeOf(test.v).Elem())
		if _, err := appendAll(t, c, Encoder{}, reflect.ValueOf(test.v)); err == nil || err.Error() != test.want {
			t.Errorf("%T: %v\nwant %s", test.v, err, test.want)
		}
	}
	for _, test := range []struct {
		depth int
		data  string
		want  string
	}{
		{64, strings.Repeat("\x01", 65), "deepLeft.TheLeftOne.TheLeftOne.TheLeftOne.TheLeftOne...(59 more).TheLeftOne.TheLeftOne: nested deeper than MaxDepth (64), offset 65"},
		{10_000, strings.Repeat("\x01", 9000), "deepLeft.TheLeftOne.TheLeftOne.TheLeftOne.TheLeftOne...(8995 more).TheLeftOne.TheLeftOne: want 1 byte, have 0, offset 9000"},
		{64, strings.Repeat("\x01", 15) + "\x02", "deepLeft" + strings.Repeat(".TheLeftOne", 16) + ": want 0 or 1 for the presence of a pointer's value, offset 15"},
	} {
		if _, err := readAllDeep(t, compiled(t, reflect.TypeFor[deepLeft]()), Decoder{Data: []byte(test.data), Depth: test.depth}); err == nil || err.Error() != test.want {
			t.Errorf("%d bytes: %v\nwant %s", len(test.data), err, test.want)
		}
	}
}
