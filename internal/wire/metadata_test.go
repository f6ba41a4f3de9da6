package wire

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestRequestMetadata(t *testing.T) {
	const groups = "\x06\x00\x10\x00\x00\x00" + "\x07\x00\x00\x00\x00\x00\x00\x00" + "\x08\x01\x00\x00\x00\x00\x00\x00"
	const entries = "\x11\x00\x01\x00\x00\x00\x01" + "\x0b\x00\x05\x00\x00\x00" + "\x01a\x01\x00b"
	m := RequestMetadata{[]uint64{7, 0x108}, AppendEntries(nil, map[string]string{"a": "b"}), true}
	if got := AppendRequestMetadata(nil, &m); string(got) != groups+entries {
		t.Errorf("got  %x\nwant %x", got, groups+entries)
	}
	for _, b := range []string{groups + fieldUnknown + entries, groups + "\x0b\x00\x00\x00\x00\x00" + entries} {
		if read, err := ReadRequestMetadata([]byte(b)); !reflect.DeepEqual(read, m) || err != nil {
			t.Errorf("%q: read %v, %v", b, read, err)
		}
	}
	for _, b := range []string{
		groups + fieldCritical,
		"\x06\x00\x07\x00\x00\x00" + "\x07\x00\x00\x00\x00\x00\x00",
		"\x0b\x00\x04\x00\x00\x00" + "\x01a\x01\x00" + entries,
	} {
		if read, err := ReadRequestMetadata([]byte(b)); err == nil {
			t.Errorf("%q: read %v, no error", b, read)
		}
	}
	many := AppendRequestMetadata(nil, &RequestMetadata{HeldGroups: make([]uint64, 1000), Entries: fullEntries()})
	if read, err := ReadRequestMetadata(many); len(read.HeldGroups) != maxHeldGroups || len(read.Entries) != MaxEntryBytes || err != nil {
		t.Errorf("%d of 1000 ids, %d bytes of entries, %v", len(read.HeldGroups), len(read.Entries), err)
	}
	if len(many) > MaxMetadata {
		t.Errorf("%d bytes of metadata, want at most %d", len(many), MaxMetadata)
	}
}

func FuzzReadRequestMetadata(f *testing.F) {
	f.Add(AppendRequestMetadata(nil, &RequestMetadata{HeldGroups: []uint64{1, 2}}))
	for _, tt := range entryCases {
		f.Add(AppendRequestMetadata(nil, &RequestMetadata{[]uint64{1}, []byte(tt.bytes), true}))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ReadRequestMetadata(b)
		if err != nil {
			return
		}
		if again := AppendEntries(nil, maps.Collect(Entries(string(m.Entries)))); !bytes.Equal(again, m.Entries) {
			t.Fatalf("reads %x, appends %x", m.Entries, again)
		}
		again, err := ReadRequestMetadata(AppendRequestMetadata(nil, &m))
		if err != nil || again.Positions != m.Positions || !slices.Equal(again.HeldGroups, m.HeldGroups) || !bytes.Equal(again.Entries, m.Entries) {
			t.Fatalf("read %v, then %v (%v) after a round trip", m, again, err)
		}
	})
}

// identityCases are values of the field of identities, good and bad.
var identityCases = []struct {
	name, bytes string
	want        []Identity
	err         string // "" for none
}{
	{"none", "", nil, ""},
	{"a name", "\x04\x00gone\x00", []Identity{{Name: "gone"}}, ""},
	{
		"a type, and a name", "\x05\x00limit\x20" + hash32 + "\x03\x00\x00\x00abc" + "\x04\x00gone\x00",
		[]Identity{{"limit", []byte(hash32), []byte("abc")}, {Name: "gone"}}, "",
	},
	{"no fields", "\x05\x00limit\x20" + hash32 + "\x00\x00\x00\x00", []Identity{{"limit", []byte(hash32), []byte{}}}, ""},
	{"eight", strings.Repeat("\x01\x00a\x00", 8), slices.Repeat([]Identity{{Name: "a"}}, 8), ""},
	{"nine", strings.Repeat("\x01\x00a\x00", 9), nil, "more than 8 identities, offset 36"},
	{"no name", "\x00\x00\x00", nil, "identity without a name, offset 3"},
	{"cut in the name", "\x05\x00gon", nil, "want 5 bytes, have 3, offset 2: unexpected EOF"},
	{"cut after the name", "\x04\x00gone", nil, "want 1 bytes, have 0, offset 6: unexpected EOF"},
	{"short hash", "\x04\x00gone\x1f" + hash32, nil, "hash of 31 bytes, want 32 or none, offset 7"},
	{"cut in the hash", "\x04\x00gone\x20" + hash32[1:], nil, "want 32 bytes, have 31, offset 7: unexpected EOF"},
	{"cut in the fields", "\x04\x00gone\x20" + hash32 + "\xff\xff\xff\xffab", nil, "want 3 bytes, have 2, offset 43: unexpected EOF"},
}

const hash32 = "0123456789abcdef0123456789abcdef"

func TestIdentities(t *testing.T) {
	for _, tt := range identityCases {
		ids, err := ReadIdentities([]byte(tt.bytes))
		if text := fmt.Sprint(err); text != cmp.Or(tt.err, "<nil>") {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.err)
		}
		if fmt.Sprintf("%q", ids) != fmt.Sprintf("%q", tt.want) {
			t.Errorf("%s: read %q, want %q", tt.name, ids, tt.want)
		}
		var again []byte
		for i := range tt.want {
			again = AppendIdentity(again, &tt.want[i])
		}
		if tt.err == "" && string(again) != tt.bytes {
			t.Errorf("%s: appends %q, want %q", tt.name, again, tt.bytes)
		}
	}
}

// A field of identities belongs to Error frames. In a Response it is unknown and skipped.
// Entries may be in both.
func TestReplyMetadata(t *testing.T) {
	const gone, bad = "\x04\x00gone\x00", "\x04\x00gone"
	good := AppendReplyMetadata(nil, &ReplyMetadata{Identities: []byte(gone)})
	if want := "\x0c\x00\x07\x00\x00\x00" + gone; string(good) != want {
		t.Errorf("appends %q, want %q", good, want)
	}
	if m, err := ReadReplyMetadata(Error, append([]byte(fieldUnknown), good...)); string(m.Identities) != gone || err != nil {
		t.Errorf("Error: read %q, %v", m.Identities, err)
	}
	malformed := AppendReplyMetadata(nil, &ReplyMetadata{Identities: []byte(bad)})
	if _, err := ReadReplyMetadata(Error, malformed); err == nil || !strings.HasPrefix(err.Error(), "field 0x000c: ") {
		t.Errorf("Error, malformed: %v", err)
	}
	if m, err := ReadReplyMetadata(End, good); string(m.Identities) != gone || err != nil {
		t.Errorf("End: read %q, %v", m.Identities, err)
	}
	for _, b := range [][]byte{good, malformed} {
		if m, err := ReadReplyMetadata(Response, b); m.Identities != nil || err != nil {
			t.Errorf("Response: read %q, %v", m.Identities, err)
		}
	}
	both := AppendReplyMetadata(nil, &ReplyMetadata{Entries: []byte("\x01a\x01\x00b"), Identities: []byte(gone)})
	for _, typ := range []Type{Response, Error} {
		if m, err := ReadReplyMetadata(typ, both); string(m.Entries) != "\x01a\x01\x00b" || err != nil {
			t.Errorf("%v: read %q, %v", typ, m.Entries, err)
		}
		if _, err := ReadReplyMetadata(typ, both[:len(both)-1]); err == nil {
			t.Errorf("%v, cut: no error", typ)
		}
	}
	if _, err := ReadReplyMetadata(Response, append(good, fieldCritical...)); err == nil {
		t.Error("unknown critical field: no error")
	}
	for _, entries := range [][]byte{nil, fullEntries()} {
		if b := AppendReplyMetadata(nil, &ReplyMetadata{entries, make([]byte, IdentityRoom(entries))}); len(b) != MaxMetadata {
			t.Errorf("%d bytes of metadata, want %d", len(b), MaxMetadata)
		}
	}
}

func FuzzReadReplyMetadata(f *testing.F) {
	for _, tt := range identityCases {
		f.Add(AppendReplyMetadata(nil, &ReplyMetadata{Identities: []byte(tt.bytes)}))
		f.Add(AppendReplyMetadata(nil, &ReplyMetadata{Entries: []byte("\x01a\x01\x00b"), Identities: []byte(tt.bytes)}))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ReadReplyMetadata(Error, b)
		if err != nil {
			return
		}
		ids, err := ReadIdentities(m.Identities)
		if err != nil || len(ids) > MaxIdentities {
			t.Fatalf("%d identities, %v", len(ids), err)
		}
		var again []byte
		for i := range ids {
			again = AppendIdentity(again, &ids[i])
		}
		if !bytes.Equal(again, m.Identities) {
			t.Fatalf("reads %x, appends %x", m.Identities, again)
		}
		if n, err := ReadReplyMetadata(Error, AppendReplyMetadata(nil, &m)); err != nil || !bytes.Equal(n.Identities, m.Identities) {
			t.Fatalf("read %x, then %x (%v) after a round trip", m.Identities, n.Identities, err)
		}
	})
}

func FuzzReadPosition(f *testing.F) {
	f.Add(AppendPosition(nil, 7, "psu", 1)[headerSize:])
	f.Add([]byte("\x00\x00\x00\x00x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		group, position, err := ReadPosition(b)
		if err == nil && !bytes.Equal(AppendPosition(nil, 7, group, position)[headerSize:], b) {
			t.Fatalf("reads %q, %d from %x", group, position, b)
		}
	})
}
