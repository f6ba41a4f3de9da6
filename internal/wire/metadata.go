package wire

import (
	"encoding/binary"
	"fmt"
	"math"
)

// fieldHeadSize is the length of a field without its value.
const fieldHeadSize = 6

// maxHeldGroups bounds the groups listed in one Request.
const maxHeldGroups = 64

// A RequestMetadata is the metadata of a Request.
type RequestMetadata struct {
	HeldGroups []uint64 // ids of the exclusive groups held by the caller
	Entries    []byte   // of the user, as made by AppendEntries; read by Entries
	Positions  bool     // the caller accepts Position frames
}

// AppendRequestMetadata appends the fields of m. Empty ones are not sent, and at
// most the last 64 groups are. The server refuses a call to a group in this
// list: it would wait for itself.
func AppendRequestMetadata(dst []byte, m *RequestMetadata) []byte {
	if ids := m.HeldGroups[max(0, len(m.HeldGroups)-maxHeldGroups):]; len(ids) > 0 {
		dst = appendFieldHead(dst, FieldHeldGroups, 8*len(ids))
		for _, id := range ids {
			dst = binary.LittleEndian.AppendUint64(dst, id)
		}
	}
	if m.Positions {
		dst = append(appendFieldHead(dst, FieldPositions, 1), 1)
	}
	return appendBytes(dst, FieldEntries, m.Entries)
}

// ReadRequestMetadata reads the metadata of a Request. The entries alias b, and
// are valid.
func ReadRequestMetadata(b []byte) (m RequestMetadata, err error) {
	err = ReadFields(b, func(f FieldType, v []byte) (bool, error) {
		switch f {
		case FieldHeldGroups:
			if len(v)%8 != 0 {
				return true, fmt.Errorf("field 0x%04x of %d bytes, want a multiple of 8", uint16(f), len(v))
			}
			m.HeldGroups = nil
			for ; len(v) > 0 && len(m.HeldGroups) < maxHeldGroups; v = v[8:] {
				m.HeldGroups = append(m.HeldGroups, binary.LittleEndian.Uint64(v))
			}
			return true, nil
		case FieldEntries:
			m.Entries = v
			return true, checked(f, CheckEntries(v))
		case FieldPositions:
			if len(v) != 1 {
				return true, fmt.Errorf("field 0x%04x of %d bytes, want 1", uint16(f), len(v))
			}
			m.Positions = v[0] == 1
			return true, nil
		}
		return false, nil
	})
	return m, err
}

// A ReplyMetadata is the metadata of a Response, an Error or an End.
type ReplyMetadata struct {
	Entries    []byte // of a Response or Error, as made by AppendEntries; read by Entries
	Identities []byte // of an Error or End, as made by AppendIdentity; read by ReadIdentities
}

// AppendReplyMetadata appends the fields of m. Empty ones are not sent.
func AppendReplyMetadata(dst []byte, m *ReplyMetadata) []byte {
	dst = appendBytes(dst, FieldEntries, m.Entries)
	return appendBytes(dst, FieldIdentities, m.Identities)
}

// ReadReplyMetadata reads the metadata of a frame of type t, a Response, an Error
// or an End. The result aliases b, and its parts are valid.
func ReadReplyMetadata(t Type, b []byte) (m ReplyMetadata, err error) {
	err = ReadFields(b, func(f FieldType, v []byte) (bool, error) {
		switch {
		case f == FieldEntries && t != End:
			m.Entries = v
			return true, checked(f, CheckEntries(v))
		case f == FieldIdentities && t != Response:
			m.Identities = v
			_, err := ReadIdentities(v)
			return true, checked(f, err)
		}
		return false, nil
	})
	return m, err
}

// appendBytes appends a field unless its value is empty.
func appendBytes(dst []byte, f FieldType, v []byte) []byte {
	if len(v) == 0 {
		return dst
	}
	return append(appendFieldHead(dst, f, len(v)), v...)
}

// checked names the field f in the error of its value.
func checked(f FieldType, err error) error {
	if err != nil {
		return fmt.Errorf("field 0x%04x: %w", uint16(f), err)
	}
	return nil
}

// MaxIdentities bounds the identities of one Error.
const MaxIdentities = 8

// MaxIdentityRoom is the most bytes of identities in the metadata of an Error
// without other fields.
const MaxIdentityRoom = MaxMetadata - fieldHeadSize

// IdentityRoom returns the most bytes of identities in the metadata of an Error
// beside these entries.
func IdentityRoom(entries []byte) int {
	if len(entries) == 0 {
		return MaxIdentityRoom
	}
	return MaxIdentityRoom - fieldHeadSize - len(entries)
}

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

// AppendPosition appends a Position frame: the place of the call id in the line of an
// exclusive group, 1 for the next one.
func AppendPosition(dst []byte, id uint64, group string, position int) []byte {
	dst = AppendHeader(dst, &Frame{Type: Position, ID: id, BodySize: 4 + len(group)})
	dst = binary.LittleEndian.AppendUint32(dst, uint32(position))
	return append(dst, group...)
}

// ReadPosition reads the body of a Position frame.
func ReadPosition(body []byte) (group string, position int, err error) {
	if len(body) < 5 || len(body) > 4+maxGroupName {
		return "", 0, fmt.Errorf("%v with a body of %d bytes, want 5 to %d", Position, len(body), 4+maxGroupName)
	}
	n := binary.LittleEndian.Uint32(body)
	if n < 1 || n > math.MaxInt32 {
		return "", 0, fmt.Errorf("%v %d, want 1 to %d", Position, n, math.MaxInt32)
	}
	return string(body[4:]), int(n), nil
}

// maxGroupName bounds the name of a group in a Position frame.
const maxGroupName = 1024
