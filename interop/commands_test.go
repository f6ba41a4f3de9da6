package interop

// A Python client calls a server of this library.

import (
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc"
)

// calls are calls of all commands, as Python writes them, and their results.
var calls = []struct{ call, want string }{
	{`hello('Bob')`, `'hello Bob'`},
	{`goodbye('Bob')`, `'goodbye Bob'`},
	{`add_2_words(1000, 2050)`, `3050`},
	{`func_no_args()`, `None`},
	{`sum_fixed([1, 2, 3])`, `6`},
	{`sum_array([0x10, 0x22222222])`, `572662322`},
	{`sum_array([])`, `0`},
	{`sum_and_text([1, 2], 'hi')`, `(3, 'hi')`},
	{`sum_only([1, 2], 'hi')`, `3`},
	{`echo_le1(0)`, `0`},
	{`echo_le1(255)`, `255`},
	{`echo_le2(65535)`, `65535`},
	{`echo_le4(4294967295)`, `4294967295`},
	{`echo_le8(18446744073709551615)`, `18446744073709551615`},
	{`echo_bool(True)`, `True`},
	{`echo_bool(False)`, `False`},
	{`echo_bytes(b'')`, `b''`},
	{`echo_bytes(bytes(range(256))) == bytes(range(256))`, `True`},
	{`length(b'abc')`, `3`},
	{`echo_words([])`, `()`},
	{`echo_words([1, 0, 4294967295])`, `(1, 0, 4294967295)`},
	{`echo_strs(['a', '', 'ccc'])`, `('a', '', 'ccc')`},
	{`echo_blobs([b'', b'\x00\xff'])`, `(b'', b'\x00\xff')`},
	{`echo_bools([True, False])`, `(True, False)`},
	{`echo_rows([[], [1], [65535, 2]])`, `((), (1,), (65535, 2))`},
	{`echo_points([[1, 2], [3, 4]])`, `([1, 2], [3, 4])`},
	{`echo_matrix([[1, 2, 3], [4, 5, 255]])`, `[[1, 2, 3], [4, 5, 255]]`},
	{`echo_pair(['x', 'yz'])`, `['x', 'yz']`},
	{`echo_records([(1, 'one'), (2, '')])`, `([1, 'one'], [2, ''])`},
	{`mixed(7, True, 'text', b'\x00', [1, 1 << 63])`, `(7, True, 'text', b'\x00', (1, 9223372036854775808))`},
	{`narrow(65535)`, `65535`},
	{`stretch(b'abc', 7)`, `b'abcabca'`},
	{`last()`, `()`},
}

func TestCommands(t *testing.T) {
	interop(t)
	c := openOffice(t, bsrpc.ServerOptions{}).admit(t)
	for _, tt := range calls {
		c.want("desk."+tt.call, tt.want)
	}
	c.want("leave()", "None")
	c.stop()
}

func TestText(t *testing.T) {
	interop(t)
	c := openOffice(t, bsrpc.ServerOptions{}).admit(t)
	for _, text := range []string{
		`''`, `'h\xe9llo w\xf6rld'`, `'日本語'`, `'\U0001f600\u200d\U0001f9d1'`, `'\x00embedded nul\x00'`, `'\u2028\uffff\U0010ffff'`, `'e\u0301' * 10000`,
	} {
		c.want("desk.echo_str("+text+") == "+text, "True")
	}
	c.want(`desk.hello('😀')`, `'hello 😀'`)
	c.want(`desk.echo_strs(['😀', '\x00', 'é'])`, `('😀', '\x00', 'é')`)
}

// Between them, the commands use all that the package can serialise.
func TestEverySerialiserIsUsed(t *testing.T) {
	interop(t)
	const unused = `[n for n in vars(rpc_serialization_functions) ` +
		`if 'serialize_' in n or 'le_bytes_' in n or n.startswith(('parse_', 'call_', 'client_', 'make_')) ` +
		`if not n.startswith('_') and n != 'parse_int_from_le_bytes' and not hasattr(commands, n)]`
	cmd := command("-c", "import commands; from basic_socket_rpc import rpc_serialization_functions; print("+unused+")")
	out, err := cmd.CombinedOutput()
	if got := strings.TrimSpace(string(out)); err != nil || got != "[]" {
		t.Errorf("python/commands.py does not use %s, %v", got, err)
	}
}

func TestLargeMessages(t *testing.T) {
	interop(t)
	c := openOffice(t, bsrpc.ServerOptions{MaxMessage: 32 << 20}).admit(t)
	c.want("desk.sum_array([7] * 200_000)", "1400000")
	c.want("desk.echo_words(range(200_000)) == tuple(range(200_000))", "True")
	c.want("desk.echo_bytes(bytes(16 << 20)) == bytes(16 << 20)", "True")
	c.want("(lambda b: desk.stretch(b, 314_159) == (b * 2)[:314_159])((bytes(range(251)) * 1083)[:271_828])", "True")
	c.want("desk.echo_bytes(bytes(range(256)) * 4096) == bytes(range(256)) * 4096", "True")
}

// A message above MaxMessage is refused before it is read, in a way that a
// client that is still writing can read.
func TestTooLargeMessages(t *testing.T) {
	interop(t)
	o := openOffice(t, bsrpc.ServerOptions{MaxMessage: 1 << 20})
	c := o.admit(t)
	c.want("len(desk.echo_bytes(bytes((1 << 20) - 4)))", "1048572")
	c.want("desk.echo_bytes(bytes(1 << 20))", "! ValueError('frame too long: 1048580 bytes, MaxMessage is 1048576')")
	c.send("desk.func_no_args()")
	c.wantFailure("") // DisconnectedError or BrokenPipeError
	o.admit(t).want("desk.func_no_args()", "None")
}
