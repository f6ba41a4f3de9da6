package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

const (
	magic = "bsrp" // follows the basic part of a native INIT

	// NativeVersion is this package's version of the native wire.
	NativeVersion = 1

	// MaxInit is the longest INIT frame in either direction.
	MaxInit = 8 << 10

	criticalBit = 1 << 15        // set in the type of a field: refuse the connection if unknown
	version     = "\x00\x00\x01" // of the basic wire: major, minor, patch
)

// A FieldType is the type of a field of INIT or of metadata.
type FieldType uint16

// The fields of INIT and metadata.
const (
	FieldMaxMessage  FieldType = 1 // uint64: the longest message accepted by the sender
	FieldConnBytes   FieldType = 2 // uint64: the sender's buffer for chunked messages
	FieldMaxInflight FieldType = 3 // uint32: the most open calls accepted by the sender
	FieldRefusal     FieldType = 4 // uint16 code, text: why the client is not admitted
	FieldPosition    FieldType = 5 // uint32: the client's position in the admission queue; absent if it has left the queue
	FieldHeldGroups  FieldType = 6 // of a Request: uint64 each, ids of the exclusive groups held by the caller
	FieldPingAfter   FieldType = 7 // uint32, milliseconds: the sender's shortest idle time before a PING

	FieldStreamWindow FieldType = 8   // uint32: the credit of a new stream to the sender, which supports streams
	FieldMaxStreams   FieldType = 9   // uint32: the most open streams accepted by the sender
	FieldAcceptsCalls FieldType = 0xa // of a client, 1 byte, 1: it accepts calls of the server
	FieldEntries      FieldType = 0xb // of a Request, Response or Error: see AppendEntries
	FieldIdentities   FieldType = 0xc // of an Error: see AppendIdentity
	FieldEvolves      FieldType = 0xd // 1 byte, 1: the sender answers a Bind with Texts
	FieldStateless    FieldType = 0xe // of a server, 1 byte, 1: a new session lacks nothing that an ended one had
	FieldReconnects   FieldType = 0xf // of a client, 1 byte, 1: it understands Draining and SessionState

	FieldPositions FieldType = 0x11 // of a Request, 1 byte, 1: the caller accepts Position frames

	FieldAuth FieldType = 0x8010 // of a client, 1 byte, 1: an Auth frame follows INIT
)

// A Hello is the native part of an INIT frame in either direction.
type Hello struct {
	Version      uint8  // of the native wire
	MaxMessage   uint64 // 0 if absent, as in the next two fields
	ConnBytes    uint64
	MaxInflight  uint32
	PingAfter    uint32 // milliseconds
	Streams      StreamLimits
	AcceptsCalls bool   // of a client
	Evolves      bool   // it answers a Bind with Texts
	Stateless    bool   // of a server: its sessions hold nothing from the start
	Reconnects   bool   // of a client
	Auth         bool   // of a client: an Auth frame follows
	RefusalCode  uint16 // 0 if the client is not refused
	Refusal      string
	Waiting      bool   // of a server: the client is not admitted yet
	Position     uint32 // of a waiting client in the admission queue
}

// StreamLimits are the limits of an end for streams. The zero value is an end without
// support for them.
type StreamLimits struct {
	Window uint32 // the credit of each new stream
	Most   uint32 // the open streams
}

// MinStreamWindow is the smallest credit of a new stream.
const MinStreamWindow = 1 << 10

// ErrBasic reports an INIT without a native part: the peer speaks the basic
// wire or an unknown protocol.
var ErrBasic = errors.New("the peer speaks the basic wire")

// AppendClientInit appends a client's INIT, the first frame of every
// connection.
func AppendClientInit(dst []byte, h *Hello) []byte {
	return appendInit(dst, version, h)
}

// AppendServerInit appends a server's response to a native INIT.
func AppendServerInit(dst []byte, h *Hello) []byte {
	admitted := "\x01"
	if h.RefusalCode != 0 || h.Waiting {
		admitted = "\x00"
	}
	return appendInit(dst, admitted, h)
}

// appendInit appends an INIT with the basic part of an end.
func appendInit(dst []byte, basic string, h *Hello) []byte {
	// The size at the start is set last.
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, byte(Init))
	dst = append(dst, basic...)
	dst = append(dst, magic...)
	dst = append(dst, h.Version)
	dst = appendNumber(dst, FieldMaxMessage, h.MaxMessage, 8)
	dst = appendNumber(dst, FieldConnBytes, h.ConnBytes, 8)
	dst = appendNumber(dst, FieldMaxInflight, uint64(h.MaxInflight), 4)
	dst = appendNumber(dst, FieldPosition, uint64(h.Position), 4)
	dst = appendNumber(dst, FieldPingAfter, uint64(h.PingAfter), 4)
	dst = appendNumber(dst, FieldStreamWindow, uint64(h.Streams.Window), 4)
	dst = appendNumber(dst, FieldMaxStreams, uint64(h.Streams.Most), 4)
	if h.AcceptsCalls {
		dst = appendNumber(dst, FieldAcceptsCalls, 1, 1)
	}
	if h.Evolves {
		dst = appendNumber(dst, FieldEvolves, 1, 1)
	}
	if h.Stateless {
		dst = appendNumber(dst, FieldStateless, 1, 1)
	}
	if h.Reconnects {
		dst = appendNumber(dst, FieldReconnects, 1, 1)
	}
	if h.Auth {
		dst = appendNumber(dst, FieldAuth, 1, 1)
	}
	if h.RefusalCode != 0 {
		dst = appendFieldHead(dst, FieldRefusal, 2+len(h.Refusal))
		dst = binary.LittleEndian.AppendUint16(dst, h.RefusalCode)
		dst = append(dst, h.Refusal...)
	}
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(dst)-start))
	return dst
}

// appendNumber appends a field with a number, unless it is 0.
func appendNumber(dst []byte, t FieldType, v uint64, width int) []byte {
	// Zero means absent, so it is never sent.
	if v == 0 {
		return dst
	}
	dst = appendFieldHead(dst, t, width)
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	return append(dst, b[:width]...)
}

// appendFieldHead appends the type and the length of a field.
func appendFieldHead(dst []byte, t FieldType, n int) []byte {
	dst = binary.LittleEndian.AppendUint16(dst, uint16(t))
	return binary.LittleEndian.AppendUint32(dst, uint32(n))
}

// ReadClientInit reads a client's INIT after its basic header. It returns
// ErrBasic if the INIT has no native part.
func ReadClientInit(payload []byte) (*Hello, error) {
	if len(payload) < len(version) {
		return nil, fmt.Errorf("INIT of %d bytes, want at least 3", len(payload))
	}
	return readHello(payload[len(version):])
}

// ReadServerInit reads a server's INIT after its basic header. With ErrBasic
// the INIT consists of the basic wire's bool alone, and only h.Waiting is
// valid.
func ReadServerInit(payload []byte) (h *Hello, err error) {
	if len(payload) == 0 {
		return nil, errors.New("empty response to INIT")
	}
	h, err = readHello(payload[1:])
	// The bool below is valid for basic servers, too.
	if errors.Is(err, ErrBasic) {
		h = new(Hello)
	}
	h.Waiting = payload[0] == 0 && h.RefusalCode == 0
	return h, err
}

// readHello reads the native part of an INIT.
func readHello(b []byte) (*Hello, error) {
	// At least the version must follow the magic.
	if len(b) <= len(magic) || string(b[:len(magic)]) != magic {
		return nil, ErrBasic
	}
	h := &Hello{Version: b[len(magic)]}
	if h.Version != NativeVersion {
		return h, nil // the fields of other versions are unknown
	}
	return h, ReadFields(b[len(magic)+1:], h.set)
}

// set stores the value of one field. It reports false for an unknown type.
func (h *Hello) set(t FieldType, v []byte) (known bool, err error) {
	want := 8
	switch t {
	case FieldMaxMessage, FieldConnBytes:
	case FieldMaxInflight, FieldPosition, FieldPingAfter, FieldStreamWindow, FieldMaxStreams:
		want = 4
	case FieldAcceptsCalls, FieldEvolves, FieldStateless, FieldReconnects, FieldAuth:
		want = 1
	case FieldRefusal:
		if len(v) < 2 {
			return true, fmt.Errorf("refusal of %d bytes, want at least 2", len(v))
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
	case FieldPosition:
		h.Position = binary.LittleEndian.Uint32(v)
	case FieldPingAfter:
		h.PingAfter = binary.LittleEndian.Uint32(v)
	case FieldAcceptsCalls:
		h.AcceptsCalls = v[0] == 1
	case FieldEvolves:
		h.Evolves = v[0] == 1
	case FieldStateless:
		h.Stateless = v[0] == 1
	case FieldReconnects:
		h.Reconnects = v[0] == 1
	case FieldAuth:
		h.Auth = v[0] == 1
	case FieldStreamWindow:
		n := binary.LittleEndian.Uint32(v)
		if n != 0 && n < MinStreamWindow || n > math.MaxInt32 {
			return true, fmt.Errorf("field 0x%04x (StreamWindow) is %d, want %d to %d", uint16(t), n, MinStreamWindow, math.MaxInt32)
		}
		h.Streams.Window = n
	case FieldMaxStreams:
		h.Streams.Most = binary.LittleEndian.Uint32(v)
	}
	return true, nil
}

// ReadFields calls set for each field in b, a block of at most 64 fields from
// an INIT or from metadata. A field unknown to set is skipped, or an error if
// the top bit of its type is set.
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
		if !known && t&criticalBit != 0 {
			return fmt.Errorf("unknown field 0x%04x is required by the peer", uint16(t))
		}
	}
	return nil
}
