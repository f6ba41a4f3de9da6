//go:build unix

package bsrpc_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
)

// listenUnix serves a lab on a unix socket until the test ends, and returns when it accepts.
func listenUnix(t *testing.T, path string, opts *bsrpc.ServerOptions) *bsrpc.Server {
	t.Helper()
	opts.Logger = quiet
	srv := bsrpc.NewServer(opts)
	if err := bsrpc.RegisterAs[labContract](srv, "Lab", lab{}); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.ListenAndServe("unix", path) }()
	t.Cleanup(func() {
		srv.Close()
		if err := <-served; err != bsrpc.ErrServerClosed {
			t.Errorf("ListenAndServe: %v", err)
		}
	})
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		select {
		case err := <-served:
			t.Fatal(err)
		default:
		}
		if info, err := os.Stat(path); err != nil || opts.SocketMode != 0 && info.Mode().Perm() != opts.SocketMode {
			continue // it has the mode of the umask for a moment
		}
		if nc, err := net.Dial("unix", path); err == nil {
			nc.Close()
			return srv
		}
	}
	t.Fatal("the server does not listen")
	return nil
}

// A unix socket has its permissions, whatever the umask, and is removed at the end.
func TestUnixSocketMode(t *testing.T) {
	for _, umask := range []int{0, 0o22, 0o77} {
		old := syscall.Umask(umask)
		for mode, want := range map[fs.FileMode]fs.FileMode{0: 0o600, 0o660: 0o660, 0o666: 0o666} {
			path := filepath.Join(t.TempDir(), "s")
			srv := listenUnix(t, path, &bsrpc.ServerOptions{SocketMode: mode})
			// The server accepts once the permissions are complete; until then a umask may
			// leave fewer.
			client, err := bsrpc.Dial(t.Context(), "unix", path, nil)
			if err != nil {
				t.Fatal(err)
			}
			client.Close()
			if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != want || info.Mode().Type() != fs.ModeSocket {
				t.Errorf("umask %o, SocketMode %o: %v, %v", umask, mode, info, err)
			}
			srv.Close()
			if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("after the end: %v", err)
			}
		}
		syscall.Umask(old)
	}
}

// The socket of a killed server is replaced. Nothing else is, and nothing else is removed.
func TestUnixSocketInTheWay(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false) // as after kill -9
	dead.Close()
	srv := listenUnix(t, path, &bsrpc.ServerOptions{})

	refused := func(path, want string) {
		t.Helper()
		before, _ := os.Lstat(path)
		err := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet}).ListenAndServe("unix", path)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
		if after, _ := os.Lstat(path); before != nil && !os.SameFile(before, after) {
			t.Errorf("%s was replaced", path)
		}
	}
	refused(path, "another process listens there")
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(file, "a file that is not a socket is in the way")
	link := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(dir, "nothing"), link); err != nil {
		t.Fatal(err)
	}
	refused(link, "a file that is not a socket is in the way")
	refused("@abstract", "every user of the machine could connect to an abstract socket")
	refused("", "want the path of a file")

	// Another server has taken the path by force: the first one leaves it alone.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	listenUnix(t, path, &bsrpc.ServerOptions{})
	srv.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the first server removed the socket of the second: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 3 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// Of servers that begin at the same time, where a killed one has left its socket, one serves and all
// others are refused.
func TestUnixSocketOfManyServers(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the lock is of Linux")
	}
	const servers = 8
	rounds := 8
	if bsrpc.LongTests {
		rounds = 100
	}
	for range rounds {
		path := filepath.Join(t.TempDir(), "s")
		dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		dead.SetUnlinkOnClose(false)
		dead.Close()
		ended := make(chan error, servers)
		var all []*bsrpc.Server
		for range servers {
			srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
			all = append(all, srv)
			go func() { ended <- srv.ListenAndServe("unix", path) }()
		}
		for n := range servers - 1 {
			select {
			case err := <-ended:
				if err == nil || !strings.Contains(err.Error(), "another process listens there") {
					t.Error(err)
				}
			case <-time.After(10 * time.Second):
				t.Errorf("%d servers serve", servers-n)
			}
		}
		if nc, err := net.Dial("unix", path); err != nil {
			t.Error(err)
		} else {
			nc.Close()
		}
		for _, srv := range all {
			srv.Close()
		}
		if err := <-ended; err != bsrpc.ErrServerClosed {
			t.Error(err)
		}
	}
}

// A socket open to all users, whose Authenticate checks the user: another user is refused by the
// credentials of its process. The test needs root, to become another user.
func TestUnixSocketOfAnotherUser(t *testing.T) {
	const nobody = 65534
	if path := os.Getenv("BSRPC_TEST_SOCKET"); path != "" {
		_, err := bsrpc.Dial(t.Context(), "unix", path, nil)
		wantError(t, err, bsrpc.CodeUnauthenticated, bsrpc.OutcomeNotRun, "unauthenticated")
		opts := clientAs("ann", "secret")
		opts.InsecureCredentials = false
		if os.Getenv("BSRPC_TEST_SERVER") != "root" {
			_, err = bsrpc.Dial(t.Context(), "unix", path, opts)
			wantError(t, err, bsrpc.CodeFailedPrecondition, bsrpc.OutcomeNotRun, "neither this user nor root")
		}
		return
	}
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	dir, err := os.MkdirTemp("/tmp", "bsrpc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	listenUnix(t, path, &bsrpc.ServerOptions{SocketMode: 0o666, Authenticate: func(_ context.Context, p *bsrpc.Peer, _ bsrpc.Credentials) error {
		if p.Unix == nil || int(p.Unix.UID) != os.Getuid() {
			return errors.New("another user")
		}
		return nil
	}})
	client, err := bsrpc.Dial(t.Context(), "unix", path, nil)
	if err != nil {
		t.Fatal(err)
	}
	client.Close()
	exe := filepath.Join(dir, "test")
	self, err := os.ReadFile(os.Args[0])
	if err == nil {
		err = os.WriteFile(exe, self, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	other := exec.CommandContext(t.Context(), exe, "-test.run", "^TestUnixSocketOfAnotherUser$")
	other.Dir, other.Env = dir, append(os.Environ(), "BSRPC_TEST_SOCKET="+path, "BSRPC_TEST_SERVER=root")
	other.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if out, err := other.CombinedOutput(); err != nil {
		t.Errorf("as another user: %v\n%s", err, out)
	}
}

// SocketMode in a configuration is octal text.
func TestSocketModeOption(t *testing.T) {
	o, err := bsrpc.DecodeServerOptions(map[string]any{"socket-mode": "0660"})
	if err != nil || o.SocketMode != 0o660 {
		t.Errorf("got %+v, %v", o, err)
	}
	for _, bad := range []any{432, "660", "0o660", "06600", "0888", ""} {
		if _, err := bsrpc.DecodeServerOptions(map[string]any{"socket-mode": bad}); err == nil || !strings.Contains(err.Error(), `want permissions as octal text, such as "0660"`) {
			t.Errorf("%v: %v", bad, err)
		}
	}
	path := filepath.Join(t.TempDir(), "s")
	if err := bsrpc.NewServer(&bsrpc.ServerOptions{SocketMode: fs.ModeSetuid}).ListenAndServe("unix", path); err == nil || !strings.Contains(err.Error(), "SocketMode: want permissions") {
		t.Errorf("got %v", err)
	}
}
