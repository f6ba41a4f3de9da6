package bsrpc_test

// The rules of the repository, as tests: allowed imports, and the documentation of
// packages and exported names.

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/bsrpc/bsrpc"

// uses lists the imports of each package within this module. Others are not allowed, and
// none leads upwards.
var uses = map[string][]string{
	"internal/errtree":    {},
	"internal/wire":       {},
	"internal/similar":    {},
	"internal/plural":     {},
	"internal/rounds":     {},
	"internal/jsontext":   {},
	"internal/strictmap":  {"internal/similar"},
	"internal/weakcache":  {},
	"layout":              {"internal/jsontext", "internal/plural", "internal/similar"},
	"internal/codec":      {"internal/errtree", "internal/jsontext", "internal/plural", "internal/similar", "internal/wire", "layout"},
	"internal/method":     {"internal/codec", "internal/plural", "internal/weakcache", "layout"},
	"internal/record":     {"internal/codec", "internal/method"},
	"internal/describe":   {"internal/fault", "internal/health", "internal/method", "introspect"},
	"internal/health":     {},
	"internal/recycle":    {},
	"introspect":          {"stats"},
	"stats":               {},
	"internal/tally":      {"internal/fault", "stats"},
	"internal/sockio":     {},
	"internal/admission":  {},
	"internal/fault":      {"internal/errtree"},
	"internal/limits":     {"internal/fault"},
	"internal/report":     {"internal/errtree", "internal/fault"},
	"internal/callback":   {"internal/method"},
	"internal/streams":    {"internal/errtree", "internal/callback", "internal/codec", "internal/fault", "internal/limits", "internal/method", "internal/transport", "internal/wire"},
	"internal/caller":     {"internal/callctx", "internal/codec", "internal/fault", "internal/identity", "internal/limits", "internal/method", "internal/numbering", "internal/option", "internal/report", "internal/streams", "internal/tally"},
	"internal/apart":      {"internal/callctx", "internal/caller", "internal/fault", "internal/limits", "internal/method", "internal/netconn", "internal/numbering", "internal/report", "internal/streams", "internal/tally", "internal/wire"},
	"internal/callctx":    {"internal/admission", "internal/fault", "internal/limits", "internal/wire"},
	"internal/identity":   {"internal/errtree", "internal/codec", "internal/fault", "internal/report", "internal/wire"},
	"internal/netconn":    {"internal/errtree"},
	"internal/reconnect":  {"internal/fault", "internal/limits", "internal/report"},
	"internal/tlsconn":    {"internal/netconn", "internal/sockio"},
	"internal/secure":     {"internal/fault", "internal/netconn", "internal/report", "internal/tlsconn"},
	"internal/waiting":    {"internal/fault", "internal/reconnect", "internal/report", "internal/transport", "internal/wire"},
	"internal/transport":  {"internal/fault", "internal/limits", "internal/netconn", "internal/recycle", "internal/sockio", "internal/tally", "internal/wire", "internal/tlsconn"},
	"internal/rebind":     {"internal/fault", "internal/limits", "internal/transport", "internal/wire"},
	"internal/numbering":  {"internal/fault", "internal/method", "internal/plural", "internal/similar", "internal/wire", "layout"},
	"internal/option":     {"internal/admission", "internal/basic", "internal/codec", "internal/identity", "internal/limits", "internal/wire"},
	"internal/hello":      {"internal/basic", "internal/fault", "internal/netconn", "internal/report", "internal/secure", "internal/wire"},
	"internal/basic":      {"internal/fault", "internal/limits", "internal/netconn", "internal/tally", "internal/wire"},
	".":                   {"internal/errtree", "internal/apart", "internal/caller", "internal/wire", "internal/callback", "internal/callctx", "internal/streams", "internal/strictmap", "internal/weakcache", "internal/codec", "internal/method", "internal/record", "internal/recycle", "internal/admission", "internal/fault", "internal/hello", "internal/identity", "internal/limits", "internal/netconn", "internal/numbering", "internal/option", "internal/plural", "internal/rebind", "internal/reconnect", "internal/report", "internal/secure", "internal/transport", "internal/waiting", "internal/basic", "layout", "trace", "internal/describe", "internal/health", "internal/tally", "introspect", "stats"},
	"trace":               {"internal/errtree", "internal/fault", "internal/netconn", "internal/plural", "internal/wire", "layout"},
	"internal/stress":     {},
	"bsrpctest":           {".", "internal/method", "layout"},
	"middleware":          {"."},
	"examples/greet":      {"."},
	"examples/files":      {"."},
	"examples/hostinfo":   {"."},
	"examples/alarms":     {"."},
	"examples/jobs":       {"."},
	"examples/secure":     {"."},
	"examples/restart":    {"."},
	"examples/instrument": {"."},

	"examples/versions/old": {"."},
	"examples/versions/new": {"."},
}

// testsUse lists additional imports of the tests of a package.
var testsUse = map[string][]string{
	".":                   {".", "bsrpctest", "internal/rounds"},
	"layout":              {"layout", "internal/rounds"},
	"internal/admission":  {"internal/rounds"},
	"internal/codec":      {"internal/rounds"},
	"internal/method":     {"internal/rounds", "internal/wire"},
	"internal/option":     {"internal/option"},
	"internal/stress":     {".", "internal/rounds"},
	"internal/tlsconn":    {".", "bsrpctest", "internal/tlsconn", "internal/wire"},
	"introspect":          {"introspect", "bsrpctest"},
	"bsrpctest":           {"bsrpctest", "internal/rounds"},
	"middleware":          {"middleware", "bsrpctest"},
	"trace":               {"trace", ".", "bsrpctest", "internal/rounds"},
	"examples/greet":      {"bsrpctest"},
	"examples/files":      {"bsrpctest"},
	"examples/hostinfo":   {"bsrpctest"},
	"examples/alarms":     {"bsrpctest"},
	"examples/jobs":       {"bsrpctest"},
	"examples/secure":     {},
	"examples/restart":    {},
	"examples/instrument": {"bsrpctest"},

	"examples/versions/old": {"bsrpctest"},
	"examples/versions/new": {"bsrpctest"},
}

// onlyIn lists the files that may import a package; tests are free to.
var onlyIn = map[string][]string{
	"unsafe":                            {"*_unsafe.go", "*/*_unsafe.go", "*/*/*_unsafe.go"},
	"github.com/mitchellh/mapstructure": {"internal/strictmap/strictmap.go"},
	"encoding/binary":                   {"internal/wire/*.go", "internal/codec/*.go", "trace/*.go"},
	// Types are examined at registration and in Bind. The packages for connections do
	// not know types: they get encoded bytes.
	"reflect": {
		"internal/codec/*.go", "internal/identity/*.go", "internal/jsontext/*.go", "internal/method/*.go", "internal/record/value.go", "internal/strictmap/*.go",
		"server.go", "errors.go", "session.go", "bind.go", "client.go", "callback.go",
		"bsrpctest/golden.go",
	},
	module + "/internal/codec": {
		"internal/caller/*.go", "internal/method/*.go", "internal/identity/*.go", "internal/option/settings.go", "internal/record/*.go", "internal/streams/*.go",
		"invocation.go", "basic.go",
	},
	// Most internal packages know bytes and types, but not connections. To
	// internal/method a context is only a value.
	"net":      {"*.go", "internal/netconn/*.go", "internal/reconnect/*.go", "internal/transport/*.go", "internal/basic/*.go", "internal/hello/*.go", "internal/secure/*.go", "internal/sockio/*.go", "bsrpctest/*.go", "examples/*/*.go", "examples/*/*/*.go", "trace/conn.go", "internal/tlsconn/*.go"},
	"context":  {"*.go", "internal/apart/*.go", "internal/callback/*.go", "internal/callctx/*.go", "internal/caller/*.go", "internal/numbering/bind.go", "internal/rebind/*.go", "internal/reconnect/*.go", "internal/waiting/*.go", "internal/fault/*.go", "internal/identity/*.go", "internal/limits/*.go", "internal/report/*.go", "internal/transport/*.go", "internal/basic/*.go", "internal/hello/*.go", "internal/secure/*.go", "internal/tlsconn/tlsconn.go", "internal/method/*.go", "bsrpctest/*.go", "middleware/*.go", "examples/*/*.go", "examples/*/*/*.go", "introspect/*.go", "internal/describe/*.go"},
	"log/slog": {"*.go", "internal/callctx/*.go", "internal/caller/*.go", "internal/report/*.go", "internal/hello/*.go", "internal/identity/*.go", "internal/secure/*.go", "bsrpctest/*.go", "middleware/*.go", "examples/*/*.go", "examples/*/*/*.go"},
}

// A source is one Go file of the core module.
type source struct {
	name string // from the root, with slashes
	ast  *ast.File
}

func (s source) test() bool { return strings.HasSuffix(s.name, "_test.go") }

// imports returns the paths that s imports.
func (s source) imports() []string {
	var list []string
	for _, spec := range s.ast.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			panic(err) // the parser has accepted it
		}
		list = append(list, p)
	}
	return list
}

// nestedModules returns the folders below the root with a go.mod of their own.
func nestedModules(t *testing.T) []string {
	t.Helper()
	var dirs []string
	for _, name := range tree(t) {
		if dir, base := path.Split(name); base == "go.mod" && dir != "" {
			dirs = append(dirs, path.Clean(dir))
		}
	}
	return dirs
}

// tree returns the names of all files of the repository.
func tree(t *testing.T) []string {
	t.Helper()
	var names []string
	err := fs.WalkDir(os.DirFS("."), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == ".git" && !d.IsDir(): // of a linked worktree
		case name == ".git" || name == ".ci/cache":
			return fs.SkipDir
		case d.Type().IsRegular():
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// parsed has the results of sources.
var parsed = map[bool][]source{}

// sources returns the Go files of the core module, or, with nested, those of
// the nested modules. It parses them once, up to their imports.
func sources(t *testing.T, nested bool) []source {
	t.Helper()
	if list, ok := parsed[nested]; ok {
		return list
	}
	modules := nestedModules(t)
	inside := func(name string) bool {
		return slices.ContainsFunc(modules, func(dir string) bool { return strings.HasPrefix(name, dir+"/") })
	}
	var list []source
	for _, name := range tree(t) {
		if path.Ext(name) != ".go" || strings.Contains(name, "testdata/") || inside(name) != nested {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, source{name, file})
	}
	parsed[nested] = list
	return list
}

func TestImportDirection(t *testing.T) {
	for _, s := range sources(t, false) {
		dir := path.Dir(s.name)
		allowed, known := uses[dir]
		if !known {
			t.Errorf("%s: %s is a new package; say in layout_test.go what it may import", s.name, dir)
		}
		if s.test() {
			allowed = slices.Concat(allowed, testsUse[dir])
		}
		for _, p := range s.imports() {
			if p != module && !strings.HasPrefix(p, module+"/") {
				continue
			}
			if p = strings.TrimPrefix(strings.TrimPrefix(p, module), "/"); p == "" {
				p = "."
			}
			if !slices.Contains(allowed, p) {
				t.Errorf("%s: %s may import %v, not %s", s.name, dir, allowed, p)
			}
		}
	}
}

func TestWhoMayImport(t *testing.T) {
	for _, s := range sources(t, false) {
		for _, p := range s.imports() {
			files, restricted := onlyIn[p]
			matches := func(pattern string) bool { ok, err := path.Match(pattern, s.name); return ok && err == nil }
			if restricted && !s.test() && !slices.ContainsFunc(files, matches) {
				t.Errorf("%s: %q is imported only by %s", s.name, p, strings.Join(files, ", "))
			}
		}
	}
}

// The core stands on the standard library, mapstructure in one file, and
// go-cmp in tests.
func TestDependencies(t *testing.T) {
	for _, s := range sources(t, false) {
		for _, p := range s.imports() {
			host, _, _ := strings.Cut(p, "/")
			ours := p == module || strings.HasPrefix(p, module+"/")
			cmp := s.test() && strings.HasPrefix(p, "github.com/google/go-cmp/")
			if strings.Contains(host, ".") && !ours && !cmp && onlyIn[p] == nil {
				t.Errorf("%s: imports %s; what needs a dependency is a nested module", s.name, p)
			}
		}
	}
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	allowed := []string{"github.com/mitchellh/mapstructure", "github.com/google/go-cmp"}
	for line := range strings.Lines(string(mod)) {
		f := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require"))
		switch {
		case len(f) > 0 && f[0] == "replace":
			t.Error("go.mod: a replace is ignored where users import the module; leave it out")
		case len(f) > 1 && strings.Contains(f[0], ".") && !slices.Contains(allowed, f[0]):
			t.Errorf("go.mod: requires %s; the core has no dependencies but %v", f[0], allowed)
		}
	}
}

// Unsafe code stands in one file a package, and the tag bsrpc_safe leaves it
// out of the build.
func TestUnsafeFiles(t *testing.T) {
	files := map[string][]string{}
	for _, s := range sources(t, false) {
		if !strings.HasSuffix(s.name, "_unsafe.go") {
			continue
		}
		if slices.Contains(s.imports(), "unsafe") {
			dir := path.Dir(s.name)
			files[dir] = append(files[dir], s.name)
		}
		text, err := os.ReadFile(s.name)
		if err != nil {
			t.Fatal(err)
		}
		head, _, _ := bytes.Cut(text, []byte("\npackage "))
		if !bytes.Contains(head, []byte("//go:build !bsrpc_safe")) {
			t.Errorf(`%s: begins without "//go:build !bsrpc_safe"`, s.name)
		}
	}
	for dir, names := range files {
		if len(names) > 1 {
			t.Errorf("%s: unsafe code in %v; it stands in one file a package", dir, names)
		}
	}
}

// Integrations use exported names only, so that anyone could have written
// them.
func TestNestedModulesUseExportedNames(t *testing.T) {
	for _, s := range sources(t, true) {
		for _, p := range s.imports() {
			if strings.HasPrefix(p, module+"/internal/") {
				t.Errorf("%s: imports %s; if it can't be done with exported names, the hook is missing", s.name, p)
			}
		}
	}
}

func TestPackagesAreDocumented(t *testing.T) {
	docs := map[string]int{}
	for _, s := range slices.Concat(sources(t, false), sources(t, true)) {
		if s.test() {
			continue
		}
		dir := path.Dir(s.name)
		docs[dir] += 0
		if s.ast.Doc.Text() != "" {
			docs[dir]++
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(docs)) {
		if docs[dir] != 1 {
			t.Errorf("%s: the package comment stands in %d files, want 1", dir, docs[dir])
		}
	}
}

func TestExportedNamesAreDocumented(t *testing.T) {
	for _, s := range sources(t, false) {
		if s.test() || s.ast.Name.Name == "main" || strings.HasPrefix(s.name, "internal/") {
			continue
		}
		whole, err := parser.ParseFile(token.NewFileSet(), s.name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range whole.Decls {
			for _, name := range undocumented(decl) {
				t.Errorf("%s: %s has no doc comment", s.name, name)
			}
		}
	}
}

// undocumented returns the exported names of a declaration that no comment
// speaks of. One comment may speak of a whole group of constants or variables.
func undocumented(decl ast.Decl) []string {
	var names []string
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc.Text() == "" && (d.Recv == nil || exportedReceiver(d)) {
			names = append(names, d.Name.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() && d.Doc.Text()+s.Doc.Text() == "" {
					names = append(names, s.Name.Name)
				}
			case *ast.ValueSpec:
				for _, n := range s.Names {
					if n.IsExported() && d.Doc.Text()+s.Doc.Text()+s.Comment.Text() == "" {
						names = append(names, n.Name)
					}
				}
			}
		}
	}
	return names
}

func exportedReceiver(d *ast.FuncDecl) bool {
	t := d.Recv.List[0].Type
	for {
		switch e := t.(type) {
		case *ast.StarExpr:
			t = e.X
		case *ast.IndexExpr:
			t = e.X
		case *ast.Ident:
			return e.IsExported()
		default:
			return false
		}
	}
}

// The repository must not refer to files outside of it.
func TestNothingPointsOutside(t *testing.T) {
	outside := []byte(".." + "/shared")
	for _, name := range tree(t) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if i := bytes.Index(text, outside); i >= 0 {
			t.Errorf("%s:%d: refers to a path outside of the repository", name, 1+bytes.Count(text[:i], []byte("\n")))
		}
	}
}
