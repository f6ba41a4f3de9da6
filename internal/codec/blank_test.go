package codec

import (
	"reflect"
	"testing"
)

type magic struct {
	_ uint16 `bsrpc:"be2,const=0xB562"`
	A uint8
}

// Padding is read whatever it is, and a struct keeps what its blank fields hold in memory.
func TestReadPadding(t *testing.T) {
	type noisy struct {
		A uint16
		_ [6]byte `bsrpc:"pad"`
		B *struct {
			_ float32 `bsrpc:"pad"`
			C uint8
		}
	}
	c := compileType(t, reflect.TypeFor[noisy]())
	v, err := readAll(t, c, Decoder{Data: []byte{1, 0, 9, 8, 7, 6, 5, 4, 1, 3, 2, 1, 0, 5}})
	if err != nil {
		t.Fatal(err)
	}
	if got := v.Interface().(*noisy); got.A != 1 || got.B.C != 5 {
		t.Errorf("%+v", got)
	}
	if c.Min() != 9 {
		t.Errorf("at least %d bytes", c.Min())
	}
	if err := c.Read(&Decoder{Data: []byte{1, 0, 9, 8, 7, 6, 5, 4, 1, 3, 2, 1, 0, 5}, Budget: 7}, RefTo(reflect.New(c.Type()))); err == nil {
		t.Error("no budget")
	}
	var e Encoder
	e.Max = 8
	if err := c.Append(&e, RefTo(v)); err == nil {
		t.Errorf("%d bytes, at most 8", len(e.Buf))
	}
}

// Padding cannot be longer than any value.
func TestHugePadding(t *testing.T) {
	_, err := Compile(reflect.TypeFor[struct {
		_ [1 << 15][1 << 15]byte `bsrpc:"pad"`
	}](), nil)
	if err == nil || err.Error() != "every value takes at least 1 GiB; use a slice" {
		t.Error(err)
	}
}
