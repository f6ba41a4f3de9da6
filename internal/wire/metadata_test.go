package wire

import (
	"slices"
	"testing"
)

func TestMetadata(t *testing.T) {
	const want = "\x06\x00\x10\x00\x00\x00" + "\x07\x00\x00\x00\x00\x00\x00\x00" + "\x08\x01\x00\x00\x00\x00\x00\x00"
	if got := AppendHeldGroups(nil, []uint64{7, 0x108}); string(got) != want {
		t.Errorf("got  %x\nwant %x", got, want)
	}
	held, err := ReadMetadata([]byte(fieldUnknown + want))
	if !slices.Equal(held, []uint64{7, 0x108}) || err != nil {
		t.Errorf("read %v, %v", held, err)
	}
	if held, err := ReadMetadata([]byte(want + fieldCritical)); err == nil {
		t.Errorf("unknown critical field: read %v, no error", held)
	}
	if held, err := ReadMetadata([]byte("\x06\x00\x07\x00\x00\x00" + "\x07\x00\x00\x00\x00\x00\x00")); err == nil {
		t.Errorf("an id of 7 bytes: read %v, no error", held)
	}
	if held, err := ReadMetadata(AppendHeldGroups(nil, make([]uint64, 1000))); len(held) != maxHeldGroups || err != nil {
		t.Errorf("%d of 1000 ids, %v", len(held), err)
	}
}

func FuzzReadMetadata(f *testing.F) {
	f.Add(AppendHeldGroups(nil, []uint64{1, 2}))
	f.Fuzz(func(t *testing.T, b []byte) {
		held, err := ReadMetadata(b)
		if err != nil {
			return
		}
		again, err := ReadMetadata(AppendHeldGroups(nil, held))
		if err != nil || !slices.Equal(again, held) {
			t.Fatalf("read %v, then %v (%v) after a round trip", held, again, err)
		}
	})
}
