package bsrpc_test

// The complete files of the guide build, pass go vet and their own tests, and print the
// output shown in their pages. CONTRIBUTING.md ("Go in the documents") explains the
// comments around them.

import (
	"bufio"
	"bytes"
	gofmt "go/format"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc"
)

var (
	guideFile   = regexp.MustCompile("(?m)^<!-- file: (\\S+) -->\n+```(?:go|text)\n((?:.*\n)*?)```$")
	guideOutput = regexp.MustCompile("(?m)^<!-- output: (\\S+) -->\n+```text\n((?:.*\n)*?)```$")
	guideMark   = regexp.MustCompile("(?m)^<!-- (?:file|output): ")
)

// A guideModule is the module example.com in a folder of its own. It holds every
// complete file of the guide.
type guideModule struct {
	dir     string
	outputs map[string]string // of each program, by its folder
}

// newGuideModule writes the files of the guide. Their module has the requirements
// of this one, and requires this one as it is.
func newGuideModule(t *testing.T) *guideModule {
	t.Helper()
	m := &guideModule{dir: t.TempDir(), outputs: map[string]string{}}
	root, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	m.write(t, "go.mod", strings.Replace(readFile(t, "go.mod"), "module "+module+"\n", "module example.com\n", 1)+
		"\nrequire "+module+" v0.0.0\nreplace "+module+" => "+strconv.Quote(root)+"\n")
	m.write(t, "go.sum", readFile(t, "go.sum"))
	pages, err := filepath.Glob("docs/guide/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		m.add(t, page, readFile(t, page))
	}
	return m
}

// add writes the files of one page.
func (m *guideModule) add(t *testing.T, page, text string) {
	t.Helper()
	files, outputs := guideFile.FindAllStringSubmatch(text, -1), guideOutput.FindAllStringSubmatch(text, -1)
	if marks := len(guideMark.FindAllString(text, -1)); marks != len(files)+len(outputs) {
		t.Errorf("%s: %d marks, but %d files and %d outputs", page, marks, len(files), len(outputs))
	}
	for _, f := range files {
		if _, err := os.Stat(filepath.Join(m.dir, f[1])); err == nil {
			t.Errorf("%s: a second file %s", page, f[1])
		}
		if path.Ext(f[1]) != ".go" {
			m.write(t, f[1], f[2])
			continue
		}
		if tidy, err := gofmt.Source([]byte(f[2])); err != nil || string(tidy) != f[2] {
			t.Errorf("%s: gofmt would change %s (%v)", page, f[1], err)
		}
		m.write(t, f[1], f[2])
	}
	for _, o := range outputs {
		m.outputs[o[1]] = o[2]
	}
}

func (m *guideModule) write(t *testing.T, name, text string) {
	t.Helper()
	name = filepath.Join(m.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

func (m *guideModule) command(t *testing.T, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = m.dir
	cmd.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=-ldflags=-w", "GOWORK=off")
	return cmd
}

// run runs the go command, and returns what it prints.
func (m *guideModule) run(t *testing.T, args ...string) string {
	t.Helper()
	cmd := m.command(t, "go", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("go %s: %v\n%s%s", strings.Join(args, " "), err, out, &stderr)
	}
	return string(out)
}

func TestGuide(t *testing.T) {
	if !bsrpc.LongTests {
		t.Skip("builds and runs the programs of the guide: with the tag bsrpc_long")
	}
	m := newGuideModule(t)
	m.run(t, "vet", "./...")
	m.run(t, "test", "-vet=off", "./...")
	first := m.outputs["hello/client"]
	delete(m.outputs, "hello/client") // needs a server
	for dir, want := range m.outputs {
		if got := m.run(t, "run", "./"+dir); got != want {
			t.Errorf("%s prints\n%sthe page shows\n%s", dir, got, want)
		}
	}
	if got := m.runFirstService(t); got != first {
		t.Errorf("the client of the first service prints\n%sthe page shows\n%s", got, first)
	}
}

// runFirstService runs the server of the page first-service.md on any port, and
// returns what its client prints.
func (m *guideModule) runFirstService(t *testing.T) string {
	t.Helper()
	const address = "127.0.0.1:7341"
	server, client := readFile(t, filepath.Join(m.dir, "hello/server/main.go")), readFile(t, filepath.Join(m.dir, "hello/client/main.go"))
	m.write(t, "hello/server/main.go", strings.Replace(server, address, "127.0.0.1:0", 1))
	m.run(t, "build", "-o", "first.exe", "./hello/server")
	cmd := m.command(t, filepath.Join(m.dir, "first.exe"))
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	actual, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if !ok {
		t.Fatalf("the server prints %q, %v", line, err)
	}
	m.write(t, "hello/client/main.go", strings.Replace(client, address, actual, 1))
	return m.run(t, "run", "./hello/client")
}

var (
	link       = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	fenced     = regexp.MustCompile("(?ms)^```.*?^```$")
	heading    = regexp.MustCompile("(?m)^#+ (.*)$")
	notInNames = regexp.MustCompile("[^a-z0-9 _-]")
)

// anchors returns the names by which links find the headings of a document.
func anchors(text string) (names []string) {
	for _, h := range heading.FindAllStringSubmatch(text, -1) {
		names = append(names, strings.ReplaceAll(notInNames.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-"))
	}
	return names
}

// Links between documents lead somewhere.
func TestDocumentLinks(t *testing.T) {
	anchorsOf := make(map[string][]string) // by page
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/guide/*.md"} {
		pages, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, page := range pages {
			for _, l := range link.FindAllStringSubmatch(fenced.ReplaceAllString(readFile(t, page), ""), -1) {
				name, anchor, _ := strings.Cut(l[1], "#")
				target := filepath.Join(filepath.Dir(page), name)
				if name == "" {
					target = page
				}
				if strings.Contains(name, ":") {
					continue // of another site
				}
				_, err := os.Stat(target)
				if _, known := anchorsOf[target]; !known && err == nil && anchor != "" {
					anchorsOf[target] = anchors(readFile(t, target))
				}
				if err != nil || anchor != "" && !slices.Contains(anchorsOf[target], anchor) {
					t.Errorf("%s: the link %s leads nowhere", page, l[1])
				}
			}
		}
	}
}

// Each term of the glossary is there once, and where a reader looks for it.
func TestGlossary(t *testing.T) {
	seen := map[string]bool{}
	last := ""
	for n, line := range strings.Split(readFile(t, "docs/glossary.md"), "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 4 || strings.HasPrefix(line, "|---") {
			last = ""
			continue
		}
		term := strings.ToLower(strings.TrimSpace(cells[1]))
		if term == "term" {
			continue
		}
		if seen[term] || term < last {
			t.Errorf("docs/glossary.md:%d: %q is out of order, or there twice", n+1, term)
		}
		seen[term], last = true, term
	}
	if len(seen) < 50 {
		t.Errorf("%d terms: the table is not read", len(seen))
	}
}

var goFile = regexp.MustCompile(`[a-z_*][a-z0-9_/*]*\.go\b`)

// The map of CONTRIBUTING.md names every package, and every file of the root,
// internal/transport and internal/basic. The files named by the pages for contributors
// exist.
func TestMap(t *testing.T) {
	contributing := readFile(t, "CONTRIBUTING.md")
	places := between(contributing, "## The map", "**Dependencies.**")
	patterns := goFile.FindAllString(places, -1)
	onMap := func(name string) bool {
		return slices.ContainsFunc(patterns, func(pattern string) bool {
			ok, _ := path.Match(pattern, name)
			return ok
		})
	}
	exists := map[string]bool{} // by name, and by name with folder
	for _, name := range tree(t) {
		dir, base := path.Split(name)
		if dir != "" && path.Ext(base) == ".go" && strings.HasPrefix(dir, "internal/") && !strings.Contains(places, "    "+path.Clean(dir)+" ") {
			t.Errorf("the map lacks the package %s", dir)
		}
		if (dir == "" || dir == "internal/transport/" || dir == "internal/basic/") && path.Ext(base) == ".go" && !strings.HasSuffix(base, "_test.go") && base != "doc.go" && !onMap(base) {
			t.Errorf("the map lacks %s", name)
		}
		exists[name], exists[base] = true, true
	}
	for page, text := range map[string]string{"CONTRIBUTING.md": contributing, "docs/engine.md": readFile(t, "docs/engine.md")} {
		for _, name := range goFile.FindAllString(text, -1) {
			if !strings.Contains(name, "*") && !strings.HasPrefix(name, "_") && !strings.HasPrefix(name, "stock/") && !exists[name] {
				t.Errorf("%s names %s, which is not there", page, name)
			}
		}
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
