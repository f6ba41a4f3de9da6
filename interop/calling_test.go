package interop

// A client of this library calls a server of the package.

import (
	"bytes"
	"context"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/bsrpc/bsrpc"
)

// all are all results of a call.
func all(results ...any) []any { return results }

func TestCalling(t *testing.T) {
	interop(t)
	_, addr := startServer(t)
	_, desk := dial(t, addr, bsrpc.ClientOptions{})
	ctx := t.Context()
	for i, tt := range []struct{ got, want []any }{
		{all(desk.Hello(ctx, "Bob")), all("hello Bob", nil)},
		{all(desk.Goodbye(ctx, "Bob")), all("goodbye Bob", nil)},
		{all(desk.Add2Words(ctx, 1000, 2050)), all(uint64(3050), nil)},
		{all(desk.FuncNoArgs(ctx)), all(nil)},
		{all(desk.SumFixed(ctx, [3]uint32{1, 2, 3})), all(uint64(6), nil)},
		{all(desk.SumArray(ctx, []uint32{0x10, 0x22222222})), all(uint64(0x22222232), nil)},
		{all(desk.SumArray(ctx, nil)), all(uint64(0), nil)},
		{all(desk.SumAndText(ctx, []uint32{1, 2}, "hi")), all(uint64(3), "hi", nil)},
		{all(desk.EchoLe1(ctx, 255)), all(uint8(255), nil)},
		{all(desk.EchoLe2(ctx, 1<<16-1)), all(uint16(1<<16-1), nil)},
		{all(desk.EchoLe4(ctx, 1<<32-1)), all(uint32(1<<32-1), nil)},
		{all(desk.EchoLe8(ctx, 1<<64-1)), all(uint64(1<<64-1), nil)},
		{all(desk.EchoBool(ctx, true)), all(true, nil)},
		{all(desk.EchoBool(ctx, false)), all(false, nil)},
		{all(desk.EchoStr(ctx, "")), all("", nil)},
		{all(desk.EchoStr(ctx, "héllo 日本語 😀\u200d\x00\u2028\U0010ffff")), all("héllo 日本語 😀\u200d\x00\u2028\U0010ffff", nil)},
		{all(desk.EchoBytes(ctx, []byte("\x00\xff"))), all([]byte("\x00\xff"), nil)},
		{all(desk.Length(ctx, 3)), all(uint32(3), nil)},
		{all(desk.EchoWords(ctx, []uint32{1, 0, 1<<32 - 1})), all([]uint32{1, 0, 1<<32 - 1}, nil)},
		{all(desk.EchoWords(ctx, nil)), all([]uint32(nil), nil)},
		{all(desk.EchoStrs(ctx, []string{"a", "", "😀"})), all([]string{"a", "", "😀"}, nil)},
		{all(desk.EchoBlobs(ctx, [][]byte{{1}, {0, 255}})), all([][]byte{{1}, {0, 255}}, nil)},
		{all(desk.EchoBools(ctx, []bool{true, false})), all([]bool{true, false}, nil)},
		{all(desk.EchoRows(ctx, [][]uint16{nil, {1}, {1<<16 - 1, 2}})), all([][]uint16{nil, {1}, {1<<16 - 1, 2}}, nil)},
		{all(desk.EchoPoints(ctx, [][2]uint32{{1, 2}, {3, 4}})), all([][2]uint32{{1, 2}, {3, 4}}, nil)},
		{all(desk.EchoMatrix(ctx, [2][3]uint8{{1, 2, 3}, {4, 5, 255}})), all([2][3]uint8{{1, 2, 3}, {4, 5, 255}}, nil)},
		{all(desk.EchoPair(ctx, [2]string{"x", "yz"})), all([2]string{"x", "yz"}, nil)},
		{all(desk.EchoRecords(ctx, []Record{{1, "one"}, {2, ""}})), all([]Record{{1, "one"}, {2, ""}}, nil)},
		{all(desk.Mixed(ctx, 7, true, "text", []byte{0}, []uint64{1, 1 << 63})), all(uint8(7), true, "text", []byte{0}, []uint64{1, 1 << 63}, nil)},
		{all(desk.Narrow(ctx, 65535)), all(uint64(65535), nil)},
		{all(desk.Last(ctx)), all(nil)},
	} {
		if !reflect.DeepEqual(tt.got, tt.want) {
			t.Errorf("call %d: got %#v, want %#v", i, tt.got, tt.want)
		}
	}
}

func TestCallingWithLargeMessages(t *testing.T) {
	interop(t)
	_, addr := startServer(t)
	_, desk := dial(t, addr, bsrpc.ClientOptions{MaxMessage: 32 << 20})
	words := make([]uint32, 200_000)
	for i := range words {
		words[i] = uint32(i)
	}
	if got, err := desk.EchoWords(t.Context(), words); !reflect.DeepEqual(got, words) || err != nil {
		t.Errorf("%d words came back, %v", len(got), err)
	}
	blob := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	if got, err := desk.EchoBytes(t.Context(), blob); !bytes.Equal(got, blob) || err != nil {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
	if got, err := desk.Stretch(t.Context(), blob[:271_828], 314_159); !bytes.Equal(got, stretch(blob[:271_828], 314_159)) || err != nil {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
	text := strings.Repeat("é", 1<<20)
	if got, err := desk.EchoStr(t.Context(), text); got != text || err != nil {
		t.Errorf("%d bytes of text came back, %v", len(got), err)
	}
}

// What cannot be sent is not; what the server does not have is not run; what it
// takes for something else is its error.
func TestCallingAmiss(t *testing.T) {
	interop(t)
	_, addr := startServer(t)
	client, desk := dial(t, addr, bsrpc.ClientOptions{MaxMessage: 64 << 10})
	_, err := desk.Add2Words(t.Context(), 1<<32, 0)
	wantError(t, "Add2Words", err, bsrpc.CodeInvalidArgument, bsrpc.OutcomeNotRun, "Desk.Add2Words, parameter 1: does not fit in 4 bytes")
	_, err = desk.EchoStr(t.Context(), "\xff")
	wantError(t, "EchoStr", err, bsrpc.CodeInvalidArgument, bsrpc.OutcomeNotRun, "not UTF-8")
	_, err = desk.EchoBytes(t.Context(), make([]byte, 64<<10))
	wantError(t, "EchoBytes", err, bsrpc.CodeResourceExhausted, bsrpc.OutcomeNotRun, "MaxMessage is 65536")
	more := bind[struct {
		Unknown func(ctx context.Context, b []byte) error `bsrpc:"id=10"`
		Hello   func(ctx context.Context, n uint32) error `bsrpc:"id=0"` // not what the server means by it
	}](t, client)
	err = more.Unknown(t.Context(), []byte("x"))
	wantError(t, "Unknown", err, bsrpc.CodeUnimplemented, bsrpc.OutcomeNotRun, "Unknown command with id: 10")
	err = more.Hello(t.Context(), 1)
	wantError(t, "Hello", err, bsrpc.CodeInvalidArgument, bsrpc.OutcomeAnswered, "Cannot deserialize string, missing bytes. Expected 1, got 0.")
	wantServed(t, desk)
}

// Calls of many goroutines share the connection, also a thousand large ones.
func TestCallingAtOnce(t *testing.T) {
	interop(t)
	s, addr := startServer(t)
	_, desk := dial(t, addr, bsrpc.ClientOptions{})
	held := make(chan error, 1)
	go func() { held <- desk.Hold(context.Background()) }()
	s.await("began") // the others are sent meanwhile
	var calls sync.WaitGroup
	for i := range uint32(200) {
		calls.Go(func() {
			if got, err := desk.EchoLe4(t.Context(), i); got != i || err != nil {
				t.Errorf("%d: got %d, %v", i, got, err)
			}
		})
	}
	s.want("release()", "None")
	calls.Wait()
	if err := <-held; err != nil {
		t.Error(err)
	}
	for i := range 1000 {
		calls.Go(func() {
			blob := bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 32<<10)
			if got, err := desk.EchoBytes(t.Context(), blob); !bytes.Equal(got, blob) || err != nil {
				t.Errorf("%d: %d bytes came back, %v", i, len(got), err)
			}
		})
	}
	calls.Wait()
}

// A call that is given up returns at once. Its answer, which comes late, is not
// the next call's.
func TestCallingIsGivenUp(t *testing.T) {
	interop(t)
	s, addr := startServer(t)
	_, desk := dial(t, addr, bsrpc.ClientOptions{})
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		held := make(chan error, 1)
		go func() { held <- desk.Hold(ctx) }()
		s.await("began")
		cancel()
		wantError(t, "Hold", within(t, "the call's end", held), bsrpc.CodeCanceled, bsrpc.OutcomeUnknown, "context canceled")
		next := make(chan error, 1)
		go func() {
			got, err := desk.EchoLe4(t.Context(), 7)
			if got != 7 {
				t.Errorf("got %d, the answer to another call", got)
			}
			next <- err
		}()
		s.want("release()", "None")
		if err := within(t, "the next call's end", next); err != nil {
			t.Error(err)
		}
	}
}
