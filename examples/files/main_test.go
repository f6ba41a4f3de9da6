//go:build bsrpc_long

// Linking it takes longer than the test, so it runs in CI.

package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

const testMax = 1 << 20

// newServer serves an empty folder in memory. It returns a proxy, and the folder.
func newServer(t *testing.T) (*Files, string) {
	t.Helper()
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	srv := bsrpc.NewServer(nil)
	if err := bsrpc.RegisterAs[Files](srv, "Files", folders{root, testMax}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return bsrpctest.Bind[Files](t, srv, "Files"), dir
}

// writeFiles writes the files of a new folder, by their names, and returns its path.
func writeFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o777), os.WriteFile(name, []byte(text), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// readFiles returns the files and folders in a folder.
func readFiles(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			files[name] = "a folder"
			return nil
		}
		text, readErr := os.ReadFile(filepath.Join(dir, name))
		files[name] = string(text)
		return errors.Join(err, readErr)
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestThereAndBack(t *testing.T) {
	server, served := newServer(t)
	from := writeFiles(t, map[string]string{
		"a":        strings.Repeat("a", 200_000),
		"empty":    "",
		"b/c/d":    "d",
		"b/e":      strings.Repeat("e", 513),
		"b/\u00e4": "another alphabet",
	})
	if err := os.Symlink("a", filepath.Join(from, "link")); err != nil {
		t.Log("no links here:", err)
	}
	p := program{out: io.Discard, max: testMax}
	if err := p.put(t.Context(), server, from, "x"); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "y")
	if err := p.get(t.Context(), server, "x", to); err != nil {
		t.Fatal(err)
	}
	want := readFiles(t, from)
	delete(want, "link")
	for _, dir := range []string{filepath.Join(served, "x"), to} {
		if got := readFiles(t, dir); !maps.Equal(got, want) {
			t.Errorf("%s has\n%q\nwant\n%q", dir, got, want)
		}
	}
	if err := p.get(t.Context(), server, "x/b", filepath.Join(t.TempDir(), "y")); err != nil {
		t.Errorf("a folder in a folder: %v", err)
	}
}

// An error at the server is that of the call, with its identity, and leaves nothing behind.
func TestRefused(t *testing.T) {
	server, served := newServer(t)
	p := program{out: io.Discard, max: testMax}
	small := writeFiles(t, map[string]string{"a": "a"})
	if err := p.put(t.Context(), server, small, "x"); err != nil {
		t.Fatal(err)
	}
	before := readFiles(t, served)
	for _, name := range []string{"x", ".", "", "x/."} {
		if err := p.put(t.Context(), server, small, name); !errors.Is(err, fs.ErrExist) {
			t.Errorf("put %q: %v", name, err)
		}
	}
	for _, name := range []string{"../x", "/x", "none/x"} {
		if err := p.put(t.Context(), server, small, name); err == nil {
			t.Errorf("put %q: no error", name)
		}
	}
	to := t.TempDir()
	if err := p.get(t.Context(), server, "none", filepath.Join(to, "y")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("get of nothing: %v", err)
	}
	for _, name := range []string{"..", "/", "x/a"} {
		if err := p.get(t.Context(), server, name, filepath.Join(to, "y")); err == nil {
			t.Errorf("get %q: no error", name)
		}
	}
	large := writeFiles(t, map[string]string{"a": "a", "b": strings.Repeat("b", testMax)})
	if err := p.put(t.Context(), server, large, "y"); err == nil || !strings.Contains(err.Error(), "-max") {
		t.Errorf("put above -max: %v", err)
	}
	if got := readFiles(t, served); !maps.Equal(got, before) {
		t.Errorf("the server has\n%q\nwant\n%q", got, before)
	}
	if got := readFiles(t, to); len(got) != 1 {
		t.Errorf("the client has %q", got)
	}
}

// archiveOf returns an archive with one entry, and its checksum.
func archiveOf(t *testing.T, h *tar.Header, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	h.Size = int64(len(text))
	err := w.WriteHeader(h)
	_, writeErr := io.WriteString(w, text)
	if err := errors.Join(err, writeErr, w.Close()); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b.Bytes())
	return append(b.Bytes(), sum[:]...)
}

// An archive is a peer's: nothing of a wrong one stays, and no name leads out of the root.
func TestWrongArchives(t *testing.T) {
	server, served := newServer(t)
	good := archiveOf(t, &tar.Header{Typeflag: tar.TypeReg, Name: "a"}, "text")
	changed := bytes.Clone(good)
	changed[512]++
	for name, archive := range map[string][]byte{
		"empty":       nil,
		"cut in a":    good[:514],
		"without sum": good[:len(good)-32],
		"cut in sum":  good[:len(good)-1],
		"changed":     changed,
		"no archive":  bytes.Repeat([]byte("x"), 2048),
		"above":       archiveOf(t, &tar.Header{Typeflag: tar.TypeReg, Name: "../a"}, "text"),
		"absolute":    archiveOf(t, &tar.Header{Typeflag: tar.TypeReg, Name: "/a"}, "text"),
		"link":        archiveOf(t, &tar.Header{Typeflag: tar.TypeSymlink, Name: "a", Linkname: "/etc/passwd"}, ""),
		"pipe":        archiveOf(t, &tar.Header{Typeflag: tar.TypeFifo, Name: "a"}, ""),
	} {
		if err := server.Put(t.Context(), "x", bytes.NewReader(archive)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	failing := io.MultiReader(bytes.NewReader(good[:600]), failingReader{})
	if err := server.Put(t.Context(), "x", failing); err == nil || !strings.Contains(err.Error(), "disk on fire") {
		t.Errorf("a reader with an error: %v", err)
	}
	if got := readFiles(t, served); len(got) != 1 {
		t.Errorf("the server has %q", got)
	}
	if err := server.Put(t.Context(), "x", bytes.NewReader(good)); err != nil {
		t.Errorf("the unchanged archive: %v", err)
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("disk on fire") }

// A fake of the server is a struct literal, with a reader as its stream.
func TestFakeServer(t *testing.T) {
	fake := &Files{Get: func(context.Context, string) (int64, io.ReadCloser, error) {
		return 1, io.NopCloser(strings.NewReader("half an archive")), nil
	}}
	to := t.TempDir()
	err := program{out: io.Discard, max: testMax}.get(t.Context(), fake, "x", filepath.Join(to, "x"))
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half an archive: %v", err)
	}
	if got := readFiles(t, to); len(got) != 1 {
		t.Errorf("the client has %q", got)
	}
}

func TestProgress(t *testing.T) {
	for terminal, want := range map[bool]string{
		false: "x: 25 % of 4.0 MB\nx: 50 % of 4.0 MB\nx: 100 % of 4.0 MB\n",
		true: "\r[#####...............] x: 25 % of 4.0 MB\r[##########..........] x: 50 % of 4.0 MB" +
			"\r[####################] x: 100 % of 4.0 MB\n",
	} {
		var out bytes.Buffer
		r := watch(&out, "x", 4e6, io.NopCloser(bytes.NewReader(make([]byte, 5e6))))
		r.(*progress).terminal = terminal
		for _, n := range []int64{1e6, 1e6, 3e6} {
			if _, err := io.ReadFull(r, make([]byte, n)); err != nil {
				t.Fatal(err)
			}
		}
		if out.String() != want {
			t.Errorf("printed %q, want %q", &out, want)
		}
	}
}

func TestDemonstration(t *testing.T) {
	var out bytes.Buffer
	if err := (program{out: &out, max: 1 << 30}).run(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"put photos: 100 % of 20.0 MB\nget photos: 25 % of 20.0 MB\n",
		"both copies have the SHA-256 of their sender\n",
		"errors.Is(err, fs.ErrNotExist) is true\n",
		"errors.Is(err, fs.ErrExist) is true\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("not printed: %q\n%s", want, &out)
		}
	}
}

// The three commands.
func TestCommands(t *testing.T) {
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- program{out: w, addr: "127.0.0.1:0", max: testMax}.run(ctx, []string{"server", t.TempDir()})
	}()
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	from, to := writeFiles(t, map[string]string{"a": "a"}), filepath.Join(t.TempDir(), "to")
	p := program{out: io.Discard, addr: strings.TrimSpace(strings.TrimPrefix(line, "serving on")), max: testMax}
	for _, args := range [][]string{{"put", from, "x"}, {"get", "x", to}} {
		if err := p.run(t.Context(), args); err != nil {
			t.Errorf("%q: %v", args, err)
		}
	}
	if got := readFiles(t, to); got["a"] != "a" {
		t.Errorf("the copy has %q", got)
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestUsageErrors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // not listening any more
	p := program{out: io.Discard, addr: l.Addr().String()}
	for _, args := range [][]string{{"server"}, {"get", "x"}, {"put", ".", "x"}, {"x", "y", "z"}, {"server", "no such folder"}} {
		if err := p.run(t.Context(), args); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
	for _, addr := range []string{":0", "192.0.2.1:0"} {
		p.addr = addr
		if err := p.run(t.Context(), []string{"server", t.TempDir()}); err == nil || !strings.Contains(err.Error(), "not a loopback address") {
			t.Errorf("%s: %v", addr, err)
		}
	}
}
