package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	gotoken "go/token"
	"go/types"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/cmd/bsrpc/testdata/key"
	"github.com/bsrpc/bsrpc/introspect"
)

// filled returns a contract with funcs that return zeros.
func filled[C any]() *C {
	c := new(C)
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		f.Set(reflect.MakeFunc(f.Type(), func([]reflect.Value) (out []reflect.Value) {
			for k := range f.Type().NumOut() {
				out = append(out, reflect.Zero(f.Type().Out(k)))
			}
			return out
		}))
	}
	return c
}

// register adds a contract to a server.
func register[C any](t *testing.T, srv *bsrpc.Server, service string) {
	t.Helper()
	if err := bsrpc.RegisterAs[C](srv, service, filled[C]()); err != nil {
		t.Fatal(err)
	}
}

// generatedMain serves the generated contracts, and has bound each of them before.
const generatedMain = `package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"reflect"

	"github.com/bsrpc/bsrpc"

	"example.com/generated/lab"
)

func add[C any](srv *bsrpc.Server, client *bsrpc.Client, service string) {
	if _, err := bsrpc.Bind[C](context.Background(), client, service); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	c := new(C)
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		f.Set(reflect.MakeFunc(f.Type(), func([]reflect.Value) (out []reflect.Value) {
			for k := range f.Type().NumOut() {
				out = append(out, reflect.Zero(f.Type().Out(k)))
			}
			return out
		}))
	}
	if err := bsrpc.RegisterAs[C](srv, service, c); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func main() {
	client, err := bsrpc.Dial(context.Background(), "tcp", os.Args[1], nil)
	if err != nil {
		panic(err)
	}
	srv := bsrpc.NewServer(nil)
ADDS
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println("serving on", l.Addr())
	srv.Serve(l)
}
`

// serveGenerated builds and runs a server of the contracts that gen go makes of the server at
// an address, and returns its address and the source.
func serveGenerated(t *testing.T, address string, contracts map[string]string, flags ...string) (other, text string) {
	t.Helper()
	dir := t.TempDir()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o777), os.WriteFile(name, []byte(text), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module example.com/generated\n\ngo 1.25.0\n\nrequire github.com/bsrpc/bsrpc v0.0.0\n\nrequire github.com/mitchellh/mapstructure v1.5.0\n\nreplace github.com/bsrpc/bsrpc => "+root+"\n")
	source, err := os.ReadFile("testdata/key/key.go")
	if err != nil {
		t.Fatal(err)
	}
	write("key/key.go", string(source))
	sums, err := os.ReadFile("../../go.sum")
	if err != nil {
		t.Fatal(err)
	}
	write("go.sum", string(sums))
	write("lab/lab.go", "")
	file := filepath.Join(dir, "lab", "lab.go")
	exit, out, failed := bsrpcCommand(t, "", append([]string{"gen", "go", address, "-o", file}, flags...)...)
	if exit != 0 {
		t.Fatalf("exit %d, %s", exit, out+failed)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var adds strings.Builder
	for name, service := range contracts {
		fmt.Fprintf(&adds, "\tadd[lab.%s](srv, client, %q)\n", name, service)
	}
	write("main.go", strings.Replace(generatedMain, "ADDS", adds.String(), 1))
	program := filepath.Join(dir, "program")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, data)
	}
	return start(t, program, address), string(data)
}

// start starts a server as a process that prints its address.
func start(t *testing.T, program string, args ...string) string {
	t.Helper()
	server := exec.Command(program, args...)
	stdout, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Kill()
		server.Wait()
	})
	in := bufio.NewScanner(stdout)
	in.Scan()
	address, ok := strings.CutPrefix(in.Text(), "serving on ")
	if !ok {
		rest := in.Text()
		for in.Scan() {
			rest += "\n" + in.Text()
		}
		t.Fatalf("%s prints %s", program, rest)
	}
	go func() {
		for in.Scan() { // what it does
		}
	}()
	return address
}

// described returns what a server says about a service.
func describedBy(t *testing.T, address, service string) []string {
	t.Helper()
	exit, out, failed := bsrpcCommand(t, "", "describe", address, service, "--json")
	if exit != 0 {
		t.Fatal(failed)
	}
	list := strings.Split(strings.TrimSpace(out), "\n")
	slices.Sort(list)
	return list
}

// A server of the generated contracts describes itself as the first one: hashes, kinds, names,
// options and secrets.
func TestGenGo(t *testing.T) {
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
	register[kindsA](t, srv, "kinds.A")
	register[kindsB](t, srv, "KindsB")
	register[deskContract](t, srv, "desk.v1")
	address := serve(t, srv)
	contracts := map[string]string{"A": "kinds.A", "KindsB": "KindsB", "DeskV1": "desk.v1"}
	other, source := serveGenerated(t, address, contracts, "--package", "lab")
	for _, service := range contracts {
		want, got := describedBy(t, address, service), describedBy(t, other, service)
		for i := range want {
			if i >= len(got) || got[i] != want[i] {
				t.Errorf("%s: got\n%s\nwant\n%s", service, strings.Join(got, "\n"), want[i])
				break
			}
		}
	}
	const file = "testdata/gen.golden"
	if *update {
		if err := os.WriteFile(file, []byte(source), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(file); err != nil || source != string(want) {
		t.Errorf("%s differs, see go test -update: %v", file, err)
	}
}

// sourceImporter imports packages of the standard library from their source, once.
var sourceImporter = sync.OnceValue(func() types.Importer {
	return importer.ForCompiler(gotoken.NewFileSet(), "source", nil)
})

// checkTypes type-checks a generated file.
func checkTypes(source string) error {
	set := gotoken.NewFileSet()
	file, err := parser.ParseFile(set, "lab.go", source, 0)
	if err != nil {
		return err
	}
	config := types.Config{Importer: sourceImporter()}
	_, err = config.Check("lab", set, []*ast.File{file}, nil)
	return err
}

// generate returns the source of methods with these layouts.
func generate(t *testing.T, texts ...string) (*source, string) {
	t.Helper()
	s := newSource("lab", map[string]string{"lab.Key": "example.com/lab"})
	s.reserve([]string{"A"})
	var methods []*method
	for _, text := range texts {
		m, err := checked(honest(text, nil))
		if err != nil {
			t.Fatal(err)
		}
		methods = append(methods, m)
	}
	s.contract("A", methods)
	data, err := s.bytes()
	if err != nil {
		t.Fatalf("%v: %q", err, texts)
	}
	return s, string(data)
}

// What a server can say, and Go types cannot, is left out with a reason.
func TestGenGoLeftOut(t *testing.T) {
	for _, test := range []struct{ layout, reason string }{
		{"A.M(binary(other.Key))", "parameter 1: other.Key has an encoding of its own; give --type other.Key=IMPORT/PATH"},
		{"A.M() {A text(other.Key)}", "result 1: other.Key has an encoding of its own; give --type other.Key=IMPORT/PATH"},
		{"A.M(binary(lab.Box[int]))", "parameter 1: lab.Box[int] has an encoding of its own; give --type lab.Box[int]=IMPORT/PATH"},
		{"A.M([le2 le4]bool)", "parameter 1: the formats of [le2 le4]bool have no words"},
		{"A.M({A map[le2 le4 int.le4]bool})", "parameter 1: the formats of map[le2 le4 bool]bool have no words"},
		{"A.M(map[bytes.le4]bool)", "parameter 1: a map has keys that Go cannot compare"},
		{"A.M(map[{A [2]*bool}]bool)", "parameter 1: a map has keys that Go cannot compare"},
		{"A.M(func(int.be2) oneway)", "parameter 1: a func's parameters and results have no tags, and this one needs be2"},
		{"A.M([le4]^1)", "parameter 1: a list of itself takes no words"},
		{"A.M(stream([le2 le1]bool))", "parameter 1: the formats of [le2 le1]bool have no words"},
	} {
		s, source := generate(t, test.layout, "A.N()")
		if len(s.left) != 1 || s.left[0].Reason != test.reason {
			t.Errorf("%s: %+v, want %s", test.layout, s.left, test.reason)
		}
		if err := checkTypes(source); err != nil || s.methods != 1 || !strings.Contains(source, "M is left out: "+test.reason) {
			t.Errorf("%s: %v\n%s", test.layout, err, source)
		}
	}
}

// Names of the server become names of Go, each once.
func TestGenGoNames(t *testing.T) {
	_, source := generate(t,
		"A.max({max bool; Max bool; _x bool; 世 bool; X世 bool; type bool})", "A.Max({A {A {A bool; B {A bool}}}})", "A.A() []{A bool; Entries []{A int.le4}}",
		"A.GetUser() {A int.le8}", "A.Users() []{A uint.le8}", "A.M(binary(lab.Key))")
	if err := checkTypes(strings.NewReplacer("lab.Key", "context.Context", "\t\"example.com/lab\"\n", "").Replace(source)); err != nil {
		t.Error(err)
	}
	for _, want := range []string{
		"Max  func(context.Context, MaxArg) error `bsrpc:\"name=max\"`", "Max_ func(", "`bsrpc:\"name=Max\"`", "X世", "X世_", "X_x ",
		"GetUser func(context.Context) (User, error)", "Users func(context.Context) ([]UsersResult, error)", "Entries []Entry", `"example.com/lab"`,
	} {
		if strings.Join(strings.Fields(source), " ") == "" || !strings.Contains(strings.Join(strings.Fields(source), " "), strings.Join(strings.Fields(want), " ")) {
			t.Errorf("lacks %s:\n%s", want, source)
		}
	}
}

// A server cannot add anything to a file but what its layouts say.
func TestGenGoHostile(t *testing.T) {
	inject := "x\"`\n}\nfunc init() { panic(1) }\n//"
	m, err := checked(honest("A.M(bool, bool)", func(m *introspect.Method) {
		m.Params = []string{inject, "b"}
		m.Options = []string{inject, "id=07", "id=7", "timeout=1s" + inject, "exclusive=" + inject, "nowait", "roles=a|" + inject, "names=" + inject, "future=1", "oneway"}
		m.Secrets = []string{inject, "parameter 1" + inject}
		m.Kind = inject
	}))
	if err != nil {
		t.Fatal(err)
	}
	s := newSource("lab", nil)
	s.reserve([]string{"A"})
	s.contract("A", []*method{m})
	data, err := s.bytes()
	if err != nil {
		t.Fatal(err)
	}
	const want = "type A struct {\n\tM func(context.Context, bool, bool) error `bsrpc:\"id=7\"`\n}\n"
	if !strings.HasSuffix(string(data), want) || strings.Contains(string(data), "init") {
		t.Errorf("got %s", data)
	}
}

// Types with encodings that the command does not know come from --type; the contract binds.
func TestGenGoType(t *testing.T) {
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
	register[struct {
		Find  func(context.Context, key.ID) (map[key.ID]*key.ID, error)
		Other func(context.Context) error
	}](t, srv, "Lab")
	address := serve(t, srv)
	other, source := serveGenerated(t, address, map[string]string{"Lab": "Lab"}, "--type", "key.ID=example.com/generated/key", "Lab")
	if got, want := describedBy(t, other, "Lab"), describedBy(t, address, "Lab"); !slices.Equal(got, want) {
		t.Errorf("got %s\nwant %s\n%s", got, want, source)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "out.go")
	transcript(t, "testdata/gencmd.golden", words(
		"gen go LAB -o FILE",
		"gen go LAB",
		"gen go LAB --json",
		"gen go LAB Lab --type key.ID=example.com/generated/key --package lab -o FILE --json",
		"gen go LAB Lba",
		"gen go LAB --package 7",
		"gen go LAB --type key.ID",
		"gen go LAB -o DIR",
		"gen rust LAB",
		"gen go",
	), "LAB", address, "FILE", file, "DIR", dir)
}

// Whatever a layout says, its source is Go, or it is left out.
func FuzzGenGo(f *testing.F) {
	for _, text := range []string{
		"A.M({A int.le8; Kids []^2; Link *^2}) []{A int.le8; Kids []^2; Link *^2}", "A.M(<A bool; B *^2>) map[string.le4]*^2",
		"A.M([]{A []^2}) []{A ^2}", "A.M([]^1)", "A.M(*^1)", "A.M([le2][]^1)", "A.M(map[string.le4][2]*^3)", "A.M({A? {B *^2; C *^4}; _ uint.be2=7})",
		"A.M(stream(int.be3), func({A bool}) {A bool}?) (reader, stream({}))", "A.M(binary(netip.Addr), text(big.Int), time, duration) complex.be4",
		"A.M([]uint.le1, [le4]uint.le1, [bytes=le2]uint.le1, bytes.7) oneway", "A.M({A *{B *^2; C *^4}}, {A *{B *^2; C *^4}})",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := checked(honest(text, nil))
		if err != nil || m.layout.Service != "A" || len(text) > 2000 {
			t.Skip()
		}
		s, source := generate(t, text, text)
		if err := checkTypes(source); err != nil && !strings.Contains(err.Error(), "example.com/lab") && !strings.Contains(err.Error(), "array") {
			t.Errorf("%v\n%s\n%s", err, text, source)
		}
		if s.methods+len(s.left) != 2 {
			t.Errorf("%d methods, %d left out", s.methods, len(s.left))
		}
	})
}

// The contracts of examples/instrument bind to it.
func TestGenGoExample(t *testing.T) {
	address := instrument(t)
	contracts := map[string]string{"Rack": "Rack", "Scope": "Scope", "Supply": "Supply", "Load": "Load"}
	other, source := serveGenerated(t, address, contracts)
	for _, service := range contracts {
		if got, want := describedBy(t, other, service), describedBy(t, address, service); !slices.Equal(got, want) {
			t.Errorf("got %s\nwant %s\n%s", got, want, source)
		}
	}
}

// A file that gen go has not written is kept.
func TestGenKeepsOthers(t *testing.T) {
	address, dir := serve(t, newDesk(t, nil)), t.TempDir()
	file := filepath.Join(dir, "desk.go")
	for _, text := range []string{"package desk\n", "// Written", "// Written by hand, and longer than the first line\n"} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		check(t, 2, "its first line is not that of bsrpc gen go", "gen", "go", address, "-o", file)
		if data, err := os.ReadFile(file); err != nil || string(data) != text {
			t.Errorf("%v, now %q", err, data)
		}
	}
	os.Remove(file)
	for range 2 {
		check(t, 0, "13 methods", "gen", "go", address, "-o", file)
	}
}
