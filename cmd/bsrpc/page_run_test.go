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

var (
	// variable are parts of the page that differ from run to run.
	variable = regexp.MustCompile(`\d{4}-\d\d-\d\d`)

	// pageBlock is a block of the page, with the comment in front of it.
	pageBlock = regexp.MustCompile("(?s)(<!-- not run: [^\n]*-->\n+)?```(\\w*)\n(.*?)```")
)

// The commands in the blocks of docs/tools.md are run against examples/instrument, one after
// another, in one folder with the files of testdata/page. A block of JSON is the config. A
// comment "not run", with the reason, keeps the next block from it.
func TestPageRuns(t *testing.T) {
	data, err := os.ReadFile("../../docs/tools.md")
	if err != nil {
		t.Fatal(err)
	}
	address, dir := instrument(t), t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/page")); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "config.json")
	t.Setenv("BSRPC_CONFIG", config)
	t.Chdir(dir)
	ran := 0
	for _, block := range pageBlock.FindAllStringSubmatch(string(data), -1) {
		switch text := block[3]; {
		case block[1] != "":
		case block[2] == "json":
			if err := os.WriteFile(config, []byte(strings.ReplaceAll(text, pageServer, address)), 0o600); err != nil {
				t.Fatal(err)
			}
		case block[2] == "text":
			ran += runBlock(t, text, address)
		}
	}
	if ran < 10 {
		t.Errorf("%d commands", ran)
	}
}

// runBlock runs the commands of a block, and returns their number.
func runBlock(t *testing.T, block, address string) (ran int) {
	for _, part := range strings.Split("\n"+block, "\n$ ")[1:] {
		command, want, _ := strings.Cut(part, "\n")
		args := shellWords(strings.ReplaceAll(command, pageServer, address))
		have := ""
		switch args[0] {
		case "cat":
			data, err := os.ReadFile(args[1])
			if err != nil {
				t.Fatal(err)
			}
			have = string(data)
		case "bsrpc":
			_, out, failed := bsrpcCommand(t, "", args[1:]...)
			have = strings.ReplaceAll(steady(out+failed), address, pageServer)
		default:
			t.Fatalf("%s: an unknown command", command)
		}
		ran++
		have = variable.ReplaceAllString(have, "DATE")
		want = variable.ReplaceAllString(steady(want), "DATE")
		if strings.TrimRight(have, "\n") != strings.TrimRight(want, "\n") {
			t.Errorf("$ %s\n%s\ndocs/tools.md has:\n%s", command, have, want)
		}
	}
	return ran
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
