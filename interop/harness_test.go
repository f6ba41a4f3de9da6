package interop

// How the tests find Python, and how long they wait.

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const version = "0.6.0" // of the package that all is said of

const howTo = `interop: skipped, because BSRPC_PYTHON does not name a Python with basic-socket-rpc ` + version + `. To make one:
	python3 -m venv .ci/cache/python && .ci/cache/python/bin/pip install -r interop/python/requirements.txt
	export BSRPC_PYTHON=$PWD/.ci/cache/python/bin/python`

// patience is how long anything may take that a test waits for.
const patience = 25 * time.Second

var python = os.Getenv("BSRPC_PYTHON")

// A Python that is named must be of use: to skip then would be to lie.
func TestMain(m *testing.M) {
	if python == "" {
		fmt.Println(howTo)
	} else if err := checkPython(); err != nil {
		fmt.Fprintf(os.Stderr, "interop: BSRPC_PYTHON=%s: %v\n", os.Getenv("BSRPC_PYTHON"), err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func checkPython() (err error) {
	if python, err = exec.LookPath(python); err != nil {
		return err
	}
	if python, err = filepath.Abs(python); err != nil { // programs run in a folder of their own
		return err
	}
	const tell = "from importlib.metadata import version; print(version('basic-socket-rpc'))"
	out, err := exec.Command(python, "-c", tell).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	if got := strings.TrimSpace(string(out)); got != version {
		return fmt.Errorf("it has basic-socket-rpc %s; the tests want %s", got, version)
	}
	return nil
}

// interop begins a test that needs Python.
func interop(t *testing.T) {
	t.Helper()
	if python == "" {
		t.Skip("no BSRPC_PYTHON")
	}
	t.Parallel()
}

// command prepares a program of python/ to be run.
func command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(python, append([]string{program}, args...)...)
	cmd.Dir = "python"
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "PYTHONUTF8=1")
	return cmd
}

// clip shortens what nobody would read to its end.
func clip(s string) string {
	if len(s) > 2000 {
		return s[:2000] + fmt.Sprintf("... (%d bytes)", len(s))
	}
	return s
}

// tail is the same from the other end.
func tail(s string) string { return s[max(0, len(s)-4000):] }

// within waits for what a test expects of Go's end.
func within[T any](t *testing.T, what string, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		t.Fatalf("waited for %s in vain", what)
	}
	return v
}
