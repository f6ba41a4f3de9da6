package interop

import (
	"bufio"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The scripts of examples/instrument do what they say.
func TestInstrumentScripts(t *testing.T) {
	const scripts = "../examples/instrument/python"
	for script, line := range map[string]string{
		"measure.py":  "samples",
		"mistakes.py": "NotConfigured",
	} {
		t.Run(script, func(t *testing.T) {
			host, port, _ := strings.Cut(instrument(t), ":")
			if out := pythonIn(t, scripts, nil, script, host, port).wantExit(); !strings.Contains(out, line) {
				t.Errorf("%s", out)
			}
		})
	}
}

// instrument runs the example's server and returns its address.
func instrument(t *testing.T) (addr string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "instrument")
	if out, err := exec.Command("go", "build", "-o", program, "github.com/bsrpc/bsrpc/examples/instrument").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(program, "-addr", "127.0.0.1:0", "-acquisition", "100ms", "server")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "serving on ")
	if !ok {
		t.Fatalf("the server prints %q, %v", line, err)
	}
	return addr
}
