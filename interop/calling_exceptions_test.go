package interop

// What a client of this library is told of exceptions in Python.

import (
	"errors"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc"
)

func TestCallingRaises(t *testing.T) {
	interop(t)
	_, addr := startServer(t)
	_, desk := dial(t, addr, bsrpc.ClientOptions{})
	for _, tt := range []struct {
		how, text string
		code      bsrpc.Code
		name      string // "": it is how
		message   string // "": it is text
	}{
		{"ValueError", "too small", bsrpc.CodeInvalidArgument, "", ""},
		{"ValueError", "two\nlines 😀", bsrpc.CodeInvalidArgument, "", ""},
		{"ValueError", "", bsrpc.CodeInvalidArgument, "", ""},
		{"ValueError", "ends in a newline\n", bsrpc.CodeInvalidArgument, "", ""},
		{"ValueError", "a: b: c", bsrpc.CodeInvalidArgument, "", ""},
		{"TypeError", "x", bsrpc.CodeInvalidArgument, "", ""},
		{"KeyError", "x", bsrpc.CodeNotFound, "", "'x'"},
		{"IndexError", "x", bsrpc.CodeOutOfRange, "", ""},
		{"OverflowError", "x", bsrpc.CodeOutOfRange, "", ""},
		{"PermissionError", "x", bsrpc.CodePermissionDenied, "", ""},
		{"TimeoutError", "x", bsrpc.CodeDeadlineExceeded, "", ""},
		{"NotImplementedError", "x", bsrpc.CodeUnimplemented, "", ""},
		{"ConnectionError", "x", bsrpc.CodeUnavailable, "", ""},
		{"ZeroDivisionError", "x", bsrpc.CodeUnknown, "", ""},
		{"StopIteration", "x", bsrpc.CodeUnknown, "", ""},
		{"SyntaxError", "x", bsrpc.CodeUnknown, "", ""},
		{"Exception", "x", bsrpc.CodeUnknown, "", ""},
		{"ProtocolError", "not so", bsrpc.CodeInternal, "", ""},
		{"OutOfPaper", "load some", bsrpc.CodeUnknown, "", ""},
		{"OutOfInk", "fill some in", bsrpc.CodeUnknown, "", ""},
		{"because", "of that", bsrpc.CodeInvalidArgument, "ValueError", ""},
		{"meanwhile", "another", bsrpc.CodeInvalidArgument, "ValueError", ""},
		{"named SystemExit", "0", bsrpc.CodeUnknown, "SystemExit", ""},
		{"named KeyboardInterrupt", "", bsrpc.CodeUnknown, "KeyboardInterrupt", ""},
	} {
		name, message := tt.name, tt.message
		if name == "" {
			name = tt.how
		}
		if message == "" {
			message = tt.text
		}
		e := wantError(t, tt.how, desk.Fail(t.Context(), tt.how, tt.text), tt.code, bsrpc.OutcomeAnswered, "")
		if e.Name != name || e.Message != message || !strings.HasPrefix(e.Detail, "Traceback (most recent call last):\n") || !e.Remote {
			t.Errorf("%s: got %q, %q, want %q, %q; Detail is\n%s", tt.how, e.Name, e.Message, name, message, e.Detail)
		}
	}
	wantServed(t, desk)
}

func TestCallingOverflows(t *testing.T) {
	interop(t)
	_, addr := startServer(t)
	_, desk := dial(t, addr, bsrpc.ClientOptions{})
	for range 2 {
		_, err := desk.Narrow(t.Context(), 1<<16)
		e := wantError(t, "Narrow", err, bsrpc.CodeOutOfRange, bsrpc.OutcomeAnswered, "int too big to convert")
		if e.Name != "OverflowError" || err.Error() != "int too big to convert" {
			t.Errorf("got %q, %v", e.Name, err)
		}
		_, err = desk.Add2Words(t.Context(), 1<<32-1, 1)
		wantError(t, "Add2Words", err, bsrpc.CodeOutOfRange, bsrpc.OutcomeAnswered, "int too big to convert")
	}
	wantServed(t, desk)
}

// A traceback is longer than any message that this client takes.
func TestCallingRaisesWithSmallMessages(t *testing.T) {
	interop(t)
	_, addr := startServer(t)
	_, desk := dial(t, addr, bsrpc.ClientOptions{MaxMessage: 50})
	err := desk.Fail(t.Context(), "ValueError", "too small")
	wantError(t, "Fail", err, bsrpc.CodeInvalidArgument, bsrpc.OutcomeAnswered, "too small")
	wantServed(t, desk)
}

// The real SystemExit ends the thread of the package's server, which hangs up.
// It ends nothing here.
func TestCallingRaisesSystemExit(t *testing.T) {
	interop(t)
	_, addr := startServer(t)
	for _, how := range []string{"SystemExit", "KeyboardInterrupt", "GeneratorExit"} {
		client, desk := dial(t, addr, bsrpc.ClientOptions{})
		err := desk.Fail(t.Context(), how, "0")
		wantError(t, how, err, bsrpc.CodeUnavailable, bsrpc.OutcomeUnknown, "connection lost: closed by the peer")
		within(t, "the connection's end", client.Done())
		_, desk = dial(t, addr, bsrpc.ClientOptions{})
		wantServed(t, desk)
	}
}

func TestCallingIsRefused(t *testing.T) {
	interop(t)
	_, addr := startServer(t, "refusing")
	_, err := bsrpc.Dial(t.Context(), "tcp", addr, &bsrpc.ClientOptions{Basic: true})
	e := wantError(t, "Dial", err, bsrpc.CodePermissionDenied, bsrpc.OutcomeNotRun, "not today")
	if e.Name != "PermissionError" || e.Message != "not today" {
		t.Errorf("got %#v", e)
	}
	_, addr = startServer(t)
	_, err = bsrpc.Dial(t.Context(), "tcp", addr, nil)
	wantError(t, "Dial without Basic", err, bsrpc.CodeUnavailable, bsrpc.OutcomeNotRun, "ClientOptions.Basic allows it")
	if errors.Is(err, bsrpc.ErrClosed) {
		t.Errorf("got %v", err)
	}
}
