package bsrpc_test

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
)

// dialUnixAs connects to a unix socket as another user, on a thread of its own.
func dialUnixAs(t *testing.T, uid int, path string) net.Conn {
	t.Helper()
	type result struct {
		nc  net.Conn
		err error
	}
	dialed := make(chan result)
	go func() {
		runtime.LockOSThread() // and the thread ends with the goroutine
		if _, _, err := syscall.RawSyscall(syscall.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); err != 0 {
			dialed <- result{nil, err}
			return
		}
		nc, err := net.Dial("unix", path)
		dialed <- result{nc, err}
	}()
	r := <-dialed
	if r.err != nil {
		t.Fatal(r.err)
	}
	t.Cleanup(func() { r.nc.Close() })
	return r.nc
}

// At a unix socket the connections of one user replace each other in the handshake, and not those of
// another user.
func TestMaxHandshakesByUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	dir, err := os.MkdirTemp("/tmp", "bsrpc")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	listenUnix(t, path, &bsrpc.ServerOptions{SocketMode: 0o666, Limits: bsrpc.Limits{MaxHandshakes: 4}})
	first, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var last net.Conn
	for range 12 {
		last = dialUnixAs(t, 65534, path)
	}
	last.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := last.Write([]byte("\x0d\x00\x00\x00\x00\x00\x00\x01bsrp\x01")); err != nil {
		t.Fatal(err)
	}
	if _, err := last.Read(make([]byte, 1)); err != nil { // so all before it have been accepted
		t.Fatal(err)
	}
	client, err := bsrpc.NewClient(t.Context(), first, nil)
	if err != nil {
		t.Fatal(err)
	}
	client.Close()
}
