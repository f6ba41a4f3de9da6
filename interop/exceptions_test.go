package interop

// What a Python client raises.

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc"
)

func TestExceptions(t *testing.T) {
	interop(t)
	c := openOffice(t, bsrpc.ServerOptions{}).admit(t)
	for _, tt := range []struct{ call, want string }{
		{`unknown(b'')`, `ProtocolError('Unknown command with id: 10')`},
		{`narrow(65536)`, `OverflowError('Server exception: int too big to convert')`},
		{`add_2_words(4294967295, 1)`, `OverflowError('Server exception: int too big to convert')`},
		{`echo_le1(256)`, `OverflowError('int too big to convert')`}, // these two are not sent
		{`echo_le4(-1)`, `OverflowError("can't convert negative int to unsigned")`},
		{`fail('', 'no name')`, `RuntimeError('Server exception: no name')`},
		{`fail('type', 'first arm')`, `ServerError('Server exception NotArmed: first arm')`},
		{`fail('code', 'no such thing')`, `RuntimeError('Server exception: no such thing')`},
		{`fail('ValueError', 'too small')`, `ValueError('too small')`},
		{`fail('ValueError', '')`, `ValueError('')`},
		{`fail('ValueError', 'two\nlines 😀')`, `ValueError('two\nlines 😀')`},
		{`fail('ProtocolError', 'not so')`, `ProtocolError('not so')`},
		{`fail('ServerShutdown', 'soon')`, `ServerShutdown('soon')`},
		{`fail('KeyError', 'x')`, `KeyError('Server exception: x')`},
		{`fail('OutOfPaper', 'load some')`, `ServerError('Server exception OutOfPaper: load some')`},
		{`fail('not a name', 'x')`, `RuntimeError('Server exception: x')`},
		{`fail('print', 'x')`, `ServerError('Server exception print: x')`},
		{`fail('__import__', 'x')`, `ServerError('Server exception __import__: x')`},
	} {
		c.want("desk."+tt.call, "! "+tt.want)
		c.want("desk.add_2_words(1, 2)", "3")
	}
}

func TestPanics(t *testing.T) {
	interop(t)
	o := openOffice(t, bsrpc.ServerOptions{})
	c := o.admit(t)
	for _, how := range []string{"panic", "goexit"} {
		got := c.ask(fmt.Sprintf("desk.fail(%q, 'secret')", how))
		if !strings.HasPrefix(got, `! RuntimeError("Server exception: panic in the handler (id `) || strings.Contains(got, "secret") {
			c.errorf("%s: got %s", how, got)
		}
		c.want("desk.add_2_words(1, 2)", "3")
	}
	if n := o.srv.Panics(); n != 2 {
		t.Errorf("%d panics, want 2", n)
	}
}

// safe are those exceptions of Python that may come from a server.
var safe = strings.Fields(`ValueError TypeError KeyError IndexError OverflowError ZeroDivisionError RuntimeError
	NotImplementedError PermissionError TimeoutError ConnectionError OSError`)

// No name of an exception that this Python has ends the client, or is more
// than it can make.
func TestNamesOfPython(t *testing.T) {
	interop(t)
	c := openOffice(t, bsrpc.ServerOptions{}).admit(t)
	c.send("__import__('basic_socket_rpc.rpc_low_level').rpc_low_level.built_in_exceptions.keys()")
	names := strings.Split(strings.Trim(c.answer(), "dict_keys([])"), ", ")
	if len(names) < 60 || !slices.Contains(names, "'SystemExit'") {
		c.fatalf("exceptions are %v", names)
	}
	for _, quoted := range names {
		want := "! RuntimeError('Server exception: x')"
		switch name := strings.Trim(quoted, "'"); {
		case name == "ValueError":
			want = "! ValueError('x')"
		case name == "IOError", name == "EnvironmentError": // other names of OSError
		case slices.Contains(safe, name):
			want = fmt.Sprintf("! %s('Server exception: x')", name)
		}
		c.want(fmt.Sprintf("desk.fail(%s, 'x')", quoted), want)
	}
	c.want("desk.add_2_words(1, 2)", "3")
	c.stop()
}
