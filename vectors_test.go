package bsrpc_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"reflect"
	"strconv"
	"testing"

	"github.com/bsrpc/bsrpc/internal/codec"
)

// vectorTypes are the types named in testdata/basic_socket_rpc.json.
var vectorTypes = map[string]reflect.Type{
	"uint8": reflect.TypeFor[uint8](), "uint16": reflect.TypeFor[uint16](), "uint32": reflect.TypeFor[uint32](),
	"uint64": reflect.TypeFor[uint64](), "bool": reflect.TypeFor[bool](), "string": reflect.TypeFor[string](),
	"[]byte": reflect.TypeFor[[]byte](), "[3]uint32": reflect.TypeFor[[3]uint32](), "[]uint32": reflect.TypeFor[[]uint32](),
	"[]uint16": reflect.TypeFor[[]uint16](), "[]string": reflect.TypeFor[[]string](), "[][]uint32": reflect.TypeFor[[][]uint32](),
	"struct{A uint32;B uint16}": reflect.TypeFor[struct {
		A uint32
		B uint16
	}](),
	"struct{A []uint32;B string}": reflect.TypeFor[struct {
		A []uint32
		B string
	}](),
	"struct{A uint16;B [3]uint32;C []uint32}": reflect.TypeFor[struct {
		A uint16
		B [3]uint32
		C []uint32
	}](),
}

// Every value recorded from basic-socket-rpc is encoded to the recorded bytes, and
// decoded from them.
func TestBasicVectors(t *testing.T) {
	text, err := os.ReadFile("testdata/basic_socket_rpc.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Values []struct {
			Name  string
			Type  string `json:"go_type"`
			Value json.RawMessage
			Hex   string
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	for _, vector := range file.Values {
		typ := vectorTypes[vector.Type]
		if typ == nil {
			t.Errorf("%s: type %s is not known to this test", vector.Name, vector.Type)
			continue
		}
		want := reflect.New(typ)
		setVector(t, want.Elem(), vector.Value)
		checkVector(t, vector.Name, want, vector.Hex)
	}
}

// setVector sets v to a recorded value: numbers alone are text, bytes hex,
// structs lists.
func setVector(t *testing.T, v reflect.Value, value json.RawMessage) {
	t.Helper()
	var text string
	var list []json.RawMessage
	var err error
	switch {
	case v.Kind() == reflect.Struct:
		if err = json.Unmarshal(value, &list); err == nil {
			for i, part := range list {
				setVector(t, v.Field(i), part)
			}
		}
	case v.Type() == reflect.TypeFor[[]byte]():
		if err = json.Unmarshal(value, &text); err == nil && text != "" {
			var b []byte
			b, err = hex.DecodeString(text)
			v.SetBytes(b)
		}
	case v.CanUint() && value[0] == '"':
		if err = json.Unmarshal(value, &text); err == nil {
			var u uint64
			u, err = strconv.ParseUint(text, 10, 64)
			v.SetUint(u)
		}
	default:
		err = json.Unmarshal(value, v.Addr().Interface())
	}
	if err != nil {
		t.Fatal(err)
	}
	dropEmpty(v)
}

// dropEmpty makes empty slices nil, as they are read.
func dropEmpty(v reflect.Value) {
	if v.Kind() != reflect.Slice {
		return
	}
	if v.Len() == 0 {
		v.SetZero()
	}
	for i := range v.Len() {
		dropEmpty(v.Index(i))
	}
}

func checkVector(t *testing.T, name string, want reflect.Value, text string) {
	c, err := codec.Compile(want.Type().Elem(), nil)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for _, lenient := range []bool{false, true} {
		e := codec.Encoder{Lenient: lenient}
		if err := c.Append(&e, codec.RefTo(want)); err != nil || hex.EncodeToString(e.Buf) != text {
			t.Errorf("%s: %v, %x, want %s", name, err, e.Buf, text)
		}
		data, _ := hex.DecodeString(text)
		got := reflect.New(want.Type().Elem())
		d := codec.Decoder{Data: data, Lenient: lenient}
		if err := c.Read(&d, codec.RefTo(got)); err != nil || !reflect.DeepEqual(got.Interface(), want.Interface()) {
			t.Errorf("%s: %v, %v, want %v", name, err, got.Elem(), want.Elem())
		}
	}
}
