package wire

import "encoding/binary"

// maxWithin bounds how many groups a call says that it is inside of.
const maxWithin = 64

// AppendWithin appends the field of metadata that tells the exclusive groups
// from inside of which a call is made: the newest of ids, if they are many.
func AppendWithin(dst []byte, ids []uint64) []byte {
	ids = ids[max(0, len(ids)-maxWithin):]
	dst = appendFieldHead(dst, FieldWithin, 8*len(ids))
	for _, id := range ids {
		dst = binary.LittleEndian.AppendUint64(dst, id)
	}
	return dst
}

// ReadMetadata reads the metadata of a Request: the groups from inside of which
// it is made.
func ReadMetadata(b []byte) (within []uint64, err error) {
	err = ReadFields(b, func(t FieldType, v []byte) (bool, error) {
		if t != FieldWithin {
			return false, nil
		}
		for ; len(v) >= 8 && len(within) < maxWithin; v = v[8:] {
			within = append(within, binary.LittleEndian.Uint64(v))
		}
		return true, nil
	})
	return within, err
}
