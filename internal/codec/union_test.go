package codec

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc/internal/wire"
	"github.com/bsrpc/bsrpc/layout"
)

type (
	unionAlarm struct {
		Level uint8
		Text  string `bsrpc:"len=le1"`
	}
	unionEvent struct {
		_       struct{} `bsrpc:"union"`
		Alarm   *unionAlarm
		Reading *float32 `bsrpc:"be4,name=Value"`
		Ping    *struct{}
		Cached  *int `bsrpc:"-"`
		More    **unionEvent
		List    *[]unionEvent `bsrpc:"list,len=le1"`
	}
	recursiveUnion struct {
		_ struct{} `bsrpc:"union"`
		A *recursiveUnionPair
	}
	recursiveUnionPair struct{ Left, Right *recursiveUnion }
)

// Each line is a value and its encoding, or an error of both executors.
var unionValues = []struct {
	value any
	want  string // in hex, or an error
}{
	{unionEvent{Alarm: &unionAlarm{3, "hot"}}, "01 03 03686f74"},
	{unionEvent{Reading: ptrTo(float32(1))}, "02 3f800000"},
	{unionEvent{Ping: &struct{}{}}, "03"},
	{unionEvent{More: new(*unionEvent)}, "04 00"},
	{unionEvent{More: ptrTo(&unionEvent{Ping: &struct{}{}})}, "04 01 03"},
	{unionEvent{List: new([]unionEvent)}, "05 00"},
	{unionEvent{List: &[]unionEvent{{Ping: &struct{}{}}, {List: &[]unionEvent{{Alarm: &unionAlarm{}}}}}}, "05 02 03 05 01 01 0000"},
	{map[uint8]unionEvent{2: {Ping: &struct{}{}}}, "06000000 01000000 02 03"},
	{struct{ A, B unionEvent }{unionEvent{Ping: &struct{}{}}, unionEvent{List: new([]unionEvent)}}, "03 05 00"},
	{[2]*unionEvent{1: {Ping: &struct{}{}}}, "00 01 03"},
	{unionEvent{}, "unionEvent: no member of the union is set; set one"},
	{unionEvent{Cached: new(int)}, "unionEvent: no member of the union is set; set one"},
	{unionEvent{Ping: &struct{}{}, Reading: new(float32)}, "unionEvent: Reading and Ping are set, two members of a union; set one"},
	{[]unionEvent{{List: &[]unionEvent{{}}}}, "[]unionEvent.List[]: no member of the union is set; set one"},
	{unionEvent{Alarm: &unionAlarm{Text: strings.Repeat("a", 256)}}, "unionEvent.Alarm.Text: 256 bytes do not fit in a length of 1 byte"},
}

func TestUnionValues(t *testing.T) {
	for _, test := range unionValues {
		in := reflect.New(reflect.TypeOf(test.value))
		in.Elem().Set(reflect.ValueOf(test.value))
		c := compileType(t, in.Type().Elem())
		data, err := appendAll(t, c, Encoder{}, in)
		if err != nil {
			if err.Error() != test.want {
				t.Errorf("%+v: %v, want %s", test.value, err, test.want)
			}
			continue
		}
		if want := strings.ReplaceAll(test.want, " ", ""); hex.EncodeToString(data) != want {
			t.Errorf("%+v: %x, want %s", test.value, data, want)
		}
		out, err := readAll(t, c, Decoder{Data: data})
		if again, err2 := appendAll(t, c, Encoder{}, out); err != nil || err2 != nil || string(again) != string(data) {
			t.Errorf("%+v: %v, %v, %x want %x", test.value, err, err2, again, data)
		}
	}
}

func TestUnionReadErrors(t *testing.T) {
	c := compileType(t, reflect.TypeFor[[]unionEvent]())
	for _, test := range []struct{ elements, want string }{
		{"00", "[]unionEvent: want 1 to 5 for the member of a union, offset 8"},
		{"06", "[]unionEvent: want 1 to 5 for the member of a union, offset 8"},
		{"ff", "[]unionEvent: want 1 to 5 for the member of a union, offset 8"},
		{"05", "[]unionEvent.List: want 1 byte, have 0, offset 9"},
		{"01 03 03 6161", "[]unionEvent.Alarm.Text: want 3 bytes, have 2, offset 11"},
		{"04 02", "[]unionEvent.More: want 0 or 1 for the presence of a pointer's value, offset 9"},
		{"04 01", "[]unionEvent.More: want 1 byte, have 0, offset 10"},
		{"03 03", "[]unionEvent: 1 trailing byte after the elements, offset 9"},
	} {
		elements, err := hex.DecodeString(strings.ReplaceAll(test.elements, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		data := append([]byte{byte(4 + len(elements)), 0, 0, 0, 1, 0, 0, 0}, elements...)
		if _, err := readAll(t, c, Decoder{Data: data}); err == nil || err.Error() != test.want {
			t.Errorf("%s: %v, want %s", test.elements, err, test.want)
		}
	}
}

// Read sets all members but the one it reads to nil, and leaves skipped fields.
func TestUnionReadReplaces(t *testing.T) {
	for _, c := range executors(compileType(t, reflect.TypeFor[unionEvent]())) {
		kept := &unionAlarm{1, "a"}
		v := unionEvent{Alarm: kept, Reading: new(float32), Cached: ptrTo(7)}
		if err := c.Read(&Decoder{Data: []byte("\x01\x02\x00")}, RefTo(reflect.ValueOf(&v))); err != nil {
			t.Fatal(err)
		}
		if v.Reading != nil || v.Alarm == kept || v.Alarm.Level != 2 || *kept != (unionAlarm{1, "a"}) || *v.Cached != 7 {
			t.Errorf("got %+v, %+v", v, *v.Alarm)
		}
		if err := c.Read(&Decoder{Data: []byte{9}}, RefTo(reflect.ValueOf(&v))); err == nil || v.Alarm != nil {
			t.Errorf("%v, %+v", err, v)
		}
	}
}

// The targets of members count as levels, and in the budget, as those of pointers do.
func TestUnionLimits(t *testing.T) {
	c := compileType(t, reflect.TypeFor[expr]())
	nested := func(n int) *expr {
		e := &expr{Val: new(int32)}
		for range n {
			e = &expr{Not: e}
		}
		return e
	}
	for _, test := range []struct{ length, depth, fits int }{{63, 0, 63}, {64, 0, 63}, {3, 4, 3}, {4, 4, 3}, {500, -1, 1 << 30}} {
		in := reflect.ValueOf(nested(test.length))
		_, err := appendAll(t, c, Encoder{Depth: test.depth}, in)
		if ok := err == nil; ok != (test.length <= test.fits) || !ok && !errors.Is(err, ErrLimit) {
			t.Errorf("appending %d with depth %d: %v", test.length, test.depth, err)
		}
		data, _ := appendAll(t, c, Encoder{Depth: -1}, in)
		_, err = readAllDeep(t, c, Decoder{Data: data, Depth: test.depth})
		if ok := err == nil; ok != (test.length <= test.fits) || !ok && !errors.Is(err, ErrLimit) {
			t.Errorf("reading %d with depth %d: %v", test.length, test.depth, err)
		}
	}
	cyclic := &expr{}
	cyclic.Not = cyclic
	if _, err := appendAll(t, c, Encoder{}, reflect.ValueOf(cyclic)); !errors.Is(err, ErrLimit) {
		t.Errorf("cyclic: %v", err)
	}
	shared := &expr{Val: new(int32)}
	for range 60 {
		shared = &expr{Pair: &[2]expr{*shared, *shared}}
	}
	if _, err := appendAll(t, c, Encoder{Max: 10_000}, reflect.ValueOf(shared)); !errors.Is(err, ErrLimit) || !strings.HasSuffix(err.Error(), ": too long") {
		t.Errorf("shared: %.200v", err)
	}
	data, _ := appendAll(t, c, Encoder{}, reflect.ValueOf(nested(2)))
	size := 2*int64(reflect.TypeFor[expr]().Size()) + 4
	if _, err := readAll(t, c, Decoder{Data: data, Budget: size}); err != nil {
		t.Error(err)
	}
	if _, err := readAll(t, c, Decoder{Data: data, Budget: size - 1}); !errors.Is(err, ErrLimit) || !strings.HasPrefix(err.Error(), "expr.Not.Not: ") {
		t.Errorf("budget: %v", err)
	}
	checkMax(t, &[]unionEvent{{Alarm: &unionAlarm{3, "hot"}}, {Ping: &struct{}{}}, {List: &[]unionEvent{{Ping: &struct{}{}}}}})
}

// The memory of a Read stays within MaxPerByte, for unions of all sizes.
func TestUnionMemory(t *testing.T) {
	for _, typ := range []reflect.Type{reflect.TypeFor[[]expr](), reflect.TypeFor[[]unionEvent](), reflect.TypeFor[recursiveUnion](), reflect.TypeFor[map[uint8]recursiveUnion]()} {
		c := compileType(t, typ)
		r := rand.New(rand.NewPCG(1, 5))
		for range 200 {
			in, out := reflect.New(typ), reflect.New(typ)
			fill(r, in.Elem(), 0)
			data, err := appendAll(t, c, Encoder{}, in)
			if err != nil {
				t.Fatal(err)
			}
			used := allocated(func() { err = c.Read(&Decoder{Data: data}, RefTo(out)) })
			if most := uint64(c.MaxPerByte()*len(data) + 4<<10); err != nil || used > most {
				t.Errorf("%s: %v, %d bytes allocate %d, more than %d", c.Layout(), err, len(data), used, most)
			}
		}
	}
}

type (
	endless struct {
		_ struct{} `bsrpc:"union"`
		A *endless
	}
	endlessPair struct {
		_ struct{} `bsrpc:"union"`
		A *[2]endlessPair
		B *struct {
			X int
			Y endlessOther
		}
	}
	endlessOther struct {
		_ struct{} `bsrpc:"union"`
		A *endlessPair
		B *endlessOther
	}
	ends struct {
		_ struct{} `bsrpc:"union"`
		A *[2]endsOther
		B *ends
	}
	endsOther struct {
		_ struct{} `bsrpc:"union"`
		A *ends
		B *struct {
			X endsOther
			Y endsLast
		}
		C *struct{ X, Y endsLast }
	}
	endsLast struct {
		_ struct{} `bsrpc:"union"`
		A *ends
		B *[0]endsLast
	}
)

// A union is refused if every value of it would contain another one, and its layout is, too.
func TestUnionInfinite(t *testing.T) {
	const text = " is infinite, as each member contains another one; add a member without, or make one a slice"
	for _, test := range []struct {
		typ  reflect.Type
		want string
	}{
		{reflect.TypeFor[ends](), ""},
		{reflect.TypeFor[endsOther](), ""},
		{reflect.TypeFor[endsLast](), ""},
		{reflect.TypeFor[recursiveUnion](), ""},
		{reflect.TypeFor[endless](), "endless: a value of codec.endless" + text},
		{reflect.TypeFor[[]struct{ E *endless }](), "[].E: a value of codec.endless" + text},
		{reflect.TypeFor[endlessPair](), "endlessPair.B.Y: a value of codec.endlessOther" + text + "\nendlessPair: a value of codec.endlessPair" + text},
	} {
		c, err := Compile(test.typ, nil)
		if test.want == "" {
			if err != nil || !reparses(c.Layout().String()) {
				t.Errorf("%v: %v", test.typ, err)
			}
		} else if fmt.Sprint(err) != test.want {
			t.Errorf("%v: %v, want %s", test.typ, err, test.want)
		}
	}
}

func TestUnionAs(t *testing.T) {
	type wide struct {
		List  *[]wide `bsrpc:"le2"` // the format is that of the layout
		Value *float64
		Alarm **struct {
			Text  string
			Level int
		}
		_    struct{} `bsrpc:"union"`
		Ping *struct{}
		More ***wide
	}
	l := compileType(t, reflect.TypeFor[unionEvent]()).Layout()
	c, err := CompileAs(reflect.TypeFor[wide](), l)
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{"010303686f74", "023f800000", "03", "0400", "040103", "050203050103"} {
		b, err := hex.DecodeString(data)
		if err != nil {
			t.Fatal(err)
		}
		v, err := readAll(t, c, Decoder{Data: b})
		if again, err2 := appendAll(t, c, Encoder{}, v); err != nil || err2 != nil || string(again) != string(b) {
			t.Errorf("%s: %v, %v, %x", data, err, err2, again)
		}
	}
	plain, err := layout.Parse("{A *bool}")
	if err != nil {
		t.Fatal(err)
	}
	few, err := layout.Parse("<A bool; B string.le4>")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		v    any
		l    *layout.Type
		want string
	}{
		{struct{ A *bool }{}, few, "struct { A *bool } does not fit <A bool; B string.le4>"},
		{unionEvent{}, plain, "unionEvent: codec.unionEvent does not fit {A *bool}"},
		{struct {
			_ struct{} `bsrpc:"union"`
			A bool
			C *bool
		}{}, few, "A: the members of a union are pointers; declare it as *bool\n" +
			`struct { _ struct {} "bsrpc:\"union\""; A bool; C *bool } has no field B, required by the wire format` + "\nC: not a field of the wire format"},
	} {
		if _, err := CompileAs(reflect.TypeOf(test.v), test.l); fmt.Sprint(err) != test.want {
			t.Errorf("%T: %v\nwant %s", test.v, err, test.want)
		}
	}
}

// A union has up to 255 members, as many as numbers.
func TestUnionSize(t *testing.T) {
	fields := []reflect.StructField{{Name: "_", PkgPath: "codec", Type: reflect.TypeFor[struct{}](), Tag: `bsrpc:"union"`}}
	for i := range 255 {
		fields = append(fields, reflect.StructField{Name: fmt.Sprint("M", i), Type: reflect.TypeFor[*bool]()})
	}
	c := compileType(t, reflect.StructOf(fields))
	in := reflect.New(c.Type())
	in.Elem().Field(255).Set(reflect.ValueOf(new(bool)))
	if data, err := appendAll(t, c, Encoder{Body: wire.Body{}}, in); err != nil || string(data) != "\xff\x00" || !reparses(c.Layout().String()) {
		t.Errorf("%x, %v", data, err)
	}
	fields = append(fields, reflect.StructField{Name: "M255", Type: reflect.TypeFor[*bool]()})
	if _, err := Compile(reflect.StructOf(fields), nil); err == nil || !strings.HasSuffix(err.Error(), "has 256 members; a union has at most 255") {
		t.Errorf("%.100v", err)
	}
}
