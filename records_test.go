package bsrpc_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/bsrpc/bsrpc"
)

// A sample of a logbook, with everything that has a length.
type logEntry struct {
	At    uint32 `bsrpc:"be4"`
	Name  string `bsrpc:"len=varint"`
	Vals  []int16
	Notes []string          `bsrpc:"list,len=le1,elem=len=le1"`
	Tags  map[string]uint16 `bsrpc:"list"`
	Next  *logEntry
	On    bool
}

var logbook = []logEntry{
	{At: 1, Name: "first", Vals: []int16{1, -2}, Notes: []string{"a", "bc"}, Tags: map[string]uint16{"x": 1, "y": 2}},
	{At: 2, Tags: map[string]uint16{}, On: true, Next: &logEntry{Name: strings.Repeat("long ", 40), Tags: map[string]uint16{}}},
	{At: 3, Name: "last", Tags: map[string]uint16{}, Notes: make([]string, 200)},
}

// encodedLog returns the bytes of logbook and the offsets of its records, and of its end.
func encodedLog(t testing.TB) (data []byte, at []int) {
	t.Helper()
	for _, e := range logbook {
		at = append(at, len(data))
		var err error
		if data, err = bsrpc.Append(data, e); err != nil {
			t.Fatal(err)
		}
	}
	return data, append(at, len(data))
}

func TestDecode(t *testing.T) {
	data, at := encodedLog(t)
	rest := data
	for i, want := range logbook {
		var got logEntry
		var err error
		rest, err = bsrpc.Decode(rest, &got)
		if err != nil || !reflect.DeepEqual(got, want) || len(rest) != len(data)-at[i+1] {
			t.Errorf("record %d: %d bytes left, %v, %+v", i, len(rest), err, got)
		}
	}
	for n := range at[1] {
		var got logEntry
		rest, err := bsrpc.Decode(data[:n], &got)
		if !errors.Is(err, io.ErrUnexpectedEOF) || len(rest) != n {
			t.Errorf("%d bytes: %d left, %v", n, len(rest), err)
		}
	}
	// Simple structs, with and without a constant size, and no bytes at all.
	var pair struct{ A, B uint16 }
	if rest, err := bsrpc.Decode([]byte("\x01\x00\x02\x00rest"), &pair); err != nil || string(rest) != "rest" || pair.A != 1 || pair.B != 2 {
		t.Errorf("%+v, %q, %v", pair, rest, err)
	}
	var name struct{ S string }
	if rest, err := bsrpc.Decode([]byte("\x01\x00\x00\x00arest"), &name); err != nil || string(rest) != "rest" || name.S != "a" {
		t.Errorf("%+v, %q, %v", name, rest, err)
	}
	if rest, err := bsrpc.Decode([]byte("rest"), &struct{}{}); err != nil || string(rest) != "rest" {
		t.Errorf("%q, %v", rest, err)
	}
	_, err := bsrpc.Decode(data[:3], &pair)
	checkText(t, "Decode", err, "bsrpc: B: want 2 bytes, have 1, offset 2")
	_, err = bsrpc.Decode(data, pair)
	checkText(t, "Decode", err, "bsrpc: unmarshal: struct { A uint16; B uint16 }, want a pointer to the value")
}

// A list that announces its length in bytes cannot be completed by further bytes.
func TestDecodeWrongIsNotTruncated(t *testing.T) {
	data := []byte("\x05\x00\x00\x00\x02\x00\x00\x00\x07")
	_, err := bsrpc.Decode(data, new([]uint16))
	checkText(t, "Decode", err, "bsrpc: []uint16: want 2 elements of at least 2 bytes, have 1 byte, offset 4")
	if errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error("the error is that of truncated data")
	}
	dec := bsrpc.NewDecoder(io.MultiReader(bytes.NewReader(data), noMore{t}))
	checkText(t, "Decoder", dec.Decode(new([]uint16)), err.Error())
}

// noMore fails a test that reads from it: it has more bytes than any record needs.
type noMore struct{ t testing.TB }

func (e noMore) Read([]byte) (int, error) {
	e.t.Error("read beyond what the record needs")
	return 0, io.EOF
}

// chunked returns its chunks, one for each Read.
type chunked struct {
	chunks []string
	then   io.Reader
}

func (c *chunked) Read(p []byte) (int, error) {
	if len(c.chunks) == 0 {
		return c.then.Read(p)
	}
	n := copy(p, c.chunks[0])
	if c.chunks[0] = c.chunks[0][n:]; c.chunks[0] == "" {
		c.chunks = c.chunks[1:]
	}
	return n, nil
}

// cut returns data in chunks of size bytes.
func cut(data []byte, size int) []string {
	var list []string
	for len(data) > size {
		list, data = append(list, string(data[:size])), data[size:]
	}
	return append(list, string(data))
}

// Records are read from chunks of every size, and Read is not called for more than the
// chunk with the last byte of a record.
func TestDecoder(t *testing.T) {
	data, _ := encodedLog(t)
	for size := 1; size <= len(data); size++ {
		dec := bsrpc.NewDecoder(&chunked{cut(data, size), noMore{t}})
		for i, want := range logbook {
			var got logEntry
			if err := dec.Decode(&got); err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("chunks of %d: record %d: %v, %+v", size, i, err, got)
			}
		}
	}
	for name, r := range map[string]io.Reader{
		"EOF later": bytes.NewReader(data), "EOF with data": iotest.DataErrReader(bytes.NewReader(data)),
		"halves": iotest.HalfReader(bytes.NewReader(data)), "bytes": iotest.DataErrReader(iotest.OneByteReader(bytes.NewReader(data))),
	} {
		dec := bsrpc.NewDecoder(r)
		for range logbook {
			if err := dec.Decode(new(logEntry)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for range 2 {
			if err := dec.Decode(new(logEntry)); err != io.EOF {
				t.Errorf("%s: at the end: %v", name, err)
			}
		}
	}
}

// The stream ends within a record, at each of its bytes.
func TestDecoderTruncated(t *testing.T) {
	data, at := encodedLog(t)
	for n := at[1] + 1; n < at[2]; n++ {
		for _, r := range []io.Reader{bytes.NewReader(data[:n]), iotest.OneByteReader(bytes.NewReader(data[:n]))} {
			dec := bsrpc.NewDecoder(r)
			if err := dec.Decode(new(logEntry)); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				err := dec.Decode(new(logEntry))
				if !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
					t.Errorf("%d bytes: %v", n, err)
				}
			}
		}
	}
	dec := bsrpc.NewDecoder(strings.NewReader("\x01\x00\x02\x00\x03"))
	if err := dec.Decode(new(uint32)); err != nil {
		t.Fatal(err)
	}
	checkText(t, "Decoder", dec.Decode(new(uint32)), "bsrpc: want 4 bytes, have 1, offset 4")
}

// After an error the record is still the next one.
func TestDecoderAgain(t *testing.T) {
	dec := bsrpc.NewDecoder(&chunked{[]string{"\x01", "\x07\x05\x00", "\x00"}, iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("\x00ab")))})
	if err := dec.Decode(new(uint8)); err != nil {
		t.Fatal(err)
	}
	checkText(t, "a bool", dec.Decode(new(bool)), "bsrpc: want 0 or 1 for a bool, offset 1")
	var pair struct{ A, B uint8 }
	if err := dec.Decode(&pair); err != nil || pair.A != 7 || pair.B != 5 {
		t.Errorf("%+v, %v", pair, err)
	}
	var text struct { // of 6 bytes, and the reader times out after 3 of them
		N uint16
		S string `bsrpc:"len=le1"`
		T string `bsrpc:"fixed=2"`
	}
	err := dec.Decode(&text)
	checkText(t, "timeout", err, "bsrpc: T: reading failed: timeout, offset 6")
	if !errors.Is(err, iotest.ErrTimeout) {
		t.Error("the error of the reader is lost")
	}
	if err := dec.Decode(&text); err != nil || text.T != "ab" {
		t.Errorf("%+v, %v", text, err)
	}
	if err := dec.Decode(&text); err != io.EOF {
		t.Error(err)
	}
}

// readFunc is an io.Reader.
type readFunc func(p []byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// writeFunc is an io.Writer.
type writeFunc func(p []byte) (int, error)

func (f writeFunc) Write(p []byte) (int, error) { return f(p) }

var errSnapped = errors.New("snapped")

// Wrong readers, and the errors of the second record.
func TestDecoderReaders(t *testing.T) {
	for want, read := range map[string]readFunc{
		"reading failed: Read returned -1 for 409":                          func([]byte) (int, error) { return -1, nil },
		"reading failed: Read returned 5000 for 409":                        func(p []byte) (int, error) { return 5000, nil },
		"reading failed: multiple Read calls return no data or error":       func([]byte) (int, error) { return 0, nil },
		"reading failed: snapped":                                           func([]byte) (int, error) { return 0, errSnapped },
		"reading failed: Read panicked":                                     func([]byte) (int, error) { panic(errSnapped) },
		"reading failed: Read panicked: runtime error: slice bounds out of": func(p []byte) (int, error) { return copy(p[len(p)+1:], p), nil },
	} {
		for _, begun := range []string{"", "\x02"} {
			dec := bsrpc.NewDecoder(&chunked{[]string{"\x01\x00", begun}, read})
			if begun == "" {
				dec = bsrpc.NewDecoder(&chunked{[]string{"\x01\x00"}, read})
			}
			if err := dec.Decode(new(uint16)); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				err := dec.Decode(new(uint16))
				if !strings.HasPrefix(fmt.Sprint(err), "bsrpc: "+want) || !strings.HasSuffix(err.Error(), ", offset 2") {
					t.Errorf("got %v, want %s", err, want)
				}
				if want == "reading failed: Read panicked" && !errors.Is(err, errSnapped) {
					t.Errorf("%v lost the panic", err)
				}
			}
		}
	}
	stuck := bsrpc.NewDecoder(readFunc(func([]byte) (int, error) { return 0, nil }))
	if err := stuck.Decode(new(bool)); !errors.Is(err, io.ErrNoProgress) {
		t.Error(err)
	}
	if err := new(bsrpc.Decoder).Decode(new(bool)); err == nil {
		t.Error("a Decoder without a reader has decoded")
	}
	if err := bsrpc.NewDecoder(strings.NewReader("ab")).Decode(&struct{}{}); err == nil || !strings.Contains(err.Error(), "takes no bytes") {
		t.Error(err)
	}
}

func TestDecoderMaxRecord(t *testing.T) {
	data := "\x06\x00\x00\x00abcdef"
	for limit, want := range map[int]string{
		10: "<nil>", 0: "<nil>", bsrpc.NoLimit: "<nil>",
		9: "bsrpc: the record exceeds MaxRecord (9), offset 4", 3: "bsrpc: the record exceeds MaxRecord (3), offset 0",
		-2: "bsrpc: MaxRecord is -2; want a number of bytes, 0 or NoLimit",
	} {
		for name, r := range map[string]io.Reader{"at once": strings.NewReader(data), "in parts": iotest.OneByteReader(strings.NewReader(data))} {
			dec := bsrpc.NewDecoder(r)
			dec.MaxRecord = limit
			checkText(t, fmt.Sprint(name, " ", limit), dec.Decode(new(string)), want)
		}
	}
	// What a record announces costs memory only as it arrives.
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	dec := bsrpc.NewDecoder(strings.NewReader("\x00\x00\xff\x00abc"))
	err := dec.Decode(new(string))
	checkText(t, "announced", err, "bsrpc: want 16711680 bytes, have 3, offset 4")
	dec = bsrpc.NewDecoder(strings.NewReader("\x00\x00\x00\x01abc"))
	checkText(t, "announced", dec.Decode(new(string)), "bsrpc: the record exceeds MaxRecord (16777216), offset 4")
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
		t.Errorf("%d bytes of memory for records of 7 bytes", used)
	}
}

// counted counts its decodings.
type counted struct{ N byte }

var countings int

func (c counted) MarshalBinary() ([]byte, error) { return []byte{c.N}, nil }
func (c *counted) UnmarshalBinary(b []byte) error {
	countings++
	c.N = b[0]
	return nil
}

// A long record in small pieces is not decoded again for each of them.
func TestDecoderIsLinear(t *testing.T) {
	type long struct {
		First counted
		Lines []string `bsrpc:"list,elem=len=le1"`
	}
	in := long{Lines: make([]string, 100_000)}
	for i := range in.Lines {
		in.Lines[i] = "line"
	}
	data, err := bsrpc.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	countings = 0
	var got long
	err = bsrpc.NewDecoder(iotest.OneByteReader(bytes.NewReader(data))).Decode(&got)
	if err != nil || !reflect.DeepEqual(got, in) {
		t.Error(len(got.Lines), err)
	}
	if countings > 20 {
		t.Errorf("decoded %d times", countings)
	}
}

func TestEncoder(t *testing.T) {
	want, _ := encodedLog(t)
	var out bytes.Buffer
	writes := 0
	enc := bsrpc.NewEncoder(writeFunc(func(p []byte) (int, error) { writes++; return out.Write(p) }))
	for _, e := range logbook {
		if err := enc.Encode(e); err != nil {
			t.Fatal(err)
		}
		checkText(t, "wrong value", enc.Encode(narrow{300}), "bsrpc: narrow.Val: does not fit in 1 byte")
	}
	if !bytes.Equal(out.Bytes(), want) || writes != len(logbook) {
		t.Errorf("%d writes: got %x, want %x", writes, out.Bytes(), want)
	}
}

// Wrong writers. A write of a part breaks the stream; one of nothing, or of all, does not.
func TestEncoderWriters(t *testing.T) {
	for _, test := range []struct {
		want  string
		write writeFunc
		again bool // the next record is written
	}{
		{"after 1 of 2 bytes: short write", func([]byte) (int, error) { return 1, nil }, false},
		{"after 1 of 2 bytes: snapped", func([]byte) (int, error) { return 1, errSnapped }, false},
		{"after 0 of 2 bytes: snapped", func([]byte) (int, error) { return 0, errSnapped }, true},
		{"after 2 of 2 bytes: snapped", func([]byte) (int, error) { return 2, errSnapped }, true},
		{"after 0 of 2 bytes: Write returned 3 for 2 bytes", func([]byte) (int, error) { return 3, nil }, true},
		{"after 0 of 2 bytes: Write returned -1 for 2 bytes", func([]byte) (int, error) { return -1, os.ErrClosed }, true},
		{"after 0 of 2 bytes: Write panicked", func([]byte) (int, error) { panic("secret") }, true},
	} {
		calls := 0
		enc := bsrpc.NewEncoder(writeFunc(func(p []byte) (int, error) {
			if calls++; calls == 1 {
				return test.write(p)
			}
			return len(p), nil
		}))
		want := "bsrpc: writing failed " + test.want
		checkText(t, "Encode", enc.Encode(uint16(1)), want)
		if test.again {
			want = "<nil>"
		}
		checkText(t, "Encode again", enc.Encode(uint16(1)), want)
	}
	if err := new(bsrpc.Encoder).Encode(uint16(1)); err == nil {
		t.Error("an Encoder without a writer has encoded")
	}
}

// FuzzDecoder reads records in chunks of random sizes. Each is that of Decode, or its error.
func FuzzDecoder(f *testing.F) {
	data, at := encodedLog(f)
	f.Add(data, []byte{1})
	f.Add(data, []byte{255, 3})
	f.Add(data[:at[2]-1], []byte{16, 1})
	f.Add([]byte("\x01\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), []byte{2})
	f.Fuzz(func(t *testing.T, data, sizes []byte) {
		var chunks []string
		for rest := data; len(rest) > 0; {
			n := 1 + len(rest)/2
			if len(sizes) > 0 {
				n, sizes = min(1+int(sizes[0]), len(rest)), sizes[1:]
			}
			chunks, rest = append(chunks, string(rest[:n])), rest[n:]
		}
		dec := bsrpc.NewDecoder(&chunked{chunks, strings.NewReader("")})
		dec.MaxRecord = 1 << 10
		for rest := data; ; {
			var want, got logEntry
			var wrong error
			before := len(rest)
			rest, wrong = bsrpc.Decode(rest, &want)
			switch err := dec.Decode(&got); {
			case before == 0 && err == io.EOF:
				return
			case err != nil && strings.Contains(err.Error(), "MaxRecord (1024)") && (before > 1024 || errors.Is(wrong, io.ErrUnexpectedEOF)):
				return
			case (err == nil) != (wrong == nil) || errors.Is(err, io.ErrUnexpectedEOF) != errors.Is(wrong, io.ErrUnexpectedEOF):
				t.Fatalf("%d bytes left: %v, want %v", before, err, wrong)
			case err != nil:
				return
			}
			a, err1 := bsrpc.Marshal(want)
			b, err2 := bsrpc.Marshal(got)
			if err1 != nil || err2 != nil || !bytes.Equal(a, b) {
				t.Fatalf("%x, %v, want %x, %v", b, err2, a, err1)
			}
		}
	})
}

// Records of one size are decoded by the fast path without allocations.
func BenchmarkDecoder(b *testing.B) {
	type sample struct {
		At       uint64
		Val, Max int32
	}
	data := bytes.Repeat(binary.LittleEndian.AppendUint64(make([]byte, 8), 7), 1000)
	b.SetBytes(16)
	b.ReportAllocs()
	var dec *bsrpc.Decoder
	var v sample
	for i := range b.N {
		if i%1000 == 0 {
			dec = bsrpc.NewDecoder(bytes.NewReader(data))
		}
		if err := dec.Decode(&v); err != nil {
			b.Fatal(err)
		}
	}
}
