package wire

import "encoding/binary"

// The basic wire is the protocol of the Python package basic-socket-rpc: one
// call at a time, in frames of a size (including itself), a type and a payload.

// BasicHeaderSize is the length of a basic frame's header.
const BasicHeaderSize = 5

// CommandIDSize is the length of the command id in a BasicRequest.
const CommandIDSize = 2

// AppendBasicHeader appends the header of a frame with a payload of n bytes.
func AppendBasicHeader(dst []byte, t Type, n int) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(BasicHeaderSize+n))
	return append(dst, byte(t))
}

// AppendCommand appends a BasicRequest up to its arguments of n bytes.
func AppendCommand(dst []byte, id uint16, n int) []byte {
	return binary.LittleEndian.AppendUint16(AppendBasicHeader(dst, BasicRequest, CommandIDSize+n), id)
}

// SetBasicSize sets the size in a frame's header, for payloads of a length
// known only after encoding. Size counts the header.
func SetBasicSize(frame []byte, size int) { binary.LittleEndian.PutUint32(frame, uint32(size)) }

// ReadBasicHeader reads the header at the start of b. The payload is n bytes; n
// is negative if the frame's size is invalid.
func ReadBasicHeader(b []byte) (t Type, n int64) {
	return Type(b[4]), ReadBasicSize(b) - BasicHeaderSize
}

// ReadBasicSize reads the size at the start of b.
func ReadBasicSize(b []byte) int64 { return int64(binary.LittleEndian.Uint32(b)) }

// ReadCommand reads a BasicRequest's payload. It returns false if the payload
// is too short. args aliases it.
func ReadCommand(payload []byte) (id uint16, args []byte, ok bool) {
	if len(payload) < CommandIDSize {
		return 0, nil, false
	}
	return binary.LittleEndian.Uint16(payload), payload[CommandIDSize:], true
}

// ReadBasicMajor reads the major version of the basic wire from an INIT's
// payload. It returns false if the payload is too short.
func ReadBasicMajor(payload []byte) (major byte, ok bool) {
	if len(payload) < len(version) {
		return 0, false
	}
	return payload[0], true
}

// AppendBasicClientInit appends the INIT of a basic client.
func AppendBasicClientInit(dst []byte) []byte {
	return append(AppendBasicHeader(dst, Init, len(version)), version...)
}

// AppendBasicServerInit appends a server's response to a basic INIT.
func AppendBasicServerInit(dst []byte, admitted bool) []byte {
	dst = AppendBasicHeader(dst, Init, 1)
	if admitted {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// AppendException appends an Exception, a basic server's error response to a
// request or an INIT.
func AppendException(dst []byte, name, text string) []byte {
	dst = AppendBasicHeader(dst, Exception, 8+len(name)+len(text))
	return AppendString32(AppendString32(dst, name), text)
}

// ReadException reads an Exception's payload.
func ReadException(payload []byte) (name, text string, err error) {
	c := NewCursor(payload)
	name, text = c.String32(), c.String32()
	return name, text, c.Done()
}
