package wire

import "encoding/binary"

// The basic wire is that of the Python package basic-socket-rpc: frames of a
// size, which counts itself, a type and a payload, one call at a time.

// BasicHead is the length of what every frame of the basic wire begins with.
const BasicHead = 5

// CommandID is the length of the id in a BasicRequest.
const CommandID = 2

// AppendBasicHead appends the head of a frame with a payload of n bytes.
func AppendBasicHead(dst []byte, t Type, n int) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(BasicHead+n))
	return append(dst, byte(t))
}

// AppendCommand appends the head of a BasicRequest, whose arguments are n
// bytes.
func AppendCommand(dst []byte, id uint16, n int) []byte {
	return binary.LittleEndian.AppendUint16(AppendBasicHead(dst, BasicRequest, CommandID+n), id)
}

// SetBasicSize makes size the whole length of the frame that frame begins
// with, when its payload is known only afterwards.
func SetBasicSize(frame []byte, size int) { binary.LittleEndian.PutUint32(frame, uint32(size)) }

// ReadBasicHead reads the head that b begins with. The payload is n bytes,
// which is negative in a frame that is too small to be one.
func ReadBasicHead(b []byte) (t Type, n int64) {
	return Type(b[4]), ReadBasicSize(b) - BasicHead
}

// ReadBasicSize reads the size that b begins with.
func ReadBasicSize(b []byte) int64 { return int64(binary.LittleEndian.Uint32(b)) }

// ReadCommand reads a BasicRequest's payload, unless it is too short. args
// aliases it.
func ReadCommand(payload []byte) (id uint16, args []byte, ok bool) {
	if len(payload) < CommandID {
		return 0, nil, false
	}
	return binary.LittleEndian.Uint16(payload), payload[CommandID:], true
}

// BasicMajor reads the major version of the basic wire out of an INIT's
// payload, unless that is too short.
func BasicMajor(payload []byte) (major byte, ok bool) {
	if len(payload) < len(version) {
		return 0, false
	}
	return payload[0], true
}

// AppendBasicVersion appends the INIT of a client that speaks the basic wire
// only.
func AppendBasicVersion(dst []byte) []byte {
	return append(AppendBasicHead(dst, Init, len(version)), version...)
}

// AppendBasicInit appends a server's answer to a basic INIT.
func AppendBasicInit(dst []byte, admitted bool) []byte {
	dst = AppendBasicHead(dst, Init, 1)
	if admitted {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// AppendException appends the frame by which a server of the basic wire fails
// a request or an INIT.
func AppendException(dst []byte, name, text string) []byte {
	dst = AppendBasicHead(dst, Exception, 8+len(name)+len(text))
	return AppendString32(AppendString32(dst, name), text)
}

// ReadException reads an Exception's payload.
func ReadException(payload []byte) (name, text string, err error) {
	c := NewCursor(payload)
	name, text = c.String32(), c.String32()
	return name, text, c.Done()
}
