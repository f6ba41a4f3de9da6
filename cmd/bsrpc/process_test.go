package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// asCommand is set for processes of this test binary that are the command.
const asCommand = "BSRPC_TEST_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	exit := m.Run()
	os.RemoveAll(examples)
	os.Exit(exit)
}

// examples is the folder of the examples' programs, once they are built.
var examples string

// buildExamples builds the examples that tests run as processes.
var buildExamples = sync.OnceValue(func() (err error) {
	if examples, err = os.MkdirTemp("", "bsrpc"); err != nil {
		return err
	}
	build := exec.Command("go", "build", "-o", examples, "./examples/instrument", "./examples/jobs")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
})

// example returns the program of an example.
func example(t *testing.T, name string) string {
	t.Helper()
	if err := buildExamples(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(examples, name)
}

// newProcess returns the command as a process, not started yet.
func newProcess(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	return cmd
}

// bsrpcProcess is bsrpcCommand as a process.
func bsrpcProcess(t *testing.T, in string, args ...string) (exit int, stdout, stderr string) {
	t.Helper()
	cmd := newProcess(t, args...)
	var out, failed bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(in), &out, &failed
	return exitCode(t, cmd.Run()), out.String(), failed.String()
}

// exitCode returns the exit code of a process that has ended.
func exitCode(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit) && exit.Exited():
		return exit.ExitCode()
	}
	t.Fatal(err)
	return -1
}

// unused returns an address at which nothing listens.
func unused(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	return l.Addr().String()
}

// The commands and the servers of two examples, each a process of its own.
func TestProcesses(t *testing.T) {
	rack, program := instrument(t), example(t, "jobs")
	t.Run("commands", func(t *testing.T) { runCommands(t, rack, start(t, program, "-addr", "127.0.0.1:0", "server")) })
	t.Run("wait", func(t *testing.T) { waitForServer(t, program) })
	t.Run("tap", func(t *testing.T) { tapServer(t, rack) })
}

// runCommands compares what commands print, and their exit codes, with a file.
func runCommands(t *testing.T, rack, jobs string) {
	nothing, dir := unused(t), t.TempDir()
	released := filepath.Join("..", "..", "examples", "jobs", "testdata", "jobs.contract")
	s := &session{t: t, command: bsrpcProcess, names: strings.NewReplacer(rack, "RACK", jobs, "JOBS", nothing, "NOTHING", dir, "DIR", released, "RELEASED")}
	s.run("list", rack)
	s.run("list", rack, "Supply", "--json")
	s.run("list", nothing)
	s.run("describe", jobs)
	s.run("call", rack, "Supply.Set", "1200")
	s.run("call", rack, "Supply.Level")
	s.run("call", rack, "Supply.Set", "low")
	s.run("call", rack, "Supply.Get")
	s.run("call", rack, "Scope.Settings")
	s.runWith(`{"Label": "lab 3", "Drive": 1000, "Range": 2000, "Rate": 20000, "Samples": 2000}`, "call", rack, "Scope.Configure", "@-")
	s.run("call", jobs, "Jobs.Submit", `{"Below": 1000, "Every": 400}`, "null")
	s.run("call", jobs, "Jobs.Submit", `{"Below": 1000}`, "null")
	s.run("watch", jobs, "Jobs.Submit", `{"Below": 1000, "Every": 400}`, "null", "--count", "2")
	s.run("watch", rack, "Supply.Level", "--every", "1ms", "--count", "3")
	s.run("health", rack, "Supply")
	s.run("diff", released, jobs)
	s.run("diff", released, rack)
	s.run("gen", "go", jobs, "-o", filepath.Join(dir, "jobs.go"))
	s.run("cert", "ca", "--dir", dir, "--json")
	text := pageDate.ReplaceAllString(s.text.String(), "DATE")
	compareFile(t, "testdata/processes.golden", text)

	generated, _ := serveGenerated(t, jobs, map[string]string{"Jobs": "Jobs"})
	for _, args := range [][]string{
		{"diff", jobs, generated, "--same"},
		{"bench", rack, "Supply.Level", "--rate", "200", "--duration", "50ms"},
		{"top", rack, "--count", "1", "--interval", "10ms"},
	} {
		if exit, out, failed := bsrpcProcess(t, "", args...); exit != 0 {
			t.Errorf("bsrpc %s: exit %d, %s", args[0], exit, out+failed)
		}
	}
}

// waitForServer waits for a server that does not run yet.
func waitForServer(t *testing.T, program string) {
	address := unused(t)
	wait := newProcess(t, "health", address, "Jobs", "--wait", "--timeout", "30s")
	var out bytes.Buffer
	wait.Stdout = &out
	if err := wait.Start(); err != nil {
		t.Fatal(err)
	}
	start(t, program, "-addr", address, "server")
	if exit := exitCode(t, wait.Wait()); exit != 0 || out.String() != "ready\n" {
		t.Errorf("exit %d, %s", exit, &out)
	}
}

// tapServer records calls of a server, by a tap that ends with SIGTERM, and makes them again.
func tapServer(t *testing.T, rack string) {
	file := filepath.Join(t.TempDir(), "t.rec")
	tap := newProcess(t, "tap", rack, "--record", file)
	stderr, err := tap.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := tap.Start(); err != nil {
		t.Fatal(err)
	}
	first, err := bufio.NewReader(stderr).ReadString('\n')
	var address string
	if _, failed := fmt.Sscanf(first, "tap: listening on %s", &address); err != nil || failed != nil {
		t.Fatalf("%q, %v", first, err)
	}
	address = strings.TrimSuffix(address, ",")
	for _, args := range [][]string{{"Supply.Set", "1200"}, {"Supply.Level"}} {
		if exit, out, failed := bsrpcProcess(t, "", append([]string{"call", address}, args...)...); exit != 0 {
			t.Errorf("exit %d, %s", exit, out+failed)
		}
	}
	tap.Process.Signal(syscall.SIGTERM)
	if exit := exitCode(t, tap.Wait()); exit != 0 {
		t.Errorf("exit %d", exit)
	}
	exit, lines, _ := bsrpcProcess(t, "", "tap", "--read", file)
	if exit != 0 || !strings.Contains(lines, "Supply.Set left=") || !strings.Contains(lines, " (1200)\n") {
		t.Errorf("exit %d, %s", exit, lines)
	}
	if exit, out, failed := bsrpcProcess(t, "", "tap", "--replay", file, rack); exit != 0 || out != "2 calls: 2 the same, 0 different, 0 skipped\n" {
		t.Errorf("exit %d, %s", exit, out+failed)
	}
}
