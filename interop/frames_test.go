package interop

// Frames that the package's client never sends, made by the package.

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc"
)

const admitted = `('INIT', b'\x01')`

func protocolError(text string) string {
	return fmt.Sprintf("('EXCEPTION', ('ProtocolError', '%s'))", text)
}

// rawly starts a Python client that has a socket s.
func (o *office) rawly(t *testing.T) *console {
	t.Helper()
	c := o.visit(t)
	c.want("globals().update(s=raw())", "None")
	return c
}

func TestBasicPipelinedRequests(t *testing.T) {
	interop(t)
	c := openOffice(t, bsrpc.ServerOptions{}).rawly(t)
	c.want("s.ask(INIT)", admitted)
	c.want("s.pipeline(200) == list(range(200))", "True")
	c.want("s.pipeline(2000) == list(range(2000))", "True") // more than MaxInflight
}

func TestHandshake(t *testing.T) {
	interop(t)
	c := openOffice(t, bsrpc.ServerOptions{}).rawly(t)
	for _, tt := range []struct{ ask, want string }{
		{`request(Command.hello, b'\x03\0\0\0Bob')`, protocolError("Need to initialize connection first")},
		{`b'\x08\0\0\0\0\x01\x02\x03'`, protocolError("Incorrect major version: 1. Expected 0")},
		{`b'\x04\0\0\0'`, protocolError("Reported message size too small: 4")},
		{`INIT`, admitted},
		{`INIT`, protocolError("Initialization already occurred")},
		{`b'\x06\0\0\0\x01\0'`, protocolError("Insufficient bytes in command.")},
		{`request(Command.hello, b'\x03\0\0\0Bob')`, `('RPC_RESP', b'\t\x00\x00\x00hello Bob')`},
		{`request(Command.echo_bool, b'\x07')`, `('RPC_RESP', b'\x01')`},
	} {
		c.want("s.ask("+tt.ask+")", tt.want)
	}
}

// An INIT that is too short is answered, and the connection closed.
func TestShortInit(t *testing.T) {
	interop(t)
	c := openOffice(t, bsrpc.ServerOptions{}).rawly(t)
	c.want(`s.ask(b'\x07\0\0\0\0\0\0')`, `('EXCEPTION', ('ValueError', 'Cannot deserialize version, insufficient bytes: 2. Expected 3'))`)
	c.want("s.read()", "('end', b'')")
}

// Arguments that are not those of the command cost the call alone.
func TestArgumentsOfAnother(t *testing.T) {
	interop(t)
	c := openOffice(t, bsrpc.ServerOptions{}).rawly(t)
	c.want("s.ask(INIT)", admitted)
	for _, ask := range []string{
		`request(Command.hello, b'\xff\xff\xff\xff')`,
		`request(Command.hello, b'\x01\0\0\0\xff')`, // no UTF-8
		`request(Command.add_2_words, b'1234')`,
		`request(Command.add_2_words, b'123456789')`,
		`request(Command.func_no_args, b'x')`,
		`request(Command.echo_words, b'\x08\0\0\0\xff\xff\xff\xff1234')`,
	} {
		if got := c.ask("s.ask(" + ask + ")"); !strings.HasPrefix(got, "('EXCEPTION', ('ValueError', 'Desk.") {
			c.errorf("got %s", got)
		}
		c.want("s.ask(request(Command.func_no_args))", "('RPC_RESP', b'')")
	}
}
