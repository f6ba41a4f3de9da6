package interop

// Clients of the package at a bsrpc server.

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc"
)

// Row 135.
func TestRow135PythonClient(t *testing.T) {
	_, addr := serve(t, newService(), bsrpc.ServerOptions{MaxMessage: 64 << 20})
	d := connected(t, addr)
	type list []any
	const text = "hello wörld, 日本語, 🙂, \x00, \r\n\t"
	d.want("hello "+text, "hello", text)
	d.want("hello ", "hello", "")
	d.want("goodbye Bob", "goodbye", "Bob")
	d.want(3050, "add_2_words", 1000, 2050)
	d.want(nil, "func_no_args")
	d.want(nil, "last")
	d.want(6, "sum_fixed", list{1, 2, 3})
	d.want(0x22222232, "sum_array", list{0x10, 0x22222222})
	d.want(0, "sum_array", list{})
	d.want(list{3, text}, "sum_and_text", list{1, 2}, text)
	d.want(list{255, 65535, 4294967295, uint64(1<<64 - 1)}, "ints", 255, 65535, 4294967295, uint64(1<<64-1))
	d.want(list{0, 0, 0, 0}, "ints", 0, 0, 0, 0)
	d.want(false, "flip", true)
	d.want(true, "flip", false)
	d.want(hexBytes([]byte{3, 2, 1, 0, 255}), "reverse", hexBytes([]byte{255, 0, 1, 2, 3}))
	d.want(list{"", text, "a"}, "words", list{"a", text, ""})
	d.want(list{}, "words", list{})
	d.want(list{list{3}, list{}, list{1, 2}}, "matrix", list{list{1, 2}, list{}, list{3}})
	d.want(list{list{4, 5, 6}, list{1, 2, 3}}, "grid", list{list{1, 2, 3}, list{4, 5, 6}})

	numbers := (&service{}).Count(200_000)
	d.want(numbers, "count", len(numbers))
	d.want((&service{}).SumArray(numbers), "sum_array", numbers)
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<20) // 16 MiB
	d.order("reverse", hexBytes(big))
	d.wantReply(hexBytes((&service{}).Reverse(bytes.Clone(big))))
	d.want(3050, "add_2_words", 1000, 2050)
}

func TestPythonClientExceptions(t *testing.T) {
	srv, addr := serve(t, newService(), bsrpc.ServerOptions{MaxMessage: 1 << 20})
	d := connected(t, addr)
	d.wantRaised("ProtocolError", "Unknown command with id: 10", "unknown", "x")
	d.wantRaised("OverflowError", "int too big to convert", "overflow")
	d.wantRaised("OverflowError", "int too big to convert", "add_2_words", 1<<32-1, 1)
	for _, name := range []string{"ValueError", "ProtocolError", "ServerShutdown"} {
		d.wantRaised(name, "a text\nof two lines", "fail", name, "a text\nof two lines")
	}
	for _, name := range []string{"TypeError", "KeyError", "IndexError", "ZeroDivisionError", "RuntimeError", "NotImplementedError",
		"PermissionError", "TimeoutError", "ConnectionError", "OSError"} {
		d.wantRaised(name, "Server exception: on purpose", "fail", name, "on purpose")
	}
	d.wantRaised("ServerError", "Server exception OutOfPaper: no paper", "fail", "OutOfPaper", "no paper")
	d.wantRaised("RuntimeError", "Server exception: plain", "fail", "", "plain")
	for _, name := range []string{"SystemExit", "KeyboardInterrupt", "GeneratorExit", "StopIteration", "UnicodeDecodeError", "ExceptionGroup", "BaseException", "a b"} {
		d.wantRaised("RuntimeError", "Server exception: harmless", "fail", name, "harmless")
	}
	d.wantRaised("RuntimeError", "panic in the handler (id ", "fail", "panic", "secret")
	if srv.Panics() != 1 {
		t.Errorf("%d panics", srv.Panics())
	}
	d.wantRaised("ValueError", "Already connected", "connect")
	d.wantRaised("ProtocolError", "Initialization already occurred", "raw", hexBytes([]byte("\x08\x00\x00\x00\x00\x00\x00\x01")))
	d.wantRaised("ProtocolError", "Reported message size too small: 3", "raw", hexBytes([]byte("\x03\x00\x00\x00")))
	d.wantRaised("ProtocolError", "Insufficient bytes in command.", "raw", hexBytes([]byte("\x05\x00\x00\x00\x01")))
	d.wantRaised("ValueError", "Commands.Add2Words, parameter 1: want 4 bytes, have 0", "raw", hexBytes([]byte("\x07\x00\x00\x00\x01\x02\x00")))
	d.want(3050, "add_2_words", 1000, 2050)
	d.wantRaised("ValueError", "frame too long: 2097156 bytes, MaxMessage is 1048576", "reverse", hexBytes(make([]byte, 2<<20)))
	d.wantRaised("DisconnectedError", "", "hello", "Bob")
}

// Row 149 with the package's own frames.
func TestRow149PythonPipelines(t *testing.T) {
	_, addr := serve(t, newService(), bsrpc.ServerOptions{})
	var want []int
	for i := range 200 {
		want = append(want, i+1)
	}
	connected(t, addr).want(want, "pipeline", 200)
}

func TestPythonClientRefused(t *testing.T) {
	_, addr := serve(t, newService(), bsrpc.ServerOptions{OnConnect: func(_ context.Context, s *bsrpc.Session) error {
		if s.ID() == 1 {
			return errors.New("not today")
		}
		return named{"ValueError", "nor tomorrow"}
	}})
	drive(t, addr).wantRaised("PermissionError", "Server exception: not today", "connect")
	drive(t, addr).wantRaised("ValueError", "nor tomorrow", "connect")
}

// A suite of a Python client passes at either server.
func TestPythonSuite(t *testing.T) {
	_, ours := serve(t, newService(), bsrpc.ServerOptions{})
	for name, addr := range map[string]string{"bsrpc": ours, "the package": pythonServer(t)} {
		t.Run(name, func(t *testing.T) {
			s := pythonIn(t, "python", []string{"SERVER=" + addr}, "-m", "unittest", "-v", "test_client")
			s.wantExit()
			if got := s.stderr.String(); !strings.Contains(got, "Ran 9 tests") || !strings.Contains(got, "\nOK\n") {
				t.Errorf("%s", got)
			}
		})
	}
}
