package codec

import (
	"reflect"
	"testing"
)

func TestSmoke(t *testing.T) {
	type Item struct {
		ID    int64
		Names []string
		M     map[string]float32
		P     *Item
	}
	c, err := Compile(reflect.TypeFor[Item](), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(c.Layout(), c.MaxPerByte())
	in := Item{1, []string{"a", "bc"}, map[string]float32{"x": 1, "a": 2}, &Item{ID: 5}}
	e := Encoder{}
	if err := c.Append(&e, RefTo(reflect.ValueOf(&in))); err != nil {
		t.Fatal(err)
	}
	var out Item
	d := Decoder{Data: e.Buf}
	if err := c.Read(&d, RefTo(reflect.ValueOf(&out))); err != nil {
		t.Fatal(err)
	}
	in.P.M = map[string]float32{}
	if !reflect.DeepEqual(in, out) {
		t.Fatalf("%+v", out)
	}
	_, err = CompileList("parameter", []reflect.Type{reflect.TypeFor[Item](), reflect.TypeFor[chan int](), reflect.TypeFor[[]struct{}]()}, nil)
	t.Log(err)
}
