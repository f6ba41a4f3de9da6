package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// instrument starts the example of the page, as a process, and returns its address.
func instrument(t *testing.T) string {
	t.Helper()
	return start(t, example(t, "instrument"), "-addr", "127.0.0.1:0", "server")
}

// The servers of the pages, and their tap.
const (
	pageServer = "127.0.0.1:7342"
	pageJobs   = "127.0.0.1:7344"
	pageTap    = "127.0.0.1:7400"
)

var (
	// pageDate are parts of the page that differ from run to run.
	pageDate = regexp.MustCompile(`\d{4}-\d\d-\d\d`)

	// tooLate are calls of bench that a busy machine has not made.
	tooLate = regexp.MustCompile(`, \d+ did not start in time`)

	// figure are the numbers of bench, those of a machine.
	figure = regexp.MustCompile(`[0-9.]+(ns|µs|ms|s)?\b`)

	// pageBlock is a block of the page, with the comment in front of it.
	pageBlock = regexp.MustCompile("(?s)(<!-- not run: [^\n]*-->\n+)?```(\\w*)\n(.*?)```")
)

// The commands in the blocks of the pages are run against examples/instrument and examples/jobs, one
// after another, in one folder with the files of testdata/page. One that ends with & runs until the
// end of its block, and its lines are those behind the next commands. A block of JSON is the config,
// and one of sh has commands of other programs. A comment "not run", with the reason, keeps the next
// block from it.
func TestPageRuns(t *testing.T) {
	for _, page := range []string{"tools", "compared"} {
		t.Run(page, func(t *testing.T) { runPage(t, "../../docs/"+page+".md") })
	}
}

func runPage(t *testing.T, file string) {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	jobs := start(t, example(t, "jobs"), "-addr", "127.0.0.1:0", "server")
	p := &pageRun{t: t, file: file, names: []string{pageServer, instrument(t), pageJobs, jobs, pageTap, unused(t)}}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/page")); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "config.json")
	t.Setenv("BSRPC_CONFIG", config)
	t.Chdir(dir)
	for _, block := range pageBlock.FindAllStringSubmatch(string(data), -1) {
		switch text := block[3]; {
		case block[1] != "":
		case block[2] == "json":
			if err := os.WriteFile(config, []byte(strings.NewReplacer(p.names...).Replace(text)), 0o600); err != nil {
				t.Fatal(err)
			}
		case block[2] == "text":
			p.runBlock(text)
		}
	}
	if p.ran < 10 {
		t.Errorf("%d commands", p.ran)
	}
}

// A pageRun runs the commands of the page.
type pageRun struct {
	t     *testing.T
	file  string
	names []string // addresses on the page, and those in their place
	ran   int

	running *paper // what the command with & has printed
	seen    int    // bytes of it
	stop    func() int
}

// runBlock runs the commands of a block.
func (p *pageRun) runBlock(block string) {
	for _, part := range strings.Split("\n"+block, "\n$ ")[1:] {
		command, want, _ := strings.Cut(part, "\n")
		p.run(command, strings.TrimRight(want, "\n"))
	}
	if p.running != nil {
		p.stop()
	}
	p.running = nil
}

// run runs a command, which prints want.
func (p *pageRun) run(command, want string) {
	p.ran++
	line, behind := strings.CutSuffix(command, " &")
	line, pattern, _ := strings.Cut(line, " | grep ")
	args := shellWords(strings.NewReplacer(p.names...).Replace(line))
	var out paper
	switch {
	case args[0] == "cat":
		data, err := os.ReadFile(args[1])
		if err != nil {
			p.t.Fatal(err)
		}
		out.Write(data)
	case args[0] != "bsrpc":
		p.t.Fatalf("%s: an unknown command", command)
	case behind:
		p.running, p.seen = new(paper), 0
		p.stop = beginWith(p.t, grep{p.running, pattern}, p.running, args[1:]...)
	default:
		exit := run(p.t.Context(), args[1:], strings.NewReader(""), grep{&out, pattern}, &out)
		if fails := strings.HasPrefix(want, "bsrpc: ") || strings.Contains(want, "\nbsrpc: "); fails != (exit != 0) {
			p.t.Errorf("$ %s\nexit %d, and %s has:\n%s", command, exit, p.file, want)
		}
	}
	normal := func(text string) string {
		text = pageDate.ReplaceAllString(steady(text), "DATE")
		if args[1] == "bench" {
			text = figure.ReplaceAllString(tooLate.ReplaceAllString(text, ""), "N")
		}
		return strings.TrimRight(text, "\n")
	}
	want = normal(want)
	have := ""
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		have = out.String()
		if p.running != nil {
			have += p.running.String()[p.seen:]
		}
		for i := 0; i < len(p.names); i += 2 {
			have = strings.ReplaceAll(have, p.names[i+1], p.names[i])
		}
		if have = normal(have); have == want || p.running == nil || time.Now().After(end) {
			break
		}
	}
	if have != want {
		p.t.Errorf("$ %s\n%s\n%s has:\n%s", command, have, p.file, want)
	}
	if p.running != nil {
		p.seen = len(p.running.String())
	}
}

// grep passes lines with a word on. Commands write whole lines.
type grep struct {
	w    io.Writer
	word string
}

func (g grep) Write(b []byte) (int, error) {
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, g.word) {
			io.WriteString(g.w, line)
		}
	}
	return len(b), nil
}

// shellWords splits a command into words, some of them between quotes.
func shellWords(command string) (list []string) {
	for i, part := range strings.Split(command, "'") {
		if i%2 == 1 {
			list = append(list, part)
		} else {
			list = append(list, strings.Fields(part)...)
		}
	}
	return list
}
