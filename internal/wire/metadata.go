package wire

import (
	"encoding/binary"
	"fmt"
)

// maxHeldGroups bounds the groups listed in one Request.
const maxHeldGroups = 64

// AppendHeldGroups appends the metadata field listing the exclusive groups held
// by the caller, at most the last 64 of ids. The server refuses a call to a
// group in this list: it would wait for itself.
func AppendHeldGroups(dst []byte, ids []uint64) []byte {
	ids = ids[max(0, len(ids)-maxHeldGroups):]
	dst = appendFieldHead(dst, FieldHeldGroups, 8*len(ids))
	for _, id := range ids {
		dst = binary.LittleEndian.AppendUint64(dst, id)
	}
	return dst
}

// ReadMetadata reads the metadata of a Request: the exclusive groups held by
// its caller.
func ReadMetadata(b []byte) (held []uint64, err error) {
	if len(b) == 0 {
		return nil, nil
	}
	err = ReadFields(b, func(t FieldType, v []byte) (bool, error) {
		if t != FieldHeldGroups {
			return false, nil
		}
		if len(v)%8 != 0 {
			return true, fmt.Errorf("field 0x%04x of %d bytes, want a multiple of 8", uint16(t), len(v))
		}
		for ; len(v) > 0 && len(held) < maxHeldGroups; v = v[8:] {
			held = append(held, binary.LittleEndian.Uint64(v))
		}
		return true, nil
	})
	return held, err
}
