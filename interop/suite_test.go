package interop

import (
	"bytes"
	"errors"
	"net"
	"os/exec"
	"regexp"
	"slices"
	"testing"

	"github.com/bsrpc/bsrpc"
)

// A test suite of the package's users, which knows nothing of this library, has
// the same results with either server.
func TestSuite(t *testing.T) {
	interop(t)
	_, original := startServer(t)
	want := runSuite(t, original)
	got := runSuite(t, openOffice(t, bsrpc.ServerOptions{}).addr())
	if len(want) < 15 || !slices.Equal(got, want) {
		t.Errorf("with bsrpc's server\n%q\nwith the package's\n%q", got, want)
	}
}

var resultOf = regexp.MustCompile(`(?m)^test_.* \.\.\. .*$`)

// runSuite returns the result of each test of test_client.py.
func runSuite(t *testing.T, addr string) []string {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := command("test_client.py", host, port)
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		t.Errorf("%s: %v\n%s", cmd, err, &stderr)
	}
	return resultOf.FindAllString(stderr.String(), -1)
}

// A suite that fails is seen: without a server none of its tests passes.
func TestSuiteFails(t *testing.T) {
	interop(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close() // nobody listens there now
	out, err := command("test_client.py", "127.0.0.1", port).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !bytes.Contains(out, []byte("FAILED (errors=")) {
		t.Errorf("%v\n%s", err, out)
	}
}
