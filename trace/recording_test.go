package trace_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc/trace"
)

// recorded is the recording in docs/recordings.md.
const recorded = "627372706320 7265636f7264696e67 20310a" +
	"00000000 00000000 01000000 00 0d000000 0d000000 00 000001 62737270 01" +
	"40420f00 00000000 01000000 01 0b000000 0b000000 00 01 62737270 01" +
	"80841e00 00000000 01000000 03 03000000 454f46"

// read returns the pieces of a recording and the error after them.
func read(b []byte) (pieces []trace.Piece, err error) {
	r := trace.NewReader(bytes.NewReader(b))
	for {
		p, err := r.Next()
		if err != nil {
			_, again := r.Next()
			if again != err {
				return nil, errors.New("another error after the first")
			}
			return pieces, err
		}
		q := *p
		q.Bytes = bytes.Clone(p.Bytes)
		pieces = append(pieces, q)
	}
}

// write returns a recording of pieces.
func write(t *testing.T, pieces []trace.Piece) []byte {
	t.Helper()
	var out bytes.Buffer
	w := trace.NewWriter(&out)
	for _, p := range pieces {
		if err := w.Write(&p); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

func TestRecordingBytes(t *testing.T) {
	b := unhex(t, recorded)
	pieces, err := read(b)
	if err != io.EOF || len(pieces) != 3 {
		t.Fatalf("%d pieces, %v", len(pieces), err)
	}
	if p := pieces[2]; p.End != "EOF" || p.From != trace.FromServer || p.Conn != 1 || p.Time.UnixNano() != 2_000_000 {
		t.Errorf("the last piece is %+v", p)
	}
	if again := write(t, pieces); !bytes.Equal(again, b) {
		t.Errorf("have %x, want %x", again, b)
	}
}

func TestRecordingMistakes(t *testing.T) {
	b := unhex(t, recorded)
	head := len("bsrpc recording 1\n")
	for n := range len(b) {
		_, err := read(b[:n])
		switch {
		case n < head && !errors.Is(err, trace.ErrRecording):
			t.Errorf("cut after %d bytes: %v", n, err)
		case n > head && err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF):
			t.Errorf("cut after %d bytes: %v", n, err)
		}
	}
	for _, tt := range []struct {
		at   int
		with byte
		want string
	}{
		{16, '2', "not a recording of version 1"},
		{head + 12, 4, "offset 18: unknown kind 0x04"},
		{head + 16, 0xff, "offset 18: a piece of 4278190093 bytes"},
	} {
		bad := bytes.Clone(b)
		bad[tt.at] = tt.with
		if _, err := read(bad); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("byte %d: %v, want %s", tt.at, err, tt.want)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add(unhex(f, recorded))
	f.Fuzz(func(t *testing.T, b []byte) {
		pieces, err := read(b)
		if err == nil {
			t.Fatal("no error at the end")
		}
		if len(pieces) == 0 {
			return
		}
		if again := write(t, pieces); !bytes.HasPrefix(b, again) {
			t.Fatalf("have %x from %x", again, b)
		}
	})
}

// A failing file ends the recording: a piece behind a half-written one would not be found.
func TestRecordingFails(t *testing.T) {
	w := trace.NewWriter(failing{})
	p := &trace.Piece{Bytes: []byte("x")}
	if err := w.Write(p); !errors.Is(err, errFull) {
		t.Error(err)
	}
	if err := w.Write(p); err == nil || errors.Is(err, errFull) {
		t.Error(err)
	}
}

type failing struct{}

var errFull = errors.New("disk full")

func (failing) Write(b []byte) (int, error) { return len(b) / 2, errFull }
