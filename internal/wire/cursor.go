package wire

import (
	"encoding/binary"
	"fmt"
	"io"
)

// A Cursor reads numbers and strings from a body. After the first error all
// reads return zero values, so callers may check Err or Done once, at the end.
type Cursor struct {
	rest []byte
	off  int
	err  error
}

// NewCursor returns a cursor at the start of b.
func NewCursor(b []byte) *Cursor { return &Cursor{rest: b} }

// Next consumes n bytes. The result aliases the input.
func (c *Cursor) Next(n int) []byte {
	if c.err == nil && (n < 0 || n > len(c.rest)) {
		c.err = fmt.Errorf("want %d bytes, have %d, offset %d: %w", n, len(c.rest), c.off, io.ErrUnexpectedEOF)
	}
	if c.err != nil {
		return nil
	}
	// Clip the capacity, so that appending to p cannot overwrite the input.
	p := c.rest[:n:n]
	c.rest, c.off = c.rest[n:], c.off+n
	return p
}

// Uint8 reads one byte.
func (c *Cursor) Uint8() uint8 {
	if p := c.Next(1); p != nil {
		return p[0]
	}
	return 0
}

// Uint16 reads a little-endian number.
func (c *Cursor) Uint16() uint16 {
	if p := c.Next(2); p != nil {
		return binary.LittleEndian.Uint16(p)
	}
	return 0
}

// Uint32 reads a little-endian number.
func (c *Cursor) Uint32() uint32 {
	if p := c.Next(4); p != nil {
		return binary.LittleEndian.Uint32(p)
	}
	return 0
}

// String16 reads a string with a length prefix of two bytes.
func (c *Cursor) String16() string { return string(c.Next(int(c.Uint16()))) }

// String32 reads a string with a length prefix of four bytes.
func (c *Cursor) String32() string { return string(c.Next(c.len32())) }

// Bytes32 is String32 without the copy: the result aliases the input.
func (c *Cursor) Bytes32() []byte { return c.Next(c.len32()) }

func (c *Cursor) len32() int {
	n := c.Uint32()
	if int64(n) > int64(len(c.rest)) {
		return len(c.rest) + 1 // always too long, and never negative where int has 32 bits
	}
	return int(n)
}

// Len returns the number of unread bytes.
func (c *Cursor) Len() int { return len(c.rest) }

// Fail records an error at the current offset, unless there was one before.
func (c *Cursor) Fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("%s, offset %d", fmt.Sprintf(format, args...), c.off)
	}
}

// Done returns the first error. Unread bytes are an error, too.
func (c *Cursor) Done() error {
	if c.err == nil && len(c.rest) > 0 {
		c.err = fmt.Errorf("%d trailing bytes, offset %d", len(c.rest), c.off)
	}
	return c.err
}

// Err returns the first error.
func (c *Cursor) Err() error { return c.err }

// AppendString16 appends s with a length prefix of two bytes. The length must
// fit.
func AppendString16(dst []byte, s string) []byte {
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(s)))
	return append(dst, s...)
}

// AppendString32 appends s with a length prefix of four bytes. The length must
// fit.
func AppendString32(dst []byte, s string) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(s)))
	return append(dst, s...)
}
