//go:build !bsrpc_safe

package codec

import (
	"testing"
	"unsafe"
)

func TestFastAgrees(t *testing.T) {
	if !agree() {
		t.Fatal("the fast executor is not in use")
	}
}

// RefAt takes addresses that reflection never saw.
func TestRefAt(t *testing.T) {
	in, out := small, benchSmall{}
	c := mustCompile[benchSmall](t)
	var e Encoder
	if err := c.Append(&e, RefAt(unsafe.Pointer(in))); err != nil {
		t.Fatal(err)
	}
	if err := c.Read(&Decoder{Data: e.Buf}, RefAt(unsafe.Pointer(&out))); err != nil || out != *in {
		t.Error(err, out)
	}
}

// Strings that end a block, and blocks that end a buffer, stay inside of them.
func TestRunStringsAtTheEdge(t *testing.T) {
	c := mustCompile[[]benchItem](t)
	for size := range 40 {
		list := make([]benchItem, 60)
		for i := range list {
			list[i].Name = "0123456789012345678901234567890123456789"[:size]
		}
		want := appendItems(nil, list)
		for room := range 80 {
			e := Encoder{Buf: make([]byte, 0, room)}
			if err := c.Append(&e, RefAt(unsafe.Pointer(&list))); err != nil || string(e.Buf) != string(want) {
				t.Fatalf("size %d, room %d: %v", size, room, err)
			}
		}
		out := make([]byte, len(want))
		copy(out, want)
		var back []benchItem
		if err := c.Read(&Decoder{Data: out}, RefAt(unsafe.Pointer(&back))); err != nil || len(back) != 60 || back[59] != list[59] {
			t.Fatalf("size %d: %v", size, err)
		}
	}
}
