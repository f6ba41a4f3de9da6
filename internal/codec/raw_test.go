package codec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// rawText is a text with its length behind it.
type rawText string

func (t rawText) AppendBinary(b []byte) ([]byte, error) { return append(append(b, t...), 0), nil }

func (t *rawText) DecodeBinary(data []byte) (int, error) {
	n := bytes.IndexByte(data, 0)
	if n < 0 {
		return 0, fmt.Errorf("no end: %w", io.ErrUnexpectedEOF)
	}
	*t = rawText(data[:n])
	return n + 1, nil
}

// rawBits are a byte with the number of bytes after it in its upper half.
type rawBits struct {
	Low  uint8 // 4 bits
	More [2]uint8
	Len  uint8
}

func (v rawBits) AppendBinary(b []byte) ([]byte, error) {
	if v.Low > 15 || int(v.Len) > len(v.More) {
		return b, errors.New("too large")
	}
	return append(append(b, v.Len<<4|v.Low), v.More[:v.Len]...), nil
}

func (v *rawBits) DecodeBinary(data []byte) (int, error) {
	if len(data) == 0 || len(data) < 1+int(data[0]>>4) {
		return 0, io.ErrUnexpectedEOF
	}
	v.Low, v.Len = data[0]&15, data[0]>>4
	return 1 + copy(v.More[:v.Len], data[1:]), nil // panics if Len is above 2
}

// rawMark has bytes, but no memory.
type rawMark struct{}

func (rawMark) AppendBinary(b []byte) ([]byte, error) { return append(b, 0xaa), nil }

func (*rawMark) DecodeBinary(data []byte) (int, error) {
	switch {
	case len(data) == 0:
		return 0, io.ErrUnexpectedEOF
	case data[0] != 0xaa:
		return 0, errors.New("another mark")
	}
	return 1, nil
}

// emptyBinary has no memory either, and a length before its bytes.
type emptyBinary struct{}

func (emptyBinary) MarshalBinary() ([]byte, error)  { return []byte{7}, nil }
func (*emptyBinary) UnmarshalBinary(b []byte) error { return nil }

type rawShape struct {
	A uint16
	T rawText     `bsrpc:"raw"`
	M [2]rawMark  `bsrpc:"raw"`
	P *rawText    `bsrpc:"raw"`
	Q [2]*rawText `bsrpc:"raw"`
	L []struct {
		T rawText `bsrpc:"raw"`
		N uint8
	}
	S struct {
		M rawMark `bsrpc:"raw"`
	}
	K map[rawText]uint8 `bsrpc:"list,len=le1,key=raw"`
	E [2]emptyBinary
	N [3]struct{}
}

func TestRaw(t *testing.T) {
	c := compileType(t, reflect.TypeFor[rawShape]())
	const want = "{A uint.le2; T raw(codec.rawText); M [2]raw(codec.rawMark); P *raw(codec.rawText); Q [2]*raw(codec.rawText); " +
		"L []{T raw(codec.rawText); N uint.le1}; S {M raw(codec.rawMark)}; K map[le1 raw(codec.rawText)]uint.le1; " +
		"E [2]binary(codec.emptyBinary); N [3]{}}"
	if text := c.Layout().String(); text != want || !reparses(text) {
		t.Errorf("layout %s\nwant   %s", text, want)
	}
	text := rawText("ptr")
	in := rawShape{A: 1, T: "text", P: &text, Q: [2]*rawText{nil, &text}, K: map[rawText]uint8{"k": 5, "": 6}}
	in.L = make([]struct {
		T rawText `bsrpc:"raw"`
		N uint8
	}, 2)
	in.L[1].T = "second"
	data, err := appendAll(t, c, Encoder{Body: wire.Body{Buf: make([]byte, 0, 1000)}}, reflect.ValueOf(&in))
	bytesWant := "\x01\x00text\x00\xaa\xaa\x01ptr\x00\x00\x01ptr\x00" + "\x0e\x00\x00\x00\x02\x00\x00\x00\x00\x00second\x00\x00" +
		"\xaa" + "\x02\x00\x06k\x00\x05" + "\x01\x00\x00\x00\x07\x01\x00\x00\x00\x07"
	if err != nil || string(data) != bytesWant {
		t.Fatalf("%q, %v\nwant %q", data, err, bytesWant)
	}
	out, err := readAll(t, c, Decoder{Data: data})
	if err != nil || !reflect.DeepEqual(out.Elem().Interface(), in) {
		t.Errorf("%+v, %v", out.Elem().Interface(), err)
	}
	for n := range data {
		if _, err := readAll(t, c, Decoder{Data: data[:n]}); err == nil {
			t.Errorf("%d bytes were read", n)
		}
	}
}

// rawFuncs calls the funcs of a test, behind its pointer.
type rawFuncs struct {
	ID     byte
	append func(b []byte) ([]byte, error)
	decode func(data []byte) (int, error)
}

var rawCalls rawFuncs

func (rawFuncs) AppendBinary(b []byte) ([]byte, error) { return rawCalls.append(b) }
func (r *rawFuncs) DecodeBinary(data []byte) (n int, err error) {
	r.ID = 1
	return rawCalls.decode(data)
}

type rawField struct {
	Before uint16
	Val    rawFuncs `bsrpc:"raw"`
	After  uint16
}

var errOwn = errors.New("secret")

// Methods that do as they please: the result is a value or an error.
func TestRawMethods(t *testing.T) {
	c := compileType(t, reflect.TypeFor[rawField]())
	in := rawField{Before: 0x0101, After: 0x0202}
	for name, test := range map[string]struct {
		append func(b []byte) ([]byte, error)
		want   string
	}{
		"nothing":     {func(b []byte) ([]byte, error) { return b, nil }, "\x01\x01\x02\x02"},
		"appends":     {func(b []byte) ([]byte, error) { return append(b, "abc"...), nil }, "\x01\x01abc\x02\x02"},
		"nil":         {func(b []byte) ([]byte, error) { return nil, nil }, "\x01\x01\x02\x02"},
		"another one": {func(b []byte) ([]byte, error) { return []byte("abc"), nil }, "\x01\x01abc\x02\x02"},
		"a part":      {func(b []byte) ([]byte, error) { return append(b, "abc"...)[1:], nil }, "\x01\x01bc\x02\x02"},
		"beyond":      {func(b []byte) ([]byte, error) { clear(b[:cap(b)]); return append(b, "a"...), nil }, "\x01\x01a\x02\x02"},
		"error":       {func(b []byte) ([]byte, error) { return append(b, "abc"...), errOwn }, "rawField.Val: codec.rawFuncs.AppendBinary returned an error"},
		"panic":       {func(b []byte) ([]byte, error) { panic(errOwn) }, "rawField.Val: codec.rawFuncs.AppendBinary panicked"},
		"shortens":    {func(b []byte) ([]byte, error) { return b[:len(b)-1], nil }, "rawField.Val: codec.rawFuncs.AppendBinary panicked: runtime error: slice bounds out of range"},
		"too long":    {func(b []byte) ([]byte, error) { return make([]byte, 1000), nil }, "rawField.Val: too long"},
	} {
		rawCalls.append = test.append
		for _, buf := range [][]byte{nil, append(make([]byte, 0, 64), "kept"...)} {
			e := Encoder{Body: wire.Body{Buf: buf}, Max: 100}
			data, err := appendAll(t, c, e, reflect.ValueOf(&in))
			got := string(data)
			if err == nil {
				got = got[len(buf):]
			} else if got = err.Error(); !bytes.Equal(data, buf) {
				t.Errorf("%s: left %q", name, data)
			}
			if !strings.HasPrefix(got, test.want) || err == nil && got != test.want || strings.Contains(got, "secret") {
				t.Errorf("%s: got %q, want %q", name, got, test.want)
			}
			if name == "error" && !errors.Is(err, errOwn) || name == "panic" && !errors.Is(err, errOwn) {
				t.Errorf("%s: %v does not match the error", name, err)
			}
		}
	}
	const data = "\x01\x01ab\x02\x02"
	for name, test := range map[string]struct {
		decode func(data []byte) (int, error)
		want   string
	}{
		"two":      {func(b []byte) (int, error) { return 2, nil }, "<nil>"},
		"none":     {func(b []byte) (int, error) { return 0, nil }, "rawField: 2 trailing bytes, offset 4"},
		"all":      {func(b []byte) (int, error) { return len(b), nil }, "rawField.After: want 2 bytes, have 0, offset 6"},
		"negative": {func(b []byte) (int, error) { return -1, nil }, "rawField.Val: codec.rawFuncs.DecodeBinary returned -1 for 4 bytes, offset 2"},
		"beyond":   {func(b []byte) (int, error) { return 5, nil }, "rawField.Val: codec.rawFuncs.DecodeBinary returned 5 for 4 bytes, offset 2"},
		"error":    {func(b []byte) (int, error) { return 2, errOwn }, "rawField.Val: codec.rawFuncs.DecodeBinary returned an error, offset 2"},
		"short":    {func(b []byte) (int, error) { return 0, io.ErrUnexpectedEOF }, "rawField.Val: codec.rawFuncs.DecodeBinary returned an error, offset 2"},
		"panic":    {func(b []byte) (int, error) { panic(io.ErrUnexpectedEOF) }, "rawField.Val: codec.rawFuncs.DecodeBinary panicked, offset 2"},
		"index":    {func(b []byte) (int, error) { return int(b[9]), nil }, "rawField.Val: codec.rawFuncs.DecodeBinary panicked: runtime error: index out of range [9] with length 4, offset 2"},
		"capacity": {func(b []byte) (int, error) { return 2 + cap(b) - len(b), nil }, "<nil>"},
	} {
		calls := 0
		rawCalls.decode = func(data []byte) (int, error) { calls++; return test.decode(data) }
		rawCalls.append = func(b []byte) ([]byte, error) { return append(b, "ab"...), nil }
		input := append([]byte(data), "next message"...)[:len(data)]
		for _, form := range executors(c) {
			calls = 0
			if err := form.Read(&Decoder{Data: input}, RefTo(reflect.New(c.Type()))); fmt.Sprint(err) != test.want || calls != 1 {
				t.Errorf("%s: %d calls: got %v, want %s", name, calls, err, test.want)
			}
		}
	}
}

// The data of a raw value in a list ends with the list.
func TestRawInList(t *testing.T) {
	type list []struct {
		N   uint8
		Val rawFuncs `bsrpc:"raw"`
	}
	c := compileType(t, reflect.TypeFor[struct {
		L     list `bsrpc:"len=le1"`
		After uint8
	}]())
	var seen []string
	rawCalls.decode = func(data []byte) (int, error) { seen = append(seen, string(data)); return 1, nil }
	rawCalls.append = func(b []byte) ([]byte, error) { return append(b, 'x'), nil }
	if _, err := readAll(t, c, Decoder{Data: []byte("\x05\x02axbx\x09")}); err != nil || fmt.Sprint(seen[:2], seen[4:]) != "[xbx x] [xbx x]" {
		t.Errorf("%q, %v", seen, err)
	}
}

func TestRawProblems(t *testing.T) {
	const appends, decodes = "AppendBinary(b []byte) ([]byte, error)", "DecodeBinary(data []byte) (n int, err error)"
	for _, test := range []struct {
		typ  any
		want string
	}{
		{struct {
			A int `bsrpc:"raw"`
		}{}, "A: raw is for types with methods for their own bytes; int lacks " + appends + " and " + decodes},
		{struct {
			A [2]*halfRaw `bsrpc:"raw"`
		}{}, "A[]: raw is for types with methods for their own bytes; codec.halfRaw lacks " + decodes},
		{struct {
			A *otherHalf `bsrpc:"raw"`
		}{}, "A: raw is for types with methods for their own bytes; codec.otherHalf lacks " + appends},
		{struct {
			A rawText `bsrpc:"raw,max=5"`
		}{}, `A: codec.rawText does not take "max="; it takes raw alone`},
		{struct {
			A rawText `bsrpc:"raw=5"`
		}{}, `A: "raw" takes no value`},
		{struct {
			A []rawText `bsrpc:"raw"`
		}{}, "A: raw is for types with methods for their own bytes; []codec.rawText lacks " + appends + " and " + decodes},
		{struct {
			A []rawText `bsrpc:"elem=raw"`
		}{}, "A: elements may take no bytes on the wire; make the list itself a type with raw"},
		{struct {
			A map[rawPointer]bool `bsrpc:"key=raw"`
		}{}, "A[key]: codec.rawPointer contains a pointer, and map keys must not; use its text as the key"},
	} {
		if _, err := Compile(reflect.TypeOf(test.typ), nil); fmt.Sprint(err) != test.want {
			t.Errorf("got %v\nwant %s", err, test.want)
		}
	}
	// Without the word the type is what it is.
	if c := compileType(t, reflect.TypeFor[rawText]()); c.Layout().String() != "string.le4" || c.Standalone() != nil {
		t.Error(c.Layout())
	}
	if err := compileType(t, reflect.TypeFor[rawField]()).Standalone(); err == nil || !strings.HasPrefix(err.Error(), `rawField.Val: "raw" is for Marshal`) {
		t.Error(err)
	}
}

type (
	halfRaw    int
	otherHalf  int
	rawPointer struct{ p *int }
)

func (halfRaw) AppendBinary(b []byte) ([]byte, error)           { return b, nil }
func (*otherHalf) DecodeBinary(data []byte) (n int, err error)  { return 0, nil }
func (r rawPointer) AppendBinary(b []byte) ([]byte, error)      { _ = r.p; return b, nil }
func (*rawPointer) DecodeBinary(data []byte) (n int, err error) { return 0, nil }
