package wire

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	fieldMaxMessage  = "\x01\x00\x08\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00"
	fieldConnBytes   = "\x02\x00\x08\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00"
	fieldMaxInflight = "\x03\x00\x04\x00\x00\x00\x00\x04\x00\x00"
	fieldUnknown     = "\x34\x12\x03\x00\x00\x00abc"
	fieldCritical    = "\x34\x92\x03\x00\x00\x00abc"
)

var sample = Hello{Version: 1, MaxMessage: 16 << 20, ConnBytes: 32 << 20, MaxInflight: 1024}

func TestClientInit(t *testing.T) {
	const want = "\x33\x00\x00\x00\x00" + "\x00\x00\x01" + "bsrp\x01" + fieldMaxMessage + fieldConnBytes + fieldMaxInflight
	if got := AppendClientInit(nil, &sample); string(got) != want {
		t.Errorf("got\n%x, want\n%x", got, want)
	}
	typ, n := ReadBasicHeader([]byte(want)[:5])
	if typ != Init || int(n) != len(want)-5 {
		t.Errorf("ReadBasicHeader: got %v, %d; want INIT, %d", typ, n, len(want)-5)
	}
	h, err := ReadClientInit([]byte(want[5:]))
	if diff := cmp.Diff(&sample, h); diff != "" || err != nil {
		t.Errorf("ReadClientInit: %v (-want +got):\n%s", err, diff)
	}
}

func TestServerInit(t *testing.T) {
	refused := sample
	refused.RefusalCode, refused.Refusal = 14, "full"
	waiting := sample
	waiting.Waiting, waiting.Position = true, 3
	for _, tt := range []struct {
		hello Hello
		want  string
	}{
		{sample, "\x31\x00\x00\x00\x00" + "\x01" + "bsrp\x01" + fieldMaxMessage + fieldConnBytes + fieldMaxInflight},
		{waiting, "\x3b\x00\x00\x00\x00" + "\x00" + "bsrp\x01" + fieldMaxMessage + fieldConnBytes + fieldMaxInflight +
			"\x05\x00\x04\x00\x00\x00\x03\x00\x00\x00"},
		{refused, "\x3d\x00\x00\x00\x00" + "\x00" + "bsrp\x01" + fieldMaxMessage + fieldConnBytes + fieldMaxInflight +
			"\x04\x00\x06\x00\x00\x00\x0e\x00full"},
		{Hello{Version: 1, PingAfter: 250}, "\x15\x00\x00\x00\x00" + "\x01" + "bsrp\x01" + "\x07\x00\x04\x00\x00\x00\xfa\x00\x00\x00"},
		{Hello{Version: 1}, "\x0b\x00\x00\x00\x00" + "\x01" + "bsrp\x01"},
	} {
		if got := AppendServerInit(nil, &tt.hello); string(got) != tt.want {
			t.Errorf("AppendServerInit: got\n%x, want\n%x", got, tt.want)
		}
		h, err := ReadServerInit([]byte(tt.want[5:]))
		if diff := cmp.Diff(&tt.hello, h); diff != "" || err != nil {
			t.Errorf("ReadServerInit: %v (-want +got):\n%s", err, diff)
		}
	}
}

// Unknown fields are skipped unless their type has the critical bit.
func TestInitFields(t *testing.T) {
	const start = "\x00\x00\x01bsrp\x01"
	for _, tt := range []struct {
		name, payload string
		want          *Hello
		err           string
	}{
		{"no fields", start, &Hello{Version: 1}, ""},
		{"unknown field", start + fieldUnknown + fieldMaxMessage, &Hello{Version: 1, MaxMessage: 16 << 20}, ""},
		{"64 fields", start + strings.Repeat(fieldUnknown, 64), &Hello{Version: 1}, ""},
		{"65 fields", start + strings.Repeat(fieldUnknown, 65), nil, "more than 64 fields"},
		{"critical field", start + fieldCritical, nil, "unknown field 0x9234 is required by the peer"},
		{"field of another width", start + "\x03\x00\x03\x00\x00\x00abc", nil, "field 0x0003 of 3 bytes, want 4"},
		{"short refusal", start + "\x04\x00\x01\x00\x00\x00a", nil, "refusal of 1 bytes, want at least 2"},
		{"truncated field header", start + "\x03\x00\x04\x00\x00", nil, "want 4 bytes, have 3, offset 2: unexpected EOF"},
		{"truncated field", start + "\x03\x00\x04\x00\x00\x00abc", nil, "want 4 bytes, have 3, offset 6: unexpected EOF"},
		{"largest length", start + "\x03\x00\xff\xff\xff\xff", nil, "offset 6: unexpected EOF"},
		{"other native version", "\x00\x00\x01bsrp\x02" + fieldCritical, &Hello{Version: 2}, ""},
		{"other basic version", "\x07\x00\x01bsrp\x01", &Hello{Version: 1}, ""},
		{"basic peer", "\x00\x00\x01", nil, ErrBasic.Error()},
		{"other magic", "\x00\x00\x01bsrq\x01", nil, ErrBasic.Error()},
		{"magic without a version", "\x00\x00\x01bsrp", nil, ErrBasic.Error()},
		{"empty", "", nil, "INIT of 0 bytes, want at least 3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, err := ReadClientInit([]byte(tt.payload))
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got %v, want %q", err, tt.err)
				}
				return
			}
			if diff := cmp.Diff(tt.want, h); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestServerInitErrors(t *testing.T) {
	if _, err := ReadServerInit(nil); err == nil {
		t.Error("empty payload: no error")
	}
	for _, payload := range []string{"\x00", "\x01", "\x01bsr"} {
		h, err := ReadServerInit([]byte(payload))
		if !errors.Is(err, ErrBasic) || *h != (Hello{Waiting: payload[0] == 0}) {
			t.Errorf("%q: got %+v, %v", payload, h, err)
		}
	}
}

// The longest INIT that this package appends is within the limit for reading.
func TestInitFits(t *testing.T) {
	h := sample
	h.RefusalCode, h.Refusal = 8, strings.Repeat("x", 4<<10)
	if n := len(AppendServerInit(nil, &h)); n > MaxInit {
		t.Errorf("a response with a refusal of 4 KiB has %d bytes, the limit is %d", n, MaxInit)
	}
}

func TestException(t *testing.T) {
	const want = "\x18\x00\x00\x00\x04" + "\x07\x00\x00\x00KeyFail" + "\x04\x00\x00\x00gone"
	if got := AppendException(nil, "KeyFail", "gone"); string(got) != want {
		t.Errorf("got\n%x, want\n%x", got, want)
	}
	name, text, err := ReadException([]byte(want[5:]))
	if name != "KeyFail" || text != "gone" || err != nil {
		t.Errorf("got %q, %q, %v", name, text, err)
	}
	for n := range len(want) - 5 {
		if _, _, err := ReadException([]byte(want[5 : 5+n])); err == nil {
			t.Errorf("truncated after %d bytes: no error", n)
		}
	}
	if _, _, err := ReadException([]byte(want[5:] + "x")); err == nil {
		t.Error("a trailing byte: no error")
	}
}

func TestBasicHeaderSizes(t *testing.T) {
	for _, tt := range []struct {
		head string
		want int64
	}{
		{"\x00\x00\x00\x00\x00", -5},
		{"\x04\x00\x00\x00\x00", -1},
		{"\x05\x00\x00\x00\x00", 0},
		{"\xff\xff\xff\xff\x00", 1<<32 - 6},
	} {
		if _, n := ReadBasicHeader([]byte(tt.head)); n != tt.want {
			t.Errorf("%x: got %d, want %d", tt.head, n, tt.want)
		}
	}
}

func ExampleReadFields() {
	block := []byte("\x01\x00\x02\x00\x00\x00hi" + "\x02\x00\x00\x00\x00\x00")
	ReadFields(block, func(t FieldType, v []byte) (bool, error) {
		fmt.Printf("%d: %q\n", t, v)
		return true, nil
	})
	// Output:
	// 1: "hi"
	// 2: ""
}
