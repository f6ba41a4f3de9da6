package bsrpc_test

import (
	"cmp"
	"context"
	"errors"
	"io"
	"iter"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// Types with words for values that stand alone.
type (
	padded3 struct {
		A uint8
		_ [3]byte `bsrpc:"pad"`
	}
	inside struct {
		Kids map[uint8][]*padded3
	}
	lines struct {
		Put func(string, []int) ([]byte, error) `bsrpc:"(until=0,rest) rest"`
	}
	paddedError struct{ In inside }
)

func (paddedError) Error() string { return "padded" }

// Records of a stream end at a byte, or with the stream.
func TestRecordsUpToAnEnd(t *testing.T) {
	type line struct {
		Text string `bsrpc:"until=10,max=20"`
	}
	type file struct {
		_    uint16   `bsrpc:"be2,const=0xB562"`
		Data []uint32 `bsrpc:"rest"`
	}
	type words struct {
		List []string `bsrpc:"rest,elem=until=0"`
	}
	const stream = "first\nsecond\n\xb5\x62\x01\x00\x00\x00\x02\x00\x00\x00"
	for _, r := range []io.Reader{strings.NewReader(stream), iotest.OneByteReader(strings.NewReader(stream))} {
		d := bsrpc.NewDecoder(r)
		var a, b line
		var f file
		if err := cmp.Or(d.Decode(&a), d.Decode(&b), d.Decode(&f)); err != nil || a.Text != "first" || b.Text != "second" || !slices.Equal(f.Data, []uint32{1, 2}) {
			t.Errorf("%v, %v, %v, %v", err, a, b, f)
		}
		if err := d.Decode(&a); err != io.EOF {
			t.Error(err)
		}
	}
	var w words
	long := strings.Repeat("ab\x00", 5000)
	if err := bsrpc.NewDecoder(iotest.HalfReader(strings.NewReader(long))).Decode(&w); err != nil || len(w.List) != 5000 {
		t.Errorf("%v, %d words", err, len(w.List))
	}
	broken := errors.New("broken")
	for _, tt := range []struct {
		data string
		v    any
		want string
	}{
		{"first", new(line), "bsrpc: line.Text: want the byte 0x0a (until=10) in the last 5 bytes, offset 0"},
		{strings.Repeat("a", 30), new(line), "bsrpc: line.Text: want at most max=20 bytes before the byte 0x0a (until=10), offset 0"},
		{"\xb5\x62\x01", new(file), "bsrpc: file.Data: want a multiple of 4 bytes, have 1, offset 2"},
		{strings.Repeat("a\x00", 40), new(words), "bsrpc: the record exceeds MaxRecord (64), offset 64"},
		{"a\x00b", new(words), "bsrpc: words.List[]: want the byte 0x00 (until=0) in the last 1 byte, offset 2"},
		{"", new(words), "bsrpc: reading failed: broken, offset 4"},
	} {
		r := io.Reader(strings.NewReader(tt.data))
		if tt.data == "" {
			r = io.MultiReader(strings.NewReader("a\x00b\x00"), iotest.ErrReader(broken))
		}
		d := bsrpc.NewDecoder(r)
		d.MaxRecord = 64
		checkText(t, tt.data, d.Decode(tt.v), tt.want)
	}
	// A record of MaxRecord bytes is not too long, whenever the reader tells its end.
	for _, r := range []io.Reader{strings.NewReader(strings.Repeat("a\x00", 32)), iotest.DataErrReader(strings.NewReader(strings.Repeat("a\x00", 32)))} {
		d := bsrpc.NewDecoder(r)
		d.MaxRecord = 64
		if err := d.Decode(&w); err != nil || len(w.List) != 32 {
			t.Errorf("%v, %d words", err, len(w.List))
		}
		if err := d.Decode(&w); err != io.EOF {
			t.Error(err)
		}
	}
	rest, err := bsrpc.Decode([]byte("a\nb\n"), new(line))
	if err != nil || string(rest) != "b\n" {
		t.Errorf("%v, %q", err, rest)
	}
	if rest, err = bsrpc.Decode([]byte("a\x00b\x00"), &w); err != nil || len(rest) > 0 || len(w.List) != 2 {
		t.Errorf("%v, %q", err, rest)
	}
}

// Constants and lengths in bytes are for calls, too. Client.Call needs no fields for constants.
func TestConstantsInCalls(t *testing.T) {
	type query struct {
		_    uint8    `bsrpc:"const=3"`
		Regs []uint16 `bsrpc:"bytes=le1,be2"`
	}
	type gate struct {
		Ask func(ctx context.Context, q query) (*query, error)
	}
	srv := bsrpc.NewServer(nil)
	if err := srv.RegisterFunc("Gate.Ask", func(q query) *query { return &query{Regs: q.Regs[1:]} }); err != nil {
		t.Fatal(err)
	}
	if got, want := layouts(srv)[0], "Gate.Ask({_ uint.le1=3; Regs [bytes=le1]uint.be2}) *{_ uint.le1=3; Regs [bytes=le1]uint.be2}"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	got, err := bsrpctest.Bind[gate](t, srv, "Gate").Ask(t.Context(), query{Regs: []uint16{1, 2}})
	if err != nil || !slices.Equal(got.Regs, []uint16{2}) {
		t.Errorf("%v, %v", err, got)
	}
	client, err := bsrpctest.Dial(t, srv, nil)
	if err != nil {
		t.Fatal(err)
	}
	type plain struct{ Regs []int }
	var answer *plain
	if err := client.Call(t.Context(), "Gate.Ask", []any{plain{[]int{1, 2}}}, &answer); err != nil || !slices.Equal(answer.Regs, []int{2}) {
		t.Errorf("%v, %v", err, answer)
	}
}

// Versions of a struct have the same constants, and other fields that fit.
func TestConstantsInVersions(t *testing.T) {
	type gate[T any] struct {
		Ask func(ctx context.Context, v T) (T, error)
	}
	type first struct {
		_ uint16 `bsrpc:"be2,const=0xB562"`
		A uint8
		_ uint8 `bsrpc:"const=3"`
	}
	type third struct {
		_ uint16 `bsrpc:"be2,const=0xB563"`
		A uint8
	}
	srv := bsrpc.NewServer(nil)
	if err := srv.RegisterFunc("Gate.Ask", func(v first) first { v.A++; return v }); err != nil {
		t.Fatal(err)
	}
	client, err := bsrpctest.Dial(t, srv, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = bsrpc.Bind[gate[third]](t.Context(), client, "Gate")
	if want := "parameter 1, third._: client uint.be2=46435; server uint.be2=46434, uint.le1=3"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v", err)
	}
	type newer struct {
		B string `bsrpc:"optional"`
		_ uint16 `bsrpc:"be2,const=0xB562"`
		_ uint8  `bsrpc:"const=3"`
		A uint8
	}
	proxy, err := bsrpc.Bind[gate[newer]](t.Context(), client, "Gate")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := proxy.Ask(t.Context(), newer{A: 7}); err != nil || got.A != 8 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := proxy.Ask(t.Context(), newer{A: 7, B: "x"}); err == nil {
		t.Error("B is lost")
	}
}

// notInCalls is the problem of a word for values that stand alone.
func notInCalls(word string) string {
	return `"` + word + `" is for Marshal and Unmarshal only, not for calls; send the result of Marshal as a []byte`
}

func TestStandaloneWordsInMethods(t *testing.T) {
	pad, until, rest := notInCalls("pad"), notInCalls("until="), notInCalls("rest")
	for _, tt := range []struct {
		name string
		reg  registration
		want []string
	}{
		{"a parameter and a result", fn("Shop.Put", func(padded3, int, *padded3) []padded3 { return nil }),
			[]string{"Shop.Put, parameter 1, padded3._: " + pad, "Shop.Put, parameter 3, padded3._: " + pad, "Shop.Put, result 1, []padded3._: " + pad}},
		{"a part", fn("Shop.Put", func(inside) {}), []string{"Shop.Put, parameter 1, inside.Kids[][]._: " + pad}},
		{"other words", fn("Shop.Put", func(struct {
			A []string `bsrpc:"elem=until=0"`
			B []int    `bsrpc:"rest"`
		}) *struct {
			C string `bsrpc:"rest"`
		} {
			return nil
		}), []string{"Shop.Put, parameter 1, A[]: " + until, "Shop.Put, parameter 1, B: " + rest, "Shop.Put, result 1, C: " + rest}},
		{"a contract", as[lines](&lines{func(string, []int) ([]byte, error) { return nil, nil }}), []string{"Shop.Put, parameter 1: " + until, "Shop.Put, parameter 2, []int: " + rest, "Shop.Put, result 1, []uint8: " + rest}},
		{"items", fn("Shop.Put", func(context.Context, iter.Seq2[padded3, error]) (iter.Seq2[inside, error], error) { return nil, nil }),
			[]string{"Shop.Put, parameter 1, padded3._: " + pad, "Shop.Put, result 1, inside.Kids[][]._: " + pad}},
		{"a func", fn("Shop.Put", func(_ context.Context, f func(padded3) (padded3, error), r io.Reader) error { return nil }),
			[]string{"Shop.Put, parameter 1, func's parameter 1, padded3._: " + pad, "Shop.Put, parameter 1, func's result 1, padded3._: " + pad}},
	} {
		srv := bsrpc.NewServer(nil)
		checkText(t, tt.name, tt.reg(srv), refused("register Shop", tt.want...))
	}
	near, _ := net.Pipe()
	_, err := bsrpc.NewClient(t.Context(), near, &bsrpc.ClientOptions{Errors: map[string]error{"shop.padded": paddedError{}}})
	checkText(t, "an error", err, `bsrpc: ClientOptions: Errors: key "shop.padded": paddedError.In.Kids[][]._: `+pad+`; a field with the tag "-" does not travel`)
}
