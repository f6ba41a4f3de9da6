package wire

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBindRequest(t *testing.T) {
	a, b := [HashSize]byte{1, 2, 3}, [HashSize]byte{31: 9}
	for _, tt := range []struct {
		name    string
		request BindRequest
		flags   Flags
		bytes   string
	}{
		{"two methods", BindRequest{Service: "Shop", Names: []string{"Put", "Get"}, Hashes: [][HashSize]byte{a, b}}, 0,
			"\x04\x00Shop" + "\x02\x00" + "\x03\x00Put\x20" + string(a[:]) + "\x03\x00Get\x20" + string(b[:])},
		{"names only", BindRequest{Service: "Shop", Names: []string{"Put"}}, Describe, "\x04\x00Shop" + "\x01\x00" + "\x03\x00Put"},
		{"texts", BindRequest{Service: "Shop", Names: []string{"Put", "Get"}, Texts: []string{"Shop.Put()", ""}}, Texts,
			"\x04\x00Shop" + "\x02\x00" + "\x03\x00Put\x0a\x00\x00\x00Shop.Put()" + "\x03\x00Get\x00\x00\x00\x00"},
		{"empty", BindRequest{}, 0, "\x00\x00\x00\x00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.request.Flags(); tt.request.Names != nil && got != tt.flags {
				t.Errorf("flags %x, want %x", got, tt.flags)
			}
			if got := tt.request.Append(nil); string(got) != tt.bytes {
				t.Errorf("Append: got\n%x, want\n%x", got, tt.bytes)
			}
			got, err := ReadBindRequest([]byte(tt.bytes), tt.flags)
			if diff := cmp.Diff(&tt.request, got); diff != "" || err != nil {
				t.Errorf("ReadBindRequest: %v (-want +got):\n%s", err, diff)
			}
			for n := range len(tt.bytes) {
				if _, err := ReadBindRequest([]byte(tt.bytes[:n]), tt.flags); !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("truncated after %d bytes: got %v", n, err)
				}
			}
			if _, err := ReadBindRequest([]byte(tt.bytes+"x"), tt.flags); err == nil {
				t.Error("a trailing byte: no error")
			}
		})
	}
}

// Hashes of any other length are an error.
func TestBindHashSize(t *testing.T) {
	for _, size := range []int{0, 1, 31, 33, 255} {
		body := "\x01\x00S\x01\x00\x01\x00M" + string([]byte{byte(size)}) + strings.Repeat("h", size)
		_, err := ReadBindRequest([]byte(body), 0)
		if err == nil || !strings.Contains(err.Error(), "want 32") {
			t.Errorf("a hash of %d bytes: got %v", size, err)
		}
	}
}

// NameSize is the length of one more name.
func TestNameSize(t *testing.T) {
	for _, more := range []BindRequest{{}, {Hashes: make([][HashSize]byte, 2)}, {Texts: []string{"", "text"}}} {
		one := &BindRequest{Service: "S", Names: []string{"A"}, Hashes: more.Hashes[:len(more.Hashes)/2], Texts: more.Texts[:len(more.Texts)/2]}
		two := &BindRequest{Service: "S", Names: []string{"A", "Long"}, Hashes: more.Hashes, Texts: more.Texts}
		if got, want := len(two.Append(nil))-len(one.Append(nil)), two.NameSize(1); got != want {
			t.Errorf("got %d bytes, NameSize returns %d", got, want)
		}
	}
}

func TestBindResponse(t *testing.T) {
	methods := []BindResult{{Status: BindOK, Number: 0x0102}, {Status: BindDiffers, Text: "S.M()"}, {Status: BindUnknown}}
	const want = "\x03\x00" + "\x00\x02\x01\x00\x00\x00\x00" + "\x01\x00\x00\x05\x00\x00\x00S.M()" + "\x02\x00\x00\x00\x00\x00\x00"
	if got := AppendBindResponse(nil, methods); string(got) != want {
		t.Errorf("AppendBindResponse: got\n%x, want\n%x", got, want)
	}
	got, err := ReadBindResponse([]byte(want), 3)
	if diff := cmp.Diff(methods, got); diff != "" || err != nil {
		t.Errorf("ReadBindResponse: %v (-want +got):\n%s", err, diff)
	}
	for n := range len(want) {
		if _, err := ReadBindResponse([]byte(want[:n]), 3); err == nil {
			t.Errorf("truncated after %d bytes: no error", n)
		}
	}
	for _, tt := range []struct {
		body string
		want int
		err  string
	}{
		{want, 2, "response for 3 methods, want 2"},
		{want, 4, "response for 3 methods, want 4"},
		{want + "x", 3, "1 trailing bytes"},
		{"\x01\x00\x04\x00\x00\x00\x00\x00\x00", 1, "unknown status 4"},
		{"\x01\x00\x01\x00\x00\xff\xff\xff\xff", 1, "unexpected EOF"},
	} {
		if _, err := ReadBindResponse([]byte(tt.body), tt.want); err == nil || !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%x: got %v, want %q", tt.body, err, tt.err)
		}
	}
}

func TestFailure(t *testing.T) {
	f := Failure{"KeyError", "no such key\nat all", "00ff"}
	const want = "\x08\x00KeyError" + "\x12\x00\x00\x00no such key\nat all" + "\x04\x0000ff"
	if got := f.Append(nil); string(got) != want {
		t.Errorf("Append: got\n%x, want\n%x", got, want)
	}
	if got, err := ReadFailure([]byte(want)); got != f || err != nil {
		t.Errorf("ReadFailure: got %+v, %v", got, err)
	}
	for n := range len(want) {
		if _, err := ReadFailure([]byte(want[:n])); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("truncated after %d bytes: got %v", n, err)
		}
	}
}

// After the first error all reads return zero values.
func TestCursorKeepsFirstError(t *testing.T) {
	c := NewCursor([]byte{1, 2, 3})
	if c.Uint32() != 0 || c.Err() == nil {
		t.Fatal("read 4 bytes of 3")
	}
	first := c.Err()
	if c.Uint8() != 0 || c.Uint16() != 0 || c.String16() != "" || c.String32() != "" || c.Bytes32() != nil || c.Next(-1) != nil {
		t.Error("reads after an error return values")
	}
	c.Fail("something else")
	if c.Err() != first || c.Done() != first {
		t.Errorf("got %v, want the first error %v", c.Err(), first)
	}
}
