package bsrpc_test

import (
	"errors"
	"io"
	"iter"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// A line ends with a newline, and its length is nowhere.
type line string

func (l line) AppendBinary(b []byte) ([]byte, error) { return append(append(b, l...), '\n'), nil }

func (l *line) DecodeBinary(data []byte) (int, error) {
	text, _, found := strings.Cut(string(data), "\n")
	if !found {
		return 0, io.ErrUnexpectedEOF
	}
	*l = line(text)
	return len(text) + 1, nil
}

type rawLine struct {
	N    uint16
	Line line `bsrpc:"raw"`
}

const rawRefused = `"raw" is for Marshal and Unmarshal only, not for calls; send the result of Marshal as a []byte`

// A method cannot have raw, wherever it is.
func TestRawInMethods(t *testing.T) {
	for _, test := range []struct {
		fn   any
		want string
	}{
		{func(rawLine) {}, "Shop.F, parameter 1, rawLine.Line: "},
		{func(int, map[string][]*rawLine) {}, "Shop.F, parameter 2, map[string][]rawLine.Line: "},
		{func() (rawLine, error) { return rawLine{}, nil }, "Shop.F, result 1, rawLine.Line: "},
		{func(iter.Seq2[rawLine, error]) {}, "Shop.F, parameter 1, rawLine.Line: "},
		{func() iter.Seq2[*rawLine, error] { return nil }, "Shop.F, result 1, rawLine.Line: "},
		{func(func(rawLine) error) {}, "Shop.F, parameter 1, func's parameter 1, rawLine.Line: "},
	} {
		err := bsrpc.NewServer(nil).RegisterFunc("Shop.F", test.fn)
		checkText(t, test.want, err, refused("register Shop", test.want+rawRefused))
	}
	type contract struct {
		A func(line) error `bsrpc:"(raw)"`
		B func(line) error
	}
	client, err := bsrpctest.Dial(t, newLab(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = bsrpc.Bind[contract](t.Context(), client, "Shop")
	checkText(t, "Bind", err, refused("bind Shop", "Shop.A, parameter 1, line: "+rawRefused))
}

// A Decoder waits for the rest of a raw value.
func TestRawInStream(t *testing.T) {
	const data = "\x01\x00first\n\x02\x00second\n\x03\x00third"
	for name, r := range map[string]io.Reader{"at once": strings.NewReader(data), "in parts": iotest.OneByteReader(strings.NewReader(data))} {
		dec := bsrpc.NewDecoder(r)
		for i, want := range []line{"first", "second"} {
			var got rawLine
			if err := dec.Decode(&got); err != nil || got != (rawLine{uint16(i + 1), want}) {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		}
		err := dec.Decode(new(rawLine))
		checkText(t, name, err, "bsrpc: rawLine.Line: bsrpc_test.line.DecodeBinary returned an error, offset 19")
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: not the error of truncated data", name)
		}
	}
}
