package wire

import (
	"fmt"
	"iter"
	"slices"
	"strings"
)

// Limits of the entries in one block of metadata. An entry is a key and a value
// of a user.
const (
	MaxEntries    = 56
	MaxEntryKey   = 64      // bytes of a key
	MaxEntryBytes = 7 << 10 // of all entries as encoded

	entryHeadSize = 1 + 2 // the lengths of key and value
)

// EntriesSize returns the length of md as encoded by AppendEntries.
func EntriesSize(md map[string]string) (n int) {
	for k, v := range md {
		n += entryHeadSize + len(k) + len(v)
	}
	return n
}

// SortedKeys returns the keys of md in their order on the wire.
func SortedKeys(md map[string]string) []string {
	if len(md) == 0 {
		return nil
	}
	keys := make([]string, 0, len(md))
	for k := range md {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// AppendEntries appends the entries of md. They must be within the limits, and
// the keys valid.
func AppendEntries(dst []byte, md map[string]string) []byte {
	for _, k := range SortedKeys(md) {
		dst = append(append(dst, byte(len(k))), k...)
		dst = AppendString16(dst, md[k])
	}
	return dst
}

// CheckEntries checks entries up to the end of b. Their keys must rise, so that
// no key appears twice, and a set of entries has one encoding.
func CheckEntries(b []byte) error {
	if len(b) > MaxEntryBytes {
		return fmt.Errorf("entries of %d bytes, want at most %d", len(b), MaxEntryBytes)
	}
	c := NewCursor(b)
	var last []byte
	for n := 0; c.Len() > 0 && c.Err() == nil; n++ {
		size := int(c.Uint8())
		key := c.Next(size)
		switch i := BadKeyByte(key); {
		case c.Err() != nil:
		case size == 0 || size > MaxEntryKey:
			c.Fail("key of %d bytes, want 1 to %d", size, MaxEntryKey)
		case i >= 0:
			c.Fail("key with the byte 0x%02x", key[i])
		case string(key) == string(last):
			c.Fail("duplicate key")
		case string(key) < string(last):
			c.Fail("key out of order")
		case n == MaxEntries:
			c.Fail("more than %d entries", MaxEntries)
		}
		last = key
		c.Next(int(c.Uint16()))
	}
	return c.Err()
}

// Entries returns the entries in b, which CheckEntries has accepted. They share
// the memory of b.
func Entries(b string) iter.Seq2[string, string] {
	return func(yield func(key, value string) bool) {
		for len(b) > 0 {
			k := 1 + int(b[0])
			v := k + 2 + (int(b[k]) | int(b[k+1])<<8)
			if !yield(b[1:k], b[k+2:v]) {
				return
			}
			b = b[v:]
		}
	}
}

// BadKeyByte returns the index of the first byte of a key that is not a
// lower-case letter, a digit, '-', '_' or '.'; -1 if all are.
func BadKeyByte[S string | []byte](key S) int {
	for i := range len(key) {
		c := key[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && strings.IndexByte("-_.", c) < 0 {
			return i
		}
	}
	return -1
}
