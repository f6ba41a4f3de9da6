package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A Type says what a frame is. Types below 0x10 are those of the basic wire.
type Type uint8

// The frame types. 0x1c and above are kept for streams, callbacks and
// authentication.
const (
	Init          Type = 0x00 // both wires, both directions, first
	BasicRequest  Type = 0x01 // basic wire, to the server
	BasicResponse Type = 0x01 // basic wire, to the client
	Exception     Type = 0x04 // basic wire, to the client

	Request       Type = 0x10 // Arg: number of the method on this connection
	RequestPiece  Type = 0x11 // more of a Request's body
	Response      Type = 0x12 // the result
	ResponsePiece Type = 0x13 // more of a Response's body
	Error         Type = 0x14 // Arg: the code
	Cancel        Type = 0x15 // the caller no longer waits
	Bind          Type = 0x16 // asks for the numbers of methods; answered as a call is
	Close         Type = 0x17 // Arg: the code; the last frame of a connection
	Ping          Type = 0x18 // asks for a Pong
	Pong          Type = 0x19 // ID: the Ping's
	Waiting       Type = 0x1a // to the client; ID: its place in the queue, 1 is next
	Admitted      Type = 0x1b // to the client: its session begins
)

// Flags of a frame. A bit that its type does not have must be zero.
type Flags uint8

// The flags.
const (
	Pieces   Flags = 1 << iota // Request, Response: the first piece; Total follows
	Metadata                   // Request, Response, Error: a block of fields precedes the body
	NotRun                     // Error: the method was not run
	Describe                   // Bind: names without hashes; the answer has every text
	Expired                    // Error: the time that the request gave was over
)

const (
	headSize    = 16       // size, type, flags, arg, id
	PieceHead   = headSize // the head of a piece that is not the first
	timeoutSize = 8        // of a Request, behind the head
	MaxWhole    = 64 << 10 // the longest body of a message that travels in one frame
	MaxPiece    = 128 << 10
	MaxMetadata = 8 << 10
	MaxHead     = headSize + timeoutSize + 8 + 2 + MaxMetadata // all of a frame that is not its body
	MaxFrame    = MaxHead + MaxPiece
)

// ErrShort says that a frame's head is not all there yet.
var ErrShort = errors.New("short frame")

// allowed has the flags that a frame type may carry.
var allowed = [...]Flags{
	Request:       Pieces | Metadata,
	RequestPiece:  0,
	Response:      Pieces | Metadata,
	ResponsePiece: 0,
	Error:         Metadata | NotRun | Expired,
	Cancel:        0,
	Bind:          Describe,
	Close:         0,
	Ping:          0,
	Pong:          0,
	Waiting:       0,
	Admitted:      0,
}

// A Frame is the head of a native frame: everything but its body.
type Frame struct {
	Type    Type
	Flags   Flags
	Arg     uint16
	ID      uint64 // of the call, unless the type says otherwise
	Timeout uint64 // Request: microseconds left, 0 for none
	Total   uint64 // length of the whole body; more than Body where pieces follow
	Meta    []byte // aliases the input
	Body    int    // bytes of body in this frame
}

// AppendHead appends the head of f, whose body of f.Body bytes the caller
// appends behind it.
func AppendHead(dst []byte, f *Frame) []byte {
	size := headSize + f.Body
	if f.Type == Request {
		size += timeoutSize
	}
	if f.Flags&Pieces != 0 {
		size += 8
	}
	if f.Flags&Metadata != 0 {
		size += 2 + len(f.Meta)
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(size))
	dst = append(dst, byte(f.Type), byte(f.Flags), byte(f.Arg), byte(f.Arg>>8))
	dst = binary.LittleEndian.AppendUint64(dst, f.ID)
	if f.Type == Request {
		dst = binary.LittleEndian.AppendUint64(dst, f.Timeout)
	}
	if f.Flags&Pieces != 0 {
		dst = binary.LittleEndian.AppendUint64(dst, f.Total)
	}
	if f.Flags&Metadata != 0 {
		dst = binary.LittleEndian.AppendUint16(dst, uint16(len(f.Meta)))
		dst = append(dst, f.Meta...)
	}
	return dst
}

// ReadHead reads the head of the frame that b begins with, into f, and returns
// its length: the body is the f.Body bytes behind it. ErrShort means that b
// must be longer for that; any other error is the peer's violation of the
// protocol, found as early as the bytes allow.
func ReadHead(b []byte, f *Frame) (int, error) {
	if len(b) < headSize {
		return 0, shortHead(b)
	}
	size := binary.LittleEndian.Uint32(b)
	*f = Frame{
		Type:  Type(b[4]),
		Flags: Flags(b[5]),
		Arg:   binary.LittleEndian.Uint16(b[6:]),
		ID:    binary.LittleEndian.Uint64(b[8:]),
	}
	if err := f.check(size); err != nil {
		return 0, err
	}
	n := headSize
	if f.Type == Request {
		if len(b) < n+timeoutSize {
			return 0, ErrShort
		}
		f.Timeout = binary.LittleEndian.Uint64(b[n:])
		n += timeoutSize
	}
	if f.Flags&(Pieces|Metadata) != 0 {
		var err error
		if n, err = f.readOptional(b, n); err != nil {
			return 0, err
		}
	}
	if int64(size) < int64(n) {
		return 0, fmt.Errorf("%v frame of %d bytes, its head takes %d", f.Type, size, n)
	}
	f.Body = int(size) - n
	return n, f.checkBody()
}

// shortHead judges a frame of whose head fewer than headSize bytes are there.
func shortHead(b []byte) error {
	if len(b) >= 4 {
		if size := binary.LittleEndian.Uint32(b); size < headSize || size > MaxFrame {
			return fmt.Errorf("frame of %d bytes, want %d to %d", size, headSize, MaxFrame)
		}
	}
	return ErrShort
}

func (f *Frame) check(size uint32) error {
	switch {
	case size < headSize || size > MaxFrame:
		return fmt.Errorf("frame of %d bytes, want %d to %d", size, headSize, MaxFrame)
	case f.Type < Request || f.Type > Admitted:
		return fmt.Errorf("unknown frame type 0x%02x", uint8(f.Type))
	case f.Flags&^allowed[f.Type] != 0:
		return fmt.Errorf("%v frame with reserved flags 0x%02x", f.Type, uint8(f.Flags&^allowed[f.Type]))
	}
	return nil
}

// readOptional reads what flags announce, from b[n:].
func (f *Frame) readOptional(b []byte, n int) (int, error) {
	if f.Flags&Pieces != 0 {
		if len(b) < n+8 {
			return 0, ErrShort
		}
		f.Total = binary.LittleEndian.Uint64(b[n:])
		n += 8
	}
	if f.Flags&Metadata != 0 {
		if len(b) < n+2 {
			return 0, ErrShort
		}
		m := int(binary.LittleEndian.Uint16(b[n:]))
		if n += 2; m > MaxMetadata {
			return 0, fmt.Errorf("%v frame with %d bytes of metadata, want at most %d", f.Type, m, MaxMetadata)
		}
		if len(b) < n+m {
			return 0, ErrShort
		}
		f.Meta = b[n : n+m : n+m]
		n += m
	}
	return n, nil
}

// checkBody holds a body against what its frame may carry.
func (f *Frame) checkBody() error {
	switch {
	case f.Flags&Pieces != 0:
		if f.Total <= MaxWhole || uint64(f.Body) > f.Total || f.Body > MaxPiece {
			return fmt.Errorf("first piece of %d bytes of a %v of %d", f.Body, f.Type, f.Total)
		}
		return nil
	case f.Type == RequestPiece || f.Type == ResponsePiece:
		if f.Body == 0 || f.Body > MaxPiece {
			return fmt.Errorf("%v of %d bytes, want 1 to %d", f.Type, f.Body, MaxPiece)
		}
		return nil
	case f.Type >= Ping && f.Body > 0:
		return fmt.Errorf("%v with a body of %d bytes", f.Type, f.Body)
	case f.Body > MaxWhole:
		return fmt.Errorf("%v of %d bytes in one frame, want at most %d", f.Type, f.Body, MaxWhole)
	}
	f.Total = uint64(f.Body)
	return nil
}

func (t Type) String() string {
	names := map[Type]string{
		Init: "INIT", Exception: "EXCEPTION", Request: "REQUEST", RequestPiece: "REQUEST_PIECE", Response: "RESPONSE",
		ResponsePiece: "RESPONSE_PIECE", Error: "ERROR", Cancel: "CANCEL", Bind: "BIND", Close: "CLOSE",
		Ping: "PING", Pong: "PONG", Waiting: "WAITING", Admitted: "ADMITTED",
	}
	if s, ok := names[t]; ok {
		return s
	}
	return fmt.Sprintf("type 0x%02x", uint8(t))
}
