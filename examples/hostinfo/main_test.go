//go:build bsrpc_long

// Linking it takes longer than the test, so it runs in CI.

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// dial connects a client to a server of s, in memory.
func dial(t *testing.T, s service) *Host {
	t.Helper()
	srv := bsrpc.NewServer(nil)
	if err := bsrpc.RegisterAs[Host](srv, "Host", s); err != nil {
		t.Fatal(err)
	}
	return bsrpctest.Bind[Host](t, srv, "Host")
}

// writeRandom writes a file of n random bytes.
func writeRandom(t *testing.T, file string, n int64) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.CopyN(f, rand.NewChaCha8([32]byte{}), n)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func sumOf(t *testing.T, file string) string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return string(h.Sum(nil))
}

// The whole program, copying a file of 100 MB over TCP.
func TestProgram(t *testing.T) {
	size := int64(100_000_000)
	dir, to := t.TempDir(), filepath.Join(t.TempDir(), "copy")
	writeRandom(t, filepath.Join(dir, "big"), size)

	var out bytes.Buffer
	p := program{out: &out, addr: "127.0.0.1:0", copy: "big", to: to, rows: 5}
	if err := p.run(t.Context(), []string{dir}); err != nil {
		t.Fatal(err)
	}
	if sumOf(t, to) != sumOf(t, filepath.Join(dir, "big")) {
		t.Error("the copy differs")
	}
	for _, want := range []string{"-rw", "  big\n", "copied big: ", "the SHA-256 agrees"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("not printed: %q\n%s", want, &out)
		}
	}
	t.Logf("\n%s", &out)
}

// The server and client commands.
func TestServerAndClient(t *testing.T) {
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- program{out: w, addr: "localhost:0"}.run(ctx, []string{"server", t.TempDir()}) }()

	line := make([]byte, 100)
	n, err := r.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	addr := strings.TrimSpace(strings.TrimPrefix(string(line[:n]), "serving on"))
	if err := (program{out: io.Discard, rows: 1}).run(t.Context(), []string{"client", addr}); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestOnlyLoopback(t *testing.T) {
	for _, addr := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0"} {
		err := program{out: io.Discard, addr: addr}.run(t.Context(), []string{t.TempDir()})
		if err == nil || !strings.Contains(err.Error(), "not a loopback address") {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

func TestUsageErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	writeRandom(t, file, 1)
	for _, args := range [][]string{nil, {"server"}, {"x", "y"}, {"client", "a", "b"}, {file}, {file + "none"}} {
		if err := (program{out: io.Discard, addr: "127.0.0.1:0"}).run(t.Context(), args); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

// Without /proc the files are still served.
func TestTablesWithoutProc(t *testing.T) {
	s, _ := newFolder(t, "file", "x")
	s.proc = fakeProc().proc
	var out bytes.Buffer
	if err := printTables(t.Context(), &out, dial(t, s), 5); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); strings.Count(got, "no /proc") != 2 || !strings.Contains(got, "file") {
		t.Errorf("printed:\n%s", got)
	}
}

func TestTables(t *testing.T) {
	s, _ := newFolder(t, "one", "1", "two", "22")
	pages := strconv.Itoa(8 << 20 / os.Getpagesize())
	s.proc = fakeProc(
		"7/stat", "7 (small) R 1 7 7 0 -1 0 1 2 3 4 10 0 0 0 20 0 1 0 99 8192 1",
		"9/stat", "9 (large\t) S 7 7 7 0 -1 0 1 2 3 4 150 50 0 0 20 0 3 0 99 8192 "+pages,
		"self/mounts", "tmpfs /tmp tmpfs rw,nosuid 0 0\n",
	).proc
	var out bytes.Buffer
	if err := printTables(t.Context(), &out, dial(t, s), 1); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`9        7       S      3        8    2s   "large\t"`, "tmpfs    tmpfs  /tmp  rw,nosuid", "and 1 more", "  one\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("not printed: %q\n%s", want, &out)
		}
	}
}

// An error on the server is the error of that call only.
func TestRemoteErrors(t *testing.T) {
	s, _ := newFolder(t, "\xff", "odd")
	host := dial(t, s)
	_, err := copyFile(t.Context(), host, "missing", io.Discard)
	var e *bsrpc.Error
	if !errors.As(err, &e) || !e.Remote || e.Outcome != bsrpc.OutcomeAnswered || !strings.Contains(e.Message, "missing") {
		t.Errorf("copying a file that is not there: %v", err)
	}
	if _, err := copyFile(t.Context(), host, "../secret", io.Discard); err == nil {
		t.Error("copied a file outside of the folder")
	}
	var out bytes.Buffer
	if size, err := copyFile(t.Context(), host, "\xff", &out); err != nil || size != 3 || out.String() != "odd" {
		t.Errorf("copied %d bytes, %q, %v", size, &out, err)
	}
}

// A file changing during the copy is an error. A fake of Host is a struct literal.
func TestCopyChangingFile(t *testing.T) {
	host := &Host{
		Stat: func(context.Context, string) (File, error) { return File{Size: 4}, nil },
		ReadAt: func(_ context.Context, _ string, offset int64, _ int) ([]byte, error) {
			return []byte("abcd")[offset : offset+2], nil
		},
		SHA256: func(context.Context, string) ([sha256.Size]byte, error) { return sha256.Sum256([]byte("abcd")), nil },
	}
	if _, err := copyFile(t.Context(), host, "f", io.Discard); err != nil {
		t.Fatal(err)
	}
	host.SHA256 = func(context.Context, string) ([sha256.Size]byte, error) { return sha256.Sum256([]byte("abcx")), nil }
	if _, err := copyFile(t.Context(), host, "f", io.Discard); err == nil || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("other bytes: %v", err)
	}
	host.ReadAt = func(context.Context, string, int64, int) ([]byte, error) { return nil, nil }
	if _, err := copyFile(t.Context(), host, "f", io.Discard); err == nil || !strings.Contains(err.Error(), "shorter") {
		t.Errorf("a shorter file: %v", err)
	}
}
