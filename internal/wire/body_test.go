package wire

import (
	"bytes"
	"slices"
	"testing"
)

// All views of a body agree on its bytes.
func TestBody(t *testing.T) {
	long := []byte("LONG")
	for _, tt := range []struct {
		body Body
		want string
	}{
		{Body{}, ""},
		{Body{Buf: []byte("abc")}, "abc"},
		{Body{Buf: []byte("abc"), Cuts: []Cut{{0, long}}}, "LONGabc"},
		{Body{Buf: []byte("abc"), Cuts: []Cut{{1, long}, {1, long}, {3, long}}}, "aLONGLONGbcLONG"},
		{Body{Cuts: []Cut{{0, long}}}, "LONG"},
	} {
		if got := AppendBody([]byte("x"), &tt.body); string(got) != "x"+tt.want {
			t.Errorf("AppendBody: got %q, want %q", got, "x"+tt.want)
		}
		if got := bytes.Join(Segments(&tt.body), nil); string(got) != tt.want {
			t.Errorf("Segments: got %q, want %q", got, tt.want)
		}
		if slices.ContainsFunc(Segments(&tt.body), func(b []byte) bool { return len(b) == 0 }) {
			t.Errorf("Segments of %q: one is empty", tt.want)
		}
		if got := tt.body.Size(); got != uint64(len(tt.want)) {
			t.Errorf("Size: got %d, want %d", got, len(tt.want))
		}
	}
}
