package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc"
)

// Options that no error of a command can be about, since it sets none of them.
var unsetOptions = []string{"Handlers", "Endpoints", "MaxEndpoints", "OnReconnect", "OnState", "OnWait", "PollInterval", "Interceptors", "Errors"}

// Every text of the library that names an option of a client names a flag, or a limit of the command. So
// a new text, or a new name of an option, fails here.
func TestOptionTexts(t *testing.T) {
	var names []string
	for field := range fieldsOf[bsrpc.ClientOptions]() {
		if !slices.Contains(unsetOptions, field) {
			names = append(names, `ClientOptions\.`+field+`\b`)
		}
	}
	for field := range fieldsOf[bsrpc.Limits]() {
		names = append(names, `(the client's|this end's) Limits\.`+field+`\b`)
	}
	names = append(names, `(the client's|this end's) MaxMessage`, `Limits\.DecodeBudget`, `\bMaxDepth`, `\(DefaultCallTimeout\)`, `\(DialTimeout\)`, `\bInsecureCredentials\b`, `\bServerName is\b`)
	option := regexp.MustCompile(strings.Join(names, "|"))
	found := 0
	for text := range libraryTexts(t) {
		for _, owner := range []string{"the client's", "this end's"} {
			text := verb.ReplaceAllStringFunc(text, func(v string) string {
				if v == "%s" {
					return owner
				}
				return "1"
			})
			if !option.MatchString(text) {
				continue
			}
			found++
			if have := inFlags(libraryPrefix+text, false); option.MatchString(have) {
				t.Errorf("%q has an option of Go; optionTexts in flags.go needs a line for it", have)
			}
		}
	}
	if found < 20 {
		t.Errorf("%d texts with options", found)
	}
}

var verb = regexp.MustCompile(`%[a-z]`)

// fieldsOf returns the names of the fields of a struct.
func fieldsOf[T any]() map[string]bool {
	names := map[string]bool{}
	for f := range reflect.TypeFor[T]().NumField() {
		names[reflect.TypeFor[T]().Field(f).Name] = true
	}
	return names
}

// libraryTexts returns the texts in the source of the core, but those about options out of range, and
// the words that are no sentences.
func libraryTexts(t *testing.T) map[string]bool {
	texts := map[string]bool{}
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if _, err := os.Stat(filepath.Join(name, "go.mod")); name != root && err == nil {
				return fs.SkipDir // another module
			}
			if slices.Contains([]string{"option", "examples", "bsrpctest", "testdata", ".git"}, d.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if text, err := strconv.Unquote(lit.Value); err == nil && strings.Contains(text, " ") {
					texts[text] = true
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

// The same errors, as they come.
func TestErrorsInFlags(t *testing.T) {
	address := serve(t, newDesk(t, nil))
	long := strings.Repeat("x", 5000)
	check(t, 1, "result 1: too long (--max-message is 4096)", "call", address, "Desk.Echo", long, "--max-message", "4KiB")
	check(t, 0, long, "call", address, "Desk.Echo", long, "--max-message", "8KiB")
	check(t, 3, "no answer in 50ms (--timeout)", "bench", address, "Desk.Hang", "--rate", "max", "--concurrency", "1", "--duration", "50ms", "--timeout", "50ms")
	check(t, 2, `--max-message 2GiB: want a size up to 1GiB, such as 64MiB`, "list", address, "--max-message", "2GiB")
	other := serve(t, newDesk(t, &bsrpc.ServerOptions{MaxMessage: 4096}))
	check(t, 1, "too long (the server's MaxMessage is 4096)", "call", other, "Desk.Echo", long)
	for text, want := range map[string]string{
		"bsrpc: x: this end's MaxMessage is 1":                                              "x: --max-message is 1",
		"bsrpc: x: too many open streams on this connection (the server's MaxStreams is 4)": "x: too many open streams on this connection (the server's MaxStreams is 4); in a bench, more --connections or a lower --concurrency help",
		"ClientOptions.TLS of a user":                                                       "ClientOptions.TLS of a user",
		"bsrpc: silent (the client's Limits.PingAfter, PingTimeout)":                        "silent (this command's limit)",
	} {
		if have := inFlags(text, false); have != want {
			t.Errorf("%s: %s", text, have)
		}
	}
	if have := inFlags("bsrpc: x: this end's MaxMessage is 1", true); have != "x: this end's MaxMessage is 1" {
		t.Errorf("the server's: %s", have)
	}
}

func TestVersion(t *testing.T) {
	exit, out, failed := bsrpcCommand(t, "", "--version")
	if exit != 0 || !strings.HasPrefix(out, "bsrpc ") || !strings.Contains(out, ", go") || failed != "" {
		t.Errorf("exit %d, %q, %q", exit, out, failed)
	}
}

func TestSizeFlag(t *testing.T) {
	for text, want := range map[string]string{"1": "1B", "4096": "4KiB", "16MiB": "16MiB", "1GiB": "1GiB", "1536 KiB": "1536KiB", "1500B": "1500B", "": "", "0": "", "2GiB": "", "1.5MiB": "", "-1": "", "16MB": "", "99999999999": ""} {
		var s sizeFlag
		if err := s.Set(text); (err != nil) != (want == "") || err == nil && s.String() != want {
			t.Errorf("%q: %v, %v", text, &s, err)
		}
	}
}
