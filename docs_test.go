package bsrpc_test

// Every block of Go in the documents compiles, by the convention in CONTRIBUTING.md
// ("Go in the documents").

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// fragmentImports are the packages a fragment may use without importing them.
var fragmentImports = []string{
	module, module + "/bsrpctest", module + "/layout", module + "/middleware", module + "/trace", module + "/introspect", module + "/stats",
	"context", "crypto/tls", "crypto/x509", "encoding/json", "errors", "expvar", "fmt", "io", "io/fs", "iter", "log", "log/slog", "math/big", "net",
	"net/netip", "os", "os/signal", "strings", "sync", "testing", "time",
}

// A block is one block of Go in a document.
type block struct {
	file  string
	line  int    // of its first line
	given string // what the comment before it declares
	named bool   // a file of the guide: guide_test.go builds it
	text  string
}

func (b block) String() string { return fmt.Sprintf("%s:%d", b.file, b.line) }

// whole reports whether b is a file of its own, not a fragment.
func (b block) whole() bool {
	for line := range strings.Lines(b.text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
			return strings.HasPrefix(line, "package ")
		}
	}
	return false
}

// blocksOf returns the blocks of Go of a document.
func blocksOf(file, text string) []block {
	var list []block
	var given string
	named := false
	in := "" // "given": in a comment; "go": in a block; "other": in a block of something else
	for n, line := range slices.Collect(strings.Lines(text)) {
		trimmed := strings.TrimSpace(line)
		switch {
		case in == "go" && trimmed == "```", in == "other" && trimmed == "```":
			in, given, named = "", "", false
		case in == "go":
			list[len(list)-1].text += line
		case in == "given":
			before, _, end := strings.Cut(line, "-->")
			given += before
			if end {
				in = ""
			}
		case in == "other" || trimmed == "":
		case strings.HasPrefix(trimmed, "```go"):
			in = "go"
			list = append(list, block{file: file, line: n + 2, given: given, named: named})
		case strings.HasPrefix(trimmed, "```"):
			in = "other"
		case strings.HasPrefix(trimmed, "<!-- given:"):
			var end bool
			given, _, end = strings.Cut(strings.TrimPrefix(trimmed, "<!-- given:"), "-->")
			given += "\n"
			if !end {
				in = "given"
			}
		case strings.HasPrefix(trimmed, "<!-- file:"):
			named = true
		default:
			given, named = "", false
		}
	}
	return list
}

// source returns b as a Go file whose positions are those of the document.
func (b block) source() string {
	if b.whole() {
		return fmt.Sprintf("//line %s:%d\n%s", b.file, b.line, b.text)
	}
	var s strings.Builder
	s.WriteString("package fragment\n")
	for _, p := range fragmentImports {
		fmt.Fprintf(&s, "import %q\n", p)
	}
	s.WriteString(b.given + "\n")
	declarations, statements := b.split()
	s.WriteString(declarations)
	s.WriteString("func _(ctx context.Context) error {\n{\n" + statements + "}\npanic(0)\n}\n")
	return s.String()
}

// split parts the functions and types of a fragment from its statements. They
// begin at the left margin and end there with a brace, or on their first line.
func (b block) split() (declarations, statements string) {
	inside := false // a declaration of several lines
	for n, line := range slices.Collect(strings.Lines(b.text)) {
		text := fmt.Sprintf("//line %s:%d\n%s\n", b.file, b.line+n, strings.TrimRight(line, "\n"))
		starts := strings.HasPrefix(line, "func ") || strings.HasPrefix(line, "type ")
		if inside || starts {
			declarations += text
		} else {
			statements += text
		}
		trimmed := strings.TrimSpace(line)
		inside = starts && (strings.HasSuffix(trimmed, "{") || strings.HasSuffix(trimmed, "(")) ||
			inside && !strings.HasPrefix(line, "}") && !strings.HasPrefix(line, ")")
	}
	return declarations, statements
}

// check returns the errors of the compiler for b. A fragment may leave
// variables unused.
func (b block) check() error {
	file, err := parser.ParseFile(docFiles, b.file, b.source(), parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	var errs []error
	conf := types.Config{Importer: docImporter, Error: func(err error) {
		var e types.Error
		if errors.As(err, &e) && e.Soft && !b.whole() {
			return // unused
		}
		errs = append(errs, err)
	}}
	conf.Check(file.Name.Name, docFiles, []*ast.File{file}, nil)
	return errors.Join(errs...)
}

// importsOf returns the paths that the blocks import.
func importsOf(t *testing.T, blocks []block) []string {
	t.Helper()
	paths := map[string]bool{}
	for _, b := range blocks {
		file, err := parser.ParseFile(token.NewFileSet(), b.file, b.source(), parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range file.Imports {
			p, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			paths[p] = true
		}
	}
	return slices.Sorted(maps.Keys(paths))
}

// All documents are checked with one importer, which reads each package once, from
// what the go command has built of it.
var (
	docFiles    = token.NewFileSet()
	docExports  = map[string]string{} // files by package
	docImporter = importer.ForCompiler(docFiles, "gc", func(path string) (io.ReadCloser, error) { return os.Open(docExports[path]) })
)

// listExports lets docImporter know the packages and what they import.
func listExports(t *testing.T, paths []string) {
	t.Helper()
	if !slices.ContainsFunc(paths, func(path string) bool { return docExports[path] == "" }) {
		return
	}
	cmd := exec.Command("go", append([]string{"list", "-export", "-deps", "-json=ImportPath,Export", "--"}, paths...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var p struct{ ImportPath, Export string }
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		docExports[p.ImportPath] = p.Export
	}
}

// Not parallel, as TestBlocks uses what it has read of the packages.
func TestDocumentsCompile(t *testing.T) {
	top, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	below, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	guide, err := filepath.Glob("docs/guide/*.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []block
	for _, name := range slices.Concat(top, below, guide) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		blocks = append(blocks, blocksOf(filepath.ToSlash(name), string(text))...)
	}
	blocks = slices.DeleteFunc(blocks, func(b block) bool { return b.named })
	if len(blocks) == 0 {
		t.Fatal("no block of Go in the documents; at least the README has one")
	}
	listExports(t, importsOf(t, blocks))
	for _, b := range blocks {
		if err := b.check(); err != nil {
			t.Errorf("%v: this block does not compile:\n%v", b, err)
		}
	}
}

// What the convention accepts, and that what it refuses is found in its line.
func TestBlocks(t *testing.T) {
	const document = "# Title\n" + // line 1
		"```sh\n```go\n```\n" + // 2
		"<!-- given: var srv struct{ N int } -->\n" + // 5
		"```go\n" + // 6
		"ctx, n := ctx, srv.N\n" +
		"```\n" +
		"<!-- given:\ntype T int\n-->\n\n" + // 9
		"```go\n" + // 13
		"var t T = twice(1)\n" +
		"func (t T) twice() T {\n\treturn 2 * t\n}\n" +
		"func twice(t T) T { return t.twice() }\n" +
		"if t > 2 {\n\treturn errors.New(\"large\")\n}\n" +
		"```\n" +
		"```go\n" + // 23
		"// A file.\npackage main\nfunc main() { x := 1 }\n" +
		"```\n" +
		"<!-- file: p/p.go -->\n```go\npackage p\nvar x example.T\n```\n" + // 28
		"<!-- given: var lost int -->\ntext\n" + // 33
		"```go\n" + // 35
		"lost = lost + nowhere\n" +
		"```\n"
	want := []string{"", "", "D.md:26: declared and not used: x", "D.md:36: undefined: lost"}

	blocks := slices.DeleteFunc(blocksOf("D.md", document), func(b block) bool { return b.named })
	if len(blocks) != len(want) {
		t.Fatalf("%d blocks, want %d: %v", len(blocks), len(want), blocks)
	}
	listExports(t, importsOf(t, blocks))
	for i, b := range blocks {
		var got string
		if err := b.check(); err != nil {
			got = err.Error()
		}
		if (want[i] == "") != (got == "") || !strings.HasPrefix(got, want[i]) {
			t.Errorf("%v: %q, want %q\n%s", b, got, want[i], b.source())
		}
	}
}
