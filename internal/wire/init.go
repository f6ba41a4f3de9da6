package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	marker = "bsrp" // follows the basic part of a native INIT

	// NativeVersion is the version of the native wire that this package speaks.
	NativeVersion = 1

	// MaxInit is the longest INIT frame, either way.
	MaxInit = 8 << 10

	critical = 1 << 15        // a field that the receiver must know
	version  = "\x00\x00\x01" // of the basic wire: major, minor, patch
)

// A FieldType names a field of INIT.
type FieldType uint16

// The fields of INIT, and of metadata.
const (
	FieldMaxMessage  FieldType = 1 // uint64: the longest message that the sender takes
	FieldConnBytes   FieldType = 2 // uint64: the most that the sender books for messages in pieces
	FieldMaxInflight FieldType = 3 // uint32: the most open calls that the sender takes
	FieldRefusal     FieldType = 4 // uint16 code, text: why the client is not admitted
	FieldPlace       FieldType = 5 // uint32: the client's place in the queue; left out: admitted, or about to be
	FieldPingAfter   FieldType = 7 // uint32, milliseconds: the least silence behind which the sender sends a PING
	FieldWithin      FieldType = 6 // of a Request: uint64 each, the groups from inside of which it is made
)

// Hello is the native part of an INIT frame, either way.
type Hello struct {
	Version     uint8  // of the native wire
	MaxMessage  uint64 // zero: not said
	ConnBytes   uint64
	MaxInflight uint32
	PingAfter   uint32 // milliseconds
	RefusalCode uint16 // zero: no refusal
	Refusal     string
	Waits       bool   // of an answer: the client is not admitted yet
	Place       uint32 // then, if it is in the queue
}

// ErrBasic says that an INIT has no native part: the peer speaks the basic
// wire, or one that is not ours.
var ErrBasic = errors.New("the peer speaks the basic wire")

// AppendClientInit appends the INIT frame that opens every connection.
func AppendClientInit(dst []byte, h *Hello) []byte {
	return appendInit(dst, version, h)
}

// AppendServerInit appends the answer to a native INIT.
func AppendServerInit(dst []byte, h *Hello) []byte {
	admitted := "\x01"
	if h.RefusalCode != 0 || h.Waits {
		admitted = "\x00"
	}
	return appendInit(dst, admitted, h)
}

func appendInit(dst []byte, basic string, h *Hello) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, byte(Init))
	dst = append(dst, basic...)
	dst = append(dst, marker...)
	dst = append(dst, h.Version)
	dst = appendNumber(dst, FieldMaxMessage, h.MaxMessage, 8)
	dst = appendNumber(dst, FieldConnBytes, h.ConnBytes, 8)
	dst = appendNumber(dst, FieldMaxInflight, uint64(h.MaxInflight), 4)
	dst = appendNumber(dst, FieldPlace, uint64(h.Place), 4)
	dst = appendNumber(dst, FieldPingAfter, uint64(h.PingAfter), 4)
	if h.RefusalCode != 0 {
		dst = appendFieldHead(dst, FieldRefusal, 2+len(h.Refusal))
		dst = binary.LittleEndian.AppendUint16(dst, h.RefusalCode)
		dst = append(dst, h.Refusal...)
	}
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(dst)-start))
	return dst
}

func appendNumber(dst []byte, t FieldType, v uint64, width int) []byte {
	if v == 0 {
		return dst
	}
	dst = appendFieldHead(dst, t, width)
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	return append(dst, b[:width]...)
}

func appendFieldHead(dst []byte, t FieldType, n int) []byte {
	dst = binary.LittleEndian.AppendUint16(dst, uint16(t))
	return binary.LittleEndian.AppendUint32(dst, uint32(n))
}

// ReadClientInit reads the payload of a client's INIT: what follows the five
// bytes that every basic frame begins with. ErrBasic means that it carries no
// native part.
func ReadClientInit(payload []byte) (*Hello, error) {
	if len(payload) < len(version) {
		return nil, fmt.Errorf("INIT of %d bytes, want 3 and more", len(payload))
	}
	return readHello(payload[len(version):])
}

// ReadServerInit reads the payload of the answer to INIT. ErrBasic means that
// there is nothing but the bool of the basic wire: h has Waits and no more.
func ReadServerInit(payload []byte) (h *Hello, err error) {
	if len(payload) == 0 {
		return nil, errors.New("empty answer to INIT")
	}
	h, err = readHello(payload[1:])
	if errors.Is(err, ErrBasic) {
		h = new(Hello)
	}
	h.Waits = payload[0] == 0 && h.RefusalCode == 0
	return h, err
}

func readHello(b []byte) (*Hello, error) {
	if len(b) <= len(marker) || string(b[:len(marker)]) != marker {
		return nil, ErrBasic
	}
	h := &Hello{Version: b[len(marker)]}
	if h.Version != NativeVersion {
		return h, nil // its fields are its own
	}
	return h, ReadFields(b[len(marker)+1:], h.set)
}

// set takes one field; known is false for one that it does not know.
func (h *Hello) set(t FieldType, v []byte) (known bool, err error) {
	want := 8
	switch t {
	case FieldMaxMessage, FieldConnBytes:
	case FieldMaxInflight, FieldPlace, FieldPingAfter:
		want = 4
	case FieldRefusal:
		if len(v) < 2 {
			return true, fmt.Errorf("refusal of %d bytes, want 2 and more", len(v))
		}
		h.RefusalCode, h.Refusal = binary.LittleEndian.Uint16(v), string(v[2:])
		return true, nil
	default:
		return false, nil
	}
	if len(v) != want {
		return true, fmt.Errorf("field 0x%04x of %d bytes, want %d", uint16(t), len(v), want)
	}
	switch t {
	case FieldMaxMessage:
		h.MaxMessage = binary.LittleEndian.Uint64(v)
	case FieldConnBytes:
		h.ConnBytes = binary.LittleEndian.Uint64(v)
	case FieldMaxInflight:
		h.MaxInflight = binary.LittleEndian.Uint32(v)
	case FieldPlace:
		h.Place = binary.LittleEndian.Uint32(v)
	case FieldPingAfter:
		h.PingAfter = binary.LittleEndian.Uint32(v)
	}
	return true, nil
}

// ReadFields walks a block of fields, those of INIT or of a frame's metadata,
// at most 64 of them. One that set does not know is skipped, or, if the top
// bit of its type is set, an error that names it.
func ReadFields(b []byte, set func(FieldType, []byte) (known bool, err error)) error {
	c := NewCursor(b)
	for n := 0; c.Len() > 0; n++ {
		t, v := FieldType(c.Uint16()), c.Bytes32()
		if c.Err() != nil {
			return c.Err()
		}
		if n == 64 {
			return errors.New("more than 64 fields")
		}
		known, err := set(t, v)
		if err != nil {
			return err
		}
		if !known && t&critical != 0 {
			return fmt.Errorf("field 0x%04x is required by the peer and not known here", uint16(t))
		}
	}
	return nil
}
