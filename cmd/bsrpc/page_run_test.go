package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// instrument starts the example of the page, as a process, and returns its address.
func instrument(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "instrument")
	build := exec.Command("go", "build", "-o", name, "./examples/instrument")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ctx, cancel := context.WithCancel(context.Background())
	server := exec.CommandContext(ctx, name, "-addr", "127.0.0.1:0", "server")
	out, err := server.StdoutPipe()
	if err == nil {
		err = server.Start()
	}
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		server.Wait()
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if address, ok := strings.CutPrefix(lines.Text(), "serving on "); ok {
			go io.Copy(io.Discard, out)
			return address
		}
	}
	t.Fatal("the example does not say where it serves")
	return ""
}

// The server of the page.
const pageServer = "127.0.0.1:7342"

// variable are parts of the page that differ from run to run.
var variable = regexp.MustCompile(`\d{4}-\d\d-\d\d`)

// pageCommand divides a line into words, which quotes keep together.
var pageWord = regexp.MustCompile(`'[^']*'|\S+`)

// The commands in blocks of docs/tools.md are run, one after another and in one folder, against
// examples/instrument. A comment "not run", with the reason, keeps the next block from it.
func TestPageRuns(t *testing.T) {
	data, err := os.ReadFile("../../docs/tools.md")
	if err != nil {
		t.Fatal(err)
	}
	address := instrument(t)
	t.Chdir(t.TempDir())
	var want strings.Builder
	var args []string
	ran := 0
	runLast := func() {
		if args == nil {
			return
		}
		ran++
		_, out, failed := bsrpcCommand(t, "", args...)
		have := variable.ReplaceAllString(strings.ReplaceAll(steady(out+failed), address, pageServer), "DATE")
		if want := variable.ReplaceAllString(steady(want.String()), "DATE"); have != want {
			t.Errorf("bsrpc %s:\n%s\ndocs/tools.md has:\n%s", strings.Join(args, " "), have, want)
		}
		args = nil
		want.Reset()
	}
	inside, skip := false, false
	for line := range strings.Lines(string(data)) {
		command, ok := strings.CutPrefix(line, "$ bsrpc ")
		switch {
		case strings.HasPrefix(line, "```"):
			runLast()
			inside, skip = line == "```text\n" && !inside && !skip, skip && line == "```text\n"
		case strings.HasPrefix(line, "<!-- not run: "):
			skip = true
		case inside && ok:
			runLast()
			for _, word := range pageWord.FindAllString(command, -1) {
				args = append(args, strings.Trim(strings.ReplaceAll(word, pageServer, address), "'"))
			}
		case inside:
			want.WriteString(line)
		}
	}
	if ran < 5 {
		t.Errorf("%d commands", ran)
	}
}
