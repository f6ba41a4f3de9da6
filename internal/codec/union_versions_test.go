package codec

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bsrpc/bsrpc/layout"
)

type eventV1 struct {
	_     struct{} `bsrpc:"union"`
	Alarm *struct{ Level int32 }
	Note  *string
}

type eventV2 struct {
	_     struct{} `bsrpc:"union"`
	Note  *string
	Trace *struct {
		Points []int16
		Next   *eventV2
	} `bsrpc:"optional"`
	Alarm *struct {
		Text  string `bsrpc:"optional"`
		Level int64
	}
}

// Members are matched by name, and one that the reader lacks is read as none.
func TestUnionVersions(t *testing.T) {
	note := "n"
	alarm := eventV1{Alarm: &struct{ Level int32 }{7}}
	old, err := Compile(reflect.TypeFor[[]eventV1](), nil)
	if err != nil {
		t.Fatal(err)
	}
	young, err := Compile(reflect.TypeFor[[]eventV2](), nil)
	if err != nil {
		t.Fatal(err)
	}
	sent := []eventV2{{Note: &note}, {}, {}, {Note: &note}}
	sent[1].Trace = &struct {
		Points []int16
		Next   *eventV2
	}{[]int16{1, 2}, &eventV2{Note: &note}}
	sent[2].Alarm = &struct {
		Text  string `bsrpc:"optional"`
		Level int64
	}{"", 7}
	// Level is wider at the writer: only the reverse fits.
	m := func(l *layout.Type) *layout.Method { return &layout.Method{Params: []*layout.Type{l}} }
	if d := layout.Compare(m(young.Layout()), m(old.Layout())); len(d) == 0 {
		t.Error("a wider number fits")
	}
	if d := layout.Compare(m(old.Layout()), m(young.Layout())); len(d) > 0 {
		t.Error(d)
	}
	read, err := young.ReadFrom(old.Layout())
	if err != nil {
		t.Fatal(err)
	}
	in := []eventV1{alarm, {Note: &note}}
	buf, err := Encode(old, nil, RefTo(reflect.ValueOf(&in)))
	if err != nil {
		t.Fatal(err)
	}
	var out []eventV2
	if err := Decode(read, buf, RefTo(reflect.ValueOf(&out))); err != nil {
		t.Fatal(err)
	}
	want := []eventV2{{}, {Note: &note}}
	want[0].Alarm = sent[2].Alarm
	if diff := cmp.Diff(want, out, cmp.AllowUnexported(eventV2{})); diff != "" {
		t.Error(diff)
	}
}

type frameV1 struct {
	_  uint16 `bsrpc:"be2,const=0xB562"`
	ID uint8
	_  uint8 `bsrpc:"const=7"`
	N  int16
}

type frameV2 struct {
	N    int32
	_    uint16 `bsrpc:"be2,const=0xB562"`
	Note string `bsrpc:"optional"`
	_    uint8  `bsrpc:"const=7"`
	ID   uint8
}

// Constants have their place from the writer, and are checked there.
func TestConstantsOfVersions(t *testing.T) {
	v1, v2 := compileType(t, reflect.TypeFor[frameV1]()), compileType(t, reflect.TypeFor[frameV2]())
	m := func(l *layout.Type) *layout.Method { return &layout.Method{Params: []*layout.Type{l}} }
	if d := layout.Compare(m(v1.Layout()), m(v2.Layout())); len(d) > 0 {
		t.Error(d)
	}
	other := compileType(t, reflect.TypeFor[struct {
		_  uint16 `bsrpc:"be2,const=0xB563"`
		ID uint8
		_  uint8 `bsrpc:"const=7"`
		N  int16
	}]())
	if d := layout.Compare(m(v1.Layout()), m(other.Layout())); len(d) != 1 || d[0].String() != "parameter 1, frameV1._: client uint.be2=46434, uint.le1=7; server uint.be2=46435, uint.le1=7" {
		t.Errorf("another constant: %v", d)
	}
	read, err := v2.ReadFrom(v1.Layout())
	if err != nil {
		t.Fatal(err)
	}
	var got frameV2
	if err := Decode(read, []byte{0xB5, 0x62, 3, 7, 0xFE, 0xFF}, RefTo(reflect.ValueOf(&got))); err != nil || got.ID != 3 || got.N != -2 {
		t.Errorf("%+v, %v", got, err)
	}
	if err := Decode(read, []byte{0xB5, 0x62, 3, 8, 0xFE, 0xFF}, RefTo(reflect.ValueOf(&got))); err == nil {
		t.Error("another constant: no error")
	}
}
