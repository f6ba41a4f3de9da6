package wire

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// frameCases are frame headers and their bytes.
var frameCases = []struct {
	name  string
	frame Frame
	bytes string
}{
	{"request", Frame{Type: Request, Arg: 0x0102, ID: 3, Timeout: 4, BodySize: 5, Total: 5},
		"\x1d\x00\x00\x00\x10\x00\x02\x01\x03\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00"},
	{"request without a body", Frame{Type: Request, ID: math.MaxUint64, Timeout: math.MaxUint64},
		"\x18\x00\x00\x00\x10\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"},
	{"first chunk of a request", Frame{Type: Request, Flags: Chunked, ID: 1, BodySize: MaxChunk, Total: 1 << 20},
		"\x20\x00\x02\x00\x10\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10\x00\x00\x00\x00\x00"},
	{"first chunk without bytes", Frame{Type: Response, Flags: Chunked, ID: 1, Total: MaxUnchunked + 1},
		"\x18\x00\x00\x00\x12\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01\x00\x00\x00\x00\x00"},
	{"chunk of a request", Frame{Type: RequestChunk, ID: 1, BodySize: 1},
		"\x11\x00\x00\x00\x11\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00"},
	{"response", Frame{Type: Response, ID: 1, BodySize: MaxUnchunked, Total: MaxUnchunked},
		"\x10\x00\x01\x00\x12\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00"},
	{"chunk of a response", Frame{Type: ResponseChunk, ID: 1, BodySize: MaxChunk},
		"\x10\x00\x02\x00\x13\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00"},
	{"response with metadata", Frame{Type: Response, Flags: Metadata, ID: 1, Meta: []byte("abc"), BodySize: 2, Total: 2},
		"\x17\x00\x00\x00\x12\x02\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x03\x00abc"},
	{"callback", Frame{Type: Request, Flags: Callback, Arg: 1, ID: 2, Timeout: 3, Call: 4, BodySize: 5, Total: 5},
		"\x25\x00\x00\x00\x10\x40\x01\x00\x02\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00"},
	{"callback with all parts", Frame{Type: Request, Flags: Callback | Chunked | Metadata, ID: 2, Call: math.MaxUint64, Total: 1 << 17, Meta: []byte("m"), BodySize: 4},
		"\x2f\x00\x00\x00\x10\x43\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x02\x00\x00\x00\x00\x00\x01\x00m"},
	{"request with all parts", Frame{Type: Request, Flags: Chunked | Metadata, Arg: 1, ID: 2, Timeout: 3, Total: 1 << 17, Meta: []byte("m"), BodySize: 4},
		"\x27\x00\x00\x00\x10\x03\x01\x00\x02\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x01\x00m"},
	{"error", Frame{Type: Error, Flags: NotRun, Arg: 8, ID: 1, BodySize: 8, Total: 8},
		"\x18\x00\x00\x00\x14\x04\x08\x00\x01\x00\x00\x00\x00\x00\x00\x00"},
	{"cancel", Frame{Type: Cancel, ID: 1},
		"\x10\x00\x00\x00\x15\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00"},
	{"error after the deadline", Frame{Type: Error, Flags: NotRun | Expired, Arg: 4, ID: 1, BodySize: 4, Total: 4},
		"\x14\x00\x00\x00\x14\x14\x04\x00\x01\x00\x00\x00\x00\x00\x00\x00"},
	{"bind with Describe", Frame{Type: Bind, Flags: Describe, ID: 1, BodySize: 4, Total: 4},
		"\x14\x00\x00\x00\x16\x08\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00"},
	{"close", Frame{Type: Close, Arg: 14, BodySize: 8, Total: 8},
		"\x18\x00\x00\x00\x17\x00\x0e\x00\x00\x00\x00\x00\x00\x00\x00\x00"},
	{"ping", Frame{Type: Ping, ID: 9},
		"\x10\x00\x00\x00\x18\x00\x00\x00\x09\x00\x00\x00\x00\x00\x00\x00"},
	{"waiting", Frame{Type: Waiting, ID: 2},
		"\x10\x00\x00\x00\x1a\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00"},
}

func TestHeader(t *testing.T) {
	for _, tt := range frameCases {
		t.Run(tt.name, func(t *testing.T) {
			if got := AppendHeader([]byte("before"), &tt.frame); string(got) != "before"+tt.bytes {
				t.Errorf("AppendHeader: got\n%x, want\n%x", got[6:], tt.bytes)
			}
			var got Frame
			n, err := ReadHeader([]byte(tt.bytes+"body"), &got)
			if err != nil || n != len(tt.bytes) {
				t.Fatalf("ReadHeader: got %d bytes, %v; want %d", n, err, len(tt.bytes))
			}
			if diff := cmp.Diff(tt.frame, got); diff != "" {
				t.Errorf("ReadHeader (-want +got):\n%s", diff)
			}
		})
	}
}

// A header truncated at any offset is short.
func TestShortHeader(t *testing.T) {
	for _, tt := range frameCases {
		for n := range len(tt.bytes) {
			var f Frame
			if _, err := ReadHeader([]byte(tt.bytes[:n]), &f); err != ErrShort {
				t.Errorf("%s, truncated after %d bytes: got %v, want %v", tt.name, n, err, ErrShort)
			}
		}
	}
}

// The capacity of Meta ends with the metadata, so that appending to it cannot
// overwrite the body.
func TestHeaderMetadataIsClipped(t *testing.T) {
	b := AppendHeader(nil, &Frame{Type: Response, Flags: Metadata, ID: 1, Meta: []byte("abc"), BodySize: 2})
	b = append(b, "xy"...)
	var f Frame
	if _, err := ReadHeader(b, &f); err != nil {
		t.Fatal(err)
	}
	_ = append(f.Meta, 'Z')
	if !bytes.HasSuffix(b, []byte("xy")) {
		t.Errorf("the body is %q after an append to the metadata", b[len(b)-2:])
	}
}

// head returns the first 16 bytes of a frame, and the rest.
func head(size uint32, t Type, flags Flags, rest string) string {
	b := []byte{byte(size), byte(size >> 8), byte(size >> 16), byte(size >> 24), byte(t), byte(flags), 0, 0, 1, 0, 0, 0, 0, 0, 0, 0}
	return string(b) + rest
}

func TestHeaderErrors(t *testing.T) {
	const none, total, timeout = "", "\x00\x00\x02\x00\x00\x00\x00\x00", "\x00\x00\x00\x00\x00\x00\x00\x00"
	for _, tt := range []struct {
		name, bytes, want string
	}{
		{"size 0", head(0, Cancel, 0, none), "frame of 0 bytes, want 16 to 139306"},
		{"size below the header", head(15, Cancel, 0, none), "frame of 15 bytes"},
		{"size above the limit", head(MaxFrame+1, Request, 0, none), "frame of 139307 bytes"},
		{"largest size", head(math.MaxUint32, Request, 0, none), "frame of 4294967295 bytes"},
		{"size alone", "\x0f\x00\x00\x00", "frame of 15 bytes"},
		{"size alone, too large", "\xff\xff\xff\xff", "frame of 4294967295 bytes"},
		{"basic type", head(16, Init, 0, none), "unknown frame type 0x00"},
		{"type below range", head(16, 0x0f, 0, none), "unknown frame type 0x0f"},
		{"type above range", head(16, 0x24, 0, none), "unknown frame type 0x24"},
		{"largest type", head(16, 0xff, 0, none), "unknown frame type 0xff"},
		{"request, NotRun", head(24, Request, NotRun, timeout), "REQUEST frame with reserved flags 0x04"},
		{"request, unknown flag", head(24, Request, 0x80, timeout), "REQUEST frame with reserved flags 0x80"},
		{"cancel, metadata", head(16, Cancel, Metadata, none), "CANCEL frame with reserved flags 0x02"},
		{"bind, chunked", head(16, Bind, Chunked, none), "BIND frame with reserved flags 0x01"},
		{"chunk, chunked", head(17, RequestChunk, Chunked, total), "REQUEST_CHUNK frame with reserved flags 0x01"},
		{"request without timeout", head(16, Request, 0, timeout), "REQUEST frame of 16 bytes, but its header takes 24"},
		{"callback without a call", head(24, Request, Callback, timeout), "REQUEST frame of 24 bytes, but its header takes 32"},
		{"response, callback", head(24, Response, Callback, timeout), "RESPONSE frame with reserved flags 0x40"},
		{"first chunk without total", head(16, Response, Chunked, total), "RESPONSE frame of 16 bytes, but its header takes 24"},
		{"metadata above the limit", head(MaxFrame, Response, Metadata, "\x01\x20"), "RESPONSE frame with 8193 bytes of metadata, want at most 8192"},
		{"metadata longer than the frame", head(18, Response, Metadata, "\x01\x00x"), "RESPONSE frame of 18 bytes, but its header takes 19"},
		{"message short enough for one frame", head(24, Response, Chunked, "\x00\x00\x01\x00\x00\x00\x00\x00"), "first chunk of 0 bytes of a RESPONSE of 65536"},
		{"first chunk above its total", head(24+MaxChunk, Response, Chunked, "\xff\xff\x01\x00\x00\x00\x00\x00"), "first chunk of 131072 bytes of a RESPONSE of 131071"},
		{"first chunk above the limit", head(24+MaxChunk+1, Response, Chunked, "\x00\x00\x10\x00\x00\x00\x00\x00"), "first chunk of 131073 bytes of a RESPONSE of 1048576"},
		{"chunk without bytes", head(16, ResponseChunk, 0, none), "RESPONSE_CHUNK of 0 bytes, want 1 to 131072"},
		{"chunk above the limit", head(16+MaxChunk+1, RequestChunk, 0, none), "REQUEST_CHUNK of 131073 bytes, want 1 to 131072"},
		{"admitted, with a body", head(17, Admitted, 0, none), "ADMITTED with a body of 1 bytes"},
		{"position, with metadata", head(16, Position, Metadata, none), "POSITION frame with reserved flags 0x02"},
		{"unchunked message above the limit", head(16+MaxUnchunked+1, Response, 0, none), "RESPONSE of 65537 bytes in one frame, want at most 65536"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var f Frame
			n, err := ReadHeader([]byte(tt.bytes), &f)
			if err == nil || errors.Is(err, ErrShort) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %d, %v; want %q", n, err, tt.want)
			}
		})
	}
}

// A frame whose size cannot hold its header fails when the frame has arrived.
// What it lacks is not waited for, and not taken from the next frame.
func TestHeaderBeyondItsFrame(t *testing.T) {
	for _, tt := range []struct{ bytes, want string }{
		{head(16, Request, 0, ""), "REQUEST frame of 16 bytes, but its header takes 24"},
		{head(20, Request, 0, "\x00\x00\x00\x00"), "REQUEST frame of 20 bytes, but its header takes 24"},
		{head(24, Request, Chunked, "\x00\x00\x00\x00\x00\x00\x00\x00"), "REQUEST frame of 24 bytes, but its header takes 32"},
		{head(20, Response, Chunked, "\x00\x00\x01\x00"), "RESPONSE frame of 20 bytes, but its header takes 24"},
		{head(16, Error, Metadata, ""), "ERROR frame of 16 bytes, but its header takes 18"},
		{head(22, Response, Metadata, "\x64\x00abcd"), "RESPONSE frame of 22 bytes, but its header takes 118"},
	} {
		var f Frame
		if n, err := ReadHeader([]byte(tt.bytes), &f); err == nil || err.Error() != tt.want {
			t.Errorf("got %d, %v; want %q", n, err, tt.want)
		}
	}
}

func TestTypeString(t *testing.T) {
	for typ, want := range map[Type]string{Init: "INIT", Close: "CLOSE", ResponseChunk: "RESPONSE_CHUNK", 0x7f: "type 0x7f"} {
		if got := typ.String(); got != want {
			t.Errorf("Type(%d): got %q, want %q", uint8(typ), got, want)
		}
	}
}
