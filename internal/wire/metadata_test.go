package wire

import (
	"slices"
	"testing"
)

func TestMetadata(t *testing.T) {
	const want = "\x06\x00\x10\x00\x00\x00" + "\x07\x00\x00\x00\x00\x00\x00\x00" + "\x08\x01\x00\x00\x00\x00\x00\x00"
	if got := AppendWithin(nil, []uint64{7, 0x108}); string(got) != want {
		t.Errorf("got  %x\nwant %x", got, want)
	}
	within, err := ReadMetadata([]byte(fieldUnknown + want))
	if !slices.Equal(within, []uint64{7, 0x108}) || err != nil {
		t.Errorf("read %v, %v", within, err)
	}
	if within, err := ReadMetadata([]byte(want + fieldCritical)); err == nil {
		t.Errorf("a required field that is not known: %v", within)
	}
	if within, err := ReadMetadata(AppendWithin(nil, make([]uint64, 1000))); len(within) != maxWithin || err != nil {
		t.Errorf("of 1000 ids %d are told, %v", len(within), err)
	}
}

func FuzzReadMetadata(f *testing.F) {
	f.Add(AppendWithin(nil, []uint64{1, 2}))
	f.Fuzz(func(t *testing.T, b []byte) {
		within, err := ReadMetadata(b)
		if err != nil {
			return
		}
		again, err := ReadMetadata(AppendWithin(nil, within))
		if err != nil || !slices.Equal(again, within) {
			t.Fatalf("read %v, and %v (%v) after appending that", within, again, err)
		}
	})
}
