package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A Type is the type of a frame. Types below 0x10 belong to the basic wire.
type Type uint8

// The frame types. 0x24 and above are reserved.
const (
	Init          Type = 0x00 // both wires, both directions, first
	BasicRequest  Type = 0x01 // basic wire, to the server
	BasicResponse Type = 0x01 // basic wire, to the client
	Exception     Type = 0x04 // basic wire, to the client

	Request       Type = 0x10 // Arg: the method's number on this connection
	RequestChunk  Type = 0x11 // continues a Request's body
	Response      Type = 0x12 // the results
	ResponseChunk Type = 0x13 // continues a Response's body
	Error         Type = 0x14 // Arg: the code
	Cancel        Type = 0x15 // the caller has stopped waiting
	Bind          Type = 0x16 // asks for method numbers; answered like a call
	Close         Type = 0x17 // Arg: the code; the last frame of a connection
	Ping          Type = 0x18 // asks for a Pong
	Pong          Type = 0x19 // ID: the Ping's
	Waiting       Type = 0x1a // to the client; ID: its position in the admission queue, 1 is next
	Admitted      Type = 0x1b // to the client: its session has begun
	Draining      Type = 0x1c // to a client that reconnects: the server ends soon, and accepts no further calls
	SessionState  Type = 0x1d // to a client that reconnects: its session holds state at the server
	Position      Type = 0x1f // to the caller ID, which asked for it; see AppendPosition

	Auth Type = 0x1e // to the server, between INIT and all other frames; see ReadAuth

	// Arg is the number of a stream of the call ID: 0 for its result, 1 and above for
	// its parameters.
	Items  Type = 0x20 // bytes of the stream
	End    Type = 0x21 // the end of the stream; its body is a StreamEnd
	Credit Type = 0x22 // the receiver accepts more bytes; its body is a number of 4 bytes
	Stop   Type = 0x23 // the receiver of a parameter accepts no more
)

const (
	lastType   = Stop
	knownTypes = 1<<(SessionState-Request+1) - 1 | 1<<(Position-Request) | 0xf<<(Items-Request) // bit t-Request is set for each native type t
)

// known reports whether t is a type of the native wire.
func (t Type) known() bool { return t-Request <= lastType-Request && knownTypes>>(t-Request)&1 != 0 }

// Flags are the flags of a frame. Bits undefined for its type must be zero.
type Flags uint8

// The flags.
const (
	Chunked    Flags = 1 << iota // Request, Response: the first chunk; Total follows
	Metadata                     // Request, Response, Error: fields precede the body
	NotRun                       // Error: the method did not run and will not
	Describe                     // Bind: names without hashes; the response contains every text
	Expired                      // Error, End: the request's time limit had passed
	FromCaller                   // Items, End, Credit: the sender made the call
	Callback                     // Request: calls a func among the arguments of a call by the receiver; Call follows
	Texts                        // Bind: names with texts in place of hashes
)

const (
	headerSize      = 16         // size, type, flags, arg, id
	ChunkHeaderSize = headerSize // of every chunk after the first
	timeoutSize     = 8          // of a Request, after the fixed header
	callSize        = 8          // of a Request with Callback, after the timeout
	MaxUnchunked    = 64 << 10   // the longest body of an unchunked message
	MaxChunk        = 128 << 10
	MaxMetadata     = 8 << 10
	MinCut          = 32 << 10                                                  // memory of this many bytes is sent without a copy
	MaxHeader       = headerSize + timeoutSize + callSize + 8 + 2 + MaxMetadata // a frame without its body
	MaxFrame        = MaxHeader + MaxChunk
)

// ErrShort reports an incomplete frame header: more bytes are needed.
var ErrShort = errors.New("short frame")

// allowedFlags lists the flags defined for each frame type.
var allowedFlags = [...]Flags{
	Request:       Chunked | Metadata | Callback,
	RequestChunk:  0,
	Response:      Chunked | Metadata,
	ResponseChunk: 0,
	Error:         Metadata | NotRun | Expired,
	Cancel:        0,
	Bind:          Describe | Texts,
	Close:         NotRun,
	Ping:          0,
	Pong:          0,
	Waiting:       0,
	Admitted:      0,
	Draining:      0,
	SessionState:  0,
	Position:      0,
	Items:         FromCaller,
	End:           FromCaller | Expired | Metadata,
	Credit:        FromCaller,
	Stop:          0,
}

// A Frame is a native frame without its body: the header with all optional
// parts.
type Frame struct {
	Type     Type
	Flags    Flags
	Arg      uint16
	ID       uint64 // of the call, unless the type defines another meaning
	Timeout  uint64 // Request: microseconds left, 0 for no limit
	Call     uint64 // Request with Callback: the id of the receiver's call; Arg: the number of the func, 1 and above
	Total    uint64 // length of the whole body, over all chunks
	Meta     []byte // aliases the input
	BodySize int    // length of the body in this frame
}

// AppendHeader appends the header of f. The caller appends the body, f.BodySize
// bytes, after it.
func AppendHeader(dst []byte, f *Frame) []byte {
	size := headerSize + f.BodySize
	if f.Type == Request {
		size += timeoutSize
	}
	if f.Flags&Callback != 0 {
		size += callSize
	}
	if f.Flags&Chunked != 0 {
		size += 8
	}
	if f.Flags&Metadata != 0 {
		size += 2 + len(f.Meta)
	}
	// The optional parts follow the fixed header in this order.
	dst = binary.LittleEndian.AppendUint32(dst, uint32(size))
	dst = append(dst, byte(f.Type), byte(f.Flags), byte(f.Arg), byte(f.Arg>>8))
	dst = binary.LittleEndian.AppendUint64(dst, f.ID)
	if f.Type == Request {
		dst = binary.LittleEndian.AppendUint64(dst, f.Timeout)
	}
	if f.Flags&Callback != 0 {
		dst = binary.LittleEndian.AppendUint64(dst, f.Call)
	}
	if f.Flags&Chunked != 0 {
		dst = binary.LittleEndian.AppendUint64(dst, f.Total)
	}
	if f.Flags&Metadata != 0 {
		dst = binary.LittleEndian.AppendUint16(dst, uint16(len(f.Meta)))
		dst = append(dst, f.Meta...)
	}
	return dst
}

// ReadHeader reads the frame header at the start of b into f and returns its
// length; the body is the next f.BodySize bytes. ErrShort means that b is too
// short to contain the header. Any other error is a protocol violation, found
// as early as the bytes allow. f.Meta aliases b.
func ReadHeader(b []byte, f *Frame) (int, error) {
	if len(b) < headerSize {
		return 0, checkShort(b)
	}
	size := binary.LittleEndian.Uint32(b)
	*f = Frame{
		Type:  Type(b[4]),
		Flags: Flags(b[5]),
		Arg:   binary.LittleEndian.Uint16(b[6:]),
		ID:    binary.LittleEndian.Uint64(b[8:]),
	}
	if size-headerSize > MaxFrame-headerSize || !f.Type.known() || f.Flags&^allowedFlags[f.Type] != 0 {
		return 0, f.invalid(size)
	}
	n := headerSize
	if f.Type == Request {
		if err := f.checkHeader(b, size, n+timeoutSize); err != nil {
			return 0, err
		}
		f.Timeout = binary.LittleEndian.Uint64(b[n:])
		n += timeoutSize
	}
	if f.Flags&(Chunked|Metadata|Callback) != 0 {
		var err error
		if n, err = f.readOptional(b, size, n); err != nil {
			return 0, err
		}
	}
	f.BodySize = int(size) - n
	if f.Flags&Chunked == 0 && (f.Type == Request || f.Type == Response) && f.BodySize <= MaxUnchunked {
		f.Total = uint64(f.BodySize) // as checkBody does: most frames are these
		return n, nil
	}
	return n, f.checkBody()
}

// checkShort checks the size of a frame with fewer than headerSize bytes, so
// that an invalid size fails without waiting for more.
func checkShort(b []byte) error {
	// The first four bytes are the size. Checking them early detects peers of
	// other protocols, and sizes beyond any buffer.
	if len(b) >= 4 {
		if size := binary.LittleEndian.Uint32(b); size < headerSize || size > MaxFrame {
			return fmt.Errorf("frame of %d bytes, want %d to %d", size, headerSize, MaxFrame)
		}
	}
	return ErrShort
}

// checkHeader checks that a frame of size bytes has a header of n, and that
// those have arrived. The size comes first: bytes that the frame does not have
// are not waited for.
func (f *Frame) checkHeader(b []byte, size uint32, n int) error {
	// The size of a frame includes its header, so a smaller size is invalid.
	// Only now the header is known to be complete.
	if int64(size) < int64(n) {
		return fmt.Errorf("%v frame of %d bytes, but its header takes %d", f.Type, size, n)
	}
	if len(b) < n {
		return ErrShort
	}
	return nil
}

// invalid returns why the fixed part of a header is invalid.
func (f *Frame) invalid(size uint32) error {
	switch {
	case size < headerSize || size > MaxFrame:
		return fmt.Errorf("frame of %d bytes, want %d to %d", size, headerSize, MaxFrame)
	case !f.Type.known():
		return fmt.Errorf("unknown frame type 0x%02x", uint8(f.Type))
	}
	return fmt.Errorf("%v frame with reserved flags 0x%02x", f.Type, uint8(f.Flags&^allowedFlags[f.Type]))
}

// readOptional reads the parts announced by flags, starting at b[n], and
// returns the offset after them.
func (f *Frame) readOptional(b []byte, size uint32, n int) (int, error) {
	if f.Flags&Callback != 0 {
		if err := f.checkHeader(b, size, n+callSize); err != nil {
			return 0, err
		}
		f.Call = binary.LittleEndian.Uint64(b[n:])
		n += callSize
	}
	if f.Flags&Chunked != 0 {
		if err := f.checkHeader(b, size, n+8); err != nil {
			return 0, err
		}
		f.Total = binary.LittleEndian.Uint64(b[n:])
		n += 8
	}
	if f.Flags&Metadata != 0 {
		if err := f.checkHeader(b, size, n+2); err != nil {
			return 0, err
		}
		m := int(binary.LittleEndian.Uint16(b[n:]))
		if n += 2; m > MaxMetadata {
			return 0, fmt.Errorf("%v frame with %d bytes of metadata, want at most %d", f.Type, m, MaxMetadata)
		}
		if err := f.checkHeader(b, size, n+m); err != nil {
			return 0, err
		}
		f.Meta = b[n : n+m : n+m]
		n += m
	}
	return n, nil
}

// checkBody validates the body's length. A chunk's length is bounded here; the
// receiver checks the sum of the chunks against Total. It also sets Total of an
// unchunked message.
func (f *Frame) checkBody() error {
	switch {
	// A message must be chunked if and only if it is longer than MaxUnchunked:
	// one encoding per message.
	case f.Flags&Chunked != 0:
		if f.Total <= MaxUnchunked || uint64(f.BodySize) > f.Total || f.BodySize > MaxChunk {
			return fmt.Errorf("first chunk of %d bytes of a %v of %d", f.BodySize, f.Type, f.Total)
		}
		return nil
	case f.Type == RequestChunk || f.Type == ResponseChunk:
		if f.BodySize == 0 || f.BodySize > MaxChunk {
			return fmt.Errorf("%v of %d bytes, want 1 to %d", f.Type, f.BodySize, MaxChunk)
		}
		return nil
	case f.Type == Items && f.BodySize == 0:
		return fmt.Errorf("%v without bytes", f.Type)
	case f.Type == Credit && f.BodySize != creditSize:
		return fmt.Errorf("%v with a body of %d bytes, want %d", f.Type, f.BodySize, creditSize)
	// Cancel may have a body, ignored by receivers. Close has one.
	case (f.Type >= Ping && f.Type <= SessionState || f.Type == Stop) && f.BodySize > 0:
		return fmt.Errorf("%v with a body of %d bytes", f.Type, f.BodySize)
	case f.BodySize > MaxUnchunked:
		return fmt.Errorf("%v of %d bytes in one frame, want at most %d", f.Type, f.BodySize, MaxUnchunked)
	}
	f.Total = uint64(f.BodySize)
	return nil
}

var typeNames = [...]string{
	Init: "INIT", Exception: "EXCEPTION", Request: "REQUEST", RequestChunk: "REQUEST_CHUNK", Response: "RESPONSE",
	ResponseChunk: "RESPONSE_CHUNK", Error: "ERROR", Cancel: "CANCEL", Bind: "BIND", Close: "CLOSE",
	Ping: "PING", Pong: "PONG", Waiting: "WAITING", Admitted: "ADMITTED",
	Draining: "DRAINING", SessionState: "SESSION-STATE", Auth: "AUTH", Position: "POSITION",
	Items: "ITEMS", End: "END", Credit: "CREDIT", Stop: "STOP",
}

func (t Type) String() string {
	if int(t) < len(typeNames) && typeNames[t] != "" {
		return typeNames[t]
	}
	return fmt.Sprintf("type 0x%02x", uint8(t))
}
