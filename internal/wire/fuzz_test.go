package wire

import (
	"bytes"
	"testing"
)

// What every target holds: no input makes a reader panic, and where a format
// has one encoding, what reads appends back to the same bytes. The corpus in
// testdata/fuzz has one input of each kind.

func FuzzReadHead(f *testing.F) {
	for _, tt := range frameCases {
		f.Add([]byte(tt.bytes))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var frame Frame
		n, err := ReadHead(b, &frame)
		if err != nil {
			whole(t, b, err)
			return
		}
		if n > len(b) || frame.Body < 0 || n+frame.Body > MaxFrame {
			t.Fatalf("head of %d bytes and body of %d, of an input of %d", n, frame.Body, len(b))
		}
		if got := AppendHead(nil, &frame); !bytes.Equal(got, b[:n]) {
			t.Fatalf("reads %x, appends %x", b[:n], got)
		}
		for cut := range n {
			if _, err := ReadHead(b[:cut], &frame); err != ErrShort {
				t.Fatalf("cut after %d bytes: %v", cut, err)
			}
		}
	})
}

// whole checks that an error other than ErrShort stays with every longer input.
func whole(t *testing.T, b []byte, err error) {
	if err == ErrShort {
		return
	}
	var frame Frame
	if _, again := ReadHead(append(b[:len(b):len(b)], 0), &frame); again == nil || again == ErrShort {
		t.Fatalf("%x is an error (%v), and none with a byte more (%v)", b, err, again)
	}
}

func FuzzReadClientInit(f *testing.F) {
	f.Add(AppendClientInit(nil, &sample)[5:])
	f.Add([]byte("\x00\x00\x01bsrp\x01" + fieldUnknown + fieldCritical))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ReadClientInit(b)
		if err != nil || h.RefusalCode != 0 {
			return
		}
		h.Refusal = "" // no refusal has no text
		again, err := ReadClientInit(AppendClientInit(nil, h)[5:])
		if err != nil || *again != *h {
			t.Fatalf("read %+v, and %+v (%v) after appending that", h, again, err)
		}
	})
}

func FuzzReadServerInit(f *testing.F) {
	f.Add(AppendServerInit(nil, &sample)[5:])
	f.Add(AppendServerInit(nil, &Hello{Version: 1, RefusalCode: 14, Refusal: "full"})[5:])
	f.Add(AppendServerInit(nil, &Hello{Version: 1, Waits: true, Place: 7})[5:])
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ReadServerInit(b)
		if err != nil {
			return
		}
		if h.RefusalCode == 0 {
			h.Refusal = "" // no refusal has no text
		}
		again, err := ReadServerInit(AppendServerInit(nil, h)[5:])
		if err != nil || *again != *h {
			t.Fatalf("read %+v, and %+v (%v) after appending that", h, again, err)
		}
	})
}

// stringHead is what a string takes besides its bytes.
const stringHead = 16

func FuzzReadBindRequest(f *testing.F) {
	r := BindRequest{"Shop", []string{"Put", "Get"}, make([][HashSize]byte, 2)}
	f.Add(r.Append(nil), false)
	r.Hashes = nil
	f.Add(r.Append(nil), true)
	f.Fuzz(func(t *testing.T, b []byte, describe bool) {
		var flags Flags
		if describe {
			flags = Describe
		}
		r, err := ReadBindRequest(b, flags)
		if size := len(r.Names)*stringHead + len(r.Hashes)*HashSize; size > 64*(len(b)+1) {
			t.Fatalf("%d bytes of %d on the wire", size, len(b))
		}
		if err != nil {
			return
		}
		if got := r.Append(nil); !bytes.Equal(got, b) {
			t.Fatalf("reads %x, appends %x", b, got)
		}
	})
}

func FuzzReadBound(f *testing.F) {
	f.Add(AppendBound(nil, []BoundMethod{{Status: Bound, Number: 1}, {Status: Differs, Text: "S.M()"}, {Status: Unknown}}), 3)
	f.Fuzz(func(t *testing.T, b []byte, want int) {
		methods, err := ReadBound(b, want&0xffff)
		if err != nil {
			return
		}
		if got := AppendBound(nil, methods); !bytes.Equal(got, b) {
			t.Fatalf("reads %x, appends %x", b, got)
		}
	})
}

func FuzzReadFailure(f *testing.F) {
	failure := Failure{"KeyError", "no such key", "00ff"}
	f.Add(failure.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		failure, err := ReadFailure(b)
		if err != nil {
			return
		}
		if got := failure.Append(nil); !bytes.Equal(got, b) {
			t.Fatalf("reads %x, appends %x", b, got)
		}
	})
}

func FuzzReadException(f *testing.F) {
	f.Add(AppendException(nil, "KeyError", "no such key")[5:])
	f.Fuzz(func(t *testing.T, b []byte) {
		name, text, err := ReadException(b)
		if err != nil {
			return
		}
		if got := AppendException(nil, name, text)[5:]; !bytes.Equal(got, b) {
			t.Fatalf("reads %x, appends %x", b, got)
		}
	})
}
