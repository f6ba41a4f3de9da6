//go:build !race

package codec

import (
	"reflect"
	"strings"
	"testing"
)

// Encoding a simple struct into a nil buffer allocates the buffer only, once.
func TestEncodeAllocations(t *testing.T) {
	type texts struct {
		Head [64]byte
		A    int64
		B, C string
	}
	w := texts{A: 1, B: strings.Repeat("long ", 100), C: "short"}
	c := compileType(t, reflect.TypeFor[texts]())
	ref := RefTo(reflect.ValueOf(&w))
	if allocs := testing.AllocsPerRun(100, func() {
		if b, err := Encode(c, nil, ref); err != nil || len(b) != 64+8+4+500+4+5 {
			t.Fatal(len(b), err)
		}
	}); allocs > 1 && c.useFast {
		t.Errorf("%v allocations, want 1", allocs)
	}
}
