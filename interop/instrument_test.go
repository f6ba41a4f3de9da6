package interop

import (
	"bufio"
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The scripts of examples/instrument do what its documentation says.
func TestInstrument(t *testing.T) {
	interop(t)
	host, port := startInstrument(t)
	for _, tt := range []struct {
		script string
		want   []string
	}{
		{"measure.py", []string{
			"configured: Settings(label='filter, batch 8', drive=1000, range=2000, rate=20000, samples=2000)",
			"Statistics(samples=2000, periods=100, min=-1.0, max=1.0, mean=",
			"acquiring channel 2",
			"\nmeasured\n",
		}},
		{"mistakes.py", []string{
			"arming before anything is set: ServerError: Server exception NotConfigured",
			"settings out of range: ValueError: ",
			"a range that two bytes can't hold, not sent: OverflowError: ",
			"acquiring with the output off: ServerError: Server exception NotArmed",
			"channel 3: ValueError: channel 3, want 1 or 2",
			"still connected to ",
		}},
	} {
		cmd := command(tt.script, host, port)
		cmd.Dir = "../examples/instrument/python"
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", tt.script, err, out)
		}
		for _, want := range tt.want {
			if !bytes.Contains(out, []byte(want)) {
				t.Errorf("%s does not say %q but\n%s", tt.script, want, out)
			}
		}
	}
}

// startInstrument builds the example and runs its server until the test ends.
func startInstrument(t *testing.T) (host, port string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "instrument")
	build := exec.Command("go", "build", "-o", program, "./examples/instrument")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", build, err, out)
	}
	server := exec.Command(program, "-addr", "127.0.0.1:0", "-acquisition", "1ms", "server")
	server.Stderr = os.Stderr
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Kill()
		server.Wait()
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if addr, ok := strings.CutPrefix(lines.Text(), "serving on "); ok {
			go func() {
				for lines.Scan() { // so that the server can go on writing
				}
			}()
			host, port, _ = net.SplitHostPort(addr)
			return host, port
		}
	}
	t.Fatal("the server does not say where it serves")
	return "", ""
}
