package wire

import (
	"encoding/binary"
	"fmt"
)

// fieldHeadSize is the length of a field without its value.
const fieldHeadSize = 6

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

// A ReplyMetadata is the metadata of a Response or an Error.
type ReplyMetadata struct {
	Identities []byte // of an Error, as made by AppendIdentity; read by ReadIdentities
}

// AppendReplyMetadata appends the fields of m. Empty ones are not sent.
func AppendReplyMetadata(dst []byte, m *ReplyMetadata) []byte {
	if len(m.Identities) > 0 {
		dst = append(appendFieldHead(dst, FieldIdentities, len(m.Identities)), m.Identities...)
	}
	return dst
}

// ReadReplyMetadata reads the metadata of a frame of type t, a Response or an
// Error. The result aliases b, and its parts are valid.
func ReadReplyMetadata(t Type, b []byte) (m ReplyMetadata, err error) {
	err = ReadFields(b, func(f FieldType, v []byte) (bool, error) {
		if f != FieldIdentities || t != Error {
			return false, nil
		}
		if _, err := ReadIdentities(v); err != nil {
			return true, fmt.Errorf("field 0x%04x: %w", uint16(f), err)
		}
		m.Identities = v
		return true, nil
	})
	return m, err
}

// MaxIdentities bounds the identities of one Error.
const MaxIdentities = 8

// MaxIdentityRoom is the most bytes of identities in the metadata of an Error
// without other fields.
const MaxIdentityRoom = MaxMetadata - fieldHeadSize

// An Identity is a name by which both ends know an error, and its fields if the
// name is that of a type.
type Identity struct {
	Name   string
	Hash   []byte // of the layout of Fields, HashSize bytes; nil without fields
	Fields []byte
}

// AppendIdentity appends id. The name must not be empty.
func AppendIdentity(dst []byte, id *Identity) []byte {
	dst = AppendString16(dst, id.Name)
	if dst = append(dst, byte(len(id.Hash))); len(id.Hash) == 0 {
		return dst
	}
	dst = binary.LittleEndian.AppendUint32(append(dst, id.Hash...), uint32(len(id.Fields)))
	return append(dst, id.Fields...)
}

// ReadIdentities reads identities up to the end of b. They alias b.
func ReadIdentities(b []byte) (ids []Identity, err error) {
	c := NewCursor(b)
	for c.Len() > 0 && c.Err() == nil {
		id := Identity{Name: c.String16()}
		switch n := c.Uint8(); {
		case c.Err() != nil:
		case id.Name == "":
			c.Fail("identity without a name")
		case n == HashSize:
			id.Hash = c.Next(HashSize)
			id.Fields = c.Bytes32()
		case n != 0:
			c.Fail("hash of %d bytes, want %d or none", n, HashSize)
		}
		if len(ids) == MaxIdentities {
			c.Fail("more than %d identities", MaxIdentities)
		}
		ids = append(ids, id)
	}
	if c.Err() != nil {
		return nil, c.Err()
	}
	return ids, nil
}
