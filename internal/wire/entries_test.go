package wire

import (
	"cmp"
	"fmt"
	"maps"
	"strings"
	"testing"
)

// fullEntries returns as many bytes of entries as a block may contain.
func fullEntries() []byte {
	return AppendEntries(nil, map[string]string{"a": strings.Repeat("x", MaxEntryBytes-entryHeadSize-1)})
}

// entryCases are values of the field of entries, good and bad.
var entryCases = []struct {
	name, bytes string
	want        map[string]string
	err         string // "" for none
}{
	{"none", "", map[string]string{}, ""},
	{"one", "\x06tenant\x04\x00acme", map[string]string{"tenant": "acme"}, ""},
	{"any bytes, and none", "\x01a\x00\x00\x01b\x03\x00\x00\xff\n", map[string]string{"a": "", "b": "\x00\xff\n"}, ""},
	{"a prefix first", "\x01a\x00\x00\x02a-\x00\x00\x02a.\x00\x00\x02a0\x00\x00\x02a_\x00\x00\x02az\x00\x00", map[string]string{"a": "", "a-": "", "a.": "", "a0": "", "a_": "", "az": ""}, ""},
	{"longest key", "\x40" + strings.Repeat("k", 64) + "\x00\x00", map[string]string{strings.Repeat("k", 64): ""}, ""},
	{"long key", "\x41" + strings.Repeat("k", 65) + "\x00\x00", nil, "key of 65 bytes, want 1 to 64, offset 66"},
	{"no key", "\x00\x00\x00", nil, "key of 0 bytes, want 1 to 64, offset 1"},
	{"upper case", "\x02aB\x00\x00", nil, "key with the byte 0x42, offset 3"},
	{"not ASCII", "\x02\xc3\xa9\x00\x00", nil, "key with the byte 0xc3, offset 3"},
	{"twice", "\x01a\x00\x00\x01a\x00\x00", nil, "duplicate key, offset 6"},
	{"falling", "\x01b\x00\x00\x01a\x00\x00", nil, "key out of order, offset 6"},
	{"56", manyEntries(56), maps.Collect(Entries(manyEntries(56))), ""},
	{"57", manyEntries(57), nil, "more than 56 entries, offset 283"},
	{"cut in the key", "\x06tenan", nil, "want 6 bytes, have 5, offset 1: unexpected EOF"},
	{"cut after the key", "\x06tenant", nil, "want 2 bytes, have 0, offset 7: unexpected EOF"},
	{"cut in the value", "\x06tenant\x04\x00acm", nil, "want 4 bytes, have 3, offset 9: unexpected EOF"},
	{"longest", string(fullEntries()), map[string]string{"a": strings.Repeat("x", MaxEntryBytes-4)}, ""},
	{"too long", string(fullEntries()) + "\x01b\x00\x00", nil, "entries of 7172 bytes, want at most 7168"},
}

// manyEntries returns n entries of five bytes.
func manyEntries(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "\x02%c%c\x00\x00", 'a'+i/26, 'a'+i%26)
	}
	return b.String()
}

func TestEntries(t *testing.T) {
	for _, tt := range entryCases {
		err := CheckEntries([]byte(tt.bytes))
		if text := fmt.Sprint(err); text != cmp.Or(tt.err, "<nil>") {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.err)
		}
		if tt.err != "" {
			continue
		}
		if got := maps.Collect(Entries(tt.bytes)); !maps.Equal(got, tt.want) {
			t.Errorf("%s: reads %q, want %q", tt.name, got, tt.want)
		}
		if got := AppendEntries(nil, tt.want); string(got) != tt.bytes || EntriesSize(tt.want) != len(got) {
			t.Errorf("%s: appends %q, want %q", tt.name, got, tt.bytes)
		}
	}
}

// A range over entries may end early.
func TestEntriesBreak(t *testing.T) {
	for k := range Entries("\x01a\x00\x00\x01b\x00\x00") {
		if k != "a" {
			t.Errorf("got %q first", k)
		}
		break
	}
}
