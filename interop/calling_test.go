package interop

// bsrpc clients at a server of the package.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
)

// pythonServer runs a server of the package and returns its address.
func pythonServer(t testing.TB, args ...string) string {
	t.Helper()
	_, addr := pythonServerScript(t, args...)
	return addr
}

func pythonServerScript(t testing.TB, args ...string) (*script, string) {
	t.Helper()
	s := python(t, "server.py", args...)
	return s, "127.0.0.1:" + s.await("port ") // the package prints lines of its own
}

// dial makes a client, which the test closes, and its proxy.
func dial(t testing.TB, addr string, opts bsrpc.ClientOptions) (*bsrpc.Client, *Commands) {
	t.Helper()
	opts.Basic = true
	client, err := bsrpc.Dial(t.Context(), "tcp", addr, &opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	commands, err := bsrpc.Bind[Commands](t.Context(), client, "Commands")
	if err != nil {
		t.Fatal(err)
	}
	return client, commands
}

func want[T any](t testing.TB, value T) func(T, error) {
	return func(got T, err error) {
		t.Helper()
		if a, b := fmt.Sprint(got), fmt.Sprint(value); a != b || err != nil {
			t.Errorf("got %.200s, %v; want %.200s", a, err, b)
		}
	}
}

func wantNil(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// Row 135.
func TestRow135PythonServer(t *testing.T) {
	ctx := t.Context()
	_, c := dial(t, pythonServer(t), bsrpc.ClientOptions{MaxMessage: 64 << 20})
	const text = "hello wörld, 日本語, 🙂, \x00, \r\n\t"
	want(t, "hello "+text)(c.Hello(ctx, text))
	want(t, "hello ")(c.Hello(ctx, ""))
	want(t, "goodbye Bob")(c.Goodbye(ctx, "Bob"))
	want(t, uint64(3050))(c.Add2Words(ctx, 1000, 2050))
	wantNil(t, c.FuncNoArgs(ctx))
	want(t, uint32(6))(c.SumFixed(ctx, [3]uint32{1, 2, 3}))
	want(t, uint32(0x22222232))(c.SumArray(ctx, []uint32{0x10, 0x22222222}))
	want(t, uint32(0))(c.SumArray(ctx, nil))
	if sum, s, err := c.SumAndText(ctx, []uint32{1, 2}, text); sum != 3 || s != text || err != nil {
		t.Errorf("got %d, %q, %v", sum, s, err)
	}
	for _, n := range []Ints{{}, {1<<8 - 1, 1<<16 - 1, 1<<32 - 1, 1<<64 - 1}} {
		want(t, n)(c.Ints(ctx, n))
	}
	want(t, false)(c.Flip(ctx, true))
	want(t, true)(c.Flip(ctx, false))
	want(t, []byte{3, 2, 1, 0, 255})(c.Reverse(ctx, []byte{255, 0, 1, 2, 3}))
	want(t, []string{"", text, "a"})(c.Words(ctx, []string{"a", text, ""}))
	want(t, [][]uint32{{3}, nil, {1, 2}})(c.Matrix(ctx, [][]uint32{{1, 2}, nil, {3}}))
	want(t, [2][3]uint16{{4, 5, 6}, {1, 2, 3}})(c.Grid(ctx, [2][3]uint16{{1, 2, 3}, {4, 5, 6}}))
	wantNil(t, c.Last(ctx))

	numbers := (&service{}).Count(200_000)
	got, err := c.Count(ctx, 200_000)
	if !slices.Equal(got, numbers) || err != nil {
		t.Errorf("Count: %d numbers, %v", len(got), err)
	}
	want(t, uint32(1_000))(c.SumArray(ctx, slices.Repeat([]uint32{0, 1}, 1_000)))
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<20) // 16 MiB
	reversed, err := c.Reverse(ctx, big)
	if !bytes.Equal(reversed, (&service{}).Reverse(bytes.Clone(big))) || err != nil {
		t.Errorf("Reverse: %d bytes, %v", len(reversed), err)
	}
}

func TestPythonServerExceptions(t *testing.T) {
	ctx := t.Context()
	client, c := dial(t, pythonServer(t), bsrpc.ClientOptions{})
	for _, tt := range []struct {
		name, text, message string
		code                bsrpc.Code
	}{
		{"ValueError", "too small", "too small", bsrpc.CodeInvalidArgument},
		{"ValueError", "of\ntwo lines", "of\ntwo lines", bsrpc.CodeInvalidArgument},
		{"ValueError", "", "", bsrpc.CodeInvalidArgument},
		{"KeyError", "x", "'x'", bsrpc.CodeNotFound},
		{"PermissionError", "no", "no", bsrpc.CodePermissionDenied},
		{"TimeoutError", "slow", "slow", bsrpc.CodeDeadlineExceeded},
		{"NotImplementedError", "later", "later", bsrpc.CodeUnimplemented},
		{"ZeroDivisionError", "n/0", "n/0", bsrpc.CodeUnknown},
		{"Broken", "smoke: much of it", "smoke: much of it", bsrpc.CodeUnknown}, // commands.Broken in the traceback
	} {
		err := c.Fail(ctx, tt.name, tt.text)
		var e *bsrpc.Error
		if !errors.As(err, &e) || e.Name != tt.name || e.Message != tt.message || e.Code != tt.code || e.Outcome != bsrpc.OutcomeAnswered || !e.Remote ||
			!strings.HasPrefix(e.Detail, "Traceback (most recent call last):") {
			t.Errorf("%s %q: got %#v", tt.name, tt.text, err)
		}
	}
	_, err := c.Overflow(ctx)
	wantError(t, err, bsrpc.CodeOutOfRange, bsrpc.OutcomeAnswered, "int too big to convert")
	_, err = c.Add2Words(ctx, 1<<32-1, 1)
	wantError(t, err, bsrpc.CodeOutOfRange, bsrpc.OutcomeAnswered, "int too big to convert")
	_, err = c.Add2Words(ctx, 1<<32, 1)
	wantError(t, err, bsrpc.CodeInvalidArgument, bsrpc.OutcomeNotRun, "Commands.Add2Words, parameter 1: does not fit in 4 bytes")
	type other struct {
		Unknown func(ctx context.Context) error           `bsrpc:"id=10"`
		Hello   func(ctx context.Context, n uint32) error `bsrpc:"id=0"` // not what the server means by it
	}
	o, err := bsrpc.Bind[other](ctx, client, "Commands")
	wantNil(t, err)
	wantError(t, o.Unknown(ctx), bsrpc.CodeUnimplemented, bsrpc.OutcomeNotRun, "Unknown command with id: 10")
	wantError(t, o.Hello(ctx, 1), bsrpc.CodeInvalidArgument, bsrpc.OutcomeAnswered, "Cannot deserialize string, missing bytes. Expected 1, got 0.")
	want(t, "hello Bob")(c.Hello(ctx, "Bob"))
}

func wantError(t testing.TB, err error, code bsrpc.Code, outcome bsrpc.Outcome, message string) {
	t.Helper()
	var e *bsrpc.Error
	if !errors.As(err, &e) || e.Code != code || e.Outcome != outcome || !strings.Contains(e.Message, message) {
		t.Errorf("got %#v; want %v, %v, %q", err, code, outcome, message)
	}
}

func TestPythonServerPipelined(t *testing.T) {
	_, c := dial(t, pythonServer(t), bsrpc.ClientOptions{})
	var calls sync.WaitGroup
	for i := range uint64(200) {
		calls.Go(func() { want(t, i+1)(c.Add2Words(t.Context(), i, 1)) })
	}
	calls.Wait()
}

// The late answer of a call that was given up is nobody's.
func TestPythonServerLateAnswer(t *testing.T) {
	_, c := dial(t, pythonServer(t), bsrpc.ClientOptions{})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := c.Pause(ctx, 500)
	wantError(t, err, bsrpc.CodeDeadlineExceeded, bsrpc.OutcomeUnknown, "context deadline exceeded")
	want(t, "hello Bob")(c.Hello(t.Context(), "Bob"))
	want(t, uint32(1))(c.Pause(t.Context(), 1))
}

// The next client polls until the first has left.
func TestPythonServerExclusive(t *testing.T) {
	addr := pythonServer(t, "exclusive")
	first, c := dial(t, addr, bsrpc.ClientOptions{})
	want(t, "hello Ann")(c.Hello(t.Context(), "Ann"))
	waits := make(chan int, 10)
	admitted := make(chan *Commands)
	go func() {
		_, c := dial(t, addr, bsrpc.ClientOptions{OnWait: func(n int) { waits <- n }, PollInterval: 50 * time.Millisecond})
		admitted <- c
	}()
	if n := receive(t, waits, "waiting"); n != 0 {
		t.Errorf("told position %d", n)
	}
	impatient, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := bsrpc.Dial(impatient, "tcp", addr, &bsrpc.ClientOptions{Basic: true}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an impatient client: %v", err)
	}
	select {
	case <-admitted:
		t.Error("two have one place")
	default:
	}
	first.Close()
	want(t, "hello Bob")(receive(t, admitted, "admission").Hello(t.Context(), "Bob"))
}

// A server that shuts down tells idle clients so, unasked, and serves what it
// has begun.
func TestPythonServerStops(t *testing.T) {
	s, addr := pythonServerScript(t)
	idle, _ := dial(t, addr, bsrpc.ClientOptions{})
	_, c := dial(t, addr, bsrpc.ClientOptions{})
	paused := make(chan error, 1)
	go func() {
		_, err := c.Pause(t.Context(), 1000)
		paused <- err
	}()
	s.await("pausing")
	s.in.Close()
	wantNil(t, receive(t, paused, "answer"))
	receive(t, idle.Done(), "end")
	wantError(t, idle.Err(), bsrpc.CodeUnavailable, bsrpc.OutcomeUnknown, "server is shutting down")
	s.wantExit()
}

func TestPythonServerKilled(t *testing.T) {
	s, addr := pythonServerScript(t)
	client, c := dial(t, addr, bsrpc.ClientOptions{})
	paused := make(chan error, 1)
	go func() {
		_, err := c.Pause(t.Context(), 100_000)
		paused <- err
	}()
	s.await("pausing")
	s.cmd.Process.Kill()
	wantError(t, receive(t, paused, "end"), bsrpc.CodeUnavailable, bsrpc.OutcomeUnknown, "connection lost")
	receive(t, client.Done(), "end")
	_, err := c.Hello(t.Context(), "Bob")
	wantError(t, err, bsrpc.CodeUnavailable, bsrpc.OutcomeNotRun, "connection lost")
}
