package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The bytes of streams. A stream of items is a sequence of items, each behind its length
// in ItemHeader bytes. Its Items frames divide it anywhere except in a length. A stream
// of bytes has no structure.
//
// The sender pays for each byte with credit, and at least MinItemCost for an item.

const (
	ItemHeader  = 4  // the length before an item
	MinItemCost = 16 // credit
	creditSize  = 4
)

// HeaderCost returns the credit for the length of an item of size bytes. Its bytes cost
// one each.
func HeaderCost(size uint64) int64 {
	if size < MinItemCost-ItemHeader {
		return MinItemCost - int64(size)
	}
	return ItemHeader
}

// AppendItemHeader appends the length of an item.
func AppendItemHeader(dst []byte, size int) []byte {
	return binary.LittleEndian.AppendUint32(dst, uint32(size))
}

// ReadItemHeader returns the length of the item at the start of b. It reports false if b
// is too short for it.
func ReadItemHeader(b []byte) (size uint64, ok bool) {
	if len(b) < ItemHeader {
		return 0, false
	}
	return uint64(binary.LittleEndian.Uint32(b)), true
}

// A StreamEnd is the body of an End frame. The zero value is the end of a complete
// stream, with an empty body.
type StreamEnd struct {
	Code    uint16 // why the stream is incomplete; 0 if it is complete
	Failure Failure
}

// Append appends the bytes of e.
func (e *StreamEnd) Append(dst []byte) []byte {
	if e.Code == 0 {
		return dst
	}
	return e.Failure.Append(binary.LittleEndian.AppendUint16(dst, e.Code))
}

// ReadStreamEnd reads the body of an End frame.
func ReadStreamEnd(body []byte) (e StreamEnd, err error) {
	if len(body) == 0 {
		return e, nil
	}
	if len(body) < 2 {
		return e, errors.New("cut off after 1 byte")
	}
	if e.Code = binary.LittleEndian.Uint16(body); e.Code == 0 {
		return e, ErrNoCode
	}
	e.Failure, err = ReadFailure(body[2:])
	return e, err
}

// AppendCredit appends a whole Credit frame. n must be positive.
func AppendCredit(dst []byte, f *Frame, n uint32) []byte {
	f.Type, f.BodySize = Credit, creditSize
	return binary.LittleEndian.AppendUint32(AppendHeader(dst, f), n)
}

// ReadCredit reads the body of a Credit frame, which has the right size.
func ReadCredit(body []byte) (uint32, error) {
	n := binary.LittleEndian.Uint32(body)
	if n == 0 {
		return 0, fmt.Errorf("%v of 0 bytes", Credit)
	}
	return n, nil
}
