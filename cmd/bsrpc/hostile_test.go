package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"iter"
	"net"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
	"github.com/bsrpc/bsrpc/introspect"
)

// evil is text that a terminal would obey, too long for a line.
var evil = "\x1b[2J\x1b]0;owned\x07\r\u009b31m\u202e\xff\x9b" + strings.Repeat("A", 100_000)

// A liar describes itself as a test says.
type liar struct {
	services []string
	methods  func(yield func(introspect.Method, error) bool)
}

func (l *liar) Services(context.Context) ([]string, error) { return l.services, nil }
func (l *liar) Methods(context.Context, string) iter.Seq2[introspect.Method, error] {
	return l.methods
}
func (l *liar) Health(context.Context, string) (introspect.Health, error) {
	return introspect.Health{}, &bsrpc.Error{Code: bsrpc.CodeInternal, Name: evil[:60], Message: evil[:4000]}
}
func (l *liar) WatchHealth(context.Context, string) iter.Seq2[introspect.Health, error] { return nil }
func (l *liar) Sessions(context.Context) ([]introspect.Session, error)                  { return nil, nil }
func (l *liar) Groups(context.Context) ([]introspect.Group, error)                      { return nil, nil }
func (l *liar) Counters(context.Context) (introspect.Counters, error) {
	return introspect.Counters{}, nil
}

// serveLiar serves l as the description of a server. The library reserves the name bsrpc.v1, so
// the service is registered under one of the same length. Its connections replace the name, and
// the hashes of its methods.
func serveLiar(t *testing.T, l *liar) string {
	t.Helper()
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
	const other = "csrpc.v1"
	if err := srv.RegisterName(other, l); err != nil {
		t.Fatal(err)
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	in := []string{introspect.Service, other}
	out := []string{other, introspect.Service}
	about := bsrpctest.Bind[introspect.Contract](t, newDesk(t, nil), introspect.Service)
	methods, err := bsrpctest.Collect(about.Methods(t.Context(), introspect.Service))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range methods {
		hash := honest(strings.Replace(m.Layout, introspect.Service, other, 1), nil).Hash
		in = append(in, string(m.Hash[:]), string(hash[:]))
		out = append(out, string(hash[:]), string(m.Hash[:]))
	}
	serveOn(t, srv, renamed{inner, strings.NewReplacer(in...), strings.NewReplacer(out...)})
	return inner.Addr().String()
}

// renamed is a listener whose connections read one name in place of another, and write it back.
type renamed struct {
	net.Listener
	in, out *strings.Replacer
}

func (l renamed) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &renamedConn{Conn: nc, in: l.in, out: l.out}, nil
}

type renamedConn struct {
	net.Conn
	in, out *strings.Replacer
}

func (c *renamedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	copy(b, c.in.Replace(string(b[:n])))
	return n, err
}

func (c *renamedConn) Write(b []byte) (int, error) {
	return c.Conn.Write([]byte(c.out.Replace(string(b))))
}

// honest returns a method whose hash fits its layout.
func honest(text string, change func(m *introspect.Method)) introspect.Method {
	name, _, _ := strings.Cut(text, "(")
	m := introspect.Method{Name: name, Layout: text, Hash: sha256.Sum256([]byte("bsrpc method 1\n" + text)), Kind: "unary"}
	if change != nil {
		change(&m)
	}
	return m
}

// Nothing that a server says about itself moves the terminal, and a description that cannot be
// true is one clear error.
func TestHostileDescription(t *testing.T) {
	deep := "A.M(" + strings.Repeat("[]", 200) + "bool)"
	one := func(m introspect.Method) func(func(introspect.Method, error) bool) {
		return func(yield func(introspect.Method, error) bool) { yield(m, nil) }
	}
	for _, test := range []struct {
		name string
		liar *liar
		args []string
		exit int
		want string // the beginning of the error, or a part of the output
	}{
		{"service", &liar{services: []string{evil}}, []string{"list"}, 4, "bsrpc: the server's description is not valid: it has a service with the name "},
		{"service that is a signature", &liar{services: []string{"A.M() bool\nB"}}, []string{"list"}, 4, "bsrpc: the server's description is not valid: it has a service with the name "},
		{"services", &liar{services: make([]string, maxServices+1)}, []string{"list"}, 4, "bsrpc: the server's description is not valid: it has more than 10000 services"},
		{"name", &liar{methods: one(honest("A.M()", func(m *introspect.Method) { m.Name = evil }))}, []string{"describe"}, 4, "bsrpc: the server's description is not valid: it has the layout of A.M as that of "},
		{"layout", &liar{methods: one(honest(evil, nil))}, []string{"list", "A"}, 4, "bsrpc: the server's description is not valid: it has a layout of "},
		{"deep", &liar{methods: one(honest(deep, nil))}, []string{"describe", "A"}, 4, "bsrpc: the server's description is not valid: it has a layout of "},
		{"cyclic", &liar{methods: one(honest("A.M({A ^1})", nil))}, []string{"describe", "A"}, 4, "bsrpc: the server's description is not valid: it has a layout of "},
		{"hash", &liar{methods: one(honest("A.M()", func(m *introspect.Method) { m.Hash[0]++ }))}, []string{"describe", "A"}, 4, "bsrpc: the server's description is not valid: it has another hash of A.M "},
		{"names", &liar{methods: one(honest("A.M()", func(m *introspect.Method) { m.Params = []string{"a"} }))}, []string{"call", "A.M"}, 4, "bsrpc: the server's description is not valid: it has 1 names for the 0 parameters"},
		{"other service", &liar{methods: one(honest("B.M()", nil))}, []string{"list", "A"}, 4, "bsrpc: the server's description is not valid: it has the method B.M among those of A"},
		{"endless", &liar{methods: func(yield func(introspect.Method, error) bool) {
			for yield(honest("A.M()", nil), nil) {
			}
		}}, []string{"describe", "A"}, 4, "bsrpc: the server's description is not valid: it has more than 10000 methods"},
		{"texts", &liar{methods: one(honest("A.M(bool)", func(m *introspect.Method) {
			m.Kind, m.Params, m.Options, m.Secrets = evil, []string{evil}, []string{evil, "x\ny"}, make([]string, 1000)
		}))}, []string{"describe", "A"}, 0, "\\x1b[2J"},
		{"JSON", &liar{methods: one(honest("A.M(bool)", func(m *introspect.Method) { m.Kind, m.Params = evil, []string{evil} }))}, []string{"describe", "A", "--json"}, 0, `\u001b[2J`},
		{"completion", &liar{methods: one(honest("A.M(bool)", func(m *introspect.Method) { m.Params = []string{evil} }))}, []string{"__complete", "call"}, 0, "A.M\t(\\x1b[2J"},
		{"error", &liar{}, []string{"health"}, 1, `bsrpc: \x1b[2J`},
		{"error as JSON", &liar{}, []string{"health", "--json"}, 1, `{"error":{"exit":1,"code":"internal","name":"\u001b[2J`},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := append(test.args, "--address", serveLiar(t, test.liar))
			if args[0] == "__complete" {
				args = append(args, "")
			}
			exit, out, failed := bsrpcCommand(t, "", args...)
			if all := out + failed; exit != test.exit || !strings.Contains(all, test.want) {
				t.Errorf("exit %d, %.300q, want %d and %q", exit, all, test.exit, test.want)
			}
			if exit == exitMismatch && strings.Count(failed, "\n") != 1 {
				t.Errorf("more than a line: %.300q", failed)
			}
			for line := range strings.Lines(out + failed) {
				if i := strings.IndexFunc(strings.TrimSuffix(line, "\n"), func(r rune) bool { return r != '\t' && !printable(r) || r == '\ufffd' }); i >= 0 {
					t.Errorf("prints %.300q", line[i:])
				}
				if len(line) > 5*maxWord*maxList && !strings.HasPrefix(line, "{") {
					t.Errorf("a line of %d bytes", len(line))
				}
			}
			if strings.HasPrefix(out, "{") && !json.Valid([]byte(out)) {
				t.Errorf("not JSON: %.300q", out)
			}
		})
	}
}

// Each command has one line of error for a description that cannot be true.
func TestHostileCommands(t *testing.T) {
	desk := serve(t, newDesk(t, nil))
	wrong := honest("A.M() bool", func(m *introspect.Method) { m.Hash[0]++ })
	address := serveLiar(t, &liar{services: []string{"A"}, methods: func(yield func(introspect.Method, error) bool) { yield(wrong, nil) }})
	for _, args := range [][]string{
		{"list", address, "A"}, {"describe", address}, {"call", address, "A.M"}, {"watch", address, "A.M"}, {"bench", address, "A.M"},
		{"diff", address, desk}, {"diff", desk, address}, {"gen", "go", address}, {"tap", "--replay", seedRecording, address},
	} {
		const want = "the server's description is not valid: it has another hash of A.M than that of its layout"
		exit, out, failed := bsrpcCommand(t, "", args...)
		if exit != exitMismatch || out != "" || failed != "bsrpc: "+want+"\n" && failed != "bsrpc: "+address+": "+want+"\n" {
			t.Errorf("%v: exit %d, %q, %q", args, exit, out, failed)
		}
		exit, out, failed = bsrpcCommand(t, "", append(args, "--json")...)
		if exit != exitMismatch || out != "" || strings.Count(failed, "\n") != 1 || !json.Valid([]byte(failed)) {
			t.Errorf("%v --json: exit %d, %q, %q", args, exit, out, failed)
		}
	}
}

func TestClean(t *testing.T) {
	for _, test := range []struct {
		in   string
		max  int
		want string
	}{
		{"plain é", 100, "plain é"},
		{"a\x00\x1b\n\t\u0085\u200b\u00a0\U000e0001", 100, `a\x00\x1b\n\t\u0085\u200b\u00a0\U000e0001`},
		{"\xff\xfe\ufffd", 100, "\\xff\\xfe\ufffd"},
		{"éé", 3, "é..."},
		{"\x80\x80\x80\x80\x80\x80", 5, `\x80\x80...`},
		{"abc", 0, "..."},
	} {
		if got := clean(test.in, test.max); got != test.want {
			t.Errorf("clean(%q, %d): got %q, want %q", test.in, test.max, got, test.want)
		}
	}
}
