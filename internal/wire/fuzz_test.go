package wire

import (
	"bytes"
	"testing"
)

// Every target verifies that no input makes a Read function panic, and that a
// value read from bytes appends to the same bytes where the format has a single
// encoding. The corpus in testdata/fuzz contains one input of each kind.

func FuzzReadHeader(f *testing.F) {
	for _, tt := range frameCases {
		f.Add([]byte(tt.bytes))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var frame Frame
		n, err := ReadHeader(b, &frame)
		if err != nil {
			checkStable(t, b, err)
			return
		}
		if n > len(b) || frame.BodySize < 0 || n+frame.BodySize > MaxFrame {
			t.Fatalf("header of %d bytes and body of %d from %d bytes of input", n, frame.BodySize, len(b))
		}
		if got := AppendHeader(nil, &frame); !bytes.Equal(got, b[:n]) {
			t.Fatalf("reads %x, appends %x", b[:n], got)
		}
		for cut := range n {
			if _, err := ReadHeader(b[:cut], &frame); err != ErrShort {
				t.Fatalf("truncated after %d bytes: %v", cut, err)
			}
		}
	})
}

// checkStable checks that an error other than ErrShort remains with more input.
func checkStable(t *testing.T, b []byte, err error) {
	if err == ErrShort {
		return
	}
	var frame Frame
	if _, again := ReadHeader(append(b[:len(b):len(b)], 0), &frame); again == nil || again == ErrShort {
		t.Fatalf("%x is an error (%v), but not with one more byte (%v)", b, err, again)
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
		h.Refusal = "" // absent without a code
		again, err := ReadClientInit(AppendClientInit(nil, h)[5:])
		if err != nil || *again != *h {
			t.Fatalf("read %+v, then %+v (%v) after a round trip", h, again, err)
		}
	})
}

func FuzzReadServerInit(f *testing.F) {
	f.Add(AppendServerInit(nil, &sample)[5:])
	f.Add(AppendServerInit(nil, &Hello{Version: 1, RefusalCode: 14, Refusal: "full"})[5:])
	f.Add(AppendServerInit(nil, &Hello{Version: 1, Waiting: true, Position: 7})[5:])
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ReadServerInit(b)
		if err != nil {
			return
		}
		if h.RefusalCode == 0 {
			h.Refusal = "" // absent without a code
		}
		again, err := ReadServerInit(AppendServerInit(nil, h)[5:])
		if err != nil || *again != *h {
			t.Fatalf("read %+v, then %+v (%v) after a round trip", h, again, err)
		}
	})
}

// stringHeaderSize is the size of a string without its bytes.
const stringHeaderSize = 16

func FuzzReadBindRequest(f *testing.F) {
	for _, r := range []BindRequest{{Hashes: make([][HashSize]byte, 2)}, {}, {Texts: []string{"Shop.Put()", ""}}} {
		r.Service, r.Names = "Shop", []string{"Put", "Get"}
		f.Add(r.Append(nil), byte(r.Flags()))
	}
	f.Fuzz(func(t *testing.T, b []byte, flags byte) {
		r, err := ReadBindRequest(b, Flags(flags)&(Describe|Texts))
		if size := (len(r.Names)+len(r.Texts))*stringHeaderSize + len(r.Hashes)*HashSize; size > 64*(len(b)+1) {
			t.Fatalf("%d bytes of memory from %d on the wire", size, len(b))
		}
		if err != nil {
			return
		}
		if got := r.Append(nil); !bytes.Equal(got, b) {
			t.Fatalf("reads %x, appends %x", b, got)
		}
	})
}

func FuzzReadBindResponse(f *testing.F) {
	f.Add(AppendBindResponse(nil, []BindResult{{Status: BindOK, Number: 1}, {Status: BindDiffers, Text: "S.M()"}, {Status: BindUnknown}}), 3)
	f.Fuzz(func(t *testing.T, b []byte, want int) {
		methods, err := ReadBindResponse(b, want&0xffff)
		if err != nil {
			return
		}
		if got := AppendBindResponse(nil, methods); !bytes.Equal(got, b) {
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

func FuzzReadStreamEnd(f *testing.F) {
	f.Add([]byte{})
	f.Add((&StreamEnd{Code: 5, Failure: Failure{"KeyError", "no such key", "00ff"}}).Append(nil))
	f.Add(make([]byte, 10))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ReadStreamEnd(b)
		if err != nil {
			return
		}
		if got := e.Append(nil); !bytes.Equal(got, b) {
			t.Fatalf("reads %x, appends %x", b, got)
		}
	})
}

func FuzzReadCredit(f *testing.F) {
	f.Add([]byte("\x14\x00\x00\x00\x22\x20\x01\x00\x02\x00\x00\x00\x00\x00\x00\x00\x60\x02\x00\x00"))
	f.Add([]byte("\x14\x00\x00\x00\x22\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var frame Frame
		n, err := ReadHeader(b, &frame)
		if err != nil || frame.Type != Credit || len(b) < n+frame.BodySize {
			return
		}
		b = b[:n+frame.BodySize]
		credit, err := ReadCredit(b[n:])
		if err != nil {
			return
		}
		if got := AppendCredit(nil, &frame, credit); !bytes.Equal(got, b) {
			t.Fatalf("reads %x, appends %x", b, got)
		}
	})
}

func FuzzReadAuth(f *testing.F) {
	for _, c := range [][2]string{{"ann", "secret"}, {"", ""}, {"ann", ""}} {
		b, err := AppendAuth(nil, c[0], c[1])
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[5:])
	}
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" + fieldUnknown + fieldCritical))
	f.Fuzz(func(t *testing.T, b []byte) {
		user, token, err := ReadAuth(b)
		if err != nil || len(b) > MaxAuth-5 {
			return
		}
		again, err := AppendAuth(nil, user, token)
		if err != nil {
			t.Fatal(err)
		}
		if u, k, err := ReadAuth(again[5:]); u != user || k != token || err != nil {
			t.Fatalf("read %q %q, then %q %q (%v) after a round trip", user, token, u, k, err)
		}
	})
}
